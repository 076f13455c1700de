package edgeone

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"time"

	"keywave/internal/rotation"
)

// maxAnswer bounds an answer's body, after decompression. A page of 100 zones
// has about 200 KB.
const maxAnswer = 1 << 20

// minReadBuffer is the smallest that bufio has. net/http prints what a server
// sends beyond its answer to the standard logger, as much as is buffered by
// then; with 16 bytes that is never a key. Bodies are read past the buffer.
const minReadBuffer = 16

// What the guard itself refuses. The texts never leave the package; reason
// turns them into codes.
var (
	errTooLarge = errors.New("answer too large")
	errEncoding = errors.New("answer in an encoding that was not asked for")
	errStatus   = errors.New("answer is a redirect or a switch of protocols")
	errSealed   = errors.New("request already given up")
	errAgain    = errors.New("second request of one call")
)

// newConns dials for every request of an account. HTTP/1.1 only, because which
// bytes belong to which request must be known.
func newConns() *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	dialer := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 15 * time.Second}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, // which never proxies loopback
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &wire{Conn: conn}, nil
		},
		// One request is one record, and so one write.
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, DynamicRecordSizingDisabled: true},
		TLSHandshakeTimeout:    5 * time.Second,
		Protocols:              protocols,
		MaxIdleConnsPerHost:    64,
		IdleConnTimeout:        15 * time.Second,
		WriteBufferSize:        16 << 10,
		ReadBufferSize:         minReadBuffer,
		MaxResponseHeaderBytes: 64 << 10,
	}
}

// exchange is one request on its way: it decides at the last moment whether it
// may be written, and remembers whether it was.
type exchange struct {
	action string
	pace   *Pace
	gate   func() error
	cancel context.CancelFunc
	ctx    context.Context

	mu      sync.Mutex
	signed  time.Time // when the signed request came out of the SDK
	written bool      // some of it may be on the wire
	sealed  bool      // judged: nothing may be written any more
	stopped error     // what the gate said when it was too late to sign
	mark    *mark     // of the request, once it is written
	dated   time.Time // of the answer, by its own header
}

type exchangeKey struct{}

// within is ctx, carrying the exchange to the guard.
func (x *exchange) within(ctx context.Context) context.Context {
	x.ctx = ctx
	return context.WithValue(ctx, exchangeKey{}, x)
}

// depart notes the time of signing; an exchange departs once.
func (x *exchange) depart() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.signed.IsZero() {
		return false
	}
	x.signed = time.Now()
	return true
}

// begin says whether the request may be written now, and is the last thing
// asked before the system call. A process that was frozen since the signing
// finds out here that its time or its lease is over.
func (x *exchange) begin() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.sealed {
		return errSealed
	}
	if err := x.ctx.Err(); err != nil {
		return err
	}
	if deadline, ok := x.ctx.Deadline(); ok && !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	if err := x.gate(); err != nil {
		x.stopped = err
		x.cancel() // so that the transport does not try another connection
		return err
	}
	x.written = true
	return nil
}

// unwrite takes begin back: the system call took no byte.
func (x *exchange) unwrite() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.written = false
}

func (x *exchange) keep(m *mark) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.mark = m
	if x.sealed { // the answer was faster
		x.pace.answered(m)
	}
}

// date notes what the answer's Date header says, if it is one.
func (x *exchange) date(header string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.dated, _ = http.ParseTime(header)
}

// seal ends the exchange: what was not written by now never will be.
func (x *exchange) seal() (written bool, known rotation.Receipt, stopped error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.sealed = true
	x.pace.answered(x.mark)
	return x.written, rotation.Receipt{Signed: x.signed, Dated: x.dated}, x.stopped
}

// guard stands between the SDK's HTTP client and the connections: it lets a
// call's one request through, and hands back only whole answers of a sane size.
type guard struct{ next *http.Transport }

// RoundTrip implements http.RoundTripper.
func (g *guard) RoundTrip(req *http.Request) (*http.Response, error) {
	x, ok := req.Context().Value(exchangeKey{}).(*exchange)
	if !ok || !x.depart() {
		return nil, errAgain
	}
	ctx := httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		assign(info.Conn, x)
	}})
	resp, err := g.next.RoundTrip(req.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	x.date(resp.Header.Get("Date"))
	return whole(resp)
}

// whole reads the answer to its end, so that a broken one is an error here and
// not a text inside the SDK. A redirect would make the HTTP client send the
// request once more, and an event stream would go past the SDK's checks.
func whole(resp *http.Response) (*http.Response, error) {
	defer resp.Body.Close()
	switch {
	case resp.StatusCode < 200 || resp.StatusCode/100 == 3:
		return nil, errStatus
	case resp.Header.Get("Content-Encoding") != "":
		return nil, errEncoding
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, err
	case len(body) > maxAnswer:
		return nil, errTooLarge
	}
	resp.Header.Set("Content-Type", "application/json")
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

// wire is a connection that asks the exchange it was assigned to before it
// writes the first byte of the request. net/http's own trace cannot serve here:
// its WroteRequest is called before the buffer is flushed.
type wire struct {
	net.Conn
	next atomic.Pointer[exchange]
}

// assign gives the connection, now idle and dialled, to an exchange.
func assign(conn net.Conn, x *exchange) {
	for inner := conn; inner != nil; {
		switch c := inner.(type) {
		case *wire:
			c.next.Store(x)
			return
		case interface{ NetConn() net.Conn }: // TLS
			inner = c.NetConn()
		default:
			inner = nil
		}
	}
	_ = conn.Close() // not one of ours: nothing may be written on it
}

// Write implements net.Conn.
func (w *wire) Write(b []byte) (int, error) {
	x := w.next.Swap(nil)
	if x == nil {
		return w.Conn.Write(b)
	}
	n := 0
	mark, err := x.pace.write(x.ctx, x.action, func() (bool, error) {
		if err := x.begin(); err != nil {
			return false, err
		}
		var err error
		if n, err = w.Conn.Write(b); n == 0 && err != nil {
			x.unwrite()
			return false, err
		}
		return true, err
	})
	x.keep(mark)
	return n, err
}
