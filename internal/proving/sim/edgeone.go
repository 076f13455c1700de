package sim

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"keywave/internal/proving/sim/journal"
)

const (
	maxRequestBody = 10 << 20
	journalSize    = 1 << 16
)

// Config describes a simulated EdgeOne. Its zero values work, except that
// without Credentials nobody can call it.
type Config struct {
	// Credentials are those with which EdgeOne can be called, by SecretId.
	Credentials map[string]Credential
	// Roles can be assumed by every caller, over STS at the same address, or are
	// given out by Metadata.
	Roles []Role
	// Zones exist at the start.
	Zones []Zone
	// Limit is how many calls of one action one SecretId may make in any sliding
	// second: 0 means the real 20, a negative number means no limit.
	Limit int
	// UnknownZone is the error code for a zone that does not exist; empty is
	// InvalidParameter. The real code is not documented.
	UnknownZone string
	// ForeignZone is the error code for a zone of another account; empty is
	// UnauthorizedOperation.NoPermission. The real code is not documented.
	ForeignZone string
	// KeylessZone is the error code for Refresh and Modify of a zone without a
	// key; empty is OperationDenied. The real code is not documented.
	KeylessZone string
	// Faults are set from the start.
	Faults []Fault
	// StateFile, if not empty, keeps every key (mode 0600, in clear), so that a
	// later EdgeOne with the same file has them again.
	StateFile string
	// Journal receives the edges; nil makes a new one.
	Journal *journal.Journal
	// Clock is the server's clock; nil is time.Now.
	Clock func() time.Time
}

// Credential is what belongs to a SecretId.
type Credential struct {
	SecretKey string
	// Token is the token of a temporary credential. It is empty for a permanent
	// one.
	Token string
	// Until is when a temporary credential ends. Zero means never.
	Until time.Time
	// owner is the SecretId whose limit its calls count against. Empty means its
	// own.
	owner string
	// session is the name that was given when a role was assumed.
	session string
	// Account is the account that the credential belongs to. It sees only the
	// zones of that account, and zones that belong to nobody.
	Account string
	// Limit is a limit for this SecretId alone. 0 means that of Config.
	Limit int
}

// EdgeOne is the simulated API, an http.Handler. Its control API is Control.
type EdgeOne struct {
	roles       []Role
	unknownZone string
	foreignZone string
	keylessZone string
	clock       func() time.Time
	actions     map[string]action
	journal     *journal.Journal
	closing     chan struct{}
	landings    sync.WaitGroup

	mu          sync.Mutex
	credentials map[string]Credential

	closed   bool
	limit    int
	store    *store
	zones    map[string]*zone
	order    []*zone // by creation
	rules    []*rule
	counters map[string]*Counter
	accounts map[string]map[string]*Counter // by account and action
	gates    map[[2]string]*gate
	rejected map[string]int
	fired    map[string]int
}

// NewEdgeOne makes a simulated EdgeOne from cfg, and from what its StateFile
// remembers. The error names every mistake in cfg.
func NewEdgeOne(cfg Config) (*EdgeOne, error) {
	e := &EdgeOne{
		credentials: maps.Clone(cfg.Credentials),
		roles:       slices.Clone(cfg.Roles),
		unknownZone: orElse(cfg.UnknownZone, "InvalidParameter"),
		foreignZone: orElse(cfg.ForeignZone, "UnauthorizedOperation.NoPermission"),
		keylessZone: orElse(cfg.KeylessZone, "OperationDenied"),
		clock:       cfg.Clock,
		actions:     actions(),
		journal:     cfg.Journal,
		closing:     make(chan struct{}),
		limit:       cfg.Limit,
		zones:       map[string]*zone{},
		counters:    map[string]*Counter{},
		accounts:    map[string]map[string]*Counter{},
		gates:       map[[2]string]*gate{},
		rejected:    map[string]int{},
		fired:       map[string]int{},
	}
	if e.limit == 0 {
		e.limit = 20
	}
	if e.clock == nil {
		e.clock = time.Now
	}
	if e.journal == nil {
		e.journal = journal.New(journalSize)
	}
	if e.credentials == nil {
		e.credentials = map[string]Credential{}
	}
	for name := range e.actions {
		e.counters[name] = &Counter{}
		for _, c := range cfg.Credentials {
			if c.Account != "" && e.accounts[c.Account] == nil {
				e.accounts[c.Account] = map[string]*Counter{}
			}
			if c.Account != "" {
				e.accounts[c.Account][name] = &Counter{}
			}
		}
	}
	if err := e.load(cfg.StateFile); err != nil {
		return nil, err
	}
	fresh := slices.DeleteFunc(slices.Clone(cfg.Zones), func(z Zone) bool { return e.zones[z.ID] != nil })
	if err := errors.Join(e.AddFaults(cfg.Faults...), e.AddZones(fresh...)); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

func (e *EdgeOne) load(stateFile string) error {
	if stateFile == "" {
		return nil
	}
	var err error
	e.store, err = openStore(stateFile, e.remember)
	return err
}

// Close ends everything that still waits. A delayed call, or a late landing,
// that has not been executed yet never is.
func (e *EdgeOne) Close() error {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return nil
	}
	e.closed = true
	close(e.closing)
	e.mu.Unlock()
	e.landings.Wait()
	return e.store.Close()
}

// Journal is where the edges are written.
func (e *EdgeOne) Journal() *journal.Journal { return e.journal }

// AddFaults adds rules after those that are set.
func (e *EdgeOne) AddFaults(faults ...Fault) error {
	var errs []error
	for i, f := range faults {
		if err := f.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("fault %d: %w", i+1, err))
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, f := range faults {
		e.rules = append(e.rules, newRule(f))
	}
	return nil
}

// ClearFaults removes every rule. What was delayed already, or will land late,
// still does.
func (e *EdgeOne) ClearFaults() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.rules = nil
}

// SetLimit changes the calls per sliding second; 0 or less lifts the limit.
func (e *EdgeOne) SetLimit(perSecond int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.limit = perSecond
}

// refusal is an API error.
type refusal struct{ code, message string }

func refuse(code, message string) *refusal { return &refusal{code, message} }

// call is one request on its way.
type call struct {
	id       string
	action   string
	zone     string
	secretID string
	body     []byte
}

// ServeHTTP answers one API request. It authenticates it, checks the limit,
// lets at most one fault strike it, executes and answers it, in this order.
func (e *EdgeOne) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c, no := e.receive(r)
	e.journal.Add(c.edge(journal.Arrived, "", ""))
	if no == nil {
		no = e.admit(c)
	}
	if no != nil {
		e.count(no)
		e.answer(w, c, failure(c, no), no.code)
		return
	}
	e.perform(w, c)
}

// receive reads and authenticates a request.
func (e *EdgeOne) receive(r *http.Request) (*call, *refusal) {
	c := &call{id: newUUID(), action: r.Header.Get("X-TC-Action")}
	var err error
	c.body, err = io.ReadAll(io.LimitReader(r.Body, maxRequestBody+1))
	switch {
	case err != nil:
		return c, refuse("InvalidRequest", "The request body could not be read.")
	case len(c.body) > maxRequestBody:
		return c, refuse("RequestSizeLimitExceeded", "The request exceeds 10 MB.")
	case r.Method != http.MethodPost:
		return c, refuse("InvalidRequest", "The simulator takes POST requests only.")
	case c.action == "":
		return c, refuse("MissingParameter", "The request header `X-TC-Action` is missing.")
	case r.Header.Get("X-TC-Version") == "":
		return c, refuse("MissingParameter", "The request header `X-TC-Version` is missing.")
	}
	c.zone = zoneOf(c.body)
	var no *refusal
	c.secretID, no = e.authenticate(r, c.body, e.clock())
	switch {
	case no != nil:
		return c, no
	case r.Header.Get("X-TC-Version") != serviceOf(c.action).version:
		return c, refuse("NoSuchVersion", "The API version does not exist.")
	case serviceOf(c.action).regional && r.Header.Get("X-TC-Region") == "":
		return c, refuse("MissingParameter", "The request header `X-TC-Region` is missing.")
	case e.actions[c.action] == nil:
		return c, refuse("InvalidAction", "The API action does not exist.")
	}
	return c, nil
}

// admit counts an arrival and checks it against the limit.
func (e *EdgeOne) admit(c *call) *refusal {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.clock()
	credential := e.credentials[c.secretID]
	counters := []*Counter{e.counters[c.action]}
	if credential.Account != "" {
		counters = append(counters, e.accounts[credential.Account][c.action])
	}
	for _, counter := range counters {
		counter.arrive(now)
	}
	key := [2]string{c.action, c.secretID}
	if e.gates[key] == nil {
		e.gates[key] = &gate{}
	}
	no := e.gates[key].pass(now, e.limitOf(credential))
	if no != nil {
		for _, counter := range counters {
			counter.Throttled++
		}
	}
	return no
}

func (e *EdgeOne) limitOf(c Credential) int {
	if c.Limit != 0 {
		return c.Limit
	}
	return e.limit
}

func (e *EdgeOne) count(no *refusal) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.rejected[no.code]++
}

// perform executes the call and answers it, as far as its fault lets it.
func (e *EdgeOne) perform(w http.ResponseWriter, c *call) {
	fault, how := e.strike(c)
	if how.before && !e.pause(fault.delay()) {
		panic(http.ErrAbortHandler)
	}
	result, no := e.execute(c, how)
	if how.lands {
		e.landLater(c, fault.delay())
	} else if !how.before && !how.stale && !e.pause(fault.delay()) {
		panic(http.ErrAbortHandler)
	}
	body, code := success(c, result), ""
	if no != nil {
		e.count(no)
		body, code = failure(c, no), no.code
	}
	if how.spoil == nil {
		e.answerFaulty(w, c, body, code, fault.Kind)
		return
	}
	how.spoil(w, body)
	e.journal.Add(c.edge(journal.Dropped, code, fault.Kind))
}

// execute runs the action and returns the answer.
func (e *EdgeOne) execute(c *call, how conduct) (any, *refusal) {
	var result any
	var no *refusal
	if !how.skip {
		result, no = e.run(c, how)
	}
	switch {
	case how.throttle:
		e.mu.Lock()
		defer e.mu.Unlock()
		e.counters[c.action].Throttled++
		return nil, throttled(max(e.limit, 0)+1, max(e.limit, 0))
	case how.code != "":
		return nil, refuse(how.code, "The simulator was told to answer this error.")
	}
	return result, no
}

func (e *EdgeOne) run(c *call, how conduct) (any, *refusal) {
	e.mu.Lock()
	defer e.mu.Unlock()
	how.account = e.credentials[c.secretID].Account
	result, no := e.actions[c.action](e, c.body, how)
	if no == nil {
		e.counters[c.action].Executed++
		if how.account != "" {
			e.accounts[how.account][c.action].Executed++
		}
		e.journal.Add(c.edge(journal.Executed, "", ""))
	}
	return result, no
}

// landLater executes the call after d, even if nobody listens any more.
func (e *EdgeOne) landLater(c *call, d time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return
	}
	e.landings.Go(func() {
		if e.pause(d) {
			_, _ = e.run(c, conduct{})
		}
	})
}

// pause waits for d; false means that the simulator is closing.
func (e *EdgeOne) pause(d time.Duration) bool {
	if d == 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-e.closing:
		return false
	}
}

func (e *EdgeOne) answer(w http.ResponseWriter, c *call, body []byte, code string) {
	e.answerFaulty(w, c, body, code, "")
}

func (e *EdgeOne) answerFaulty(w http.ResponseWriter, c *call, body []byte, code, fault string) {
	writeJSON(w, http.StatusOK, body)
	_ = http.NewResponseController(w).Flush()
	e.journal.Add(c.edge(journal.Answered, code, fault))
}

func (c *call) edge(kind journal.Kind, code, fault string) journal.Edge {
	return journal.Edge{Edge: kind, Action: c.action, Zone: c.zone, RequestID: c.id, Code: code, Fault: fault}
}

// success is the answer envelope around result's fields, RequestId last as
// EdgeOne has it.
func success(c *call, result any) []byte {
	fields, err := json.Marshal(result)
	if err != nil || result == nil {
		fields = []byte("{}")
	}
	fields = bytes.TrimSuffix(fields, []byte("}"))
	if len(fields) > 1 {
		fields = append(fields, ',')
	}
	return fmt.Appendf(nil, `{"Response":%s"RequestId":%q}}`, fields, c.id)
}

func failure(c *call, no *refusal) []byte {
	return success(c, map[string]any{"Error": map[string]string{"Code": no.code, "Message": no.message}})
}

func writeJSON(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// zoneOf is the request's ZoneId; empty when it has none.
func zoneOf(body []byte) string {
	var in struct{ ZoneId string }
	_ = json.Unmarshal(body, &in)
	return in.ZoneId
}

// keyOf is the request's SecretKey; empty when it has none.
func keyOf(body []byte) string {
	var in struct{ SecretKey string }
	_ = json.Unmarshal(body, &in)
	return in.SecretKey
}

// newUUID is a random UUID, version 4 (RFC 9562).
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func orElse(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}
