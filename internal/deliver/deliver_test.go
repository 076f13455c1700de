package deliver_test

import (
	"encoding/base64"
	"encoding/hex"
	"os/exec"
	"strings"
	"testing"

	"keywave/internal/deliver"
	"keywave/internal/rotation"
)

func TestSettings(t *testing.T) {
	good := deliver.Settings{Path: "/etc/edgeone/{zone}.key", Mode: "0640", StageDir: "/etc/keywave stage"}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	if file, err := good.File("zone-1"); err != nil || file != "/etc/edgeone/zone-1.key" {
		t.Errorf("got %s, %v", file, err)
	}
	for _, bad := range []deliver.Settings{
		{},
		{Path: "keys/{zone}"},
		{Path: "/keys/"},
		{Path: "/keys/../{zone}"},
		{Path: "/keys/{zone}/{host}"},
		{Path: "/keys/{zone}\n"},
		{Path: "/keys/{zone} "},
		{Path: "/" + strings.Repeat("x", 250)},
		{Path: "/k", Mode: "rw"},
		{Path: "/k", Mode: "4755"},
		{Path: "/k", Mode: "0200"},
		{Path: "/k", Mode: "0644"},
		{Path: "/k", Owner: "a b"},
		{Path: "/k", Group: "-x"},
		{Path: "/k", Write: "append"},
		{Path: "/k", Write: deliver.InPlace, Mode: "0600"},
		{Path: "/k", Format: "no key"},
		{Path: "/k", Format: "{key}{key}"},
		{Path: "/k", Format: "{key}\r\n"},
		{Path: "/k", Reload: "a\x00b"},
		{Path: "/k", StageDir: "stage"},
		{Path: "/k", StageDir: "/stage/"},
		{Path: "/k", StageDir: "/stage/{zone}"},
		{Path: "/k", StageDir: "/stage\n"},
		{Path: "/keys/{zone}", StageDir: "/keys"},
		{Path: "/k", StageDir: "/stage", Write: deliver.InPlace},
	} {
		if bad.Validate() == nil {
			t.Errorf("%+v was accepted", bad)
		}
	}
	for _, zone := range []rotation.ZoneID{"", ".", "..", "a/b", "a b", "a\nb", "ä"} {
		if _, err := good.File(zone); err == nil {
			t.Errorf("zone %q was accepted", zone)
		}
	}
}

func TestScrub(t *testing.T) {
	key := rotation.NewSecret("b8sfnemqzF5TNCwwtshVmG/gyCJVi/rP+7A+jsBwqGY=")
	short := rotation.NewSecret("hunter2")
	for text, want := range map[string]string{
		"gateway is sick":                              "gateway is sick",
		"key=" + key.Expose() + "; bad":                "[…]; bad",
		"bad hunter2!":                                 "bad […]!",
		"bad " + hex.EncodeToString([]byte("hunter2")): "bad […]",
		"bad " + base64.RawStdEncoding.EncodeToString([]byte("hunter2")): "bad […]",
		"\x1b[31mred\x1b[0m\x07\u202e\xff ok":                            "red ok",
		"a\tb\nc":                                                        "a b c",
		"0123456789abcdef012 stays":                                      "0123456789abcdef012 stays",
		"0123456789abcdef0123 goes":                                      "[…] goes",
	} {
		if got := deliver.Scrub(text, key, short); got != want {
			t.Errorf("Scrub(%q) = %q, want %q", text, got, want)
		}
	}
	known := deliver.Scrubber{Known: []string{"/usr/local/lib/keywave/to-secret", "zone-27q0p0bal192", "/srv/keys/{zone}/key", "qGY=", "b8sf"}, Most: 500}
	for text, want := range map[string]string{
		"/usr/local/lib/keywave/to-secret is away":       "/usr/local/lib/keywave/to-secret is away",
		"/usr/local/lib/keywave is away":                 "/usr/local/lib/keywave is away",
		"no /srv/keys/zone-27q0p0bal192/key":             "no /srv/keys/zone-27q0p0bal192/key",
		"no /srv/keys/zone-27q0p0bal192/" + key.Expose(): "no […]",
		key.Expose():                        "[…]",
		"/srv/keys/0123456789abcdef0123":    "[…]",
		strings.Repeat("word ", 50) + "end": strings.Repeat("word ", 50) + "end",
	} {
		if got := known.Scrub(text); got != want {
			t.Errorf("with known texts %q became %q, want %q", text, got, want)
		}
	}
	if got := deliver.Scrub(strings.Repeat("wörd ", 100)); len(got) > 200 || !strings.HasSuffix(got, "…") {
		t.Errorf("a long text became %d bytes: %q", len(got), got)
	}
}

func TestLastLine(t *testing.T) {
	var l deliver.LastLine
	for _, text := range []string{"one\ntw", "o\r\n", "\n  \n"} {
		_, _ = l.Write([]byte(text))
	}
	if l.String() != "two" {
		t.Errorf("got %q", l.String())
	}
	_, _ = l.Write([]byte("three"))
	if l.String() != "three" {
		t.Errorf("got %q", l.String())
	}
	var cut deliver.LastLine
	_, _ = cut.Write([]byte(strings.Repeat("word ", 818) + "half-a-key-that-is-cut"))
	if got := cut.String(); !strings.HasSuffix(got, "word ") {
		t.Errorf("a cut line ends with %q", got[len(got)-12:])
	}
}

// The script and package rotation must compute the same fingerprint.
func TestFingerprintOfShell(t *testing.T) {
	const recipe = `{ printf 'keywave/v1\000%s\000' "$1"; printf %s "$2"; } | sha256sum | cut -c1-16`
	for text, want := range map[string]rotation.Fingerprint{
		"":      deliver.EmptyFile("zone-1"),
		"a key": rotation.FingerprintOf("zone-1", rotation.NewSecret("a key")),
	} {
		out, err := exec.Command("sh", "-c", recipe, "test", "zone-1", text).Output()
		if err != nil || strings.TrimSpace(string(out)) != string(want) {
			t.Errorf("%q: sh says %s, we say %s (%v)", text, out, want, err)
		}
	}
}
