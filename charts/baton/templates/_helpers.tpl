{{/* The app's name. */}}
{{- define "baton.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/*
The name of everything in the release's namespace, of the lock too. A dot, which Helm allows in a release's name, would
be refused in a Service's.
*/}}
{{- define "baton.fullname" -}}
{{- $name := include "baton.name" . -}}
{{- $full := printf "%s-%s" .Release.Name $name -}}
{{- if .Values.fullnameOverride -}}
{{- $full = .Values.fullnameOverride -}}
{{- else if contains $name .Release.Name -}}
{{- $full = .Release.Name -}}
{{- end -}}
{{- $full | replace "." "-" | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* The full name with an ending, within 63 characters: dict "root" . "suffix" "x". */}}
{{- define "baton.suffixed" -}}
{{- $room := sub 62 (len .suffix) | int -}}
{{- printf "%s-%s" (include "baton.fullname" .root | trunc $room | trimSuffix "-") .suffix -}}
{{- end -}}

{{/* The name of what is not in the release's namespace. Names of other objects have no colon, so that it is nobody else's. */}}
{{- define "baton.outside" -}}
{{- printf "%s:%s" (include "baton.fullname" .) .Release.Namespace -}}
{{- end -}}

{{/* What the DaemonSet selects by. It never changes: the API refuses that. */}}
{{- define "baton.selector" -}}
app.kubernetes.io/name: {{ include "baton.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: agent
{{- end -}}

{{- define "baton.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/name: {{ include "baton.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "baton.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "baton.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "baton.image" -}}
{{- $repository := .Values.image.repository -}}
{{- with .Values.global.imageRegistry -}}
{{- $repository = printf "%s/%s" (trimSuffix "/" .) $repository -}}
{{- end -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "baton.pullSecrets" -}}
{{- with .Values.pullSecrets -}}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end -}}
{{- end -}}

{{/* true where the events of the whole cluster are read: a regexp needs them, whatever is listed. */}}
{{- define "baton.clusterWide" -}}
{{- if or (not .Values.namespaces) .Values.namespaceNameRegexp -}}true{{- end -}}
{{- end -}}

{{/* The kinds that the agent knows by itself (agent/enrich), with their groups and resources: those in namespaces. */}}
{{- define "baton.knownKinds" -}}
Pod: {group: "", resource: pods}
Service: {group: "", resource: services}
PersistentVolumeClaim: {group: "", resource: persistentvolumeclaims}
ReplicationController: {group: "", resource: replicationcontrollers}
Deployment: {group: apps, resource: deployments}
ReplicaSet: {group: apps, resource: replicasets}
StatefulSet: {group: apps, resource: statefulsets}
DaemonSet: {group: apps, resource: daemonsets}
Job: {group: batch, resource: jobs}
CronJob: {group: batch, resource: cronjobs}
HorizontalPodAutoscaler: {group: autoscaling, resource: horizontalpodautoscalers}
Ingress: {group: networking.k8s.io, resource: ingresses}
PodDisruptionBudget: {group: policy, resource: poddisruptionbudgets}
{{- end -}}

{{/* And those of the cluster. */}}
{{- define "baton.knownClusterKinds" -}}
Node: {group: "", resource: nodes}
Namespace: {group: "", resource: namespaces}
PersistentVolume: {group: "", resource: persistentvolumes}
{{- end -}}

{{/*
The rules that reading the metadata for enrich takes: dict "root" . "cluster" true for kinds of the cluster, false for
those in namespaces. Events of the former are in the namespace default, and their kinds are looked up where it is gathered
from; nodes also for the zone of a pod.
*/}}
{{- define "baton.enrichRules" -}}
{{- $e := .root.Values.enrich | default dict -}}
{{- $metadata := or $e.labels $e.annotations $e.owners -}}
{{- $known := fromYaml (include (ternary "baton.knownClusterKinds" "baton.knownKinds" .cluster) .root) -}}
{{- $reached := or (not .cluster) (include "baton.clusterWide" .root) (has "default" .root.Values.namespaces) -}}
{{- $groups := dict -}}
{{- range $kind, $at := $known -}}
{{- $wanted := and (or (not $e.kinds) (has $kind $e.kinds)) $reached (or $metadata (and $e.node (eq $kind "Pod"))) -}}
{{- if or $wanted (and $e.node (eq $kind "Node")) -}}
{{- $_ := set $groups $at.group (append (get $groups $at.group | default list) $at.resource) -}}
{{- end -}}
{{- end -}}
{{- if $metadata -}}
{{- range $e.custom_kinds -}}
{{- if eq (default false .cluster_scoped) $.cluster -}}
{{- $group := "" -}}
{{- if contains "/" .api_version }}{{ $group = first (splitList "/" .api_version) }}{{ end -}}
{{- $_ := set $groups $group (append (get $groups $group | default list) .resource) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $group, $resources := $groups }}
- apiGroups: [{{ $group | quote }}]
  resources: [{{ $resources | uniq | sortAlpha | join ", " }}]
  verbs: [get]
{{- end -}}
{{- end -}}

{{/* kubernetes.yaml. What is empty is left to the agent's own default. */}}
{{- define "baton.config" -}}
{{- $v := .Values -}}
{{- $c := dict "name" (include "baton.fullname" .) "leader_candidate" $v.leaderCandidate -}}
{{- $_ := set $c "leader_lease_duration" $v.leaderLeaseDuration -}}
{{- $_ := set $c "lock" $v.lock -}}
{{- $_ := set $c "start" $v.start -}}
{{- $_ := set $c "checkpoint_interval" $v.checkpointInterval -}}
{{- $_ := set $c "drain_timeout" $v.drainTimeout -}}
{{- $_ := set $c "log_level" $v.logLevel -}}
{{- $_ := set $c "log_format" $v.logFormat -}}
{{- with $v.namespaces }}{{ $_ := set $c "namespaces" . }}{{ end -}}
{{- with $v.namespaceNameRegexp }}{{ $_ := set $c "namespace_name_regexp" . }}{{ end -}}
{{- with $v.clusterName }}{{ $_ := set $c "cluster_name" . }}{{ end -}}
{{- with $v.clusterId }}{{ $_ := set $c "cluster_id" . }}{{ end -}}
{{- with $v.tags }}{{ $_ := set $c "tags" . }}{{ end -}}
{{- with $v.enrich }}{{ $_ := set $c "enrich" . }}{{ end -}}
{{- with $v.sinks }}{{ $_ := set $c "sinks" . }}{{ end -}}
{{- toYaml $c -}}
{{- end -}}

{{/* A quantity of Kubernetes, such as 128Mi, 1.5G or 134217728, in bytes. */}}
{{- define "baton.bytes" -}}
{{- $text := toString . -}}
{{- $number := regexFind "^[0-9.]+([eE][-+]?[0-9]+)?" $text -}}
{{- $unit := trimPrefix $number $text -}}
{{- $factors := dict "" 1.0 "m" 0.001 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "E" 1e18 -}}
{{- $factors = merge $factors (dict "Ki" 1024.0 "Mi" 1048576.0 "Gi" 1073741824.0 "Ti" 1099511627776.0) -}}
{{- if or (not $number) (not (hasKey $factors $unit)) -}}
{{- fail (printf "resources.limits.memory is %q, which is no quantity of memory: write it as 128Mi" $text) -}}
{{- end -}}
{{- printf "%.0f" (mulf (float64 $number) (get $factors $unit)) -}}
{{- end -}}

{{/*
GOMEMLIMIT: 85 % of the limit, so that the collector works harder before the kernel kills. Empty without a limit, and
where extraEnv has one of its own.
*/}}
{{- define "baton.memoryLimit" -}}
{{- $own := "" -}}
{{- range .Values.extraEnv -}}{{- if eq .name "GOMEMLIMIT" -}}{{- $own = "true" -}}{{- end -}}{{- end -}}
{{- if not $own -}}
{{- with (dig "limits" "memory" "" (default dict .Values.resources)) -}}
{{- printf "%.0f" (floor (mulf (float64 (include "baton.bytes" .)) 0.85)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "baton.grace" -}}
{{- $least := add 10 (ceil .Values.drainTimeout) -}}
{{- if .Values.terminationGracePeriodSeconds -}}
{{- if le (float64 .Values.terminationGracePeriodSeconds) (float64 .Values.drainTimeout) -}}
{{- fail (printf "terminationGracePeriodSeconds is %v, which ends a pod before its drainTimeout (%v) does: write %v or more, or leave it out" .Values.terminationGracePeriodSeconds .Values.drainTimeout $least) -}}
{{- end -}}
{{- int .Values.terminationGracePeriodSeconds -}}
{{- else -}}
{{- max 30 $least -}}
{{- end -}}
{{- end -}}

{{/* Who a pod is. */}}
{{- define "baton.podEnv" -}}
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: POD_UID
  valueFrom:
    fieldRef:
      fieldPath: metadata.uid
- name: POD_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: NODE_NAME
  valueFrom:
    fieldRef:
      fieldPath: spec.nodeName
{{- end -}}

{{- define "baton.podSecurity" -}}
runAsNonRoot: true
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "baton.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* The namespace in which `helm test` makes its event: one that is gathered from. */}}
{{- define "baton.testNamespace" -}}
{{- if .Values.hooks.testNamespace -}}
{{- .Values.hooks.testNamespace -}}
{{- else if .Values.namespaces -}}
{{- first .Values.namespaces -}}
{{- else -}}
{{- .Release.Namespace -}}
{{- end -}}
{{- end -}}

{{/* What a schema can refuse, but not say why. */}}
{{- define "baton.check" -}}
{{- $why := "every pod of the DaemonSet would gather and deliver the events again. Set leaderCandidate=true, and the pods elect the one that gathers" -}}
{{- if hasKey .Values "collectEvents" -}}
{{- fail (printf "collectEvents is refused: %s" $why) -}}
{{- end -}}
{{- range .Values.extraEnv -}}
{{- if eq .name "KUBERNETES_COLLECT_EVENTS" -}}
{{- fail (printf "extraEnv sets KUBERNETES_COLLECT_EVENTS, which is refused: %s" $why) -}}
{{- else if has .name (list "POD_NAME" "POD_UID" "POD_NAMESPACE" "NODE_NAME" "CONTAINER_NAME") -}}
{{- fail (printf "extraEnv sets %s, by which the chart tells the agent who it is: remove it" .name) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.podMonitor.enabled .Values.serviceMonitor.enabled -}}
{{- fail "podMonitor and serviceMonitor are both enabled, so that every pod would be scraped twice: disable one of them" -}}
{{- end -}}
{{- end -}}
