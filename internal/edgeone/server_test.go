package edgeone

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"keywave/internal/rotation"
)

// planted is the key that must never be seen outside a rotation.Secret.
const planted = "b8sfnemqzF5TNCwwtshVmG/gyCJVi/rP+7A+jsBwqGY="

const (
	requestID  = "a622678d-ea5b-41e8-9cd2-d335816141a0"
	testID     = "AKIDtest"
	testKey    = "secret-key-of-the-test"
	testToken  = "token-of-the-test"
	keyAnswer  = `{"Response":{"SecretKey":"` + planted + `","RequestId":"` + requestID + `"}}`
	noKey      = `{"Response":{"RequestId":"` + requestID + `"}}`
	zone       = rotation.ZoneID("zone-27q0p0bal192")
	shortBound = 300 * time.Millisecond
)

// seen is one request as the server got it. By then it counts as executed.
type seen struct {
	at     time.Time
	action string
	header http.Header
	body   map[string]any
}

// answer does to the connection what happens on a bad day. keep says that
// another request may follow on it.
type answer func(conn net.Conn, r seen) (keep bool)

// badServer speaks HTTP/1.1 by hand, so that it can misbehave at any byte. It
// checks every signature.
type badServer struct {
	t        *testing.T
	listener net.Listener
	answer   answer

	mu   sync.Mutex
	seen []seen
}

func serve(t *testing.T, a answer) *badServer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &badServer{t: t, listener: listener, answer: a}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { conn.Close() })
			conns.Go(func() { s.converse(conn) })
		}
	})
	t.Cleanup(func() { listener.Close() })
	return s
}

func (s *badServer) endpoint() string { return "http://" + s.listener.Addr().String() }

func (s *badServer) executed() []seen {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]seen(nil), s.seen...)
}

func (s *badServer) converse(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	for {
		req, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		if err := checkTC3(req, body); err != nil {
			s.t.Errorf("signature: %v", err)
			return
		}
		r := seen{at: time.Now(), action: req.Header.Get("X-TC-Action"), header: req.Header}
		if err := json.Unmarshal(body, &r.body); err != nil {
			s.t.Errorf("request body: %v", err)
			return
		}
		s.mu.Lock()
		s.seen = append(s.seen, r)
		s.mu.Unlock()
		if !s.answer(conn, r) {
			return
		}
	}
}

// checkTC3 verifies a request as EdgeOne does (API reference §5).
func checkTC3(r *http.Request, body []byte) error {
	auth, ok := strings.CutPrefix(r.Header.Get("Authorization"), "TC3-HMAC-SHA256 ")
	if !ok {
		return errors.New("not TC3")
	}
	part := map[string]string{}
	for p := range strings.SplitSeq(auth, ", ") {
		name, value, _ := strings.Cut(p, "=")
		part[name] = value
	}
	stamp := r.Header.Get("X-TC-Timestamp")
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || time.Since(time.Unix(seconds, 0)).Abs() > 300*time.Second {
		return errors.New("timestamp")
	}
	date := time.Unix(seconds, 0).UTC().Format("2006-01-02")
	scope := date + "/teo/tc3_request"
	if part["Credential"] != testID+"/"+scope {
		return fmt.Errorf("credential %q", part["Credential"])
	}
	if r.Header.Get("X-TC-Token") != testToken {
		return errors.New("token")
	}
	headers := ""
	for name := range strings.SplitSeq(part["SignedHeaders"], ";") {
		value := r.Header.Get(name)
		if name == "host" {
			value = r.Host
		}
		headers += name + ":" + strings.ToLower(strings.TrimSpace(value)) + "\n"
	}
	sum := func(b []byte) string { h := sha256.Sum256(b); return hex.EncodeToString(h[:]) }
	canonical := strings.Join([]string{r.Method, "/", "", headers, part["SignedHeaders"], sum(body)}, "\n")
	toSign := "TC3-HMAC-SHA256\n" + stamp + "\n" + scope + "\n" + sum([]byte(canonical))
	mac := func(key []byte, s string) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(s))
		return h.Sum(nil)
	}
	key := mac(mac(mac([]byte("TC3"+testKey), date), "teo"), "tc3_request")
	if hex.EncodeToString(mac(key, toSign)) != part["Signature"] {
		return errors.New("signature does not match")
	}
	return nil
}

// respond writes a whole answer and keeps the connection open.
func respond(status int, body string, headers ...string) answer {
	return func(conn net.Conn, _ seen) bool {
		extra := ""
		for _, h := range headers {
			extra += h + "\r\n"
		}
		fmt.Fprintf(conn, "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n%s",
			status, http.StatusText(status), len(body), extra, body)
		return true
	}
}

// failing answers with an error of EdgeOne's own.
func failing(code string) answer {
	return respond(200, `{"Response":{"Error":{"Code":"`+code+`","Message":"about `+planted+`"},"RequestId":"`+requestID+`"}}`)
}

// reset drops the connection without a FIN.
func reset(conn net.Conn, _ seen) bool {
	_ = conn.(*net.TCPConn).SetLinger(0)
	conn.Close()
	return false
}

// cut answers with the head and a part of the body, and closes the connection.
func cut(body string, of int) answer {
	return func(conn net.Conn, _ seen) bool {
		fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", of, body)
		return false
	}
}

// stall does what before does, and then nothing until the caller goes away.
func stall(before answer) answer {
	return func(conn net.Conn, r seen) bool {
		if before != nil {
			before(conn, r)
		}
		_, _ = io.Copy(io.Discard, conn)
		return false
	}
}

func testCredential() Credential { return NewCredential(testID, testKey, testToken) }

// connect makes a client without a limit; change adapts its configuration.
func connect(t *testing.T, endpoint string, change ...func(*Config)) *Client {
	t.Helper()
	config := Config{Endpoint: endpoint, Credentials: testCredential(), Pace: NewPace(0), Timeout: 5 * time.Second}
	for _, c := range change {
		c(&config)
	}
	client, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	client.patience = time.Millisecond
	t.Cleanup(func() { client.Close() })
	return client
}

// quickly is for servers that never answer: on a busy machine, others take longer.
func quickly(c *Config) { c.Timeout = shortBound }

// betrays fails the test if an error shows the key in any way in which errors
// can be shown.
func betrays(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	shown := []string{err.Error(), fmt.Sprintf("%v %+v %#v %q", err, err, err, err)}
	if b, jsonErr := json.Marshal(err); jsonErr == nil {
		shown = append(shown, string(b))
	}
	for _, s := range shown {
		for _, secret := range []string{planted, planted[:20], testKey, testToken} {
			if strings.Contains(s, secret) {
				t.Errorf("an error shows %q: %s", secret, s)
			}
		}
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		betrays(t, e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			betrays(t, inner)
		}
	}
}
