// Package notify tells people elsewhere what happens to a campaign. It sends an
// HTTP POST with signed JSON, or a message in the form that the incoming
// webhooks of a chat take (Slack and those that imitate it, WeCom, DingTalk,
// Feishu). The receiver's address is often a secret, so no error holds it.
package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"keywave/internal/rotation"
)

// Config says whom to tell, and how.
type Config struct {
	URL string
	// Format is one of Formats. Empty means the one that belongs to the URL's
	// host.
	Format string
	// Secret signs notices in the format's own way. Empty means no signature.
	Secret string
}

// Validate reports every mistake at once.
func (c Config) Validate() error {
	var found []error
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		found = append(found, errors.New("KEYWAVE_WEBHOOK_URL is not an http:// or https:// address"))
	}
	switch f, known := c.form(); {
	case !known:
		found = append(found, fmt.Errorf("KEYWAVE_WEBHOOK_FORMAT is %q; use one of %s", c.Format, strings.Join(Formats(), ", ")))
	case c.Secret != "" && f.signed == nil:
		found = append(found, fmt.Errorf("KEYWAVE_WEBHOOK_SECRET is set, and the format %s has no signature; unset it", f.name))
	}
	return errors.Join(found...)
}

// Webhook is a receiver of notices.
type Webhook struct {
	config Config
	form   form
	client *http.Client
	now    func() time.Time
}

// timeout ends one attempt.
const timeout = 10 * time.Second

// New makes a Webhook of a valid Config.
func New(c Config) *Webhook {
	f, _ := c.form()
	return &Webhook{config: c, form: f, now: time.Now, client: &http.Client{
		Timeout:       timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Notify posts the notice once.
func (w *Webhook) Notify(ctx context.Context, n rotation.Notice) error {
	request, err := w.request(ctx, n)
	if err != nil {
		return &rotation.RefusedError{Why: "the notice or the webhook's address cannot be written as HTTP"} // err may show the address
	}
	answer, err := w.client.Do(request)
	if err != nil {
		return fmt.Errorf("the webhook was not reached: %w", withoutAddress(err))
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 64<<10))
	switch code := answer.StatusCode; {
	case code >= 200 && code <= 299 && w.form.verdict == nil:
		return nil
	case code >= 200 && code <= 299 && err != nil:
		return fmt.Errorf("the webhook's answer was cut off: %w", err)
	case code >= 200 && code <= 299:
		return w.judge(body)
	case code >= 500 || code == http.StatusTooManyRequests || code == http.StatusRequestTimeout:
		return fmt.Errorf("the webhook answered %s", answer.Status)
	}
	return &rotation.RefusedError{Why: fmt.Sprintf("the webhook answered %s; check KEYWAVE_WEBHOOK_URL and its format (%s)", answer.Status, w.form.name)}
}

// request is the notice in its form, signed where there is a secret.
func (w *Webhook) request(ctx context.Context, n rotation.Notice) (*http.Request, error) {
	m := message{address: w.config.URL, header: http.Header{"Content-Type": {"application/json"}}, fields: w.form.fields(n)}
	if w.config.Secret != "" {
		w.form.signed(&m, w.config.Secret, w.now())
	}
	body, err := json.Marshal(m.fields)
	if err != nil {
		return nil, err
	}
	if m.seal != nil {
		m.seal(body)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, m.address, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header = m.header
	return request, nil
}

// withoutAddress says what happened, but not where: a url.Error would print the
// address.
func withoutAddress(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		if e.Timeout() {
			return fmt.Errorf("no answer within %s", timeout)
		}
		return e.Err
	}
	return err
}
