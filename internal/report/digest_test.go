package report

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func written(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := badDay(t).build(t).WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestVerifyAcceptsAnyLayout(t *testing.T) {
	raw := written(t)
	var compact bytes.Buffer
	if err := json.Compact(&compact, raw); err != nil {
		t.Fatal(err)
	}
	var content map[string]any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&content); err != nil {
		t.Fatal(err)
	}
	sorted, err := json.MarshalIndent(content, "", "\t") // escapes HTML, too
	if err != nil {
		t.Fatal(err)
	}
	for name, layout := range map[string][]byte{"as written": raw, "compact": compact.Bytes(), "sorted": sorted} {
		if _, err := Verify(bytes.NewReader(layout)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Verify notices every change of a single letter or digit, and everything that
// is cut off.
func TestVerifyNoticesEveryChange(t *testing.T) {
	var b bytes.Buffer
	if err := newCampaign(t, 2, func(int) string { return nasty }).build(t).WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	raw := b.Bytes()
	for i, b := range raw {
		if b < '0' || b > 'z' || b > '9' && b < 'A' || b > 'Z' && b < 'a' {
			continue
		}
		changed := bytes.Clone(raw)
		if changed[i] = b + 1; b == '9' || b == 'Z' || b == 'z' {
			changed[i] = b - 1
		}
		if _, err := Verify(bytes.NewReader(changed)); err == nil {
			t.Fatalf("changed %q to %q at %d, in …%s…: not noticed", b, changed[i], i, raw[max(0, i-30):min(len(raw), i+30)])
		}
	}
	for n := 0; n < len(raw)-2; n += 7 {
		if _, err := Verify(bytes.NewReader(raw[:n])); err == nil {
			t.Fatalf("cut off after %d bytes: not noticed", n)
		}
	}
}

func TestVerifySaysWhatIsWrong(t *testing.T) {
	raw := string(written(t))
	for name, c := range map[string]struct {
		from io.Reader
		want string
	}{
		"nothing":            {strings.NewReader(""), "not whole"},
		"null":               {strings.NewReader("null"), "not a report"},
		"a list":             {strings.NewReader("[]"), "not whole"},
		"another form":       {strings.NewReader(`{"format":"keywave/report/v9"}`), "not a report of the form keywave/report/v1"},
		"no digest":          {strings.NewReader(`{"format":"keywave/report/v1"}`), "was changed"},
		"two reports":        {strings.NewReader(raw + raw), "not whole"},
		"a zone struck out":  {strings.NewReader(strings.Replace(raw, `"outcome": "exposed"`, `"outcome": "done"`, 1)), "make it anew: keywave campaign report spring-rotation"},
		"a member twice":     {strings.NewReader(strings.Replace(raw, `"state":`, `"state": "done", "state":`, 1)), `the member "state" twice`},
		"a member more":      {strings.NewReader(strings.Replace(raw, `"state":`, `"note": "", "state":`, 1)), "was changed"},
		"not UTF-8":          {strings.NewReader(strings.Replace(raw, "mei", "m\xffi", 1)), "not UTF-8"},
		"a disk that breaks": {iotest.ErrReader(io.ErrUnexpectedEOF), "cannot be read"},
	} {
		if _, err := Verify(c.from); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// These are the examples of RFC 8785 §3.2.2 and §3.2.3 that have no fractions.
func TestCanonical(t *testing.T) {
	const in = `{ "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/", "literals": [ null, true, false ],
	 "b": {"\r": 1, "z": [], "1": {}}, "a": [ -12 , 0,[ 7 ] ] }`
	const want = `{"a":[-12,0,[7]],"b":{"\r":1,"1":{},"z":[]},"literals":[null,true,false],"string":"€$\u000f\nA'B\"\\\\\"/"}`
	c := canon{in: []byte(in)}
	got, err := c.value()
	if err != nil || string(got) != want {
		t.Errorf("got  %s, %v\nwant %s", got, err, want)
	}
}

// Canonical form is that of encoding/json, which sorts the members of a map.
func FuzzVerify(f *testing.F) {
	f.Add(written(f))
	f.Add([]byte(`{"format":"keywave/report/v1","a":["\ud83d\ude00\u2028<&>\u007f",{"b":-0,"":""}],"digest":"x"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		_, _ = Verify(bytes.NewReader(raw))
		var content map[string]any
		d := json.NewDecoder(bytes.NewReader(raw))
		d.UseNumber()
		if !json.Valid(raw) || d.Decode(&content) != nil || content == nil {
			return
		}
		has, err := digestOf(raw)
		if err != nil {
			return
		}
		again, err := json.MarshalIndent(content, " ", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if second, err := digestOf(again); err != nil || second != has {
			t.Fatalf("digest %s and then %s, %v:\n%s\n%s", has, second, err, raw, again)
		}
	})
}
