package charts

import (
	"fmt"
	"slices"
	"strconv"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
)

// restricted are the rules of the Pod Security standard "restricted" that a pod breaks.
func restricted(pod corev1.PodSpec) []string {
	var broken []string
	breaks := func(is bool, format string, args ...any) {
		if is {
			broken = append(broken, fmt.Sprintf(format, args...))
		}
	}
	breaks(pod.HostNetwork || pod.HostPID || pod.HostIPC, "namespaces of the host")
	breaks(pod.OS != nil && pod.OS.Name == corev1.Windows, "Windows")
	for _, v := range pod.Volumes {
		free := v.ConfigMap != nil || v.Secret != nil || v.EmptyDir != nil || v.Projected != nil || v.DownwardAPI != nil ||
			v.CSI != nil || v.PersistentVolumeClaim != nil || v.Ephemeral != nil
		breaks(!free, "the volume %s", v.Name)
	}
	own := pod.SecurityContext
	if own == nil {
		own = &corev1.PodSecurityContext{}
	}
	breaks(len(own.Sysctls) > 0, "sysctls")
	breaks(own.RunAsUser != nil && *own.RunAsUser == 0, "user 0")
	for _, c := range slices.Concat(pod.Containers, pod.InitContainers) {
		for _, p := range c.Ports {
			breaks(p.HostPort != 0, "the host's port %d", p.HostPort)
		}
		for _, rule := range restrictedContainer(own, c) {
			breaks(true, "%s of %s", rule, c.Name)
		}
	}
	return broken
}

func restrictedContainer(pod *corev1.PodSecurityContext, c corev1.Container) []string {
	s := c.SecurityContext
	if s == nil {
		return []string{"no security context"}
	}
	is := func(b *bool, want bool) bool { return b != nil && *b == want }
	seccomp := s.SeccompProfile
	if seccomp == nil {
		seccomp = pod.SeccompProfile
	}
	var broken []string
	for rule, kept := range map[string]bool{
		"privileged":               !is(s.Privileged, true),
		"allowPrivilegeEscalation": is(s.AllowPrivilegeEscalation, false),
		"capabilities": s.Capabilities != nil && slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) &&
			len(s.Capabilities.Add) == 0,
		"runAsNonRoot":   is(s.RunAsNonRoot, true) || s.RunAsNonRoot == nil && is(pod.RunAsNonRoot, true),
		"runAsUser":      s.RunAsUser == nil || *s.RunAsUser != 0,
		"seccompProfile": seccomp != nil && seccomp.Type == corev1.SeccompProfileTypeRuntimeDefault,
		"procMount":      s.ProcMount == nil,
	} {
		if !kept {
			broken = append(broken, rule)
		}
	}
	return broken
}

// The DaemonSet's pods and the hooks' are taken where Pod Security is enforced as "restricted", and are stricter still.
func TestPodsAreRestricted(t *testing.T) {
	for _, v := range []values{nil, with(at("existingSecret", "a"), at("leaderCandidate", true))} {
		for _, pod := range render(t, release(v)).pods(t) {
			name := pod.Containers[0].Name
			if broken := restricted(pod); len(broken) > 0 {
				t.Errorf("%s breaks %v", name, broken)
			}
			if pod.SecurityContext.RunAsUser != nil || pod.Containers[0].SecurityContext.RunAsUser != nil {
				t.Errorf("%s names its user, which OpenShift assigns", name)
			}
			if root := pod.Containers[0].SecurityContext.ReadOnlyRootFilesystem; root == nil || !*root {
				t.Errorf("%s can write to its root", name)
			}
			if links := pod.EnableServiceLinks; links == nil || *links {
				t.Errorf("%s gets a variable for each Service of its namespace", name)
			}
			same(t, "os of "+name, pod.NodeSelector["kubernetes.io/os"], "linux")
		}
	}
}

// The check above sees what is wrong.
func TestRestrictedIsChecked(t *testing.T) {
	yes, root := true, int64(0)
	for rule, spoil := range map[string]func(*corev1.PodSpec){
		"namespaces of the host": func(p *corev1.PodSpec) { p.HostPID = true },
		"the volume x": func(p *corev1.PodSpec) {
			p.Volumes = []corev1.Volume{{Name: "x", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{}}}}
		},
		"the host's port 80":                func(p *corev1.PodSpec) { p.Containers[0].Ports = []corev1.ContainerPort{{HostPort: 80}} },
		"allowPrivilegeEscalation of agent": func(p *corev1.PodSpec) { p.Containers[0].SecurityContext.AllowPrivilegeEscalation = &yes },
		"capabilities of agent":             func(p *corev1.PodSpec) { p.Containers[0].SecurityContext.Capabilities = nil },
		"runAsNonRoot of agent":             func(p *corev1.PodSpec) { p.SecurityContext.RunAsNonRoot = nil },
		"seccompProfile of agent":           func(p *corev1.PodSpec) { p.SecurityContext.SeccompProfile = nil },
		"privileged of agent":               func(p *corev1.PodSpec) { p.Containers[0].SecurityContext.Privileged = &yes },
		"user 0":                            func(p *corev1.PodSpec) { p.SecurityContext.RunAsUser = &root },
		"no security context of agent":      func(p *corev1.PodSpec) { p.Containers[0].SecurityContext = nil },
	} {
		pod := render(t, release(nil)).pod(t).Spec
		spoil(&pod)
		if broken := restricted(pod); !slices.Contains(broken, rule) {
			t.Errorf("it breaks %q, and was found to break %q", rule, broken)
		}
	}
}

// GOMEMLIMIT is 85 % of the limit, however that is written.
func TestMemoryLimit(t *testing.T) {
	for _, c := range []struct {
		limit any
		want  string
	}{
		{"128Mi", "114085068"},
		{"134217728", "114085068"},
		{134217728, "114085068"},
		{"131072Ki", "114085068"},
		{"0.125Gi", "114085068"},
		{"1Gi", "912680550"},
		{"100M", "85000000"},
		{"100000k", "85000000"},
		{"1e8", "85000000"},
		{"1.5G", "1275000000"},
		{"1Ti", "934584883609"},
		{"100000000000m", "85000000"},
		{nil, ""},
	} {
		got := render(t, release(at("resources.limits.memory", c.limit))).env(t, "GOMEMLIMIT")
		if got != c.want {
			t.Errorf("a limit of %v gives %q, want %q", c.limit, got, c.want)
		}
		if c.want == "" {
			continue
		}
		limits := render(t, release(at("resources.limits.memory", c.limit))).agent(t).Resources.Limits
		same(t, fmt.Sprintf("85 %% of %v", c.limit), strconv.FormatInt(limits.Memory().Value()*85/100, 10), c.want)
	}
	own := at("extraEnv", []any{values{"name": "GOMEMLIMIT", "value": "off"}})
	count := 0
	for _, v := range render(t, release(own)).agent(t).Env {
		if v.Name == "GOMEMLIMIT" {
			count++
			same(t, "GOMEMLIMIT", v.Value, "off")
		}
	}
	same(t, "how often GOMEMLIMIT is set", count, 1)
}

// What the agent is told of itself, and where it is asked how it is.
func TestAgentsContainer(t *testing.T) {
	r := render(t, release(nil))
	fields := map[string]string{}
	for _, v := range r.agent(t).Env {
		if v.ValueFrom != nil {
			fields[v.Name] = v.ValueFrom.FieldRef.FieldPath
		}
	}
	same(t, "downward API", fields, map[string]string{
		"POD_NAME": "metadata.name", "POD_UID": "metadata.uid", "POD_NAMESPACE": "metadata.namespace", "NODE_NAME": "spec.nodeName",
	})
	same(t, "CONTAINER_NAME", r.env(t, "CONTAINER_NAME"), r.agent(t).Name)
	same(t, "args", r.agent(t).Args, []string{"run"})
	same(t, "startup", r.agent(t).StartupProbe, values{
		"httpGet": values{"path": "/healthz", "port": "http"}, "periodSeconds": 1, "timeoutSeconds": 5, "failureThreshold": 60,
	})
	same(t, "liveness", r.agent(t).LivenessProbe.HTTPGet, values{"path": "/healthz", "port": "http"})
	same(t, "readiness", r.agent(t).ReadinessProbe.HTTPGet, values{"path": "/readyz", "port": "http"})
	same(t, "port", r.agent(t).Ports, []any{values{"name": "http", "containerPort": 8080, "protocol": "TCP"}})
	same(t, "mount", r.agent(t).VolumeMounts[0], values{"name": "config", "mountPath": "/etc/baton", "readOnly": true})
	same(t, "grace", r.pod(t).Spec.TerminationGracePeriodSeconds, 30)
	same(t, "token", r.pod(t).Spec.AutomountServiceAccountToken, true)
	same(t, "tolerations", r.pod(t).Spec.Tolerations, []any{values{"operator": "Exists"}})
	same(t, "requests", r.agent(t).Resources, values{"limits": values{"memory": "128Mi"}, "requests": values{"cpu": "10m", "memory": "32Mi"}})
	strategy := only[*appsv1.DaemonSet](t, r.objects).Spec.UpdateStrategy
	same(t, "update strategy", strategy, values{"type": "RollingUpdate", "rollingUpdate": values{"maxUnavailable": "10%"}})
}

// Only pods that are meant to get the account's token get it.
func TestTokens(t *testing.T) {
	r := render(t, release(nil))
	for _, account := range each[*corev1.ServiceAccount](r.all()) {
		same(t, "token of "+account.Name, account.AutomountServiceAccountToken, false)
	}
	for _, pod := range r.pods(t) {
		same(t, "token in "+pod.ServiceAccountName, pod.AutomountServiceAccountToken, true)
	}
}

// The cleanup has time for a second try, and ends.
func TestCleanupEnds(t *testing.T) {
	job := only[*batchv1.Job](t, render(t, release(nil)).hooks).Spec
	same(t, "tries", job.BackoffLimit, 3)
	same(t, "seconds", job.ActiveDeadlineSeconds, 120)
	if args := job.Template.Spec.Containers[0].Args; !slices.Contains(args, "--timeout=60s") {
		t.Errorf("one try has %v", args)
	}
}
