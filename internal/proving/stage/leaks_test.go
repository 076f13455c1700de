package stage

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"strings"
	"testing"
)

// Of a host's files, only a zone's own may hold a key: the live one, what becomes it, and
// what waits beside it.
func TestKeyFiles(t *testing.T) {
	keys := map[string]ZoneKeys{"zone-a": {Live: "k"}}
	for path, is := range map[string]bool{
		"/h/keys/zone-a.key": true,
		"/h/keys/.zone-a.key.keywave.01234567.0123456789abcdef":                    true,
		"/h/keys/.keywave/zone-a.01234567.0123456789abcdef":                        true,
		"/h/keys/.keywave/zone-a.01234567.0123456789abcdef.fedcba9876543210":       true,
		"/h/keys/.keywave/zone-a.01234567.0123456789abcdef.fedcba9876543210.moved": false,
		"/h/keys/.keywave/zone-b.01234567.0123456789abcdef":                        false,
		"/h/keys/.keywave/zone-a.key":                                              false,
		"/h/keys/zone-a.01234567.0123456789abcdef":                                 false,
		"/h/keys/.keywave/more/zone-a.01234567.0123456789abcdef":                   false,
		"/h/keys/zone-b.key":  false,
		"/h/keys/.zone-a.key": false,
	} {
		if isKeyFile(path, keys) != is {
			t.Errorf("%s: a file for a key is %t, want %t", path, !is, is)
		}
	}
}

// However a key is written down, and whatever stands around it, it is found.
// Nothing else is found.
func TestSearchFindsEveryForm(t *testing.T) {
	for range 200 {
		raw := make([]byte, 32)
		_, _ = rand.Read(raw)
		key := base64.StdEncoding.EncodeToString(raw)
		s := newSearch(map[string]ZoneKeys{"zone-a": {Ever: []string{key}, Live: key}})
		for _, before := range []string{"", "a", "ab", "abc"} {
			inJSON, err := json.Marshal(map[string]string{before: before + key + "~"})
			if err != nil {
				t.Fatal(err)
			}
			for name, text := range map[string]string{
				"itself":                   before + key + "~",
				"its beginning":            before + key[:24] + "…",
				"its end":                  before + key[20:],
				"its bytes":                before + string(raw) + "~",
				"hex":                      before + hex.EncodeToString(raw),
				"HEX of the text":          strings.ToUpper(hex.EncodeToString([]byte(before + key))),
				"a query":                  "?" + url.Values{before: {key}}.Encode(),
				"a path":                   "/" + url.PathEscape(before+key),
				"base64 around the bytes":  base64.StdEncoding.EncodeToString([]byte(before + string(raw) + "~")),
				"base64 of the text":       base64.StdEncoding.EncodeToString([]byte(before + key)),
				"base64url of the text":    base64.RawURLEncoding.EncodeToString([]byte(before + key + "~")),
				"a payload in a history":   base64.StdEncoding.EncodeToString(inJSON),
				"base64, base64 and again": base64.StdEncoding.EncodeToString([]byte(before + base64.StdEncoding.EncodeToString([]byte(key)) + "~")),
			} {
				if found := s.in([]byte(text)); len(found) != 1 || found[0] != "zone-a" {
					t.Errorf("%s, after %q, was not found", name, before)
				}
			}
		}
		other := make([]byte, 4096)
		_, _ = rand.Read(other)
		if found := s.in(append(other, base64.StdEncoding.EncodeToString(other)...)); len(found) > 0 {
			t.Error("a key was found in random bytes")
		}
	}
}
