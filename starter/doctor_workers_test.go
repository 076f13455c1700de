package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keywave/activities"
	"keywave/internal/fleet"
	"keywave/internal/rotation"
	"keywave/internal/seal"
	"keywave/workflows"
)

// A location is in order only when all of its hosts can take a key.
func TestCheckLocation(t *testing.T) {
	can := rotation.Proof{Host: "gw-1"}
	cannot := rotation.Proof{Host: "gw-2", Problem: "auth: user edge is not let in"}
	behind := func(host rotation.HostName, bastion string) rotation.Proof {
		return rotation.Proof{Host: host, Problem: "connect: bastion " + bastion + " (b:22): cannot be reached", Bastion: bastion}
	}
	ends := rotation.Proof{Host: "gw-6", Notes: []string{"the certificate ends at 12:00"}}
	for name, c := range map[string]struct {
		proofs []rotation.Proof
		want   string
	}{
		"noted": {[]rotation.Proof{can, ends}, "ok keyset hk, ok hosts of hk: 2 of 2 can take a key, warn host gw-6"},
		"bastions": {
			[]rotation.Proof{can, behind("gw-3", "jump"), behind("gw-4", "jump"), behind("gw-5", "other"), cannot},
			"ok keyset hk, fail hosts of hk: 1 of 5 can take a key, fail bastion jump, fail bastion other, fail host gw-2",
		},
		"all":        {[]rotation.Proof{can}, "ok keyset hk, ok hosts of hk: 1 of 1 can take a key"},
		"some":       {[]rotation.Proof{can, cannot}, "ok keyset hk, fail hosts of hk: 1 of 2 can take a key, fail host gw-2"},
		"none":       {[]rotation.Proof{cannot}, "ok keyset hk, fail hosts of hk: 0 of 1 can take a key, fail host gw-2"},
		"told twice": {[]rotation.Proof{can, can}, "ok keyset hk, ok hosts of hk: 1 of 1 can take a key"},
		"nobody":     {nil, "note keyset hk"},
	} {
		var said []string
		for _, k := range checkLocation("hk", []workflows.CheckupOut{{Locations: []workflows.LocationChecked{{Location: "hk", Proofs: c.proofs}}}}) {
			text := string(k.Level) + " " + k.What
			if strings.HasPrefix(k.What, "hosts") {
				text += ": " + k.Saw
			}
			said = append(said, text)
			if k.Level == levelFail && strings.HasPrefix(k.What, "host ") && k.Remedy == "" {
				t.Errorf("%s: %+v has no remedy", name, k)
			}
		}
		if got := strings.Join(said, ", "); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// The advice about a host must be true for each way in which that step can
// fail: a key that was never known has not changed, and a host may accept only
// certificates.
func TestHostRemedies(t *testing.T) {
	for problem, want := range map[string][]string{
		"identity: gw-1 (10.0.0.1:22): the key SHA256:x that the host presents is refused": {"on its own console", "where another was pinned or known before"},
		"auth: user edge is not let in": {"authorized_keys", "certificates only"},
		"something else":                {"this fleet file"},
	} {
		for _, w := range want {
			if got := hostRemedy(problem); !strings.Contains(got, w) {
				t.Errorf("%s: %q says nothing of %q", problem, got, w)
			}
		}
	}
}

// When a keyset is not on this machine, nobody knows whether the workers have
// it. To create another one is the last resort, because then the sealing side
// and the opening side would have different ones.
func TestCheckKeyringMakesNoSecondKeyset(t *testing.T) {
	checks := checkKeyring(&fleet.Fleet{Locations: []rotation.Location{"hk"}}, t.TempDir())
	if len(checks) != 1 || checks[0].Level != levelNote || !strings.Contains(checks[0].Saw, "whether the workers have one is not known") ||
		!strings.HasPrefix(checks[0].Remedy, "start the workers and ask again; only if there never was one: ") {
		t.Errorf("%+v", checks)
	}
}

// Most accounts have no keyset of their own: then nothing is said of it.
func TestCheckAccountKeyset(t *testing.T) {
	for name, c := range map[string]struct {
		out      activities.ExamineOut
		strategy rotation.Strategy
		want     []level
	}{
		"none":    {activities.ExamineOut{}, "", nil},
		"needed":  {activities.ExamineOut{}, rotation.Staged, []level{levelFail}},
		"good":    {activities.ExamineOut{Keyset: "0123456789abcdef"}, rotation.Staged, []level{levelOK}},
		"damaged": {activities.ExamineOut{KeysetProblem: "default.account.json is damaged"}, "", []level{levelFail}},
	} {
		got := checkAccountKeyset("default", c.out, c.strategy)
		if len(got) != len(c.want) || len(got) > 0 && (got[0].Level != c.want[0] || !strings.Contains(got[0].Saw, c.out.Keyset+c.out.KeysetProblem) || (got[0].Remedy == "") != (c.want[0] == levelOK)) {
			t.Errorf("%s: %+v", name, got)
		}
	}
	dir := t.TempDir()
	for _, a := range []rotation.Account{"cn", "intl", "other"} {
		if err := seal.CreateAccount(dir, a); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(dir, "intl.account.json"), 0o644); err != nil {
		t.Fatal(err)
	}
	checks := checkKeyring(&fleet.Fleet{Accounts: []fleet.Account{{Name: "cn"}, {Name: "intl"}}}, dir)
	if len(checks) != 2 || checks[0].Level != levelOK || checks[1].Level != levelFail || !strings.Contains(checks[1].Saw, "chmod 600") {
		t.Errorf("%+v", checks)
	}
}

// A login that a person must renew is a warning with the command. A credential
// that the worker renews, or that never ends, is in order.
func TestCheckCredential(t *testing.T) {
	until := time.Now().Add(time.Hour)
	for name, c := range map[string]struct {
		signing activities.Signing
		level   level
		saw     string
	}{
		"for ever": {activities.Signing{Credential: "profile"}, levelOK, "profile"},
		"lent":     {activities.Signing{Credential: "cvm-role", Until: until}, levelOK, "(in 1h0m0s); renewed before that"},
		"a login":  {activities.Signing{Credential: "tccli", Until: until, Renew: "tccli auth login"}, levelWarn, "(in 1h0m0s)"},
		"unknown":  {activities.Signing{}, levelNote, "does not say"},
	} {
		got := checkCredential(fleet.Account{Name: "default"}, activities.ExamineOut{Signing: c.signing})
		if got.Level != c.level || !strings.Contains(got.Saw, c.saw) || c.signing.Renew != "" && !strings.Contains(got.Remedy, c.signing.Renew) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// A clock that is off by 30 s is a warning, and a failure shortly before
// EdgeOne refuses what it signs.
func TestCheckClock(t *testing.T) {
	for aheadMs, want := range map[int64]level{0: levelOK, -30_000: levelOK, 30_001: levelWarn, -31_000: levelWarn, 240_000: levelWarn, -241_000: levelFail, 310_000: levelFail} {
		if c := checkClock("default", &aheadMs); c.Level != want || (c.Remedy == "") != (want == levelOK) {
			t.Errorf("%d ms: %+v", aheadMs, c)
		}
	}
	if c := checkClock("default", nil); c.Level != levelNote {
		t.Errorf("%+v", c)
	}
}

// The advice for a host to which a program brings keys is about the program.
func TestRemedyOfPrograms(t *testing.T) {
	f := &fleet.Fleet{Hosts: map[rotation.HostName]fleet.Host{"gw-3": {Name: "gw-3", Exec: &fleet.Exec{Command: []string{"/opt/to-secret", "edge"}}}, "gw-1": {Name: "gw-1", SSH: &fleet.SSH{}}}}
	checks := checkHosts("hk", []rotation.Proof{{Host: "gw-1", Problem: "connect: refused"}, {Host: "gw-3", Problem: "connect: /opt/to-secret is not there"}})
	remedyOfPrograms(f, checks)
	if got := checks[1].Remedy; got != hostRemedies[rotation.StepConnect] {
		t.Errorf("gw-1: %q", got)
	}
	if got := checks[2].Remedy; !strings.Contains(got, `echo '{"zones":["ZONE"],"host":"gw-3"}' | /opt/to-secret edge held`) || strings.Contains(got, "sshd") {
		t.Errorf("gw-3: %q", got)
	}
}
