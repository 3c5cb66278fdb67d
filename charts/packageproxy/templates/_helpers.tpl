{{/*
Full name of the release's objects: "packageproxy-operator" for a release named "packageproxy".
A Service's name is the strictest: 63 characters.
*/}}
{{- define "packageproxy.fullname" -}}
{{- $name := .Values.nameOverride | default "packageproxy-operator" -}}
{{- if .Values.fullnameOverride -}}
{{- include "packageproxy.shorten" (list .Values.fullnameOverride "") -}}
{{- else if contains $name .Release.Name -}}
{{- include "packageproxy.shorten" (list .Release.Name "") -}}
{{- else if and (not .Values.nameOverride) (hasSuffix .Chart.Name .Release.Name) -}}
{{- include "packageproxy.shorten" (list .Release.Name "-operator") -}}
{{- else -}}
{{- include "packageproxy.shorten" (list .Release.Name (printf "-%s" $name)) -}}
{{- end -}}
{{- end }}

{{/*
(list name suffix): the two joined, in 63 characters. What does not fit is cut from the name, never from the suffix,
and replaced by a hash, so that two long names stay two.
*/}}
{{- define "packageproxy.shorten" -}}
{{- $name := index . 0 -}}
{{- $suffix := index . 1 | trunc 40 -}}
{{- $whole := printf "%s%s" $name $suffix -}}
{{- if gt (len $whole) 63 -}}
{{- $room := sub 54 (len $suffix) | int -}}
{{- printf "%s-%s%s" (trunc $room $name | trimSuffix "-") (sha256sum $whole | trunc 8) $suffix | trimSuffix "-" -}}
{{- else -}}
{{- $whole -}}
{{- end -}}
{{- end }}

{{/* (list context suffix): the full name with a suffix. */}}
{{- define "packageproxy.name" -}}
{{- include "packageproxy.shorten" (list (include "packageproxy.fullname" (index . 0)) (printf "-%s" (index . 1))) -}}
{{- end }}

{{/*
(list context suffix): name of a cluster-scoped object. It holds the namespace, since releases of one name may live in
several namespaces.
*/}}
{{- define "packageproxy.clusterName" -}}
{{- $context := index . 0 -}}
{{- $name := printf "%s-%s" $context.Release.Namespace (include "packageproxy.fullname" $context) -}}
{{- include "packageproxy.shorten" (list $name (index . 1 | empty | ternary "" (printf "-%s" (index . 1)))) -}}
{{- end }}

{{/*
What selects the operator's pods. The name is fixed: the operator writes it into the NetworkPolicies of proxies, which
let it ask their admin port.
*/}}
{{- define "packageproxy.selectorLabels" -}}
app.kubernetes.io/name: packageproxy-operator
app.kubernetes.io/instance: {{ include "packageproxy.shorten" (list .Release.Name "") }}
{{- end }}

{{/* Labels of the operator's pods. Without the chart's version: it would roll them at upgrades that change nothing. */}}
{{- define "packageproxy.podLabels" -}}
{{- $own := include "packageproxy.selectorLabels" . | fromYaml -}}
{{- toYaml (merge $own .Values.podLabels .Values.commonLabels) -}}
{{- end }}

{{/* Labels of every object. Those of the chart win over the user's: selectors depend on them. */}}
{{- define "packageproxy.labels" -}}
{{- $own := include "packageproxy.selectorLabels" . | fromYaml -}}
{{- $_ := set $own "app.kubernetes.io/version" (.Chart.AppVersion | toString | replace "+" "_" | trunc 63) -}}
{{- $_ := set $own "app.kubernetes.io/managed-by" .Release.Service -}}
{{- $_ := set $own "app.kubernetes.io/part-of" "packageproxy" -}}
{{- $_ := set $own "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-") -}}
{{- toYaml (merge $own .Values.commonLabels) -}}
{{- end }}

{{/*
(list context image): reference of an image of the values. A mirror replaces the host, which is the first segment if it
holds a dot or a port or is "localhost".
*/}}
{{- define "packageproxy.image" -}}
{{- $context := index . 0 -}}
{{- $image := index . 1 -}}
{{- $repository := $image.repository -}}
{{- with $context.Values.global.imageRegistry -}}
{{- $path := regexReplaceAll "^(localhost|[^/]*[.:][^/]*)/" $repository "" -}}
{{- $repository = printf "%s/%s" (trimSuffix "/" .) $path -}}
{{- end -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository ($image.tag | default $context.Chart.AppVersion) -}}
{{- end -}}
{{- end }}

{{- define "packageproxy.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "packageproxy.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end }}

{{- define "packageproxy.leaseName" -}}
{{- .Values.leaderElection.leaseName | default (include "packageproxy.fullname" .) -}}
{{- end }}

{{/*
(list schema value path): refuses fields that the schema of a CRD does not have, as the API server refuses them in
strict requests. The schema is the CRD's own, so this list is never stale.
*/}}
{{- define "packageproxy.knownFields" -}}
{{- $schema := index . 0 -}}
{{- $value := index . 1 -}}
{{- $path := index . 2 -}}
{{- if index $schema "x-kubernetes-preserve-unknown-fields" -}}
{{- else if and (kindIs "map" $value) $schema.properties -}}
{{- range $key, $inner := $value -}}
{{- if not (hasKey $schema.properties $key) -}}
{{- fail (printf "%s.%s: no such field; known here: %s" $path $key (keys $schema.properties | sortAlpha | join ", ")) -}}
{{- end -}}
{{- include "packageproxy.knownFields" (list (get $schema.properties $key) $inner (printf "%s.%s" $path $key)) -}}
{{- end -}}
{{- else if and (kindIs "map" $value) (kindIs "map" $schema.additionalProperties) -}}
{{- range $key, $inner := $value -}}
{{- include "packageproxy.knownFields" (list $schema.additionalProperties $inner (printf "%s.%s" $path $key)) -}}
{{- end -}}
{{- else if and (kindIs "slice" $value) $schema.items -}}
{{- range $index, $inner := $value -}}
{{- include "packageproxy.knownFields" (list $schema.items $inner (printf "%s[%d]" $path $index)) -}}
{{- end -}}
{{- end -}}
{{- end }}
