{{/*
What the operator may do in a namespace that it serves. There is no right to Secrets, and no finalizer, `escalate`,
`bind` or `impersonate`: the proxies' pods mount their Secrets themselves.
*/}}
{{- define "packageproxy.rules" -}}
- apiGroups: [packageproxy.dev]
  resources: [packageproxies]
  verbs: [get, list, watch]
- apiGroups: [packageproxy.dev]
  resources: [packageproxies/status]
  verbs: [patch]
# The admission plug-in OwnerReferencesPermissionEnforcement asks for this before a child may name its owner.
- apiGroups: [packageproxy.dev]
  resources: [packageproxies/finalizers]
  verbs: [update]
# The children of a proxy.
- apiGroups: [""]
  resources: [serviceaccounts, services, configmaps, persistentvolumeclaims]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
# Addresses of the proxies, whose admin port the operator asks.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
# The label that lets proxies of this namespace name another owner.
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end }}

{{/* What an operator of all namespaces may do to leave alone those of others. */}}
{{- define "packageproxy.scopeRules" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [list]
{{- end }}

{{/* What an operator of some namespaces may do in each of them to tell others so: it holds one Lease. */}}
{{- define "packageproxy.claimRules" -}}
# A request to create cannot be limited to a name.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [packageproxy-operator-scope]
  verbs: [get, update]
{{- end }}

{{/* What the operator may do with classes, which are cluster-scoped. */}}
{{- define "packageproxy.classRules" -}}
- apiGroups: [packageproxy.dev]
  resources: [packageproxyclasses]
  verbs: [get, list, watch]
# A class that cannot be used says so in its own conditions.
- apiGroups: [packageproxy.dev]
  resources: [packageproxyclasses/status]
  verbs: [patch]
{{- end }}
