package edgeone

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"keywave/internal/rotation"
)

// TestMain collects what net/http and the SDK write to the standard logger, and
// fails when it contains a secret.
func TestMain(m *testing.M) {
	var said lockedBuffer
	log.SetOutput(&said)
	code := m.Run()
	for _, secret := range []string{planted, planted[:20], planted[len(planted)-20:], testKey, testToken} {
		if strings.Contains(said.String(), secret) {
			fmt.Fprintf(os.Stderr, "the standard logger was told %q\n", secret)
			code = 1
		}
	}
	os.Exit(code)
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestRefreshGivesTheKeyInCustody(t *testing.T) {
	s := serve(t, respond(200, keyAnswer))
	c := connect(t, s.endpoint())
	before := time.Now()
	key, receipt, err := c.Refresh(t.Context(), zone, nil)
	if err != nil {
		t.Fatal(err)
	}
	if key.Expose() != planted {
		t.Error("not the key that was answered")
	}
	if receipt.RequestID != requestID {
		t.Errorf("request ID %q", receipt.RequestID)
	}
	executed := s.executed()
	if len(executed) != 1 {
		t.Fatalf("%d requests", len(executed))
	}
	if receipt.Signed.Before(before) || receipt.Signed.After(executed[0].at) {
		t.Errorf("signed %v, called %v, arrived %v", receipt.Signed, before, executed[0].at)
	}
	want := map[string]string{
		"X-Tc-Action": ActionRefresh, "X-Tc-Version": "2022-09-01", "X-Tc-Language": "en-US",
		"X-Tc-Requestclient": "SDK_GO_1.3.210: keywave", "X-Idempotency-Key": "",
	}
	for name, value := range want {
		if got := executed[0].header.Get(name); got != value {
			t.Errorf("%s: %q, want %q", name, got, value)
		}
	}
	if len(executed[0].body) != 1 || executed[0].body["ZoneId"] != string(zone) {
		t.Errorf("body %v", executed[0].body)
	}
}

func gzipped(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	io.WriteString(w, s)
	w.Close()
	return b.String()
}

func deflated(s string) string {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestSpeed)
	io.WriteString(w, s)
	w.Close()
	return b.String()
}

// badDay is an answer, and what it means for a refresh.
type badDay struct {
	name   string
	answer answer
	class  rotation.Class // "" is success
	code   string
	id     string
}

// bound gives a call a short time if the day never answers it.
func (d badDay) bound(c *Config) {
	if strings.HasSuffix(d.code, ".Timeout") {
		quickly(c)
	}
}

// badDays is the reference's table of measured mappings, and what else is
// known. Each server here has executed the call.
func badDays() []badDay {
	const ambiguous = rotation.Ambiguous
	return []badDay{
		{"reset before the answer", reset, ambiguous, "ClientError.NetworkError.Reset", ""},
		{"closed before the answer", func(net.Conn, seen) bool { return false }, ambiguous, "ClientError.NetworkError.Closed", ""},
		{"silence", stall(nil), ambiguous, "ClientError.NetworkError.Timeout", ""},
		{"body cut", cut(keyAnswer, len(keyAnswer)+9), ambiguous, "ClientError.NetworkError.Closed", ""},
		{"body stalls", stall(cut(keyAnswer, len(keyAnswer)+9)), ambiguous, "ClientError.NetworkError.Timeout", ""},
		{"truncated JSON of the right length", respond(200, keyAnswer[:len(keyAnswer)-2]), ambiguous, "ClientError.ParseJsonError", ""},
		{"500 with the key", respond(500, keyAnswer), ambiguous, "ClientError.HttpStatusCodeError", ""},
		{"502 in HTML", respond(502, "<html>"+planted+"</html>"), ambiguous, "ClientError.ParseJsonError", ""},
		{"502 without a body", respond(502, ""), ambiguous, "ClientError.ParseJsonError", ""},
		{"{}", respond(200, "{}"), ambiguous, codeNoAnswer, ""},
		{"empty Response", respond(200, `{"Response":{}}`), ambiguous, codeNoAnswer, ""},
		{"null Response", respond(200, `{"Response":null}`), ambiguous, codeNoAnswer, ""},
		{"null, which makes the SDK panic", respond(200, `null`), ambiguous, codeBadAnswer, ""},
		{"no key", respond(200, noKey), ambiguous, codeNoKey, requestID},
		{"empty key", respond(200, strings.Replace(keyAnswer, planted, "", 1)), ambiguous, codeNoKey, requestID},
		{"a key of two lines", respond(200, strings.Replace(keyAnswer, planted, planted+`\n`, 1)), ambiguous, codeBadKey, requestID},
		{"an endless key", respond(200, strings.Replace(keyAnswer, planted, strings.Repeat("A", maxKey+1), 1)), ambiguous, codeBadKey, requestID},
		{"a key without request ID", respond(200, `{"Response":{"SecretKey":"`+planted+`"}}`), ambiguous, codeNoAnswer, ""},
		{"throttled", failing("RequestLimitExceeded"), rotation.Throttled, "RequestLimitExceeded", requestID},
		{"refused", failing("InvalidParameter.ZoneNotFound"), rotation.Refused, "InvalidParameter.ZoneNotFound", requestID},
		{"locked", failing("OperationDenied.ConfigLocked"), rotation.Locked, "OperationDenied.ConfigLocked", requestID},
		{"denied", failing("AuthFailure.SecretIdNotFound"), rotation.Denied, "AuthFailure.SecretIdNotFound", requestID},
		{"clock", failing("AuthFailure.SignatureExpire"), rotation.Unsent, "AuthFailure.SignatureExpire", requestID},
		{"internal error", failing("InternalError"), ambiguous, "InternalError", requestID},
		{"a code nobody knows", failing("MoonPhase.Wrong"), ambiguous, "MoonPhase.Wrong", requestID},
		{"an error with status 500", respond(500, `{"Response":{"Error":{"Code":"RequestLimitExceeded"},"RequestId":"`+requestID+`"}}`), rotation.Throttled, "RequestLimitExceeded", requestID},
		{"an error without request ID", respond(200, `{"Response":{"Error":{"Code":"RequestLimitExceeded"}}}`), ambiguous, "RequestLimitExceeded", ""},
		{"an error of the old form", respond(200, `{"code":4000,"codeDesc":"AuthFailure","message":"`+planted+`"}`), ambiguous, "AuthFailure", ""},
		{"the key as code", failing(planted), ambiguous, codeUnknown, requestID},
		{"the key as sub-code", failing("InvalidParameter." + planted), rotation.Refused, "InvalidParameter", requestID},
		{"the key as request ID", respond(200, `{"Response":{"Error":{"Code":"InternalError"},"RequestId":"`+planted+`"}}`), ambiguous, "InternalError", ""},
		{"redirect to itself", respond(307, "", "Location: /again"), ambiguous, "ClientError.NetworkError.Redirect", ""},
		{"redirect with the key", respond(302, keyAnswer, "Location: /"+planted), ambiguous, "ClientError.NetworkError.Redirect", ""},
		{"not HTTP", func(conn net.Conn, _ seen) bool { io.WriteString(conn, planted+"\r\n\r\n"); return false }, ambiguous, "ClientError.NetworkError", ""},
		{"too large", respond(200, `{"Response":{"SecretKey":"`+planted+strings.Repeat(" ", maxAnswer)+`"}}`), ambiguous, "ClientError.NetworkError.TooLarge", ""},
		{"gzip bomb", respond(200, gzipped(`{"Response":{"SecretKey":"`+planted+strings.Repeat(" ", 20*maxAnswer)+`"}}`), "Content-Encoding: gzip"), ambiguous, "ClientError.NetworkError.TooLarge", ""},
		{"gzip cut", respond(200, gzipped(keyAnswer)[:60], "Content-Encoding: gzip"), ambiguous, "ClientError.NetworkError.Closed", ""},
		{"deflate, unasked", respond(200, deflated(keyAnswer), "Content-Encoding: deflate"), ambiguous, "ClientError.NetworkError.Encoding", ""},
		{"gzip", respond(200, gzipped(keyAnswer), "Content-Encoding: gzip"), "", "", requestID},
		{"said to be an event stream", func(conn net.Conn, _ seen) bool {
			fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n%s", len(keyAnswer), keyAnswer)
			return true
		}, "", "", requestID},
	}
}

func TestBadDays(t *testing.T) {
	for _, day := range badDays() {
		t.Run(day.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, day.answer)
			c := connect(t, s.endpoint(), day.bound)
			key, receipt, err := c.Refresh(t.Context(), zone, nil)
			betrays(t, err)
			if n := len(s.executed()); n != 1 {
				t.Errorf("executed %d times", n)
			}
			if receipt.Signed.IsZero() {
				t.Error("it was sent, but the receipt does not say when")
			}
			if day.class == "" {
				if err != nil || key.Expose() != planted {
					t.Fatalf("err %v", err)
				}
				return
			}
			api, ok := errors.AsType[*rotation.APIError](err)
			if !ok {
				t.Fatalf("%T: %v", err, err)
			}
			if want := (rotation.APIError{Class: day.class, Code: day.code, RequestID: day.id}); *api != want {
				t.Errorf("got  %+v\nwant %+v", *api, want)
			}
			if receipt.RequestID != day.id {
				t.Errorf("receipt has request ID %q, want %q", receipt.RequestID, day.id)
			}
			if !key.IsZero() {
				t.Error("a key came with the error")
			}
		})
	}
}

// A server that sends more than it announced makes net/http write to the
// standard logger. TestMain checks what it wrote.
func TestSurplusIsNotLogged(t *testing.T) {
	for name, announced := range map[string]int{"twice": len(keyAnswer), "cut in the key": strings.Index(keyAnswer, planted)} {
		t.Run(name, func(t *testing.T) {
			closed := make(chan struct{})
			s := serve(t, func(conn net.Conn, _ seen) bool {
				defer close(closed)
				return stall(cut(keyAnswer+keyAnswer, announced))(conn, seen{})
			})
			_, _, err := connect(t, s.endpoint()).Refresh(t.Context(), zone, nil)
			betrays(t, err)
			<-closed // by the client, after it has logged
			if said := log.Writer().(*lockedBuffer).String(); !strings.Contains(said, "Unsolicited response") {
				t.Error("net/http did not notice the surplus: this test tests nothing any more")
			}
		})
	}
}

func TestDescribeKnowsNoKeyFromNoAnswer(t *testing.T) {
	for _, day := range []struct {
		name   string
		answer answer
		key    string
		fails  bool
	}{
		{"a key", respond(200, keyAnswer), planted, false},
		{"null key", respond(200, `{"Response":{"SecretKey":null,"RequestId":"`+requestID+`"}}`), "", false},
		{"absent key", respond(200, noKey), "", false},
		{"empty key", respond(200, strings.Replace(keyAnswer, planted, "", 1)), "", false},
		{"not found", failing("ResourceNotFound"), "", false},
		{"not found, sub-code", failing("ResourceNotFound.SecretKey"), "", false},
		{"no Response", respond(200, "{}"), "", true},
		{"Response without request ID", respond(200, `{"Response":{}}`), "", true},
		{"not found, but by whom", respond(404, `{"Response":{"Error":{"Code":"ResourceNotFound"}}}`), "", true},
		{"500 with the key", respond(500, keyAnswer), "", true},
		{"refused", failing("InvalidParameter"), "", true},
	} {
		t.Run(day.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, day.answer)
			key, _, err := connect(t, s.endpoint()).Describe(t.Context(), zone)
			betrays(t, err)
			if (err != nil) != day.fails || key.Expose() != day.key {
				t.Errorf("zero key: %v, err: %v", key.IsZero(), err)
			}
			if err == nil && s.executed()[0].action != ActionDescribe {
				t.Errorf("action %s", s.executed()[0].action)
			}
		})
	}
}

func TestNothingListens(t *testing.T) {
	s := serve(t, respond(200, keyAnswer))
	s.listener.Close()
	_, receipt, err := connect(t, s.endpoint()).Refresh(t.Context(), zone, nil)
	wantAPI(t, err, rotation.Unsent, "ClientError.NetworkError.Dial")
	if !receipt.Signed.IsZero() {
		t.Error("nothing was sent, but the receipt says when")
	}
}

func wantAPI(t *testing.T, err error, class rotation.Class, code string) {
	t.Helper()
	betrays(t, err)
	api, ok := errors.AsType[*rotation.APIError](err)
	if !ok || api.Class != class || api.Code != code {
		t.Errorf("got %v, want %s of class %s", err, code, class)
	}
}

func TestTLS(t *testing.T) {
	var calls atomic.Int32
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		body, _ := io.ReadAll(r.Body)
		if err := checkTC3(r, body); err != nil {
			t.Errorf("signature: %v", err)
		}
		io.WriteString(w, keyAnswer)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(s.Close)
	address := s.Listener.Addr().String() // a bare host means https

	_, _, err := connect(t, address).Refresh(t.Context(), zone, nil)
	wantAPI(t, err, rotation.Unsent, "ClientError.NetworkError.TLS")
	if calls.Load() != 0 {
		t.Fatal("a server that nobody vouches for got the request")
	}

	c := connect(t, address, func(c *Config) { c.Pace = NewPace(1000) })
	c.conns.TLSClientConfig.RootCAs = x509.NewCertPool()
	c.conns.TLSClientConfig.RootCAs.AddCert(s.Certificate())
	for range 3 {
		key, _, err := c.Refresh(t.Context(), zone, nil)
		if err != nil || key.Expose() != planted {
			t.Fatalf("err %v", err)
		}
	}
	if n := calls.Load(); n != 3 {
		t.Errorf("%d served", n)
	}
}

// A server that is silent during the TLS handshake has seen no request.
func TestHandshakeStalls(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	c := connect(t, "https://"+listener.Addr().String(), quickly)
	_, _, err = c.Refresh(t.Context(), zone, nil)
	wantAPI(t, err, rotation.Unsent, "ClientError.NetworkError.Timeout")
}

func TestCancelledBeforeTheWrite(t *testing.T) {
	s := serve(t, respond(200, keyAnswer))
	c := connect(t, s.endpoint())
	ctx, cancel := context.WithCancel(t.Context())
	_, _, err := c.Refresh(ctx, zone, func() error { cancel(); return nil })
	if err != context.Canceled {
		t.Errorf("got %v, want the context's own error", err)
	}
	if _, _, err := c.Describe(ctx, zone); err != context.Canceled {
		t.Errorf("got %v, want the context's own error", err)
	}
	if n := len(s.executed()); n != 0 {
		t.Errorf("%d requests", n)
	}
}

func TestCancelledAfterTheWrite(t *testing.T) {
	arrived := make(chan struct{})
	s := serve(t, stall(func(net.Conn, seen) bool { close(arrived); return true }))
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	_, receipt, err := connect(t, s.endpoint()).Refresh(ctx, zone, nil)
	wantAPI(t, err, rotation.Ambiguous, "ClientError.NetworkError.Canceled")
	if receipt.Signed.IsZero() {
		t.Error("no time of signing")
	}
}

func TestReadyAndGateComeBeforeSigning(t *testing.T) {
	s := serve(t, respond(200, keyAnswer))
	no := errors.New("no")
	var order []string
	gate := error(nil)
	c := connect(t, s.endpoint(), func(c *Config) {
		c.Gate = func() error { order = append(order, "gate"); return gate }
	})
	if _, receipt, err := c.Refresh(t.Context(), zone, func() error { order = append(order, "ready"); return no }); err != no || receipt != (rotation.Receipt{}) {
		t.Errorf("got %v, want ready's own error", err)
	}
	if want := []string{"gate", "ready"}; !slices.Equal(order, want) {
		t.Errorf("asked %v, want %v", order, want)
	}
	gate = &NotHeldError{}
	if _, _, err := c.Refresh(t.Context(), zone, nil); err != gate {
		t.Errorf("got %v, want the gate's own error", err)
	}
	if n := len(s.executed()); n != 0 {
		t.Errorf("%d requests", n)
	}
}

// A process that was frozen after signing is stopped by the gate, and sends
// nothing, also not on another open connection.
func TestGateIsAskedOnceMoreAtTheWrite(t *testing.T) {
	var together sync.WaitGroup
	together.Add(3)
	s := serve(t, func(conn net.Conn, r seen) bool {
		together.Done()
		together.Wait() // so that three connections are opened
		return respond(200, keyAnswer)(conn, r)
	})
	lease := &Lease{}
	lease.Extend(time.Now(), time.Hour)
	var asked atomic.Int32
	c := connect(t, s.endpoint(), func(c *Config) {
		c.Gate = func() error { asked.Add(1); return lease.Valid() }
	})
	var warm sync.WaitGroup
	for range 3 {
		warm.Go(func() {
			if _, _, err := c.Refresh(t.Context(), zone, nil); err != nil {
				t.Error(err)
			}
		})
	}
	warm.Wait()
	asked.Store(0)
	_, receipt, err := c.Refresh(t.Context(), zone, func() error { lease.Drop(); return nil })
	if _, ok := err.(*NotHeldError); !ok {
		t.Errorf("got %v, want *NotHeldError", err)
	}
	if receipt != (rotation.Receipt{}) {
		t.Errorf("receipt %+v of a request that was not sent", receipt)
	}
	if n := asked.Load(); n != 2 {
		t.Errorf("the gate was asked %d times: before signing, at the write, and then?", n)
	}
	if n := len(s.executed()); n != 3 {
		t.Errorf("%d requests, 3 before the lease ended", n)
	}
}

// overdue is a context as a frozen process finds it: its deadline has passed,
// but its timer has not run yet.
type overdue struct{ context.Context }

func (overdue) Deadline() (time.Time, bool) { return time.Now().Add(-time.Millisecond), true }

func TestFrozenPastTheDeadline(t *testing.T) {
	x := &exchange{ctx: overdue{t.Context()}, gate: orOpen(nil)}
	if err := x.begin(); err != context.DeadlineExceeded {
		t.Errorf("got %v", err)
	}
	if written, _, _ := x.seal(); written {
		t.Error("counted as written")
	}
}

func TestSealedIsNeverWritten(t *testing.T) {
	x := &exchange{ctx: t.Context(), gate: orOpen(nil)}
	x.seal()
	if err := x.begin(); err != errSealed {
		t.Errorf("got %v", err)
	}
}

// If a connection dies during a request, net/http must not send the request
// again, because the server has executed it.
func TestDyingKeepAliveIsNotReplayed(t *testing.T) {
	for _, death := range []struct {
		name string
		dies answer
	}{
		{"reset", reset},
		{"closed", func(net.Conn, seen) bool { return false }},
	} {
		t.Run(death.name, func(t *testing.T) {
			conns := map[string]int{}
			s := serve(t, nil)
			s.answer = func(conn net.Conn, r seen) bool {
				conns[conn.RemoteAddr().String()]++
				if len(s.executed()) == 1 {
					return respond(200, keyAnswer)(conn, r)
				}
				return death.dies(conn, r)
			}
			c := connect(t, s.endpoint())
			if _, _, err := c.Refresh(t.Context(), zone, nil); err != nil {
				t.Fatal(err)
			}
			_, _, err := c.Refresh(t.Context(), zone, nil)
			api, ok := errors.AsType[*rotation.APIError](err)
			if !ok || api.Class != rotation.Ambiguous {
				t.Errorf("got %v, want an ambiguous error", err)
			}
			if n := len(s.executed()); n != 2 {
				t.Errorf("two calls, %d requests", n)
			}
			if len(conns) != 1 {
				t.Errorf("%d connections: the second call did not reuse the first's", len(conns))
			}
		})
	}
}

func TestThrottledAnswersSlowTheActionDown(t *testing.T) {
	s := serve(t, failing("RequestLimitExceeded.UinLimitExceeded"))
	c := connect(t, s.endpoint(), func(c *Config) { c.Pace = NewPace(1000) })
	_, _, err := c.Refresh(t.Context(), zone, nil)
	wantAPI(t, err, rotation.Throttled, "RequestLimitExceeded.UinLimitExceeded")
	l := c.pace.lane(ActionRefresh)
	if speed := l.speed(l.cut); speed != 0.8*0.97*1000 {
		t.Errorf("goes on at %v/s", speed)
	}
}

// Connections that take long to dial make calls late. All of them wake up at
// once, and still no second has more calls than the limit.
func TestLateCallsDoNotSqueeze(t *testing.T) {
	t.Parallel()
	const limit, calls = 40, 60
	s := serve(t, respond(200, keyAnswer))
	c := connect(t, s.endpoint(), func(c *Config) { c.Pace = NewPace(limit) })
	var granted sync.WaitGroup
	granted.Add(calls)
	dial := c.conns.DialContext
	c.conns.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		granted.Wait()
		return dial(ctx, network, address)
	}
	var all sync.WaitGroup
	for range calls {
		all.Go(func() {
			if _, _, err := c.Refresh(t.Context(), zone, func() error { granted.Done(); return nil }); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	var times []time.Time
	for _, r := range s.executed() {
		times = append(times, r.at)
	}
	if len(times) != calls {
		t.Errorf("%d of %d arrived", len(times), calls)
	}
	if n := busiest(times, time.Second); n > limit {
		t.Errorf("%d calls in one second, limit %d", n, limit)
	}
}

// busiest is the largest number of times in any sliding window.
func busiest(times []time.Time, window time.Duration) int {
	slices.SortFunc(times, time.Time.Compare)
	most := 0
	for i, j := 0, 0; i < len(times); i++ {
		for times[i].Sub(times[j]) >= window {
			j++
		}
		most = max(most, i-j+1)
	}
	return most
}

func TestEndpoints(t *testing.T) {
	for endpoint, want := range map[string]string{
		"teo.intl.tencentcloudapi.com":         "https teo.intl.tencentcloudapi.com",
		"https://teo.intl.tencentcloudapi.com": "https teo.intl.tencentcloudapi.com",
		"https://proxy.example:8443/":          "https proxy.example:8443",
		"127.0.0.1:8443":                       "https 127.0.0.1:8443",
		"http://127.0.0.1:8080":                "http 127.0.0.1:8080",
		"http://[::1]:8080":                    "http [::1]:8080",
		"http://localhost:8080":                "http localhost:8080",
		"":                                     "",
		"http://teo.example":                   "",
		"ftp://127.0.0.1":                      "",
		"https://host/path":                    "",
		"https://user@host":                    "",
		"https://host?a=b":                     "",
	} {
		scheme, host, err := parseEndpoint(endpoint)
		if got := strings.TrimSpace(scheme + " " + host); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v; want %q", endpoint, got, err, want)
		}
	}
}

func TestNewSaysWhatIsWrong(t *testing.T) {
	good := Config{Endpoint: "teo.example", Credentials: testCredential()}
	for name, change := range map[string]func(*Config){
		"endpoint":       func(c *Config) { c.Endpoint = "" },
		"credentials":    func(c *Config) { c.Credentials = nil },
		"request client": func(c *Config) { c.RequestClient = "a:b" },
	} {
		c := good
		change(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if c, err := New(good); err != nil || c.pace.limit != DefaultLimit || c.timeout != defaultTimeout {
		t.Errorf("%v", err)
	}
}

// A call counts by what came of it; one that this process held back is none.
func TestCallsAreToldByTheirClass(t *testing.T) {
	for code, want := range map[string]string{
		"":                     ActionRefresh + " ",
		"RequestLimitExceeded": ActionRefresh + " throttled",
		"InternalError":        ActionRefresh + " ambiguous",
	} {
		t.Run(code, func(t *testing.T) {
			answer := respond(200, keyAnswer)
			if code != "" {
				answer = failing(code)
			}
			var told []string
			waited, asked := 0, 0
			c := connect(t, serve(t, answer).endpoint(), func(c *Config) {
				c.Gate = func() error { // it closes before the second call is written
					if asked++; asked == 4 {
						return &NotHeldError{}
					}
					return nil
				}
				c.Called = func(action string, class rotation.Class) { told = append(told, action+" "+string(class)) }
				c.Waited = func(time.Duration) { waited++ }
			})
			_, _, _ = c.Refresh(t.Context(), zone, nil)
			_, _, _ = c.Refresh(t.Context(), zone, nil)
			if !slices.Equal(told, []string{want}) || waited != 2 || asked != 4 {
				t.Errorf("told %q, want %q; %d waits, the gate was asked %d times", told, want, waited, asked)
			}
		})
	}
}

// A read waits until this process may read, also where its turn came too late, and whoever
// has lost its lease waits for nothing. Other calls do not ask.
func TestReadsWaitUntilTheyMayBeMade(t *testing.T) {
	s := serve(t, respond(200, keyAnswer))
	const soon = time.Millisecond
	var answers []time.Duration // what is said in turn; then 0
	var asked atomic.Int32
	lease := &Lease{}
	lease.Extend(time.Now(), time.Hour)
	c := connect(t, s.endpoint(), func(c *Config) {
		c.Gate = lease.Valid
		c.ReadsAfter = func() time.Duration {
			n := int(asked.Add(1))
			if n <= len(answers) {
				return answers[n-1]
			}
			return 0
		}
	})
	for _, turns := range [][]time.Duration{
		{soon, soon},       // before it waits for its turn
		{0, soon, soon},    // when its turn has come
		{0, 0, soon, soon}, // at the write
	} {
		before := len(s.executed())
		answers = turns
		asked.Store(0)
		if _, _, err := c.Describe(t.Context(), zone); err != nil {
			t.Fatal(err)
		}
		if n := len(s.executed()) - before; n != 1 {
			t.Errorf("%v: %d requests", turns, n)
		}
		if n := int(asked.Load()); n <= len(turns) {
			t.Errorf("%v: asked %d times", turns, n)
		}
	}
	answers = slices.Repeat([]time.Duration{soon}, 1000)
	asked.Store(0)
	if _, _, err := c.Refresh(t.Context(), zone, nil); err != nil || asked.Load() != 0 {
		t.Errorf("a refresh asked %d times: %v", asked.Load(), err)
	}
	lease.Drop()
	before := len(s.executed())
	if _, _, err := c.Describe(t.Context(), zone); !errors.As(err, new(*NotHeldError)) || len(s.executed()) != before {
		t.Errorf("without a lease: %v, %d requests", err, len(s.executed())-before)
	}
}
