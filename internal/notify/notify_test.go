package notify_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"keywave/internal/notify"
	"keywave/internal/proving/hostile"
	"keywave/internal/rotation"
)

func notice() rotation.Notice {
	return rotation.Notice{
		Event: rotation.OnStop, Campaign: "spring", State: "paused", At: time.Date(2026, 11, 24, 3, 0, 0, 0, time.UTC),
		Text: "exposed zones: 1 <shop>", Next: "keywave campaign resume spring", Zones: rotation.NewCounts(3),
	}
}

func TestJSONIsSigned(t *testing.T) {
	const secret = "shared"
	var got rotation.Notice
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		at, signature, _ := strings.Cut(strings.TrimPrefix(r.Header.Get(notify.SignatureHeader), "t="), ",v1=")
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(at + "." + string(body)))
		if hex.EncodeToString(mac.Sum(nil)) != signature || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("headers: %v", r.Header)
		}
		if err := json.Unmarshal(body, &got); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	if err := notify.New(notify.Config{URL: server.URL, Secret: secret}).Notify(context.Background(), notice()); err != nil {
		t.Fatal(err)
	}
	if got != notice() {
		t.Errorf("got %+v", got)
	}
}

func TestSlack(t *testing.T) {
	var body []byte
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { body, _ = io.ReadAll(r.Body) }))
	defer server.Close()
	if err := notify.New(notify.Config{URL: server.URL, Format: notify.Slack}).Notify(context.Background(), notice()); err != nil {
		t.Fatal(err)
	}
	var got map[string]string
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatal(err)
	}
	if want := "*spring* paused: exposed zones: 1 &lt;shop&gt;\n`keywave campaign resume spring`"; got["text"] != want || len(got) != 1 {
		t.Errorf("got %q", got)
	}
}

func TestAnswers(t *testing.T) {
	code := 0
	moved := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/elsewhere" {
			moved++
			return
		}
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(code)
	}))
	for _, tt := range []struct {
		code  int
		fails bool
		again bool
	}{{200, false, false}, {204, false, false}, {307, true, false}, {403, true, false}, {404, true, false}, {429, true, true}, {500, true, true}, {503, true, true}} {
		code = tt.code
		err := notify.New(notify.Config{URL: server.URL}).Notify(context.Background(), notice())
		_, refused := errors.AsType[*rotation.RefusedError](err)
		if (err != nil) != tt.fails || tt.fails && refused == tt.again {
			t.Errorf("of %d: %v", tt.code, err)
		}
	}
	if moved > 0 {
		t.Error("a redirect was followed")
	}
	server.Close()
	err := notify.New(notify.Config{URL: server.URL + "/T0/secret"}).Notify(context.Background(), notice())
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("of nobody: %v", err)
	}
}

func TestValidate(t *testing.T) {
	for _, bad := range []notify.Config{{}, {URL: "ftp://x"}, {URL: "https://"}, {URL: "https://x", Format: "xml"}, {URL: "https://qyapi.weixin.qq.com/x", Secret: "s"}} {
		if bad.Validate() == nil {
			t.Errorf("%+v is valid", bad)
		}
	}
	for _, form := range notify.Formats() {
		if err := (notify.Config{URL: "https://x/y", Format: form}).Validate(); err != nil {
			t.Error(err)
		}
	}
}

// words are all texts in a notice. In chats, a notice has one line break.
func words(t *testing.T, body []byte) string {
	t.Helper()
	var told struct {
		Campaign, State, Next string
		Text                  any
		Content               struct{ Text string }
	}
	if err := json.Unmarshal(body, &told); err != nil {
		t.Fatal(err)
	}
	text, _ := told.Text.(string)
	if deeper, is := told.Text.(map[string]any); is {
		text = deeper["content"].(string)
	}
	return told.Campaign + told.State + told.Next + strings.Replace(text, "\n`keywave", "`keywave", 1) + told.Content.Text
}

// In every form, words of others mention nobody, are no links and are shown
// whole.
func TestNoticesStandHostileWords(t *testing.T) {
	var body []byte
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ = io.ReadAll(r.Body)
		_, _ = io.WriteString(w, `{"errcode":0,"code":0}`)
	}))
	defer server.Close()
	for _, w := range hostile.Words() {
		n := notice()
		n.Campaign, n.State, n.Text, n.Next = w.Text, w.Text, w.Text, "keywave host retire "+w.Text
		for _, form := range notify.Formats() {
			if err := notify.New(notify.Config{URL: server.URL, Format: form}).Notify(context.Background(), n); err != nil {
				t.Fatal(err)
			}
			said := strings.Replace(words(t, body), "\nkeywave", "keywave", 1)
			if bad := hostile.Seen(string(body) + said); bad != "" || strings.ContainsAny(said, "\n\t") {
				t.Errorf("%s of what hopes for %s: %s %q", form, w.Hope, bad, said)
			}
			if calls := regexp.MustCompile(`[<>]|(^|\W)@\w|://|\]\(`); form != notify.JSON && calls.MatchString(said) {
				t.Errorf("what hopes for %s: %q", w.Hope, said)
			}
		}
	}
}
