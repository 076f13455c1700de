package chart

import (
	"flag"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
)

// figures are what the last line of `make chart-test` says.
var figures struct{ combinations, objects, pods, refused atomic.Int64 }

func TestMain(m *testing.M) {
	flag.Parse()
	slog.SetLogLoggerLevel(slog.LevelWarn) // Helm tells of each link that it follows
	code := m.Run()
	if code == 0 {
		fmt.Printf("chart-test: combinations=%d objects=%d pods=%d misspelt values refused=%d violations=0\n",
			figures.combinations.Load(), figures.objects.Load(), figures.pods.Load(), figures.refused.Load())
	}
	os.Exit(code)
}

// release is what one combination gives, by kind.
type release struct {
	t           *testing.T
	deployments []*appsv1.Deployment
	accounts    map[string]*corev1.ServiceAccount
	services    []*corev1.Service
	budgets     []*policyv1.PodDisruptionBudget
	policies    []*networkingv1.NetworkPolicy
	monitors    []*monitoringv1.ServiceMonitor
	rules       []*monitoringv1.PrometheusRule
}

func sorted(t *testing.T, objects []runtime.Object) *release {
	r := &release{t: t, accounts: map[string]*corev1.ServiceAccount{}}
	names := map[string]bool{}
	for _, object := range objects {
		m := object.(metav1.Object)
		id := fmt.Sprintf("%T %s", object, m.GetName())
		if names[id] {
			t.Errorf("%s is there twice", id)
		}
		names[id] = true
		if m.GetLabels()["app.kubernetes.io/instance"] != "edge" {
			t.Errorf("%s has not the labels of its release", id)
		}
		switch o := object.(type) {
		case *appsv1.Deployment:
			r.deployments = append(r.deployments, o)
		case *corev1.ServiceAccount:
			r.accounts[o.Name] = o
		case *corev1.Service:
			r.services = append(r.services, o)
		case *policyv1.PodDisruptionBudget:
			r.budgets = append(r.budgets, o)
		case *networkingv1.NetworkPolicy:
			r.policies = append(r.policies, o)
		case *monitoringv1.ServiceMonitor:
			r.monitors = append(r.monitors, o)
		case *monitoringv1.PrometheusRule:
			r.rules = append(r.rules, o)
		default:
			t.Errorf("%s: no test knows this kind", id)
		}
	}
	return r
}

func TestEveryCombination(t *testing.T) {
	c := load(t)
	for _, combined := range combinations(t) {
		t.Run(strings.Join(combined.names, "+"), func(t *testing.T) {
			t.Parallel()
			objects, err := render(c, combined.values)
			if err != nil {
				t.Fatal(err)
			}
			figures.combinations.Add(1)
			figures.objects.Add(int64(len(objects)))
			r := sorted(t, objects)
			r.roles(combined)
			r.selections()
			r.monitoring(combined)
			for _, d := range r.deployments {
				figures.pods.Add(1)
				restricted(t, d)
				known(t, d)
				mounted(t, d, combined)
				stops(t, d)
				if d.Spec.Template.Spec.ServiceAccountName != d.Name || r.accounts[d.Name] == nil {
					t.Errorf("%s has not the service account of its own", d.Name)
				}
			}
		})
	}
}

// roles: which deployments there are, and a budget and a policy for each.
func (r *release) roles(c combination) {
	want := []string{"location-hk"}
	if slices.Contains(c.names, "locations") {
		want = append(want, "location-cluster")
	}
	if !slices.Contains(c.names, "location-only") {
		want = append(want, "orchestrator", "edgeone")
	}
	var got []string
	for _, d := range r.deployments {
		got = append(got, component(d))
		if *d.Spec.Replicas < 2 {
			r.t.Errorf("%s has %d pods", d.Name, *d.Spec.Replicas)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		r.t.Errorf("the roles are %v, want %v", got, want)
	}
}

func component(o metav1.Object) string { return o.GetLabels()["app.kubernetes.io/component"] }

// selections: each selector chooses the pods of its own role and no others.
func (r *release) selections() {
	chooses := func(what string, by *metav1.LabelSelector, role string) {
		selector, err := metav1.LabelSelectorAsSelector(by)
		if err != nil || selector.Empty() {
			r.t.Errorf("%s: selector %v, %v", what, by, err)
			return
		}
		for _, d := range r.deployments {
			pod := labels.Set(d.Spec.Template.Labels)
			if selector.Matches(pod) != (role == "" || role == component(d)) {
				r.t.Errorf("%s (%s) and the pods of %s: %v", what, role, d.Name, selector)
			}
		}
	}
	if len(r.budgets) != len(r.deployments) || len(r.policies) != len(r.deployments) || len(r.services) != 1 {
		r.t.Errorf("%d deployments, %d budgets, %d policies, %d services", len(r.deployments), len(r.budgets), len(r.policies), len(r.services))
	}
	for _, d := range r.deployments {
		chooses(d.Name, d.Spec.Selector, component(d))
		for _, spread := range d.Spec.Template.Spec.TopologySpreadConstraints {
			chooses("spread of "+d.Name, spread.LabelSelector, component(d))
		}
	}
	for _, b := range r.budgets {
		chooses("budget "+b.Name, b.Spec.Selector, component(b))
	}
	for _, p := range r.policies {
		chooses("policy "+p.Name, &p.Spec.PodSelector, component(p))
	}
	for _, s := range r.services {
		chooses("service "+s.Name, &metav1.LabelSelector{MatchLabels: s.Spec.Selector}, "")
		for _, d := range r.deployments {
			if port(d, s.Spec.Ports[0].TargetPort.StrVal) == 0 {
				r.t.Errorf("service %s: %s has no port %s", s.Name, d.Name, s.Spec.Ports[0].TargetPort.StrVal)
			}
		}
	}
}

func (r *release) monitoring(c combination) {
	want := 0
	if slices.Contains(c.names, "monitoring") {
		want = 1
	}
	if len(r.monitors) != want || len(r.rules) != want {
		r.t.Errorf("%d monitors, %d rules", len(r.monitors), len(r.rules))
		return
	}
	for _, m := range r.monitors {
		selector, err := metav1.LabelSelectorAsSelector(&m.Spec.Selector)
		if err != nil || !selector.Matches(labels.Set(r.services[0].Labels)) || m.Spec.Endpoints[0].Port != r.services[0].Spec.Ports[0].Name {
			r.t.Errorf("monitor %s does not choose the service: %v, %v", m.Name, selector, err)
		}
	}
	for _, rule := range r.rules {
		if len(rule.Spec.Groups) == 0 || len(rule.Spec.Groups[0].Rules) == 0 {
			r.t.Errorf("rule %s has no alert", rule.Name)
		}
	}
}

// What a person forgets is said in words.
func TestWhatIsMissingIsNamed(t *testing.T) {
	c, all := load(t), examples(t)
	for _, broken := range []struct {
		take []string
		want string
	}{
		{[]string{"temporal", "address"}, `temporal\.address: say where Temporal is`},
		{[]string{"fleet", "configMap"}, `fleet: name the configMap or the secret`},
		{[]string{"edgeone", "keysets"}, `edgeone\.keysets: name the configMap or the secret`},
	} {
		values := clone(t, all["base"])
		inner := values
		for _, key := range broken.take[:len(broken.take)-1] {
			inner = inner[key].(map[string]any)
		}
		delete(inner, broken.take[len(broken.take)-1])
		if _, err := render(c, values); err == nil || !regexp.MustCompile(broken.want).MatchString(err.Error()) {
			t.Errorf("without %v: %v", broken.take, err)
		}
	}
	both := clone(t, all["base"])
	both["fleet"].(map[string]any)["secret"] = "keywave-fleet"
	if _, err := render(c, both); err == nil || !strings.Contains(err.Error(), "not both") {
		t.Errorf("a ConfigMap and a Secret: %v", err)
	}
	bare := clone(t, all["base"])
	bare["locations"] = []any{map[string]any{"name": "hk"}}
	if _, err := render(c, bare); err == nil || !strings.Contains(err.Error(), "locations: hk: keyset") {
		t.Errorf("a location without a keyset: %v", err)
	}
}
