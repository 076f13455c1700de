package deliver

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// tried is what a host did in proofs that succeeded. A proof that follows within moments
// need not do it again; it is then as old as what it relies on. Any failure makes all of it
// worthless.
type tried struct {
	mu sync.Mutex
	// kinds are the kinds of files that were rehearsed, in the script's words: what
	// was done, where, and with which mode, owner and group.
	kinds map[string]time.Time
	// unseen says that the host's tools did not show all that hangs on those files.
	unseen bool
	// asked is when the questions about commands were answered, and notes what was
	// said about them.
	asked time.Time
	notes []string
}

// maxKinds is far above what one host has: directories times modes, owners and groups.
const maxKinds = 64

// relied is the part of it that one proof relies on.
type relied struct {
	kinds  []string
	unseen bool
	asked  bool
	notes  []string
	// since is when the oldest of it was done, and began when the proof that relies on it
	// began.
	since, began time.Time
}

// within is what was done in the last moments.
func (t *tried) within(recent time.Duration) relied {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	r := relied{since: now, began: now}
	maps.DeleteFunc(t.kinds, func(_ string, at time.Time) bool { return now.Sub(at) >= recent })
	r.unseen = t.unseen && len(t.kinds) > 0
	for kind, at := range t.kinds {
		r.kinds = append(r.kinds, kind)
		r.since = earlier(r.since, at)
	}
	if r.asked = now.Sub(t.asked) < recent; r.asked {
		r.notes, r.since = t.notes, earlier(r.since, t.asked)
	}
	return r
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// learn adds what a proof did that relied on r, with the notes about its questions.
func (t *tried) learn(r relied, a Answer, notes []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.kinds == nil {
		t.kinds = map[string]time.Time{}
	}
	t.unseen = a.unseen
	for _, kind := range a.kinds {
		if len(t.kinds) < maxKinds {
			t.kinds[kind] = r.began
		}
	}
	if !r.asked {
		t.asked, t.notes = r.began, slices.Clone(notes)
	}
}

func (t *tried) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kinds, t.asked = nil, time.Time{}
}
