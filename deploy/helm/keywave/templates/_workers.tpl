{{/*
All objects of one role, but for its NetworkPolicy. It is given
  root       the chart's top
  component  the role's name
  settings   the role's values
  args       its arguments, env its variables, envFrom a Secret of variables
  volumes    its volumes, mounts where they are (lists)
*/}}
{{- define "keywave.workers" -}}
{{- $name := printf "%s-%s" (include "keywave.name" .root) .component | trunc 63 | trimSuffix "-" }}
{{- $labels := include "keywave.labels" (list .root .component) }}
{{- $selector := include "keywave.selector" (list .root .component) }}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ $name }}
  labels: {{- $labels | nindent 4 }}
  {{- with .settings.serviceAccount.annotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
automountServiceAccountToken: {{ .settings.serviceAccount.token }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ $name }}
  labels: {{- $labels | nindent 4 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels: {{- $selector | nindent 6 }}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $name }}
  labels: {{- $labels | nindent 4 }}
spec:
  replicas: {{ .settings.replicas }}
  revisionHistoryLimit: 3
  # The new one is ready, on its queues or standing by, before an old one hands over.
  strategy:
    type: RollingUpdate
    rollingUpdate: {maxSurge: 1, maxUnavailable: 0}
  selector:
    matchLabels: {{- $selector | nindent 6 }}
  template:
    metadata:
      labels: {{- $labels | nindent 8 }}
      {{- with .settings.podAnnotations }}
      annotations: {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      serviceAccountName: {{ $name }}
      automountServiceAccountToken: {{ .settings.serviceAccount.token }}
      enableServiceLinks: false
      terminationGracePeriodSeconds: {{ .root.Values.terminationGracePeriodSeconds }}
      {{- with .root.Values.image.pullSecrets }}
      imagePullSecrets: {{- range . }}
        - name: {{ . | quote }}
        {{- end }}
      {{- end }}
      securityContext:
        runAsNonRoot: true
        runAsUser: 65532
        runAsGroup: 65532
        # The group that may read what Secrets hold.
        fsGroup: 65532
        fsGroupChangePolicy: OnRootMismatch
        seccompProfile: {type: RuntimeDefault}
      containers:
        - name: worker
          {{- include "keywave.container" . | nindent 10 }}
      volumes: {{- toYaml .volumes | nindent 8 }}
      {{- with .settings.nodeSelector }}
      nodeSelector: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .settings.tolerations }}
      tolerations: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .settings.affinity }}
      affinity: {{- toYaml . | nindent 8 }}
      {{- else }}
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels: {{- $selector | nindent 14 }}
      {{- end }}
{{- end }}

{{- define "keywave.container" -}}
{{- $image := .root.Values.image }}
image: {{ printf "%s:%s" $image.repository ($image.tag | default .root.Chart.AppVersion) | quote }}
imagePullPolicy: {{ $image.pullPolicy }}
args: {{- toYaml .args | nindent 2 }}
env: {{- toYaml .env | nindent 2 }}
{{- with get . "envFrom" }}
envFrom:
  - secretRef: {name: {{ . | quote }}}
{{- end }}
ports:
  - {name: metrics, containerPort: {{ .root.Values.metrics.port }}}
# At the start a role may be lent its credential first.
startupProbe:
  httpGet: {path: /healthz, port: metrics}
  periodSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /healthz, port: metrics}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: metrics}
  periodSeconds: 5
  timeoutSeconds: 5
resources: {{- toYaml .settings.resources | nindent 2 }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
volumeMounts: {{- toYaml .mounts | nindent 2 }}
{{- end }}

{{/* The arguments of every role; a list of the root and the role. */}}
{{- define "keywave.args" -}}
- --roles={{ index . 1 }}
- --listen=:{{ (index . 0).Values.metrics.port }}
- --log-format=json
- --log-level={{ (index . 0).Values.logLevel }}
{{- end }}

{{/* The variables of every role; a list of the root and the role's values. */}}
{{- define "keywave.env" -}}
{{- $temporal := (index . 0).Values.temporal }}
- {name: HOME, value: /tmp}
- {name: TEMPORAL_ADDRESS, value: {{ required "temporal.address: say where Temporal is, host:port" $temporal.address | quote }}}
- {name: TEMPORAL_NAMESPACE, value: {{ $temporal.namespace | quote }}}
{{- if $temporal.tls.enabled }}
- {name: TEMPORAL_TLS, value: "true"}
{{- with $temporal.tls.serverName }}
- {name: TEMPORAL_TLS_SERVER_NAME, value: {{ . | quote }}}
{{- end }}
{{- if $temporal.tls.ca }}
- {name: TEMPORAL_TLS_SERVER_CA_CERT_PATH, value: /etc/keywave/temporal-ca/ca.crt}
{{- end }}
{{- if (index . 1).tlsSecret | default $temporal.tls.secret }}
- {name: TEMPORAL_TLS_CLIENT_CERT_PATH, value: /etc/keywave/temporal-tls/tls.crt}
- {name: TEMPORAL_TLS_CLIENT_KEY_PATH, value: /etc/keywave/temporal-tls/tls.key}
{{- end }}
{{- end }}
{{- with $temporal.apiKey.secret }}
- name: TEMPORAL_API_KEY
  valueFrom: {secretKeyRef: {name: {{ . | quote }}, key: {{ $temporal.apiKey.key | quote }}}}
{{- end }}
{{- range $name, $value := (index . 0).Values.env }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end }}

{{/* The volumes of every role; a list of the root and the role's values. */}}
{{- define "keywave.volumes" -}}
{{- $tls := (index . 0).Values.temporal.tls }}
- name: tmp
  emptyDir: {sizeLimit: 64Mi}
{{- if $tls.enabled }}
{{- with (index . 1).tlsSecret | default $tls.secret }}
- name: temporal-tls
  {{- include "keywave.secretVolume" . | nindent 2 }}
{{- end }}
{{- with $tls.ca }}
- name: temporal-ca
  configMap: {name: {{ . | quote }}}
{{- end }}
{{- end }}
{{- end }}

{{/* Where volumes are mounted: tmp to be written, all others below /etc/keywave to be read. */}}
{{- define "keywave.mounts" -}}
{{- range . }}
{{- if eq .name "tmp" }}
- {name: tmp, mountPath: /tmp}
{{- else }}
- {name: {{ .name }}, mountPath: /etc/keywave/{{ .name }}, readOnly: true}
{{- end }}
{{- end }}
{{- end }}
