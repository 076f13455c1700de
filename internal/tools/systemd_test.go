package tools

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// installed are the units as they would be installed, one of them for the location hk;
// each starts a program that is there.
func installed(t *testing.T) []string {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(root, "deploy/systemd/*.service"))
	if err != nil || len(files) != 3 {
		t.Fatalf("the units are %v, %v", files, err)
	}
	dir := t.TempDir()
	var units []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(file)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.Replace(string(text), "/usr/local/bin/worker", program, 1)), 0o644); err != nil {
			t.Fatal(err)
		}
		units = append(units, filepath.Join(dir, strings.Replace(name, "@.", "@hk.", 1)))
	}
	return units
}

// systemd itself finds nothing wrong with the units, and little that they leave open.
func TestUnitsAreVerified(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	for _, unit := range installed(t) {
		if out, err := exec.CommandContext(t.Context(), "systemd-analyze", "verify", "--man=no", unit).CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", filepath.Base(unit), err, out)
		}
		// 1.5 of 10: they are on the network, and that is most of it.
		if out, err := exec.CommandContext(t.Context(), "systemd-analyze", "security", "--no-pager", "--offline=true", "--threshold=15", unit).CombinedOutput(); err != nil {
			t.Errorf("%s leaves too much open: %v\n%s", filepath.Base(unit), err, out)
		}
	}
}

// A worker is started again however long Temporal is away, has the time to stop that it
// takes, and is started with flags that it has, at an address of its own.
func TestUnitsFitTheWorker(t *testing.T) {
	var flags []string
	for _, found := range regexp.MustCompile(`&c\.\w+, "([a-z-]+)"`).FindAllStringSubmatch(source(t, "worker/config.go"), -1) {
		flags = append(flags, found[1])
	}
	listens := map[string]string{}
	for _, unit := range installed(t) {
		name := strings.Replace(filepath.Base(unit), "@hk.", "@.", 1)
		text := source(t, "deploy/systemd/"+name)
		for _, line := range []string{"StartLimitIntervalSec=0", "Restart=always", "KillMode=mixed"} {
			if !strings.Contains(text, "\n"+line+"\n") {
				t.Errorf("%s does not have %s", name, line)
			}
		}
		setting := func(of string) string {
			found := regexp.MustCompile(`(?m)^` + of + `=(.*)$`).FindStringSubmatch(text)
			if found == nil {
				t.Errorf("%s does not say %s", name, of)
				return ""
			}
			return found[1]
		}
		if stop, err := time.ParseDuration(setting("TimeoutStopSec") + "s"); err != nil || stop < 150*time.Second {
			t.Errorf("%s: it has %s to stop, and takes up to 2m10s", name, stop)
		}
		listens[setting("Environment")] = name
		for _, flag := range regexp.MustCompile(`--([a-z-]+)=`).FindAllStringSubmatch(setting("ExecStart"), -1) {
			if !slices.Contains(flags, flag[1]) {
				t.Errorf("%s: worker has no flag --%s", name, flag[1])
			}
		}
		if user := setting("User"); !strings.Contains(source(t, "deploy/systemd/keywave.sysusers.conf"), "\nu "+user+" ") {
			t.Errorf("%s: nobody makes the user %s", name, user)
		}
	}
	if len(listens) != 3 {
		t.Errorf("units listen at one address: %v", listens)
	}
}
