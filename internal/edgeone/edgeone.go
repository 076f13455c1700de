// Package edgeone speaks to one account's EdgeOne API, and promises four
// things of every call: it waits for the account's pace; it is made only while
// this process holds the account's lease; it sends at most one request; and
// what comes back is a key in custody or an error that says whether the request
// may have been executed.
//
// It is the only importer of Tencent's SDK. The SDK's errors can hold a whole
// response body, and so the new key: none of them leaves this package, nor any
// message or response text. A code and a request ID are all that is kept, and
// these only when they have the shape of one.
package edgeone

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/profile"
	teo "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/teo/v20220901"

	"keywave/internal/rotation"
)

// The API actions that are called. The account's limit holds for each of them
// on its own.
const (
	ActionRefresh  = "RefreshMultiPathGatewaySecretKey"
	ActionModify   = "ModifyMultiPathGatewaySecretKey"
	ActionDescribe = "DescribeMultiPathGatewaySecretKey"
	ActionZones    = "DescribeZones"
	ActionGateways = "DescribeMultiPathGateways"
)

// DefaultLimit is how many calls of one action EdgeOne allows an account in a
// second ("A maximum of 20 requests can be initiated per second for this API",
// on every API page).
const DefaultLimit = 20

// Config says whose API is called, and how.
type Config struct {
	// Endpoint is "https://host[:port]" or a bare host, which means https.
	// http:// is accepted for a loopback address only: answers hold keys.
	Endpoint string
	// Credentials gives the credential that each request is signed with.
	Credentials Provider
	// Pace is the account's pace; nil means a new one of DefaultLimit.
	Pace *Pace
	// Gate is asked after the limiter, before signing, and once more when the
	// request is about to be written; its error is returned as is, and nothing
	// is sent. nil means always open.
	Gate func() error
	// ReadsAfter is how long Describe must still wait, whatever the pace says: another
	// process may be reading in this one's place. It is asked where Gate is. nil is not
	// at all.
	ReadsAfter func() time.Duration
	// Timeout bounds a call from its signing to the end of the answer; 0 means
	// 10 s. Waiting for the pace comes before and is bounded by the context
	// alone.
	Timeout time.Duration
	// Clock is called when this machine's clock is off by more than
	// rotation.ClockOff, again now and then while it stays so, and once when it is
	// right again. If it is nil, nobody is told.
	Clock func(ahead time.Duration)
	// Called is called with each call's action and class. The class is "" if the
	// answer was no error. Waited is called with the time that a call waited for its
	// turn. If one is nil, nobody is told.
	Called func(action string, class rotation.Class)
	Waited func(time.Duration)
	// RequestClient tells EdgeOne who calls, besides the SDK's
	// name: letters, digits, "-_ ,;." and at most 128 of them; "" means
	// "keywave".
	RequestClient string
}

const (
	defaultTimeout  = 10 * time.Second
	defaultPatience = 250 * time.Millisecond
)

// Client is one account's API. It may be used by many goroutines at once.
type Client struct {
	pace    *Pace
	gate    func() error
	after   func() time.Duration
	timeout time.Duration
	// patience is the first wait before a page of a listing is asked for again; it
	// doubles.
	patience time.Duration
	signer   *signer
	clock    clock
	called   func(action string, class rotation.Class)
	waited   func(time.Duration)
	conns    *http.Transport
	sdk      sdk
}

var _ rotation.EdgeOne = (*Client)(nil)

// sdk is the part of Tencent's client that is used. Functions instead of the
// client itself: a *teo.Client within reach of an interface value would link
// all of its 300 methods into every binary that has reflection.
type sdk struct {
	refresh  func(ctx context.Context, zone string) (key, requestID *string, err error)
	modify   func(ctx context.Context, zone, key string) (requestID *string, err error)
	describe func(ctx context.Context, zone string) (key, requestID *string, err error)
	zones    func(ctx context.Context, req *teo.DescribeZonesRequest) (*teo.DescribeZonesResponseParams, error)
	gateways func(ctx context.Context, req *teo.DescribeMultiPathGatewaysRequest) (*teo.DescribeMultiPathGatewaysResponseParams, error)
}

// New checks the configuration and connects to nothing yet.
func New(c Config) (*Client, error) {
	scheme, host, err := parseEndpoint(c.Endpoint)
	if err != nil {
		return nil, err
	}
	if c.Credentials == nil {
		return nil, errors.New("EdgeOne: no credentials were configured")
	}
	name := cmp.Or(c.RequestClient, "keywave")
	if !requestClientShape.MatchString(name) {
		return nil, fmt.Errorf("EdgeOne: request client %q: only letters, digits and \"-_ ,;.\" are allowed, at most 128", name)
	}
	client := &Client{
		pace:     c.Pace,
		gate:     orOpen(c.Gate),
		after:    orNow(c.ReadsAfter),
		timeout:  cmp.Or(c.Timeout, defaultTimeout),
		patience: defaultPatience,
		signer:   &signer{from: c.Credentials},
		clock:    clock{tell: c.Clock},
		called:   c.Called,
		waited:   c.Waited,
		conns:    newConns(),
	}
	if client.pace == nil {
		client.pace = NewPace(DefaultLimit)
	}
	client.sdk, err = newSDK(scheme, host, name, client.signer, &guard{client.conns})
	return client, err
}

var requestClientShape = regexp.MustCompile(`^[0-9a-zA-Z\-_ ,;.]{1,128}$`)

func orOpen(gate func() error) func() error {
	if gate != nil {
		return gate
	}
	return func() error { return nil }
}

func orNow(after func() time.Duration) func() time.Duration {
	if after != nil {
		return after
	}
	return func() time.Duration { return 0 }
}

// parseEndpoint splits an endpoint into scheme and host[:port].
func parseEndpoint(endpoint string) (scheme, host string, err error) {
	full := endpoint
	if !strings.Contains(full, "://") {
		full = "https://" + full
	}
	u, err := url.Parse(full)
	switch {
	case err != nil || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return "", "", fmt.Errorf("EdgeOne: endpoint %q is not a host, https://host or http://127.0.0.1:PORT", endpoint)
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return "", "", fmt.Errorf("EdgeOne: endpoint %q: answers hold keys, so plain http:// is for a simulator on this machine only (127.0.0.1, ::1, localhost)", endpoint)
	case u.Scheme != "http" && u.Scheme != "https":
		return "", "", fmt.Errorf("EdgeOne: endpoint %q: the scheme must be https (or http for a simulator on this machine)", endpoint)
	}
	return u.Scheme, u.Host, nil
}

func loopback(host string) bool {
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

// newProfile sets the SDK up so that it sends once and says nothing: no retries,
// no breaker (it would switch to another endpoint), no debug output.
func newProfile(scheme, host string) *profile.ClientProfile {
	p := profile.NewClientProfile()
	p.HttpProfile.Scheme = scheme
	p.HttpProfile.Endpoint = host
	p.HttpProfile.ReqTimeout = 0 // each call's context has the timeout
	p.Language = "en-US"
	p.Debug = false
	p.DisableRegionBreaker = true
	p.NetworkFailureMaxRetries = 0
	p.RateLimitExceededMaxRetries = 0
	p.UnsafeRetryOnConnectionFailure = false
	return p
}

func newSDK(scheme, host, name string, signer *signer, through http.RoundTripper) (sdk, error) {
	client, err := teo.NewClient(signer, "", newProfile(scheme, host))
	if err != nil {
		return sdk{}, errors.New("EdgeOne: the SDK refused its configuration")
	}
	client.WithHttpTransport(through)
	client.WithRequestClient(name)
	return sdk{
		refresh: func(ctx context.Context, zone string) (*string, *string, error) {
			req := teo.NewRefreshMultiPathGatewaySecretKeyRequest()
			req.ZoneId = &zone
			resp, err := client.RefreshMultiPathGatewaySecretKeyWithContext(ctx, req)
			if err != nil || resp == nil || resp.Response == nil {
				return nil, nil, err
			}
			return resp.Response.SecretKey, resp.Response.RequestId, nil
		},
		modify: func(ctx context.Context, zone, key string) (*string, error) {
			req := teo.NewModifyMultiPathGatewaySecretKeyRequest()
			req.ZoneId, req.SecretKey = &zone, &key
			resp, err := client.ModifyMultiPathGatewaySecretKeyWithContext(ctx, req)
			if err != nil || resp == nil || resp.Response == nil {
				return nil, err
			}
			return resp.Response.RequestId, nil
		},
		describe: func(ctx context.Context, zone string) (*string, *string, error) {
			req := teo.NewDescribeMultiPathGatewaySecretKeyRequest()
			req.ZoneId = &zone
			resp, err := client.DescribeMultiPathGatewaySecretKeyWithContext(ctx, req)
			if err != nil || resp == nil || resp.Response == nil {
				return nil, nil, err
			}
			return resp.Response.SecretKey, resp.Response.RequestId, nil
		},
		zones: func(ctx context.Context, req *teo.DescribeZonesRequest) (*teo.DescribeZonesResponseParams, error) {
			resp, err := client.DescribeZonesWithContext(ctx, req)
			if err != nil || resp == nil {
				return nil, err
			}
			return resp.Response, nil
		},
		gateways: func(ctx context.Context, req *teo.DescribeMultiPathGatewaysRequest) (*teo.DescribeMultiPathGatewaysResponseParams, error) {
			resp, err := client.DescribeMultiPathGatewaysWithContext(ctx, req)
			if err != nil || resp == nil {
				return nil, err
			}
			return resp.Response, nil
		},
	}, nil
}

// Refresh implements rotation.EdgeOne. An answer without a usable key is
// Ambiguous: the old key is most likely dead. Credentials that cannot be read
// are a *CredentialError, which is also an *rotation.APIError of class Denied.
func (c *Client) Refresh(ctx context.Context, zone rotation.ZoneID, ready func() error) (rotation.Secret, rotation.Receipt, error) {
	var key *string
	receipt, err := c.call(ctx, ActionRefresh, ready, func(ctx context.Context) (id *string, err error) {
		key, id, err = c.sdk.refresh(ctx, string(zone))
		return id, err
	})
	if err != nil {
		return rotation.Secret{}, receipt, err
	}
	secret, err := custody(key, receipt)
	if err == nil && secret.IsZero() {
		err = &rotation.APIError{Class: rotation.Ambiguous, Code: codeNoKey, RequestID: receipt.RequestID}
	}
	return secret, receipt, err
}

// Describe implements rotation.EdgeOne: a key that is null, empty or
// ResourceNotFound is no key, and no error.
func (c *Client) Describe(ctx context.Context, zone rotation.ZoneID) (rotation.Secret, rotation.Receipt, error) {
	var key *string
	receipt, err := c.whenMayRead(ctx, func() (rotation.Receipt, error) {
		return c.call(ctx, ActionDescribe, nil, func(ctx context.Context) (id *string, err error) {
			key, id, err = c.sdk.describe(ctx, string(zone))
			return id, err
		})
	})
	if api, ok := errors.AsType[*rotation.APIError](err); ok && api.Class == rotation.Refused && under(api.Code, "ResourceNotFound") {
		return rotation.Secret{}, receipt, nil
	}
	if err != nil {
		return rotation.Secret{}, receipt, err
	}
	secret, err := custody(key, receipt)
	return secret, receipt, err
}

// errReadLater says that another process may be reading in this one's place.
var errReadLater = errors.New("this process may not read now; nothing was sent")

// lookAgain is how often it is asked whether reads may be made again.
const lookAgain = 100 * time.Millisecond

// whenMayRead makes a call when this process may read, and again where it might not any more
// when its turn came.
func (c *Client) whenMayRead(ctx context.Context, call func() (rotation.Receipt, error)) (rotation.Receipt, error) {
	for {
		if err := c.awaitReads(ctx); err != nil {
			return rotation.Receipt{}, err
		}
		if receipt, err := call(); !errors.Is(err, errReadLater) {
			return receipt, err
		}
	}
}

// awaitReads waits until reads may be made. Whoever has lost its lease does not wait.
func (c *Client) awaitReads(ctx context.Context) error {
	for after := c.after(); after > 0; after = c.after() {
		if err := c.gate(); err != nil {
			return err
		}
		if _, err := sleep(ctx, min(after, lookAgain), nil); err != nil {
			return err
		}
	}
	return nil
}

// gateOf is what is asked before a call of the action leaves.
func (c *Client) gateOf(action string) func() error {
	if action != ActionDescribe {
		return c.gate
	}
	return func() error {
		if err := c.gate(); err != nil {
			return err
		}
		if c.after() > 0 {
			return errReadLater
		}
		return nil
	}
}

// Close drops idle connections.
func (c *Client) Close() error {
	c.conns.CloseIdleConnections()
	return nil
}

// call makes one paced call of an action, and judges what came of it. send
// returns the answer's request ID.
func (c *Client) call(ctx context.Context, action string, ready func() error, send func(context.Context) (*string, error)) (rotation.Receipt, error) {
	arrived := time.Now()
	if err := c.pace.wait(ctx, action); err != nil {
		return rotation.Receipt{}, err
	}
	if c.waited != nil {
		c.waited(time.Since(arrived))
	}
	load, gate := func() error { return c.signer.load(ctx) }, c.gateOf(action)
	for _, check := range []func() error{load, ctx.Err, gate, orOpen(ready)} {
		if err := check(); err != nil {
			return rotation.Receipt{}, err
		}
	}
	bounded, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	x := &exchange{action: action, pace: c.pace, gate: gate, cancel: cancel}
	id, err := safely(x.within(bounded), send)
	receipt, err := c.judge(ctx, x, id, err)
	c.count(action, err)
	return receipt, err
}

// count tells of a call that EdgeOne, or the way to it, had a word in; one that this
// process itself held back is none.
func (c *Client) count(action string, err error) {
	var class rotation.Class
	if api, is := errors.AsType[*rotation.APIError](err); is {
		class = api.Class
	} else if err != nil {
		return
	}
	if c.called != nil {
		c.called(action, class)
	}
}

// safely turns a panic of the SDK into an error: a body of "null" is enough for
// one (common v1.3.210, http/response.go:135), and a panic's text could hold
// anything.
func safely(ctx context.Context, send func(context.Context) (*string, error)) (id *string, err error) {
	defer func() {
		if recover() != nil {
			id, err = nil, errPanic
		}
	}()
	return send(ctx)
}

// judge says what an exchange means, from what was written and what was heard.
func (c *Client) judge(ctx context.Context, x *exchange, id *string, err error) (rotation.Receipt, error) {
	written, receipt, stopped := x.seal()
	said := hear(id, err)
	if !written {
		return rotation.Receipt{}, unwritten(ctx, stopped, said)
	}
	receipt.RequestID = cleanRequestID(said.requestID)
	if said.requestID == "" {
		// Only EdgeOne's own answers have a request ID; without one, nobody
		// who knows has spoken.
		return receipt, &rotation.APIError{Class: rotation.Ambiguous, Code: said.code}
	}
	c.clock.saw(receipt, time.Now())
	if err == nil {
		return receipt, nil
	}
	class := classOf(said.code)
	if class == rotation.Throttled {
		c.pace.throttled(x.action, receipt.Signed)
	}
	if under(said.code, "AuthFailure.TokenFailure") || under(said.code, "AuthFailure.SecretIdNotFound") {
		c.signer.refused()
	}
	return receipt, &rotation.APIError{Class: class, Code: said.code, RequestID: receipt.RequestID}
}

// unwritten is the error of a request of which no byte was written.
func unwritten(ctx context.Context, stopped error, said heard) error {
	if stopped != nil {
		return stopped
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	class := classOf(said.code)
	if class == rotation.Ambiguous {
		class = rotation.Unsent
	}
	return &rotation.APIError{Class: class, Code: said.code}
}

// maxKey bounds what is believed to be a key: documented ones have 44 to 64
// characters.
const maxKey = 1024

// custody takes an answer's key; none is the zero Secret. What could not stand
// in a host's key file as one line is not a key.
func custody(key *string, receipt rotation.Receipt) (rotation.Secret, error) {
	if key == nil || *key == "" {
		return rotation.Secret{}, nil
	}
	if len(*key) > maxKey || !graphic(*key) {
		return rotation.Secret{}, &rotation.APIError{Class: rotation.Ambiguous, Code: codeBadKey, RequestID: receipt.RequestID}
	}
	return rotation.NewSecret(*key), nil
}

// graphic says that s is printable ASCII without spaces.
func graphic(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// signer hands the SDK the credential of the moment. It is loaded before each
// call, because the SDK has no place for an error while it signs.
type signer struct {
	from    Provider
	current atomic.Pointer[Credential]
}

func (s *signer) load(ctx context.Context) error {
	credential, err := s.from.Credential(ctx)
	if err != nil {
		return err
	}
	s.current.Store(&credential)
	return nil
}

// refused tells who gave the credential that it is not accepted any more.
func (s *signer) refused() {
	if from, can := s.from.(interface{ refused(id string) }); can {
		from.refused(s.current.Load().id)
	}
}

// GetCredential is asked once by the SDK for each signature.
func (s *signer) GetCredential() (id, key, token string) {
	c := s.current.Load()
	return c.id, c.key.Expose(), c.token.Expose()
}

// GetSecretId is the first part of GetCredential.
func (s *signer) GetSecretId() string { id, _, _ := s.GetCredential(); return id }

// GetSecretKey is the second part of GetCredential.
func (s *signer) GetSecretKey() string { _, key, _ := s.GetCredential(); return key }

// GetToken is the third part of GetCredential.
func (s *signer) GetToken() string { _, _, token := s.GetCredential(); return token }
