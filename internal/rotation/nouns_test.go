package rotation

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"
	"time"
)

func TestFingerprintIsTheOneInTheContract(t *testing.T) {
	for _, v := range []struct {
		zone ZoneID
		key  string
		want Fingerprint
	}{
		// printf 'keywave/v1\0ZONE\0KEY' | sha256sum | cut -c1-16
		{"zone-27q0p0bal192", planted, "96e5c85bc58d01f7"},
		{"zone-1", "k", "b808a471e809cbf9"},
	} {
		sum := sha256.Sum256([]byte("keywave/v1\x00" + string(v.zone) + "\x00" + v.key))
		byHand := Fingerprint(hex.EncodeToString(sum[:8]))
		got := FingerprintOf(v.zone, NewSecret(v.key))
		if got != v.want || got != byHand {
			t.Errorf("%s: %s, want %s, by hand %s", v.zone, got, v.want, byHand)
		}
	}
}

func TestFingerprintTellsZonesAndKeysApart(t *testing.T) {
	seen := map[Fingerprint]string{}
	for _, zone := range []ZoneID{"", "a", "ab", "a\x00b", "b"} {
		for _, key := range []string{"a", "b", "ab", "b\x00a"} {
			f := FingerprintOf(zone, NewSecret(key))
			name := string(zone) + "|" + key
			if other, twice := seen[f]; twice && string(zone)+"\x00"+key != other {
				t.Errorf("%q and %q have the same fingerprint", name, other)
			}
			seen[f] = string(zone) + "\x00" + key
		}
	}
}

func TestNoKeyIsAbsent(t *testing.T) {
	for _, s := range []Secret{{}, NewSecret("")} {
		if got := FingerprintOf("zone-1", s); got != Absent {
			t.Errorf("no key has the fingerprint %s", got)
		}
	}
}

func TestParseFingerprint(t *testing.T) {
	for s, ok := range map[string]bool{
		"absent": true, "0123456789abcdef": true, "96e5c85bc58d01f7": true,
		"": false, "Absent": false, "absent ": false, "0123456789ABCDEF": false, "0123456789abcde": false,
		"0123456789abcdef0": false, "0123456789abcdeg": false, " 123456789abcdef": false, "0123456g89abcdef": false,
		"0123456789abcde\n": false, "\u00e90123456789abcd": false,
	} {
		f, got := ParseFingerprint(s)
		if got != ok || (ok && string(f) != s) || (!ok && f != "") {
			t.Errorf("%q: %q, %t", s, f, got)
		}
	}
	if f, ok := ParseFingerprint(string(FingerprintOf("z", NewSecret("k")))); !ok || f != FingerprintOf("z", NewSecret("k")) {
		t.Error("a fingerprint cannot be parsed")
	}
}

func TestProofFresh(t *testing.T) {
	const life = time.Minute
	for name, c := range map[string]struct {
		proof Proof
		want  bool
	}{
		"just given":       {Proof{At: noon}, true},
		"at the very end":  {Proof{At: noon.Add(-life)}, true},
		"too old":          {Proof{At: noon.Add(-life - 1)}, false},
		"of a sick host":   {Proof{At: noon, Problem: "disk full"}, false},
		"never given":      {Proof{}, false},
		"a moment in hand": {Proof{At: noon.Add(time.Second)}, true},
	} {
		if got := c.proof.Fresh(noon, life); got != c.want {
			t.Errorf("a proof %s is fresh: %t", name, got)
		}
	}
}
