package notify

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"keywave/internal/harmless"
	"keywave/internal/rotation"
)

// The formats.
const (
	JSON     = "json"
	Slack    = "slack"
	WeCom    = "wecom"
	DingTalk = "dingtalk"
	Feishu   = "feishu"
)

// Formats lists them.
func Formats() []string {
	var all []string
	for _, f := range forms() {
		all = append(all, f.name)
	}
	return all
}

// message is what is posted.
type message struct {
	address string
	header  http.Header
	fields  any // the body, as JSON
	// seal adds what depends on the body; nil for nothing
	seal func(body []byte)
}

// form is how one kind of receiver takes notices.
type form struct {
	name string
	// hosts are the hosts of the kind's own webhooks. For these the form is the
	// default.
	hosts  []string
	fields func(rotation.Notice) any
	// signed adds the signature; nil where there is none.
	signed func(m *message, secret string, now time.Time)
	// verdict reads the code of an answer with status 200. It is nil where the
	// status alone decides.
	verdict func(answer) (code int, ok bool)
	// again are the codes after which the notice is sent again. Every other code
	// but 0 is a refusal.
	again []int
}

// forms has a row for each kind. Their makers describe them at
// https://developer.work.weixin.qq.com/document/path/91770,
// https://open.dingtalk.com/document/robots/custom-robot-access and
// https://open.feishu.cn/document/client-docs/bot-v3/add-custom-bot.
func forms() []form {
	return []form{
		{name: JSON, fields: plain, signed: signHeader},
		{name: Slack, hosts: []string{"hooks.slack.com"}, fields: slack, signed: signHeader},
		{name: WeCom, hosts: []string{"qyapi.weixin.qq.com"}, fields: chatText, verdict: answer.errCode, again: []int{-1, 45009}},
		{name: DingTalk, hosts: []string{"oapi.dingtalk.com"}, fields: chatText, signed: signQuery, verdict: answer.errCode, again: []int{-1, 130101, 410100}},
		{name: Feishu, hosts: []string{"open.feishu.cn", "open.larksuite.com"}, fields: feishuText, signed: signFields, verdict: answer.code, again: []int{11232}},
	}
}

// form is the form that is named, or that of the URL's host. It returns false
// when there is no form of that name.
func (c Config) form() (form, bool) {
	all := forms()
	u, err := url.Parse(c.URL)
	for _, f := range all {
		if f.name == c.Format || c.Format == "" && err == nil && slices.Contains(f.hosts, strings.ToLower(u.Hostname())) {
			return f, true
		}
	}
	return all[0], c.Format == ""
}

// plain is the notice for machines. They often pass its sentences on to people,
// so each is one line without invisible characters.
func plain(n rotation.Notice) any {
	n.Campaign, n.State = harmless.Terminal(n.Campaign), harmless.Terminal(n.State)
	n.Text, n.Next = harmless.Terminal(n.Text), harmless.Terminal(n.Next)
	return n
}

func slack(n rotation.Notice) any {
	text := harmless.Sprintf(harmless.Slack, "*%s* %s: %s", n.Campaign, n.State, n.Text)
	if n.Next != "" {
		text += harmless.Sprintf(harmless.Slack, "\n`%s`", n.Next)
	}
	return map[string]string{"text": text}
}

// chatMost is how long a text may be, in bytes: WeCom takes 2,048, the others
// about 20,000.
const chatMost = 2048

// chat is a notice as plain text. It begins with a word that never changes,
// because a robot may accept only messages that contain a keyword.
func chat(n rotation.Notice) string {
	text := harmless.Sprintf(harmless.Chat, "Keywave: %s %s: %s", n.Campaign, n.State, n.Text)
	next := ""
	if n.Next != "" {
		next = harmless.Sprintf(harmless.Chat, "\n%s", n.Next)
	}
	next = cut(next, chatMost/2)
	return cut(text, chatMost-len(next)) + next
}

// cut is s, cut to at most most bytes.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	n := most - len("…")
	for !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

func chatText(n rotation.Notice) any {
	return map[string]any{"msgtype": "text", "text": map[string]string{"content": chat(n)}}
}

func feishuText(n rotation.Notice) any {
	return map[string]any{"msg_type": "text", "content": map[string]string{"text": chat(n)}}
}

// SignatureHeader carries "t=UNIX,v1=HEX", where HEX is the HMAC-SHA256, under
// the shared secret, of UNIX, a full stop and the body.
const SignatureHeader = "Keywave-Signature"

func signHeader(m *message, secret string, now time.Time) {
	at := fmt.Sprint(now.Unix())
	m.seal = func(body []byte) {
		m.header.Set(SignatureHeader, "t="+at+",v1="+hex.EncodeToString(mac(secret, at+"."+string(body))))
	}
}

// signQuery adds DingTalk's parameters timestamp, in milliseconds, and sign.
func signQuery(m *message, secret string, now time.Time) {
	u, err := url.Parse(m.address)
	if err != nil {
		return // Validate has refused such an address
	}
	at := fmt.Sprint(now.UnixMilli())
	q := u.Query()
	q.Set("timestamp", at)
	q.Set("sign", base64.StdEncoding.EncodeToString(mac(secret, at+"\n"+secret)))
	u.RawQuery = q.Encode()
	m.address = u.String()
}

// signFields adds Feishu's fields: timestamp, in seconds, and sign, which is
// the HMAC of an empty text under a key made of timestamp and secret.
func signFields(m *message, secret string, now time.Time) {
	at := fmt.Sprint(now.Unix())
	fields := m.fields.(map[string]any)
	fields["timestamp"], fields["sign"] = at, base64.StdEncoding.EncodeToString(mac(at+"\n"+secret, ""))
}

func mac(key, text string) []byte {
	h := hmac.New(sha256.New, []byte(key))
	h.Write([]byte(text))
	return h.Sum(nil)
}

// answer is what WeCom, DingTalk and Feishu answer. Feishu's older webhooks say
// StatusCode instead of code.
type answer struct {
	ErrCode    *int   `json:"errcode"`
	ErrMsg     string `json:"errmsg"`
	Code       *int   `json:"code"`
	StatusCode *int   `json:"StatusCode"`
	Msg        string `json:"msg"`
}

func (a answer) errCode() (int, bool) { return value(a.ErrCode) }

func (a answer) code() (int, bool) {
	if code, is := value(a.Code); is {
		return code, true
	}
	return value(a.StatusCode)
}

func value(code *int) (int, bool) {
	if code == nil {
		return 0, false
	}
	return *code, true
}

// judge reads an answer with status 200, which may still be a refusal.
func (w *Webhook) judge(body []byte) error {
	var a answer
	err := json.Unmarshal(body, &a)
	code, is := w.form.verdict(a)
	switch {
	case err != nil || !is:
		return &rotation.RefusedError{Why: fmt.Sprintf("the webhook answered 200, and not as %s does; check KEYWAVE_WEBHOOK_URL and KEYWAVE_WEBHOOK_FORMAT", w.form.name)}
	case code == 0:
		return nil
	}
	why := fmt.Sprintf("the webhook answered 200 with code %d of %s%s", code, w.form.name, w.said(a.ErrMsg+a.Msg))
	if slices.Contains(w.form.again, code) {
		return errors.New(why)
	}
	return &rotation.RefusedError{Why: why + "; the notice was not shown: check the robot's address, its security settings (signature, keyword, addresses) and KEYWAVE_WEBHOOK_SECRET"}
}

// tokenLeast is the length from which a part of the address may be a token.
const tokenLeast = 16

// said is the receiver's own reason. It is left out if it shows the secret or a
// token of the address.
func (w *Webhook) said(reason string) string {
	parts := strings.FieldsFunc(w.config.URL, func(r rune) bool { return strings.ContainsRune("/?&=", r) })
	hidden := slices.DeleteFunc(parts, func(p string) bool { return len(p) < tokenLeast || strings.Contains(p, ".") })
	if w.config.Secret != "" {
		hidden = append(hidden, w.config.Secret)
	}
	if reason == "" || slices.ContainsFunc(hidden, func(h string) bool { return strings.Contains(reason, h) }) {
		return ""
	}
	return " (" + strconv.Quote(cut(harmless.Terminal(reason), 160)) + ")"
}
