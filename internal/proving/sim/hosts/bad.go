package hosts

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Kind is a kind of bad day.
type Kind string

// The kinds of bad days. In brackets is what Count counts.
const (
	// Down: connections are refused and existing ones reset. [nothing]
	Down Kind = "down"
	// AuthRefused: no key is good enough; existing connections are cut. [connections]
	AuthRefused Kind = "authRefused"
	// OtherHostKey: another host key is presented; existing connections are cut.
	// [connections]
	OtherHostKey Kind = "otherHostKey"
	// Hang: connections are accepted and never answered. Without a count,
	// existing ones freeze too. All go on when the day ends. [connections]
	Hang Kind = "hang"
	// DiskFull: no command can write a byte to a file. [commands]
	DiskFull Kind = "diskFull"
	// ReadOnlyDir: no command can make, rename or remove a file. [nothing]
	ReadOnlyDir Kind = "readOnlyDir"
	// ReloadFails: the host's reload script fails. [reloads]
	ReloadFails Kind = "reloadFails"
	// DropAtExec: the connection is reset when a command arrives, and the command
	// is not run. [commands]
	DropAtExec Kind = "dropAtExec"
	// DropMidTransfer: the connection is reset when a command's first input
	// arrives; the command finds an empty input. [commands with input]
	DropMidTransfer Kind = "dropMidTransfer"
	// DropBeforeAck: the connection is reset when a command that was given input
	// has ended, before its output and status are sent. [commands with input]
	DropBeforeAck Kind = "dropBeforeAck"
	// LateStart: commands start DelayMs late. [commands]
	LateStart Kind = "lateStart"
	// LateAck: output and status are sent DelayMs after the command's end.
	// [commands]
	LateAck Kind = "lateAck"
	// LateReload: the host's reload script takes DelayMs. The key file is already
	// in place. [nothing]
	LateReload Kind = "lateReload"
)

// Bad is a bad day. It lasts until it has struck Count times, until Seconds have
// passed, or until it is healed, whichever is first.
type Bad struct {
	Kind Kind `json:"kind"`
	// Nth is the first occasion that is struck, counted from 1. 0 means the
	// first.
	Nth int `json:"nth,omitempty"`
	// Count is how many occasions are struck. 0 means all.
	Count   int     `json:"count,omitempty"`
	Seconds float64 `json:"seconds,omitempty"`
	DelayMs int     `json:"delayMs,omitempty"`
	// Match restricts a bad day to commands that contain it, or whose first input
	// does.
	Match string `json:"match,omitempty"`
}

// Kinds names every kind of bad day.
func Kinds() []Kind {
	return []Kind{
		Down, AuthRefused, OtherHostKey, Hang, DiskFull, ReadOnlyDir, ReloadFails,
		DropAtExec, DropMidTransfer, DropBeforeAck, LateStart, LateAck, LateReload,
	}
}

// Validate reports everything that is wrong with the bad day.
func (b Bad) Validate() error {
	var errs []error
	if !slices.Contains(Kinds(), b.Kind) {
		errs = append(errs, fmt.Errorf("unknown bad day %q: use one of %v", b.Kind, Kinds()))
	}
	if b.Nth < 0 || b.Count < 0 || b.Seconds < 0 || b.DelayMs < 0 {
		errs = append(errs, errors.New("nth, count, seconds and delayMs cannot be negative"))
	}
	if b.counted() && (b.Kind == Down || b.Kind == ReadOnlyDir || b.Kind == LateReload) {
		errs = append(errs, fmt.Errorf("%s cannot be counted: use seconds, or heal it", b.Kind))
	}
	if b.Nth > 1 && b.Kind == ReloadFails {
		errs = append(errs, errors.New("reloadFails always begins with the next reload"))
	}
	return errors.Join(errs...)
}

// length is how long the day lasts at most.
func (b Bad) length() time.Duration {
	if b.Seconds == 0 {
		return math.MaxInt64
	}
	return time.Duration(b.Seconds * float64(time.Second))
}

func (b Bad) delay() time.Duration { return time.Duration(b.DelayMs) * time.Millisecond }

// counted says whether only some connections or commands are struck.
func (b Bad) counted() bool { return b.Nth > 0 || b.Count > 0 }

// badDay is a Bad that has begun.
type badDay struct {
	Bad
	seen  int
	timer *time.Timer
	over  chan struct{} // closed when it ends
}

// begin starts a bad day. It replaces an older one of its kind.
func (h *Host) begin(b Bad) error {
	if err := b.Validate(); err != nil {
		return err
	}
	h.days.Lock()
	defer h.days.Unlock()
	if err := h.end(b.Kind); err != nil {
		return err
	}
	day := &badDay{Bad: b, over: make(chan struct{})}
	day.timer = time.AfterFunc(b.length(), func() { h.expire(day) })
	h.mu.Lock()
	h.bad[b.Kind] = day
	h.mu.Unlock()
	return h.takeEffect(b)
}

// takeEffect does what cannot wait for the next connection or command.
func (h *Host) takeEffect(b Bad) error {
	switch b.Kind {
	case Down:
		return h.shut()
	case AuthRefused, OtherHostKey:
		h.cutAll()
	case ReadOnlyDir:
		return h.freezeDirs()
	case ReloadFails:
		return h.breakReload(b.Count)
	case LateReload:
		return h.delayReload(b.delay())
	}
	return nil
}

// expire ends a bad day when its time is over, unless another has replaced it.
func (h *Host) expire(day *badDay) {
	h.days.Lock()
	defer h.days.Unlock()
	h.mu.Lock()
	present := h.bad[day.Kind] == day
	h.mu.Unlock()
	if present {
		_ = h.end(day.Kind)
	}
}

// end ends one kind of bad day. The caller holds h.days.
func (h *Host) end(kind Kind) error {
	h.mu.Lock()
	day := h.bad[kind]
	delete(h.bad, kind)
	h.mu.Unlock()
	if day == nil {
		return nil
	}
	close(day.over)
	day.timer.Stop()
	switch kind {
	case Down:
		return h.open()
	case ReadOnlyDir:
		return h.thawDirs()
	case ReloadFails:
		return h.mendReload()
	case LateReload:
		return h.hastenReload()
	}
	return nil
}

// chooses says that some bad day is only for some commands.
func (h *Host) chooses() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, day := range h.bad {
		if day != nil && day.Match != "" {
			return true
		}
	}
	return false
}

// struck says whether a bad day of this kind strikes this occasion, and counts it.
func (h *Host) struck(kind Kind, command string) (Bad, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	day := h.bad[kind]
	if day == nil || !strings.Contains(command, day.Match) {
		return Bad{}, false
	}
	day.seen++
	first := max(day.Nth, 1)
	if day.seen < first {
		return Bad{}, false
	}
	if day.Count > 0 && day.seen >= first+day.Count-1 {
		delete(h.bad, kind)
		close(day.over)
		day.timer.Stop()
	}
	h.stats.Struck[kind]++
	return day.Bad, true
}

// frozen is closed when a hang without a count ends. It is nil when there is
// none.
func (h *Host) frozen() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if day := h.bad[Hang]; day != nil && !day.counted() {
		return day.over
	}
	return nil
}
