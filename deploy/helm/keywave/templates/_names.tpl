{{/* The release's name, and the chart's where that does not say it. */}}
{{- define "keywave.name" -}}
{{- if contains "keywave" .Release.Name }}{{ .Release.Name }}{{ else }}{{ .Release.Name }}-keywave{{ end }}
{{- end }}

{{/* What chooses the pods of one role: a list of the root and the role's name. */}}
{{- define "keywave.selector" -}}
app.kubernetes.io/name: keywave
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
{{- if index . 1 }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}
{{- end }}

{{/* The labels of everything that belongs to one role, or to none (""). */}}
{{- define "keywave.labels" -}}
{{ include "keywave.selector" . }}
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
helm.sh/chart: keywave-{{ (index . 0).Chart.Version }}
{{- end }}

{{/* The port of Temporal's frontend. */}}
{{- define "keywave.temporalPort" -}}
{{ regexFind ":[0-9]+$" .Values.temporal.address | trimPrefix ":" | default "7233" }}
{{- end }}

{{/* A volume of a Secret. 256 is 0400: with fsGroup Kubernetes makes it 0440 of root and the group, which workers accept. */}}
{{- define "keywave.secretVolume" -}}
secret: {secretName: {{ . | quote }}, defaultMode: 256}
{{- end }}

{{/* The volume source of a ConfigMap or a Secret: a list of what names them, and what it is. */}}
{{- define "keywave.source" -}}
{{- $from := index . 0 }}
{{- if and $from.configMap $from.secret }}{{ fail (printf "%s: name a configMap or a secret, not both" (index . 1)) }}{{ end }}
{{- if $from.configMap -}}
configMap: {name: {{ $from.configMap | quote }}}
{{- else -}}
{{ include "keywave.secretVolume" (required (printf "%s: name the configMap or the secret that holds it" (index . 1)) $from.secret) }}
{{- end }}
{{- end }}
