package harmless_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"keywave/internal/harmless"
	"keywave/internal/proving/hostile"
)

// sinks are all functions that make one line.
var sinks = map[string]func(string) string{
	"Terminal": harmless.Terminal, "Log": harmless.Log, "Markdown": harmless.Markdown, "Code": harmless.Code,
	"CSV": harmless.CSV, "Slack": harmless.Slack, "Summary": harmless.Summary,
}

func TestHostileWordsAreOneLineThatShowsItself(t *testing.T) {
	for name, sink := range sinks {
		for _, w := range hostile.Words() {
			got := sink(w.Text)
			if bad := hostile.Seen(got); bad != "" || strings.ContainsAny(got, "\n\t") {
				t.Errorf("%s of what %s: %s %q", name, w.Hope, bad, got)
			}
		}
	}
}

func FuzzSinks(f *testing.F) {
	for _, w := range hostile.Words() {
		f.Add(w.Text)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for name, sink := range sinks {
			if bad := hostile.Seen(sink(s)); bad != "" || strings.ContainsAny(sink(s), "\n\t") {
				t.Errorf("%s: %s", name, bad)
			}
		}
		if bad := hostile.Seen(strings.NewReplacer("\n", "", "\t", "").Replace(harmless.Lines(s))); bad != "" {
			t.Errorf("Lines: %s", bad)
		}
		if once := harmless.Terminal(s); harmless.Terminal(once) != once {
			t.Errorf("%q is not harmless yet: %q", once, harmless.Terminal(once))
		}
	})
}

// What people write every day stays as it is.
func TestHonestWordsStay(t *testing.T) {
	for _, s := range []string{
		"shop.example.com", "gw-hk-1 (10.1.0.11:22): connection refused", "zone_a and zone_b", "Ж, 日本語, naïve", "12 % of 40: 5/s…", "anna@desk",
	} {
		for name, sink := range sinks {
			if got := sink(s); got != s && got != "`"+s+"`" {
				t.Errorf("%s of %q is %q", name, s, got)
			}
		}
	}
}

func TestTerminal(t *testing.T) {
	for in, want := range map[string]string{
		"\x1b[1;31mred\x1b[0m":    "red",
		"a\r\nb\tc":               "a b c",
		"gw\u202egnp\u2066":       "gwgnp",
		"a\xffb":                  "a\ufffdb",
		"\ue000":                  "\ufffd",
		strings.Repeat("ä", 3000): strings.Repeat("ä", 2046) + "…",
	} {
		if got := harmless.Terminal(in); got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
}

func TestCSVCalculatesNothing(t *testing.T) {
	for in, want := range map[string]string{
		"=1+1": "'=1+1", "-2": "'-2", "@a": "'@a", "\t=1": "'=1", "\r+1": "'+1", "＝1": "'＝1", "a;=1; -2": "a;'=1; '-2", "a-b": "a-b", "": "",
	} {
		if got := harmless.CSV(in); got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
}

func TestSlackCallsNobody(t *testing.T) {
	for in, want := range map[string]string{
		"<!channel> @here a@b": "&lt;!channel&gt; @ here a@b",
		"<http://x|y> & z":     "&lt;http[:]//x|y&gt; &amp; z",
		"*b* _i_ a_b ~s~ `c`":  "∗b∗ ＿i＿ a_b ∼s∼ 'c'",
		"[a](b)":               "[a] (b)",
	} {
		if got := harmless.Slack(in); got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
}

func TestSummaryFitsAndFormatsNothing(t *testing.T) {
	for _, w := range hostile.Words() {
		got := harmless.Summary(w.Text)
		if len(got) > 190 || strings.ContainsAny(got, "`*~<>[]{}|\\$&") || strings.Contains(got, "://") {
			t.Errorf("what %s: %q", w.Hope, got)
		}
	}
}

// JSON keeps every value, and has no byte that a terminal acts on or does not
// show.
func TestJSONKeepsItsValues(t *testing.T) {
	for _, w := range hostile.Words() {
		var text bytes.Buffer
		e := json.NewEncoder(&text)
		e.SetEscapeHTML(false)
		if err := e.Encode(map[string]string{w.Text: w.Text}); err != nil {
			t.Fatal(err)
		}
		var was, is map[string]string
		safe := harmless.JSON(text.Bytes())
		if err := errors.Join(json.Unmarshal(text.Bytes(), &was), json.Unmarshal(safe, &is)); err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(was) != fmt.Sprint(is) {
			t.Errorf("%q became %q", was, is)
		}
		if bad := hostile.Seen(strings.TrimSuffix(string(safe), "\n")); bad != "" {
			t.Error(bad)
		}
		if through := harmless.Lines(string(safe)); through != string(safe) {
			t.Errorf("a Writer changes %q into %q", safe, through)
		}
	}
}

// In whatever pieces the bytes come, only visible text and drawings pass a
// Writer.
func TestWriterLetsOnlyDrawingsThrough(t *testing.T) {
	for _, w := range hostile.Words() {
		for _, size := range []int{1, 3, 4096} {
			var out bytes.Buffer
			door := harmless.NewWriter(&out)
			for part := range slices.Chunk([]byte(w.Text), size) {
				if n, err := door.Write(part); n != len(part) || err != nil {
					t.Fatal(n, err)
				}
			}
			if bad := hostile.Seen(strings.NewReplacer("\n", "", "\t", "").Replace(out.String())); bad != "" {
				t.Errorf("what %s, by %d bytes: %s", w.Hope, size, bad)
			}
		}
	}
	var out bytes.Buffer
	door := harmless.NewWriter(&out)
	_, _ = io.WriteString(door, "日\x1b[1mx\n")
	if err := harmless.Draw(door, "\x1b[1mours\x1b[0m"); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "日x\n\x1b[1mours\x1b[0m"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestWriterKeepsRunesThatComeInParts(t *testing.T) {
	var out bytes.Buffer
	door := harmless.NewWriter(&out)
	for _, b := range []byte("日本\u202e語") {
		_, _ = door.Write([]byte{b})
	}
	if out.String() != "日本語" {
		t.Errorf("%q", out.String())
	}
}

type named string

func TestSprintfTrustsOnlyWhatIsOwn(t *testing.T) {
	got := harmless.Sprintf(harmless.Markdown, "%s %s %s %d %v %v %-4s|%s %v",
		harmless.Own("**ours**"), "*a*", named("*b*"), 3, errors.New("*c*"), []string{"*d*"}, "e", 2*time.Second, nil)
	want := "**ours** &#42;a&#42; &#42;b&#42; 3 &#42;c&#42; &#91;&#42;d&#42;&#93; e   |2s <nil>"
	if got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if !utf8.ValidString(got) {
		t.Error("no UTF-8")
	}
}
