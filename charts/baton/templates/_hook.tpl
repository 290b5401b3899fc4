{{/*
The ServiceAccount of a hook, and its roles: dict "root" . "name" NAME "hook" HOOK "roles" (list (dict "namespace" NS
"rules" RULES)). They are hooks themselves: they come before the pod that needs them, and go after it.
*/}}
{{- define "baton.hookAccount" -}}
{{- $ := .root -}}
{{- $name := .name -}}
{{- $annotations := include "baton.hookAnnotations" (dict "hook" .hook "weight" "-5") -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ $name | quote }}
  namespace: {{ $.Release.Namespace | quote }}
  labels:
    {{- include "baton.labels" $ | nindent 4 }}
  annotations:
    {{- $annotations | nindent 4 }}
automountServiceAccountToken: false
{{- if $.Values.rbac.create }}
{{- range .roles }}
{{- $role := ternary $name (printf "%s:%s" $name $.Release.Namespace) (eq .namespace $.Release.Namespace) }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ $role | quote }}
  namespace: {{ .namespace | quote }}
  labels:
    {{- include "baton.labels" $ | nindent 4 }}
  annotations:
    {{- $annotations | nindent 4 }}
rules:
  {{- .rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ $role | quote }}
  namespace: {{ .namespace | quote }}
  labels:
    {{- include "baton.labels" $ | nindent 4 }}
  annotations:
    {{- $annotations | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ $role | quote }}
subjects:
  - kind: ServiceAccount
    name: {{ $name | quote }}
    namespace: {{ $.Release.Namespace | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "baton.hookAnnotations" -}}
helm.sh/hook: {{ .hook }}
helm.sh/hook-weight: {{ .weight | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}

{{/* The spec of a hook's pod: dict "root" . "name" NAME "args" ARGS, and "config" true where it reads the agents'. */}}
{{- define "baton.hookPod" -}}
{{- $ := .root -}}
serviceAccountName: {{ .name | quote }}
automountServiceAccountToken: true
enableServiceLinks: false
restartPolicy: Never
{{- with include "baton.pullSecrets" $ }}
{{ . }}
{{- end }}
securityContext:
  {{- include "baton.podSecurity" $ | nindent 2 }}
{{- with $.Values.hooks.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $.Values.hooks.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
containers:
  - name: {{ first .args }}
    image: {{ include "baton.image" $ | quote }}
    imagePullPolicy: {{ $.Values.image.pullPolicy }}
    args:
      {{- toYaml .args | nindent 6 }}
    env:
      {{- include "baton.podEnv" $ | nindent 6 }}
    securityContext:
      {{- include "baton.containerSecurity" $ | nindent 6 }}
    {{- with $.Values.hooks.resources }}
    resources:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- if .config }}
    volumeMounts:
      - name: config
        mountPath: /etc/baton
        readOnly: true
volumes:
  - name: config
    configMap:
      name: {{ include "baton.suffixed" (dict "root" $ "suffix" "config") | quote }}
{{- end }}
{{- end -}}
