package chart

import (
	"errors"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

var evaluator = sync.OnceValues(func() (policy.Evaluator, error) { return policy.NewEvaluator(policy.DefaultChecks(), nil) })

// restricted asks what the API server would ask, and for what it does not.
func restricted(t *testing.T, d *appsv1.Deployment) {
	evaluator, err := evaluator()
	if err != nil {
		t.Fatal(err)
	}
	pod := d.Spec.Template
	level := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	for _, result := range evaluator.EvaluatePod(level, &pod.ObjectMeta, &pod.Spec) {
		if !result.Allowed {
			t.Errorf("%s is not restricted: %s: %s", d.Name, result.ForbiddenReason, result.ForbiddenDetail)
		}
	}
	if pod.Spec.SecurityContext.FSGroup == nil {
		t.Errorf("%s has no fsGroup: it could read no Secret", d.Name)
	}
	for _, c := range pod.Spec.Containers {
		if s := c.SecurityContext; s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem || len(s.Capabilities.Add) > 0 {
			t.Errorf("%s writes its root file system, or has capabilities", d.Name)
		}
		for _, probe := range []*corev1.Probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
			if probe == nil || port(d, probe.HTTPGet.Port.StrVal) == 0 {
				t.Errorf("%s: a probe is missing, or asks no port of the container: %v", d.Name, probe)
			}
		}
	}
	if token := pod.Spec.AutomountServiceAccountToken; token == nil || *token && component(d) != "location-cluster" {
		t.Errorf("%s has a token of Kubernetes", d.Name)
	}
}

// port is a container's port by its name; 0 for none.
func port(d *appsv1.Deployment, name string) int32 {
	for _, p := range d.Spec.Template.Spec.Containers[0].Ports {
		if p.Name == name {
			return p.ContainerPort
		}
	}
	return 0
}

// plain are the variables whose values stand in the pod: none is a secret.
var plain = regexp.MustCompile(`^(HOME|TEMPORAL_(ADDRESS|NAMESPACE|TLS|TLS_SERVER_NAME|TLS_SERVER_CA_CERT_PATH|TLS_CLIENT_(CERT|KEY)_PATH)|TENCENTCLOUD_CREDENTIALS_FILE|KEYWAVE_WEBHOOK_FORMAT|HTTPS_PROXY|OTEL_EXPORTER_OTLP_ENDPOINT)$`)

// known: arguments are flags that worker has, and secrets come by reference alone,
// to the role whose they are.
func known(t *testing.T, d *appsv1.Deployment) {
	c := d.Spec.Template.Spec.Containers[0]
	has, err := flags()
	if err != nil {
		t.Fatal(err)
	}
	for _, arg := range c.Args {
		flag, value, _ := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
		if !slices.Contains(has, flag) {
			t.Errorf("%s: worker has no flag %s", d.Name, arg)
		}
		if flag == "listen" && value != ":"+strconv.Itoa(int(port(d, "metrics"))) {
			t.Errorf("%s listens at %s, and the container's port is %d", d.Name, value, port(d, "metrics"))
		}
		if strings.HasPrefix(value, "/") && mountOf(c, value) == "" {
			t.Errorf("%s: %s is in no volume", d.Name, arg)
		}
	}
	for _, v := range c.Env {
		role := map[bool]string{strings.HasPrefix(v.Name, "KEYWAVE_WEBHOOK_"): "orchestrator", strings.HasPrefix(v.Name, "TENCENTCLOUD_"): "edgeone"}[true]
		switch {
		case role != "" && role != component(d):
			t.Errorf("%s has %s", d.Name, v.Name)
		case v.ValueFrom == nil && !plain.MatchString(v.Name):
			t.Errorf("%s: the value of %s stands in the pod", d.Name, v.Name)
		case v.ValueFrom != nil && v.ValueFrom.SecretKeyRef == nil:
			t.Errorf("%s: %s comes from no Secret", d.Name, v.Name)
		case strings.HasPrefix(v.Value, "/etc/") && mountOf(c, v.Value) == "":
			t.Errorf("%s: %s=%s is in no volume", d.Name, v.Name, v.Value)
		}
	}
	if len(c.EnvFrom) > 0 && component(d) != "edgeone" {
		t.Errorf("%s has the credential", d.Name)
	}
}

// flags are those of the program.
var flags = sync.OnceValues(func() ([]string, error) {
	text, err := os.ReadFile(root + "/worker/config.go")
	var all []string
	for _, found := range regexp.MustCompile(`&c\.\w+, "([a-z-]+)"`).FindAllStringSubmatch(string(text), -1) {
		all = append(all, found[1])
	}
	return all, err
})

func mountOf(c corev1.Container, path string) string {
	for _, m := range c.VolumeMounts {
		if path == m.MountPath || strings.HasPrefix(path, m.MountPath+"/") {
			return m.Name
		}
	}
	return ""
}

// files are the volumes that a role may have.
var files = map[string][]string{
	"orchestrator": {"tmp", "temporal-tls", "temporal-ca"},
	"edgeone":      {"tmp", "temporal-tls", "temporal-ca", "fleet", "zones", "keysets", "credentials"},
	"location":     {"tmp", "temporal-tls", "temporal-ca", "fleet", "keyset", "ssh", "known-hosts", "programs"},
}

// mounted: a role has its files and no others, to be read alone.
func mounted(t *testing.T, d *appsv1.Deployment, c combination) {
	role, _, _ := strings.Cut(component(d), "-")
	pod := d.Spec.Template.Spec
	var volumes, mounts []string
	for _, v := range pod.Volumes {
		volumes = append(volumes, v.Name)
		if !slices.Contains(files[role], v.Name) {
			t.Errorf("%s has the volume %s", d.Name, v.Name)
		}
		if v.Secret != nil && (v.Secret.DefaultMode == nil || *v.Secret.DefaultMode != 0o400) {
			t.Errorf("%s: the Secret %s is open to others than the group", d.Name, v.Name)
		}
		// The private keyset and the SSH key of a location are that location's.
		if from := source(v); (v.Name == "keyset" || v.Name == "ssh") && !strings.HasSuffix(from, "-"+strings.TrimPrefix(component(d), "location-")) {
			t.Errorf("%s has %s of %s", d.Name, v.Name, from)
		}
	}
	for _, m := range pod.Containers[0].VolumeMounts {
		mounts = append(mounts, m.Name)
		if m.ReadOnly != (m.Name != "tmp") {
			t.Errorf("%s: %s: read only is %v", d.Name, m.Name, m.ReadOnly)
		}
		if m.SubPath != "" {
			t.Errorf("%s: %s is a part of its volume, which never changes under the pod", d.Name, m.Name)
		}
	}
	slices.Sort(volumes)
	slices.Sort(mounts)
	if !slices.Equal(volumes, mounts) {
		t.Errorf("%s: volumes %v are mounted as %v", d.Name, volumes, mounts)
	}
	if role == "edgeone" && slices.Contains(volumes, "zones") != slices.Contains(c.names, "zones-table") {
		t.Errorf("%s: volumes %v", d.Name, volumes)
	}
	if own := source(pod.Volumes[slices.IndexFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == "tmp" })]); own != "" {
		t.Errorf("%s: /tmp is %s", d.Name, own)
	}
}

func source(v corev1.Volume) string {
	switch {
	case v.Secret != nil:
		return v.Secret.SecretName
	case v.ConfigMap != nil:
		return v.ConfigMap.Name
	}
	return ""
}

// toStop is how long worker takes to stop at most: holding a lease, 10 s more than
// stopTimeout.
var toStop = sync.OnceValues(func() (time.Duration, error) {
	text, err := os.ReadFile(root + "/worker/wiring.go")
	found := regexp.MustCompile(`stopTimeout\s+= (\d+) \* time\.Minute`).FindSubmatch(text)
	if found == nil {
		return 0, errors.Join(err, errors.New("worker/wiring.go has no stopTimeout in minutes"))
	}
	minutes, err := strconv.Atoi(string(found[1]))
	return time.Duration(minutes)*time.Minute + 10*time.Second, err
})

// stops: a pod has more time to stop than worker takes.
func stops(t *testing.T, d *appsv1.Deployment) {
	need, err := toStop()
	if err != nil {
		t.Fatal(err)
	}
	if grace := d.Spec.Template.Spec.TerminationGracePeriodSeconds; grace == nil || time.Duration(*grace)*time.Second < need+10*time.Second {
		t.Errorf("%s: no time to stop: it takes up to %s", d.Name, need)
	}
}
