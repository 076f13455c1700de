package e2e

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
	"golang.org/x/crypto/ssh"

	"keywave/internal/proving/stage"
)

const observability = root + "/deploy/observability/"

// prometheus is a real one that scrapes the workers of a stack, with the rules that are
// delivered.
type prometheus struct {
	t       *testing.T
	address string
}

// watchedBy starts a Prometheus, which looks every second.
func watchedBy(t *testing.T, targets []string) *prometheus {
	t.Helper()
	path, err := exec.LookPath("prometheus")
	if err != nil {
		t.Skip("no prometheus on this machine; apt-get install prometheus")
	}
	dir := t.TempDir()
	rules, err := filepath.Abs(observability + "rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf("global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [%q]\nscrape_configs: [{job_name: keywave, static_configs: [{targets: ['%s']}]}]\n",
		rules, strings.Join(targets, "', '"))
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	p := &prometheus{t, fmt.Sprintf("127.0.0.1:%d", stage.FreePort())}
	process, err := stage.Start("prometheus", path, filepath.Join(dir, "log"), os.Environ(),
		"--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+p.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { process.Stop(10 * time.Second) })
	return p
}

// ask has an answer of the API read into what is asked for.
func (p *prometheus) ask(path string, into any) error {
	resp, err := http.Get("http://" + p.address + "/api/v1/" + path)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", resp.Status, body)
	}
	return json.Unmarshal(body, into)
}

// results is how many series a query gives.
func (p *prometheus) results(query string) (int, error) {
	var out struct{ Data struct{ Result []any } }
	err := p.ask("query?query="+url.QueryEscape(query), &out)
	return len(out.Data.Result), err
}

func (p *prometheus) firing(alert string) bool {
	n, err := p.results(`ALERTS{alertname="` + alert + `", alertstate="firing"}`)
	return err == nil && n > 0
}

// queries are all that rules and dashboard ask, without what rules compare it with.
func queries(t *testing.T) []string {
	t.Helper()
	var all []string
	var rules struct {
		Groups []struct{ Rules []struct{ Expr string } }
	}
	text, err := os.ReadFile(observability + "rules.yml")
	if err == nil {
		err = yaml.Unmarshal(text, &rules)
	}
	if err != nil {
		t.Fatal(err)
	}
	compared := regexp.MustCompile(`\s(>|<|==)\s[0-9.]+$`)
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			if strings.HasPrefix(r.Expr, "absent(") { // all is well when it gives nothing
				all = append(all, regexp.MustCompile(`keywave_\w+`).FindAllString(r.Expr, -1)...)
				continue
			}
			all = append(all, compared.ReplaceAllString(r.Expr, ""))
		}
	}
	var board struct {
		Panels []struct{ Targets []struct{ Expr string } }
	}
	if text, err = os.ReadFile(observability + "dashboard.json"); err == nil {
		err = json.Unmarshal(text, &board)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range board.Panels {
		for _, q := range p.Targets {
			all = append(all, strings.ReplaceAll(q.Expr, "$__rate_interval", "5m"))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// certify puts a certificate that ends soon beside the identity of the workers.
func certify(t *testing.T, identity string, ends time.Time) {
	t.Helper()
	text, err := os.ReadFile(identity)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.ParsePrivateKey(text)
	if err != nil {
		t.Fatal(err)
	}
	certificate := &ssh.Certificate{Key: key.PublicKey(), CertType: ssh.UserCert, ValidPrincipals: []string{"edge"}, ValidBefore: uint64(ends.Unix())}
	if err := certificate.SignCert(rand.Reader, key); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(identity+"-cert.pub", ssh.MarshalAuthorizedKey(certificate), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A bad day as Prometheus sees it: a host drops in the middle of a campaign, the alert
// fires; the host is healed, and it clears. Every query of the rules and the dashboard
// has data by then.
func TestObserve(t *testing.T) {
	ports := []int{stage.FreePort(), stage.FreePort()}
	var targets []string
	var flags [][]string
	for _, port := range ports {
		targets = append(targets, fmt.Sprintf("127.0.0.1:%d", port))
		flags = append(flags, []string{"--listen", targets[len(targets)-1]})
	}
	s := raiseAs(t, stage.Config{Zones: 24, Hosts: 8, Limit: 20, Settings: touchy, Workers: 2, WorkerFlags: flags})
	certify(t, s.Places.Identity, time.Now().Add(20*time.Hour))
	p := watchedBy(t, targets)
	eventually(t, "all is known of the workers", 5*time.Minute, func() bool {
		n, err := p.results(`keywave_zones_exposed == 0`)
		up, _ := p.results(`up == 1`)
		return err == nil && n == 1 && up == 2
	})
	post(t, s, "/hosts/gw-hk-2/bad", map[string]any{"kind": "dropAtExec", "match": "\nput\n"})
	began := time.Now()
	if err := s.StartCampaign(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the alert of an exposed zone fires", 5*time.Minute, func() bool { return p.firing("KeywaveZoneExposed") })
	fired := time.Since(began)
	eventually(t, "it is told that the campaign paused itself", 5*time.Minute, func() bool { return p.firing("KeywaveCampaignPausedItself") })
	eventually(t, "it is told that a certificate ends", 5*time.Minute, func() bool { return p.firing("KeywaveCredentialEnds") })
	healed := time.Now()
	if err := s.Heal(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the alert clears", 5*time.Minute, func() bool { return !p.firing("KeywaveZoneExposed") })
	cleared := time.Since(healed)
	if st, err := s.Finish(t.Context(), 5*time.Minute); err != nil {
		t.Fatal(err, st)
	}
	truth(t, s)
	// A process counts a zone once. A task that one process was too slow for is another's,
	// and both have counted.
	zones := fmt.Sprintf(`sum(keywave_zones_total{outcome="done"}) >= %d`, s.Config.Zones)
	eventually(t, "each zone was counted, whichever worker ran it", 5*time.Minute, func() bool { n, err := p.results(zones); return err == nil && n == 1 })
	all := queries(t)
	for _, query := range all {
		if n, err := p.results(query); err != nil || n == 0 {
			t.Errorf("no data (%v): %s", err, query)
		}
	}
	if p.firing("KeywaveExposedUnknown") || p.firing("KeywaveNobodyActive") || p.firing("KeywaveFleetsDiffer") || p.firing("KeywaveThrottled") {
		t.Error("an alert fires of what did not happen")
	}
	figure := fmt.Sprintf("observe: zones=%d workers=%d fired=%.0fs cleared=%.0fs queries=%d", s.Config.Zones, len(ports), fired.Seconds(), cleared.Seconds(), len(all))
	if path := os.Getenv("OBSERVE_FIGURE"); path != "" {
		if err := os.WriteFile(path, []byte(figure+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Log(figure)
}
