package rotation

import (
	"bytes"
	"encoding/base64"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"text/template"
)

// The documentation's example of a key.
const planted = "b8sfnemqzF5TNCwwtshVmG/gyCJVi/rP+7A+jsBwqGY="

// forms are the ways in which a key, or a large part of it, could be
// recognised.
func forms() []string {
	raw, _ := base64.StdEncoding.DecodeString(planted)
	decimal := strings.Trim(fmt.Sprint([]byte(planted)), "[]")
	return []string{
		planted[:12],
		base64.StdEncoding.EncodeToString([]byte(planted))[:12],
		hex.EncodeToString([]byte(planted))[:12],
		hex.EncodeToString(raw)[:12],
		string(raw[:8]),
		decimal[:20],
		strings.ReplaceAll(decimal, " ", ", ")[:20],
	}
}

func leaks(text string) string {
	for _, f := range forms() {
		if strings.Contains(strings.ToLower(text), strings.ToLower(f)) {
			return f
		}
	}
	return ""
}

// holders puts a value of any type into everything that code may print.
func holders[T any](v T) map[string]any {
	return map[string]any{
		"value":               v,
		"pointer":             &v,
		"exported field":      struct{ Key T }{v},
		"unexported field":    struct{ key T }{v},
		"pointer to a struct": &struct{ key T }{v},
		"pointer in a struct": struct{ key *T }{&v},
		"struct in a struct":  struct{ in struct{ key T } }{struct{ key T }{v}},
		"slice":               []T{v},
		"array":               [1]T{v},
		"map":                 map[string]T{"k": v},
		"slice in a field":    struct{ keys []T }{[]T{v}},
		"map in a field":      struct{ keys map[string]T }{map[string]T{"k": v}},
		"any in a field":      struct{ key any }{v},
	}
}

var verbs = []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%t", "%o", "%p", "%c", "%T", "%10.3v"}

// ways are all the ways in which a value may be printed by accident.
func ways(v any) map[string]string {
	out := map[string]string{
		"Sprint":    fmt.Sprint(v),
		"Sprintln":  fmt.Sprintln(v),
		"error %v":  fmt.Errorf("delivering: %w", fmt.Errorf("with %v", v)).Error(),
		"joined":    errors.Join(fmt.Errorf("%+v", v), errors.New("x")).Error(),
		"JSON":      encoded(func(b *bytes.Buffer) error { return json.NewEncoder(b).Encode(v) }),
		"XML":       encoded(func(b *bytes.Buffer) error { return xml.NewEncoder(b).Encode(v) }),
		"gob":       encoded(func(b *bytes.Buffer) error { return gob.NewEncoder(b).Encode(v) }),
		"template":  encoded(func(b *bytes.Buffer) error { return template.Must(template.New("").Parse("{{.}}")).Execute(b, v) }),
		"slog text": encoded(func(b *bytes.Buffer) error { slog.New(slog.NewTextHandler(b, nil)).Info("m", "key", v); return nil }),
		"slog JSON": encoded(func(b *bytes.Buffer) error { slog.New(slog.NewJSONHandler(b, nil)).Info("m", "key", v); return nil }),
		"slog group": encoded(func(b *bytes.Buffer) error {
			slog.New(slog.NewJSONHandler(b, nil)).With("key", v).WithGroup("g").Info("m", slog.Group("h", "key", v))
			return nil
		}),
	}
	for _, verb := range verbs {
		out[verb] = fmt.Sprintf(verb, v)
	}
	return out
}

func encoded(encode func(*bytes.Buffer) error) string {
	var b bytes.Buffer
	err := encode(&b)
	return fmt.Sprint(b.String(), err)
}

func TestSecretIsNeverSeen(t *testing.T) {
	for where, v := range holders(NewSecret(planted)) {
		for way, text := range ways(v) {
			if f := leaks(text); f != "" {
				t.Errorf("%s of a %s shows %q: %s", way, where, f, text)
			}
		}
	}
}

// A plain string is found in most of these ways. So the test above is able to
// fail.
func TestTheSearchForSecretsFindsThem(t *testing.T) {
	type plain string
	found := 0
	for _, v := range holders(plain(planted)) {
		for _, text := range ways(v) {
			if leaks(text) != "" {
				found++
			}
		}
	}
	if found < 150 {
		t.Errorf("only %d leaks of a plain string were found", found)
	}
	if leaks(fmt.Sprintf("%x %d", planted, []byte(planted))) == "" || leaks(base64.StdEncoding.EncodeToString([]byte(planted))) == "" {
		t.Error("an encoded key was not found")
	}
}

func TestSecretCannotBeMarshalled(t *testing.T) {
	s := NewSecret(planted)
	for name, err := range map[string]error{
		"JSON":         second(json.Marshal(s)),
		"JSON field":   second(json.Marshal(struct{ Key *Secret }{&s})),
		"JSON map key": second(json.Marshal(map[Secret]int{s: 1})),
		"XML":          second(xml.Marshal(s)),
		"text":         second(s.MarshalText()),
		"binary":       second(s.MarshalBinary()),
		"gob":          gob.NewEncoder(new(bytes.Buffer)).Encode(s),
		"gob field":    gob.NewEncoder(new(bytes.Buffer)).Encode(struct{ Key Secret }{s}),
	} {
		if err == nil || leaks(err.Error()) != "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestSecretSaysThatItIsOne(t *testing.T) {
	s := NewSecret(planted)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		if got := fmt.Sprintf(verb, s); got != "[secret]" {
			t.Errorf("%s gives %s", verb, got)
		}
	}
	if s.LogValue().String() != "[secret]" || s.String() != "[secret]" || s.GoString() != "[secret]" {
		t.Error("a method does not say [secret]")
	}
}

func TestSecretExposes(t *testing.T) {
	if got := NewSecret(planted).Expose(); got != planted {
		t.Errorf("exposed %q", got)
	}
	if (Secret{}).Expose() != "" || !(Secret{}).IsZero() || !NewSecret("").IsZero() || NewSecret(planted).IsZero() {
		t.Error("no key is the zero secret, and only that")
	}
}
