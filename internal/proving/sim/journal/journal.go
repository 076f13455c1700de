// Package journal remembers what happened in the simulator, edge by edge and in
// one order. With it a harness can stop a process exactly at an edge, and a
// test can say afterwards what came first. It holds no key, and a limited
// number of edges.
package journal

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Kind is what happened.
type Kind string

// The edges of an API call, in their order. The last one of a call is answered
// or dropped.
const (
	Arrived  Kind = "arrived"  // the request was read
	Executed Kind = "executed" // the action took effect: after a Refresh the old key is dead
	Answered Kind = "answered" // the whole answer was written, error or not
	Dropped  Kind = "dropped"  // the answer was withheld, cut or spoiled
)

// The edges of a host, in their order.
const (
	Connected    Kind = "connected"    // a connection was authenticated
	Exec         Kind = "exec"         // a command was received
	Late         Kind = "late"         // a bad day holds the command up before it begins
	Stdin        Kind = "stdin"        // the command's first input bytes were received
	Renamed      Kind = "renamed"      // a zone's key file was renamed into place (seen on Linux only)
	Exited       Kind = "exited"       // the command ended; what it wrote is on disk
	Acknowledged Kind = "acknowledged" // its exit status was sent
	Cut          Kind = "cut"          // a bad day cut the connection
)

// Edge is one thing that happened. Fields that do not apply are empty.
type Edge struct {
	// Seq counts from 1 without gaps.
	Seq uint64 `json:"seq"`
	// At is wall time; MonoUs is the monotonic time since the journal began, in
	// microseconds.
	At     time.Time `json:"at"`
	MonoUs int64     `json:"monoUs"`

	Edge      Kind   `json:"edge"`
	Action    string `json:"action,omitempty"`
	Zone      string `json:"zone,omitempty"`
	RequestID string `json:"requestId,omitempty"`
	// Code is the API error of an answered edge.
	Code string `json:"code,omitempty"`
	Host string `json:"host,omitempty"`
	// Session numbers a host's commands from 1.
	Session int64 `json:"session,omitempty"`
	// ExitStatus belongs to exited; -1 is a death by signal.
	ExitStatus *int `json:"exitStatus,omitempty"`
	// Fault is the bad day that struck; of an exited edge it is the one that holds the
	// acknowledgement back.
	Fault string `json:"fault,omitempty"`
}

// Journal is a ring of edges, safe for use by many goroutines.
type Journal struct {
	mu      sync.Mutex
	began   time.Time
	ring    []Edge
	last    uint64
	changed chan struct{}
}

// New makes a journal that keeps the last size edges.
func New(size int) *Journal {
	return &Journal{began: time.Now(), ring: make([]Edge, size), changed: make(chan struct{})}
}

// Add gives the edge its number and times, and keeps it.
func (j *Journal) Add(e Edge) {
	j.mu.Lock()
	defer j.mu.Unlock()
	now := time.Now()
	j.last++
	e.Seq, e.At, e.MonoUs = j.last, now, now.Sub(j.began).Microseconds()
	j.ring[j.last%uint64(len(j.ring))] = e
	close(j.changed)
	j.changed = make(chan struct{})
}

// Since returns at most max kept edges with a number above after, oldest first
// (all of them when max is 0). It also returns the number of the very last
// edge.
func (j *Journal) Since(after uint64, max int) ([]Edge, uint64) {
	edges, last, _ := j.since(after, max)
	return edges, last
}

func (j *Journal) since(after uint64, max int) ([]Edge, uint64, <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	size := uint64(len(j.ring))
	if j.last > size && after < j.last-size {
		after = j.last - size
	}
	edges := []Edge{}
	for seq := after + 1; seq <= j.last && (max == 0 || len(edges) < max); seq++ {
		edges = append(edges, j.ring[seq%size])
	}
	return edges, j.last, j.changed
}

// Wait is like Since, but waits until there is an edge above after, or ctx is
// done.
func (j *Journal) Wait(ctx context.Context, after uint64, max int) ([]Edge, uint64) {
	for {
		edges, last, changed := j.since(after, max)
		if len(edges) > 0 {
			return edges, last
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return edges, last
		}
	}
}

// Page is the answer of GET /edges.
type Page struct {
	Edges []Edge `json:"edges"`
	// Last is the number of the very last edge.
	Last uint64 `json:"last"`
	// Lost is how many of the edges that were asked for the ring no longer has.
	Lost uint64 `json:"lost,omitempty"`
}

// ServeHTTP answers GET /edges?after=N&max=M&wait=D with a Page. With wait, a
// duration such as 10s, it holds the answer until there is an edge above N.
func (j *Journal) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	after, err1 := number(q.Get("after"))
	max, err2 := number(q.Get("max"))
	wait, err3 := time.ParseDuration(orZero(q.Get("wait")))
	for _, err := range []error{err1, err2, err3} {
		if err != nil {
			http.Error(w, fmt.Sprintf("after and max are numbers, wait is a duration such as 10s: %v", err), http.StatusBadRequest)
			return
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), wait)
	defer cancel()
	var page Page
	page.Edges, page.Last = j.Wait(ctx, after, int(max))
	if len(page.Edges) > 0 {
		page.Lost = page.Edges[0].Seq - after - 1
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(page)
}

func number(s string) (uint64, error) { return strconv.ParseUint(orZero(s), 10, 63) }

func orZero(s string) string {
	if s == "" {
		return "0"
	}
	return s
}
