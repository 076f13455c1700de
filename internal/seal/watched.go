package seal

import (
	"os"
	"sync"

	"keywave/internal/unchanged"
)

// watched is what a file says, read again when the file changes.
type watched[T any] struct {
	path string
	read func() (T, error)

	mu   sync.Mutex
	seen os.FileInfo
	last T
}

// watch reads the file for the first time.
func watch[T any](path string, read func() (T, error)) (*watched[T], error) {
	w := &watched[T]{path: path, read: read}
	return w, w.load()
}

// load reads the file; on an error nothing changes.
func (w *watched[T]) load() error {
	seen, err := os.Stat(w.path) // before reading: a change in between is seen next time
	if err != nil {
		return err
	}
	last, err := w.read()
	if err != nil {
		return err
	}
	w.seen, w.last = seen, last
	return nil
}

// latest is what the file says; while it cannot be read, what it said last. A
// campaign that has sent a refresh needs a keyset more than it needs the newest.
func (w *watched[T]) latest() T {
	w.mu.Lock()
	defer w.mu.Unlock()
	if now, err := os.Stat(w.path); err == nil && !unchanged.Since(w.seen, now) {
		_ = w.load()
	}
	return w.last
}

// again is latest, without trusting that an unchanged file is the same.
func (w *watched[T]) again() T {
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = w.load()
	return w.last
}
