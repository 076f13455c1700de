// Package tools holds the programs that the Makefile runs on the product,
// pinned in this module's go.mod, and a test of docker-compose.yml. Nothing
// here starts a container.
package tools

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"go.yaml.in/yaml/v3"
)

const root = "../.."

// settings are an operator's .env in which every secret can be recognised.
func settings() types.Mapping {
	return types.Mapping{
		"POSTGRES_PASSWORD":       "the-database-password",
		"TENCENTCLOUD_SECRET_ID":  "the-credential-id",
		"TENCENTCLOUD_SECRET_KEY": "the-credential-key",
		"TENCENTCLOUD_TOKEN":      "the-credential-token",
		"KEYWAVE_FLEET":           "/srv/keywave/fleet.yaml",
		"KEYWAVE_LOCATION":        "hk",
		"KEYWAVE_KEYRING":         "/srv/keywave/keyring",
		"KEYWAVE_PUBLIC_KEYRING":  "/srv/keywave/public",
		"KEYWAVE_SSH_IDENTITY":    "/srv/keywave/id_ed25519",
		"KEYWAVE_USER":            "1000:1000",
		"KEYWAVE_CREDENTIALS":     "/srv/keywave/credentials",
		"KEYWAVE_WEBHOOK_URL":     "https://hooks.example.com/the-webhook",
		"KEYWAVE_WEBHOOK_SECRET":  "the-webhook-secret",
		"TEMPORAL_NAMESPACE":      "keys",
		"HTTPS_PROXY":             "http://proxy.example.com:3128",
		"NO_PROXY":                ".example.net",
	}
}

func load(env types.Mapping) (*types.Project, error) {
	dir, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	return loader.LoadWithContext(context.Background(), types.ConfigDetails{
		WorkingDir:  dir,
		ConfigFiles: []types.ConfigFile{{Filename: filepath.Join(dir, "docker-compose.yml")}},
		Environment: env,
	})
}

func project(t *testing.T) *types.Project {
	t.Helper()
	p, err := load(settings())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func source(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// workers are the services that run our image.
func workers(p *types.Project) []types.ServiceConfig {
	var ours []types.ServiceConfig
	for _, s := range p.Services {
		if s.Build != nil {
			ours = append(ours, s)
		}
	}
	return ours
}

func TestServicesStartInOrder(t *testing.T) {
	const healthy, done = types.ServiceConditionHealthy, types.ServiceConditionCompletedSuccessfully
	want := map[string]map[string]string{
		"postgres":     {},
		"schema":       {"postgres": healthy},
		"temporal":     {"schema": done},
		"init":         {"temporal": healthy},
		"ui":           {"temporal": healthy},
		"orchestrator": {"init": done},
		"edgeone":      {"init": done},
		"location":     {"init": done},
	}
	p := project(t)
	got := map[string]map[string]string{}
	for name, s := range p.Services {
		got[name] = map[string]string{}
		for on, d := range s.DependsOn {
			got[name][on] = d.Condition
			if d.Condition == healthy && p.Services[on].HealthCheck == nil {
				t.Errorf("%s waits for %s to be healthy, which has no health check", name, on)
			}
		}
		oneShot := name == "schema" || name == "init"
		if s.Restart == "" || oneShot == (s.Restart == types.RestartPolicyUnlessStopped) {
			t.Errorf("%s: restart %q", name, s.Restart)
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("services and what they wait for:\n%v, want\n%v", got, want)
	}
	for _, s := range workers(p) { // one may die, or be upgraded, in the middle of a campaign
		if s.Deploy == nil || s.Deploy.Replicas == nil || *s.Deploy.Replicas != 2 {
			t.Errorf("%s is not there twice", s.Name)
		}
	}
}

func TestImagesArePinned(t *testing.T) {
	pinned := regexp.MustCompile(`^[a-z0-9/-]+:[0-9]+(\.[0-9]+)*$`)
	for name, s := range project(t).Services {
		if s.Build == nil && !pinned.MatchString(s.Image) {
			t.Errorf("%s: image %q has no version", name, s.Image)
		}
	}
	for _, from := range regexp.MustCompile(`(?m)^FROM (\S+)`).FindAllStringSubmatch(source(t, "Dockerfile"), -1) {
		if !regexp.MustCompile(`:[0-9]+[.0-9a-z-]*$`).MatchString(from[1]) {
			t.Errorf("Dockerfile: image %q has no version", from[1])
		}
	}
}

func TestNothingListensBeyondThisMachine(t *testing.T) {
	published := 0
	for name, s := range project(t).Services {
		for _, port := range s.Ports {
			published++
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s publishes port %d on %q", name, port.Target, port.HostIP)
			}
		}
		if s.NetworkMode == "host" {
			t.Errorf("%s is on the host's network", name)
		}
	}
	if published != 2 {
		t.Errorf("%d ports are published, want Temporal's and the UI's", published)
	}
}

// A service has the secrets that it needs and no others, and every secret comes
// from the environment.
func TestSecrets(t *testing.T) {
	needs := map[string][]string{
		"the-database-password":           {"postgres", "schema", "temporal"},
		"the-credential-id":               {"edgeone"},
		"the-credential-key":              {"edgeone"},
		"the-credential-token":            {"edgeone"},
		"the-webhook-secret":              {"orchestrator"},
		settings()["KEYWAVE_WEBHOOK_URL"]: {"orchestrator"},
	}
	secret := regexp.MustCompile(`(?i)passw|pwd|secret|token|credential|webhook_url`)
	holders := map[string][]string{}
	for name, s := range project(t).Services {
		for key, value := range s.Environment {
			if value == nil {
				t.Errorf("%s: %s is passed through unseen", name, key)
				continue
			}
			if _, known := needs[*value]; known {
				holders[*value] = append(holders[*value], name)
			} else if secret.MatchString(key) && !strings.HasPrefix(*value, "/etc/keywave/") {
				t.Errorf("%s: %s does not come from the environment", name, key)
			}
		}
		for _, word := range slices.Concat(s.Command, s.Entrypoint) {
			if slices.ContainsFunc(slices.Collect(maps.Keys(needs)), func(value string) bool { return strings.Contains(word, value) }) {
				t.Errorf("%s: a secret is in its command line", name)
			}
		}
	}
	for value, names := range holders {
		slices.Sort(names)
		if !slices.Equal(slices.Compact(names), needs[value]) {
			t.Errorf("%s is held by %v, want %v", value, names, needs[value])
		}
	}
	if len(holders) != len(needs) {
		t.Errorf("only %v are held by anybody", holders)
	}
}

func TestWhatIsRequiredIsRequired(t *testing.T) {
	for _, name := range []string{
		"POSTGRES_PASSWORD", "KEYWAVE_KEYRING", "KEYWAVE_PUBLIC_KEYRING", "KEYWAVE_SSH_IDENTITY",
	} {
		for how, change := range map[string]func(types.Mapping){
			"absent": func(env types.Mapping) { delete(env, name) },
			"empty":  func(env types.Mapping) { env[name] = "" },
		} {
			env := settings()
			change(env)
			if _, err := load(env); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s %s: %v", name, how, err)
			}
		}
	}
}

// Whoever has the credential from a role of the instance (cvm-role) sets none of what an
// account of the fleet file may need, and nothing else is needed.
func TestWhatIsOptionalIsOptional(t *testing.T) {
	env := settings()
	maps.DeleteFunc(env, func(name, _ string) bool {
		return !slices.Contains([]string{"POSTGRES_PASSWORD", "KEYWAVE_KEYRING", "KEYWAVE_PUBLIC_KEYRING", "KEYWAVE_SSH_IDENTITY"}, name)
	})
	p, err := load(env)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range p.Services["edgeone"].Volumes {
		if v.Target == *p.Services["edgeone"].Environment["TENCENTCLOUD_CREDENTIALS_FILE"] && v.Source == "/dev/null" {
			return
		}
	}
	t.Error("without a file of credentials, none is mounted in its place")
}

// What the worker reads from its environment reaches the service that needs it. The
// names are taken from the sources: one that is new there is missing here.
func TestWorkersGetTheirVariables(t *testing.T) {
	needs := map[string][]string{
		"KEYWAVE_WEBHOOK_URL": {"orchestrator"}, "KEYWAVE_WEBHOOK_FORMAT": {"orchestrator"}, "KEYWAVE_WEBHOOK_SECRET": {"orchestrator"},
		"TENCENTCLOUD_SECRET_ID": {"edgeone"}, "TENCENTCLOUD_SECRET_KEY": {"edgeone"}, "TENCENTCLOUD_TOKEN": {"edgeone"},
		"TENCENTCLOUD_CREDENTIALS_FILE": {"edgeone"},
		"HTTP_PROXY":                    {"edgeone", "orchestrator"}, "HTTPS_PROXY": {"edgeone", "orchestrator"}, "NO_PROXY": {"edgeone", "orchestrator"},
		"TEMPORAL_ADDRESS": {"edgeone", "location", "orchestrator"}, "TEMPORAL_NAMESPACE": {"edgeone", "location", "orchestrator"},
	}
	elsewhere := map[string]string{
		"TENCENTCLOUD_SESSION_TOKEN": "another name of TENCENTCLOUD_TOKEN, of other tools",
		"TCCLI_PROFILE":              "people's own machines have tccli",
		"TKE_REGION":                 "TKE sets it", "TKE_PROVIDER_ID": "TKE sets it", "TKE_ROLE_ARN": "TKE sets it", "TKE_WEB_IDENTITY_TOKEN_FILE": "TKE sets it",
		"TEMPORAL_CONFIG_FILE": "the variables say everything", "TEMPORAL_TLS": "Temporal is in the same network",
		"TEMPORAL_API_KEY": "the server has no authorizer", "TEMPORAL_PROFILE": "the variables say everything",
	}
	for _, name := range variablesOfWorker(t) {
		if needs[name] == nil && elsewhere[name] == "" {
			t.Errorf("the worker reads %s: pass it in docker-compose.yml, or say here why not", name)
		}
	}
	p := project(t)
	for name, services := range needs {
		var got []string
		for _, s := range workers(p) {
			if _, passed := s.Environment[name]; passed {
				got = append(got, s.Name)
			}
		}
		if slices.Sort(got); !slices.Equal(got, services) {
			t.Errorf("%s reaches %v, want %v", name, got, services)
		}
	}
	if no := *p.Services["edgeone"].Environment["NO_PROXY"]; !strings.HasPrefix(no, "temporal,") || !strings.HasSuffix(no, ",.example.net") {
		t.Errorf("NO_PROXY is %s: Temporal would be asked for at the proxy", no)
	}
}

// variablesOfWorker are the names of variables in the sources of the packages that read
// the environment of a worker.
func variablesOfWorker(t *testing.T) []string {
	names := map[string]bool{}
	for _, dir := range []string{"worker", "internal/edgeone", "internal/notify", "internal/temporalclient", "internal/telemetry", "internal/seal"} {
		files, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s has no sources (%v)", dir, err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range regexp.MustCompile(`"((?:KEYWAVE|TENCENTCLOUD|TCCLI|TKE|TEMPORAL)_[A-Z_]*[A-Z])"`).FindAllSubmatch(text, -1) {
				names[string(m[1])] = true
			}
		}
	}
	if !names["KEYWAVE_WEBHOOK_SECRET"] || !names["TENCENTCLOUD_SECRET_ID"] {
		t.Fatal("the sources are not read right any more")
	}
	return slices.Sorted(maps.Keys(names))
}

// The example names every variable of docker-compose.yml, and has no value for
// a secret.
func TestExampleEnvironment(t *testing.T) {
	var example []string
	lines := bufio.NewScanner(strings.NewReader(source(t, "deploy/example.env")))
	for lines.Scan() {
		if name, value, is := strings.Cut(lines.Text(), "="); is && !strings.HasPrefix(name, "#") {
			example = append(example, name)
			if secret := !strings.HasPrefix(name, "KEYWAVE_") && name != "TEMPORAL_NAMESPACE" || strings.Contains(name, "WEBHOOK"); secret && value != "" {
				t.Errorf("deploy/example.env gives %s a value", name)
			}
		}
	}
	used := map[string]bool{}
	for _, v := range regexp.MustCompile(`\$\{([A-Z_]+)`).FindAllStringSubmatch(source(t, "docker-compose.yml"), -1) {
		used[v[1]] = true
	}
	slices.Sort(example)
	if want := slices.Sorted(maps.Keys(used)); !slices.Equal(example, want) {
		t.Errorf("deploy/example.env has %v, docker-compose.yml uses %v", example, want)
	}
}

func TestWorkersMayFinish(t *testing.T) {
	const atLeast = 150 * time.Second // 2m10s, and some to end
	ours := workers(project(t))
	if len(ours) != 3 {
		t.Fatalf("%d services are built here, want 3", len(ours))
	}
	for _, s := range ours {
		if s.StopGracePeriod == nil || time.Duration(*s.StopGracePeriod) < atLeast {
			t.Errorf("%s is killed %v after it is told to stop, want at least %v", s.Name, s.StopGracePeriod, atLeast)
		}
	}
}

// Every flag and role that a worker is given exists, and every role is given to
// a worker.
func TestWorkerFlags(t *testing.T) {
	config := source(t, "worker/config.go")
	known := func(pattern string) []string {
		var names []string
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(config, -1) {
			names = append(names, m[1])
		}
		return names
	}
	flags := known(`\bf\.\w+VarP?\(&c\.\w+, "([a-z-]+)"`)
	roles := known(`\brole[A-Z]\w*\s+= "(\w+)"`)
	if len(flags) == 0 || len(roles) == 0 {
		t.Fatal("worker/config.go is not read right any more")
	}
	var played []string
	for _, s := range workers(project(t)) {
		if len(s.Entrypoint) > 0 {
			t.Errorf("%s does not run the image's worker", s.Name)
		}
		for _, word := range s.Command {
			flag, value, _ := strings.Cut(strings.TrimPrefix(word, "--"), "=")
			if !strings.HasPrefix(word, "--") || !slices.Contains(flags, flag) {
				t.Errorf("%s: the worker has no flag %s; it has %v", s.Name, word, flags)
			}
			if flag == "roles" {
				played = append(played, strings.Split(value, ",")...)
			}
			if target, is := strings.CutPrefix(value, "/"); is && !slices.ContainsFunc(s.Volumes, func(v types.ServiceVolumeConfig) bool { return v.Target == "/"+target }) {
				t.Errorf("%s: %s is not mounted", s.Name, value)
			}
		}
	}
	slices.Sort(played)
	slices.Sort(roles)
	if !slices.Equal(played, roles) {
		t.Errorf("roles played are %v, want %v", played, roles)
	}
}

// Files are mounted read-only, and the mount does not create them. The private
// keyset is only where the hosts are.
func TestMounts(t *testing.T) {
	p := project(t)
	for name, s := range p.Services {
		for _, v := range s.Volumes {
			if v.Type != types.VolumeTypeBind {
				continue
			}
			if !v.ReadOnly || v.Bind == nil || bool(v.Bind.CreateHostPath) {
				t.Errorf("%s: %s is mounted writable, or made when it is not there", name, v.Source)
			}
			if _, operators := strings.CutPrefix(v.Source, "/srv/keywave/"); operators {
				continue
			}
			if _, err := os.Stat(v.Source); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	for _, v := range p.Services["edgeone"].Volumes {
		if v.Source == settings()["KEYWAVE_KEYRING"] || v.Source == settings()["KEYWAVE_SSH_IDENTITY"] {
			t.Errorf("edgeone can read %s", v.Source)
		}
	}
}

func TestHardening(t *testing.T) {
	for name, s := range project(t).Services {
		if !slices.Contains(s.SecurityOpt, "no-new-privileges:true") || s.Privileged {
			t.Errorf("%s may gain privileges", name)
		}
		if name == "postgres" {
			continue // its entry point starts as root and writes its own directories
		}
		if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || len(s.CapAdd) > 0 {
			t.Errorf("%s has a writable root or capabilities", name)
		}
	}
	dockerfile := source(t, "Dockerfile")
	if user := regexp.MustCompile(`(?m)^USER [1-9][0-9]*:[1-9][0-9]*$`); !user.MatchString(dockerfile) {
		t.Error("the image's user is root")
	}
	if !strings.Contains(dockerfile, `ENTRYPOINT ["worker"]`) {
		t.Error("the image's entry point is not the worker")
	}
	if !regexp.MustCompile(`(?m)^\*$`).MatchString(source(t, ".dockerignore")) {
		t.Error(".dockerignore lets in what nobody named")
	}
}

// The scripts and the dynamic config agree with the rest of the repository.
func TestOneNamespaceOnePartition(t *testing.T) {
	p := project(t)
	namespace := map[string]bool{}
	for _, s := range p.Services {
		for _, key := range []string{"TEMPORAL_NAMESPACE", "TEMPORAL_DEFAULT_NAMESPACE"} {
			if value, set := s.Environment[key]; set {
				namespace[*value] = true
			}
		}
	}
	if len(namespace) != 1 || !namespace["keys"] {
		t.Fatalf("namespaces %v, want the one that .env names", namespace)
	}
	var config map[string][]struct {
		Value       any
		Constraints map[string]string
	}
	if err := yaml.Unmarshal([]byte(source(t, "deploy/temporal/dynamicconfig.yaml")), &config); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{
		"matching.numTaskqueueReadPartitions": 1, "matching.numTaskqueueWritePartitions": 1, "frontend.enableCancelWorkerPollsOnShutdown": true,
	} {
		values := config[key]
		if len(values) != 1 || values[0].Value != want || len(values[0].Constraints) != 0 {
			t.Errorf("%s is %v, want %v, whatever the namespace is called", key, values, want)
		}
	}
	for variable, file := range map[string]string{"DYNAMIC_CONFIG_FILE_PATH": "dynamicconfig.yaml", "TEMPORAL_SERVER_CONFIG_FILE_PATH": "server.yaml"} {
		path := *p.Services["temporal"].Environment[variable]
		if path != p.Services["temporal"].Volumes[0].Target+"/"+file {
			t.Errorf("the server reads %s, which is not mounted", path)
		}
		source(t, "deploy/temporal/"+file)
	}
}

func TestInitRegistersEveryAttribute(t *testing.T) {
	attributes := regexp.MustCompile(`\bAttr\w+\s+= "(\w+)"`).FindAllStringSubmatch(source(t, "workflows/names.go"), -1)
	if len(attributes) == 0 {
		t.Fatal("workflows/names.go is not read right any more")
	}
	list := regexp.MustCompile(`(?m)^for name in (.*); do$`).FindStringSubmatch(source(t, "deploy/temporal/init.sh"))
	if list == nil {
		t.Fatal("deploy/temporal/init.sh is not read right any more")
	}
	var want []string
	for _, a := range attributes {
		want = append(want, a[1])
	}
	if got := strings.Fields(list[1]); !slices.Equal(got, want) {
		t.Errorf("init registers %v, want %v", got, want)
	}
}
