package sim

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Fault is a rule that spoils calls. Only calls that passed the signature and
// the limit are counted and struck. If several rules would strike a call, the
// one that was set first does.
type Fault struct {
	// Action is the name of an API action. "*" or empty means any.
	Action string `json:"action,omitempty"`
	// Zone is a zone ID. "*" or empty means any.
	Zone string `json:"zone,omitempty"`
	// Nth is the first call that is struck, counted from 1 for each zone since
	// the rule was set. 0 means every call.
	Nth int `json:"nth,omitempty"`
	// Count is, with Nth, how many consecutive calls of each zone are struck (0
	// means 1). Without Nth it is how many calls of all zones together are struck
	// (0 means all).
	Count int `json:"count,omitempty"`
	// Kind is one of FaultKinds; or "error:" and an API error code, which is
	// answered without executing the action; or "errorAfter:" and one that is
	// answered after executing it.
	Kind string `json:"fault"`
	// DelayMs is how long the answer is delayed after execution. For delayBefore,
	// lateLanding and staleDescribe it means something else, see there.
	DelayMs int `json:"delayMs,omitempty"`
}

const (
	errorFault      = "error:"
	errorAfterFault = "errorAfter:"
)

// conduct is what the simulator does with a call that a fault strikes.
type conduct struct {
	skip       bool                              // the action is not executed
	before     bool                              // DelayMs is waited out before execution
	lands      bool                              // the action is executed DelayMs after the answer
	stale      bool                              // Describe answers with the previous key
	noKey      bool                              // the zone looks as if it had no key
	throttle   bool                              // refused as if above the limit
	code       string                            // this error is answered, executed or not
	spoil      func(http.ResponseWriter, []byte) // how the answer is damaged; nil leaves it whole
	onlyAction string                            // the only action that can be struck
	onlyKey    func(z *zone, key string) bool    // the only keys in a request that are struck; nil is all
	account    string                            // whose credential the request was signed with
}

// conducts is the table of faults.
func conducts() map[string]conduct {
	return map[string]conduct{
		// The connection is reset (TCP RST), without and after execution.
		"resetBefore": {skip: true, spoil: reset},
		"resetAfter":  {spoil: reset},
		// The connection is closed in order, without an answer.
		"closeAfter": {spoil: closeSilently},
		// Slow: execution is delayed by DelayMs, or only the answer is. The action
		// is executed even when the client has gone.
		"delayBefore": {before: true},
		"delayAfter":  {},
		// Half of the body, whose full length was announced; half of the body as if
		// it were all.
		"truncatedBody": {spoil: truncateBody},
		"truncatedJSON": {spoil: truncateJSON},
		// Half of the body, and then nothing until the client gives up.
		"stalledBody": {spoil: stallBody},
		// A proxy's error page; a 5xx status with the true answer.
		"html502Before": {skip: true, spoil: badGateway},
		"html502After":  {spoil: badGateway},
		"error5xxBody":  {spoil: serverErrorWithBody},
		// InternalError, which says nothing about execution.
		"internalErrorBefore": {skip: true, code: "InternalError"},
		"internalErrorAfter":  {code: "InternalError"},
		// 200 and "{}".
		"emptyObject": {spoil: emptyObject},
		// The connection is reset now, the action is executed DelayMs later.
		"lateLanding": {skip: true, lands: true, spoil: reset},
		// Describe answers with the key before the present one: for DelayMs after
		// each change, or, without DelayMs, as Nth and Count say. Calls for a zone
		// whose key never changed are not struck.
		"staleDescribe": {stale: true, onlyAction: actionDescribe},
		"throttle":      {skip: true, throttle: true},
		// Describe answers without a key. The others refuse, as for a zone without
		// a key.
		"noKey": {noKey: true},
		// Modify with the key that the zone has, or with one that it had before, is
		// refused. Other calls are not struck. What the real EdgeOne does with such a
		// key is not documented; without these faults it is taken like any other.
		"refuseSameKey":   {skip: true, code: "OperationDenied", onlyAction: actionModify, onlyKey: (*zone).has},
		"refuseFormerKey": {skip: true, code: "OperationDenied", onlyAction: actionModify, onlyKey: (*zone).had},
	}
}

// FaultKinds names every fault except the "error:" and "errorAfter:" ones,
// sorted.
func FaultKinds() []string { return slices.Sorted(maps.Keys(conducts())) }

func conductOf(kind string) (conduct, bool) {
	if code, ok := strings.CutPrefix(kind, errorFault); ok {
		return conduct{skip: true, code: code}, code != ""
	}
	if code, ok := strings.CutPrefix(kind, errorAfterFault); ok {
		return conduct{code: code}, code != ""
	}
	c, ok := conducts()[kind]
	return c, ok
}

// Validate reports everything that is wrong with the rule.
func (f Fault) Validate() error {
	var errs []error
	if _, ok := conductOf(f.Kind); !ok {
		errs = append(errs, fmt.Errorf("unknown fault %q: use one of %s, or error:<Code> or errorAfter:<Code>", f.Kind, strings.Join(FaultKinds(), ", ")))
	}
	if !wild(f.Action) && !slices.Contains(Actions(), f.Action) {
		errs = append(errs, fmt.Errorf("unknown action %q: use one of %s, or *", f.Action, strings.Join(Actions(), ", ")))
	}
	if f.Nth < 0 || f.Count < 0 || f.DelayMs < 0 {
		errs = append(errs, errors.New("nth, count and delayMs cannot be negative"))
	}
	return errors.Join(errs...)
}

func (f Fault) delay() time.Duration { return time.Duration(f.DelayMs) * time.Millisecond }

func wild(s string) bool { return s == "" || s == "*" }

// rule is a Fault and what it has seen since it was set.
type rule struct {
	Fault
	conduct conduct
	seen    map[string]int
	fired   int
}

func newRule(f Fault) *rule {
	c, _ := conductOf(f.Kind)
	return &rule{Fault: f, conduct: c, seen: map[string]int{}}
}

// matches says whether the rule concerns this call at all.
func (r *rule) matches(c *call, z *zone, now time.Time) bool {
	if !wild(r.Action) && r.Action != c.action || !wild(r.Zone) && r.Zone != c.zone {
		return false
	}
	if r.conduct.onlyAction != "" && r.conduct.onlyAction != c.action {
		return false
	}
	if r.conduct.onlyKey != nil && (z == nil || !r.conduct.onlyKey(z, keyOf(c.body))) {
		return false
	}
	if r.conduct.stale {
		return z != nil && z.changes > 0 && (r.DelayMs == 0 || now.Sub(z.changedAt) < r.delay())
	}
	return true
}

// strikes counts a matching call and says whether the rule strikes it.
func (r *rule) strikes(zone string) bool {
	r.seen[zone]++
	if r.Nth == 0 {
		return r.Count == 0 || r.fired < r.Count
	}
	n := r.seen[zone]
	return n >= r.Nth && n < r.Nth+max(r.Count, 1)
}

// strike finds the rule that spoils the call. Every rule that matches the call
// counts it.
func (e *EdgeOne) strike(c *call) (Fault, conduct) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var hit *rule
	now := e.clock()
	for _, r := range e.rules {
		if r.matches(c, e.zones[c.zone], now) && r.strikes(c.zone) && hit == nil {
			hit = r
		}
	}
	if hit == nil {
		return Fault{}, conduct{}
	}
	hit.fired++
	e.fired[hit.Kind]++
	return hit.Fault, hit.conduct
}

// takeConnection takes the TCP connection away from the HTTP server.
func takeConnection(w http.ResponseWriter) net.Conn {
	hijacker, ok := w.(http.Hijacker)
	if !ok {
		panic(http.ErrAbortHandler)
	}
	conn, _, err := hijacker.Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	return conn
}

func reset(w http.ResponseWriter, _ []byte) {
	conn := takeConnection(w)
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

func closeSilently(w http.ResponseWriter, _ []byte) { _ = takeConnection(w).Close() }

func truncateBody(w http.ResponseWriter, body []byte) { _ = beginBody(w, body).Close() }

func stallBody(w http.ResponseWriter, body []byte) {
	conn := beginBody(w, body)
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
	_, _ = io.Copy(io.Discard, conn) // ends when the client closes the connection
}

// beginBody announces the whole body and sends its first half.
func beginBody(w http.ResponseWriter, body []byte) net.Conn {
	conn := takeConnection(w)
	_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body[:len(body)/2])
	return conn
}

// truncateJSON ends inside the last field. So the damaged text contains a whole
// key, which a client must not print.
func truncateJSON(w http.ResponseWriter, body []byte) {
	writeJSON(w, http.StatusOK, body[:len(body)-3])
}

func serverErrorWithBody(w http.ResponseWriter, body []byte) {
	writeJSON(w, http.StatusServiceUnavailable, body)
}

func emptyObject(w http.ResponseWriter, _ []byte) { writeJSON(w, http.StatusOK, []byte("{}")) }

func badGateway(w http.ResponseWriter, _ []byte) {
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(http.StatusBadGateway)
	_, _ = w.Write([]byte("<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center></body></html>\n"))
}
