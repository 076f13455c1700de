package notify_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"keywave/internal/notify"
	"keywave/internal/rotation"
)

const (
	robotToken  = "0b1c2d3e4f5061728394a5b6c7d8e9f0"
	robotSecret = "SEC-of-the-robot"
)

// robot is a chat's receiver. It takes what its maker describes, and answers
// with status 200 even when it refuses.
type robot struct {
	t      *testing.T
	format string
	// code and reason are the answer to a correct message.
	code   int
	reason string
	text   string // of the last message
}

func (r *robot) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil || request.Method != http.MethodPost || request.Header.Get("Content-Type") != "application/json" {
		r.t.Errorf("%s %v, %v", request.Method, request.Header, err)
	}
	code, reason := r.take(body, request.URL.Query())
	if code == 0 {
		code, reason = r.code, r.reason
	}
	if r.format == notify.Feishu {
		fmt.Fprintf(w, `{"code":%d,"msg":%q,"data":{}}`, code, reason)
		return
	}
	fmt.Fprintf(w, `{"errcode":%d,"errmsg":%q}`, code, reason)
}

// take checks a message. The code 0 means that it is correct.
func (r *robot) take(body []byte, query url.Values) (code int, reason string) {
	var m struct {
		MsgType string `json:"msgtype"`
		Text    struct{ Content string }
		Kind    string `json:"msg_type"`
		Content struct{ Text string }
		Stamp   string `json:"timestamp"`
		Sign    string `json:"sign"`
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return 9499, "no JSON"
	}
	switch r.format {
	case notify.WeCom:
		r.text = m.Text.Content
		if query.Get("key") != robotToken || m.MsgType != "text" || len(r.text) > 2048 {
			return 40008, "bad message"
		}
	case notify.DingTalk:
		r.text = m.Text.Content
		at, _ := strconv.ParseInt(query.Get("timestamp"), 10, 64)
		if sum := signature(robotSecret, query.Get("timestamp")+"\n"+robotSecret); sum != query.Get("sign") || time.Since(time.UnixMilli(at)).Abs() > time.Hour {
			return 310000, "sign not match"
		}
		if query.Get("access_token") != robotToken || m.MsgType != "text" || len(body) > 20000 {
			return 40035, "bad message"
		}
	case notify.Feishu:
		r.text = m.Content.Text
		at, _ := strconv.ParseInt(m.Stamp, 10, 64)
		if sum := signature(m.Stamp+"\n"+robotSecret, ""); sum != m.Sign || time.Since(time.Unix(at, 0)).Abs() > time.Hour {
			return 19021, "sign match fail or timestamp is not within one hour from current time"
		}
		if m.Kind != "text" || len(body) > 20<<10 {
			return 9499, "Bad Request"
		}
	}
	return 0, ""
}

func signature(key, text string) string {
	h := hmac.New(sha256.New, []byte(key))
	h.Write([]byte(text))
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// robotOf makes a robot of the format, and the configuration to write to it.
func robotOf(t *testing.T, format string) (*robot, notify.Config) {
	r := &robot{t: t, format: format}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	c := notify.Config{URL: server.URL + "/send?access_token=" + robotToken + "&key=" + robotToken, Format: format, Secret: robotSecret}
	if format == notify.WeCom {
		c.Secret = ""
	}
	return r, c
}

// Robots accept a notice, even a long one. The command in it is kept whole.
func TestRobotsTakeNotices(t *testing.T) {
	for _, format := range []string{notify.WeCom, notify.DingTalk, notify.Feishu} {
		r, config := robotOf(t, format)
		if err := config.Validate(); err != nil {
			t.Fatal(err)
		}
		if err := notify.New(config).Notify(context.Background(), notice()); err != nil {
			t.Errorf("%s: %v", format, err)
		}
		if want := "Keywave: spring paused: exposed zones: 1 ‹shop›\nkeywave campaign resume spring"; r.text != want {
			t.Errorf("%s shows %q", format, r.text)
		}
		long := notice()
		long.Text = strings.Repeat("站", 4000)
		if err := notify.New(config).Notify(context.Background(), long); err != nil || !strings.HasSuffix(r.text, "站…\nkeywave campaign resume spring") {
			t.Errorf("%s of a long one: %v, %q", format, err, r.text)
		}
	}
}

// Status 200 with a code is a failure. It is told as one, either final or to be
// tried again. Neither the token nor the secret is in the error.
func TestRobotsThatRefuse(t *testing.T) {
	for _, c := range []struct {
		format string
		code   int
		reason string
		again  bool
		says   string
	}{
		{notify.WeCom, 93000, "invalid webhook url, hint: [1]", false, `code 93000 of wecom ("invalid webhook url, hint: [1]")`},
		{notify.WeCom, 45009, "api freq out of limit", true, "code 45009 of wecom"},
		{notify.DingTalk, 310000, "keywords not in content", false, `code 310000 of dingtalk ("keywords not in content"); the notice was not shown`},
		{notify.DingTalk, 300001, "token is not exist: " + robotToken, false, "code 300001 of dingtalk; "},
		{notify.DingTalk, 300002, "bad secret " + robotSecret, false, "code 300002 of dingtalk; "},
		{notify.DingTalk, 130101, "send too fast", true, "code 130101"},
		{notify.Feishu, 19024, "Key Words Not Found", false, "code 19024 of feishu"},
		{notify.Feishu, 11232, "frequency limited", true, "code 11232"},
	} {
		r, config := robotOf(t, c.format)
		r.code, r.reason = c.code, c.reason
		err := notify.New(config).Notify(context.Background(), notice())
		_, refused := errors.AsType[*rotation.RefusedError](err)
		if err == nil || refused == c.again || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s %d: %v", c.format, c.code, err)
		}
		if err != nil && (strings.Contains(err.Error(), robotToken) || strings.Contains(err.Error(), robotSecret)) {
			t.Errorf("it shows what is secret: %v", err)
		}
	}
	r, config := robotOf(t, notify.Feishu)
	config.Secret = "another"
	if err := notify.New(config).Notify(context.Background(), notice()); err == nil || !strings.Contains(err.Error(), "code 19021") {
		t.Errorf("a wrong signature: %v", err)
	}
	r.format, config.Format = notify.WeCom, notify.DingTalk
	config.URL = strings.Replace(config.URL, "key=", "k=", 1)
	if err := notify.New(config).Notify(context.Background(), notice()); err == nil || !strings.Contains(err.Error(), "code 40008") {
		t.Errorf("another's message: %v", err)
	}
}

// A server that answers 200 and is no robot has taken nothing.
func TestAnswersOfNoRobot(t *testing.T) {
	for _, body := range []string{"", "<html>", "{}", `{"errcode":null}`, `{"errcode":"0"}`} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }))
		for _, format := range []string{notify.WeCom, notify.DingTalk, notify.Feishu} {
			err := notify.New(notify.Config{URL: server.URL, Format: format}).Notify(context.Background(), notice())
			if err == nil || !strings.Contains(err.Error(), "not as "+format+" does") {
				t.Errorf("%s of %q: %v", format, body, err)
			}
		}
		server.Close()
	}
	old := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"StatusCode":0}`) }))
	defer old.Close()
	if err := notify.New(notify.Config{URL: old.URL, Format: notify.Feishu}).Notify(context.Background(), notice()); err != nil {
		t.Errorf("Feishu's older answer: %v", err)
	}
}
