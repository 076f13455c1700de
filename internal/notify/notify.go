// Package notify tells people elsewhere what becomes of a campaign: by an HTTP
// POST of JSON with a signature, or in the form that Slack's incoming webhooks
// and their imitators take. The receiver's address is often a secret, so no
// error holds it.
package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"keywave/internal/harmless"
	"keywave/internal/rotation"
)

// The formats.
const (
	JSON  = "json"
	Slack = "slack"
)

// SignatureHeader carries "t=UNIX,v1=HEX", where HEX is the HMAC-SHA256, under
// the shared secret, of UNIX, a full stop and the body.
const SignatureHeader = "Keywave-Signature"

// Config says whom to tell, and how.
type Config struct {
	URL    string
	Format string // JSON when empty
	Secret string // signs the body; no signature when empty
}

// Validate says what is wrong, all at once.
func (c Config) Validate() error {
	var found []error
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		found = append(found, errors.New("KEYWAVE_WEBHOOK_URL is not an http:// or https:// address"))
	}
	if c.Format != "" && c.Format != JSON && c.Format != Slack {
		found = append(found, fmt.Errorf("KEYWAVE_WEBHOOK_FORMAT is %q; use %s or %s", c.Format, JSON, Slack))
	}
	return errors.Join(found...)
}

// Webhook is a receiver.
type Webhook struct {
	config Config
	client *http.Client
	now    func() time.Time
}

// timeout of one attempt.
const timeout = 10 * time.Second

// New makes a Webhook of a valid Config.
func New(c Config) *Webhook {
	return &Webhook{config: c, now: time.Now, client: &http.Client{
		Timeout:       timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Notify posts the notice once.
func (w *Webhook) Notify(ctx context.Context, n rotation.Notice) error {
	body, err := w.body(n)
	if err != nil {
		return &rotation.RefusedError{Why: "the notice cannot be written as JSON"}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.config.URL, bytes.NewReader(body))
	if err != nil {
		return &rotation.RefusedError{Why: "the webhook's address is not one"}
	}
	request.Header.Set("Content-Type", "application/json")
	if w.config.Secret != "" {
		request.Header.Set(SignatureHeader, w.sign(body))
	}
	answer, err := w.client.Do(request)
	if err != nil {
		return fmt.Errorf("the webhook was not reached: %w", withoutAddress(err))
	}
	defer func() { _ = answer.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 64<<10))
	switch code := answer.StatusCode; {
	case code >= 200 && code <= 299:
		return nil
	case code >= 500 || code == http.StatusTooManyRequests || code == http.StatusRequestTimeout:
		return fmt.Errorf("the webhook answered %s", answer.Status)
	}
	return &rotation.RefusedError{Why: fmt.Sprintf("the webhook answered %s; check KEYWAVE_WEBHOOK_URL and its format", answer.Status)}
}

// body is what is sent. JSON is for machines, which often hand its sentences on
// to people: those are one line without what cannot be seen.
func (w *Webhook) body(n rotation.Notice) ([]byte, error) {
	if w.config.Format != Slack {
		n.Campaign, n.State = harmless.Terminal(n.Campaign), harmless.Terminal(n.State)
		n.Text, n.Next = harmless.Terminal(n.Text), harmless.Terminal(n.Next)
		return json.Marshal(n)
	}
	text := harmless.Sprintf(harmless.Slack, "*%s* %s: %s", n.Campaign, n.State, n.Text)
	if n.Next != "" {
		text += harmless.Sprintf(harmless.Slack, "\n`%s`", n.Next)
	}
	return json.Marshal(map[string]string{"text": text})
}

func (w *Webhook) sign(body []byte) string {
	at := fmt.Sprint(w.now().Unix())
	mac := hmac.New(sha256.New, []byte(w.config.Secret))
	mac.Write([]byte(at + "."))
	mac.Write(body)
	return "t=" + at + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}

// withoutAddress keeps what happened: url.Error would print the address.
func withoutAddress(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		if e.Timeout() {
			return fmt.Errorf("no answer within %s", timeout)
		}
		return e.Err
	}
	return err
}
