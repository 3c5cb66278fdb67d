{{/* Labels of the pod of `helm test`. They differ from the operator's, or the Service would send it requests. */}}
{{- define "packageproxy.probeLabels" -}}
app.kubernetes.io/name: packageproxy-probe
app.kubernetes.io/instance: {{ include "packageproxy.shorten" (list .Release.Name "") }}
{{- end }}
