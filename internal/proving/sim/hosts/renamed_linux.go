package hosts

import (
	"bytes"
	"encoding/binary"
	"os"
	"strings"
	"sync"
	"syscall"

	"keywave/internal/proving/sim/journal"
)

// renames reports key files that are renamed into place. The kernel queues the
// event during the rename. So whoever looks after a command's end has reported
// all files of that command.
type renames struct {
	journal *journal.Journal
	file    *os.File // inotify(7)
	fd      int

	mu    sync.Mutex
	hosts map[int32]string // by watch
}

// watchRenames returns nil where the kernel allows no more inotify instances.
func watchRenames(j *journal.Journal) *renames {
	fd, err := syscall.InotifyInit1(syscall.IN_NONBLOCK | syscall.IN_CLOEXEC)
	if err != nil {
		return nil
	}
	return &renames{journal: j, file: os.NewFile(uintptr(fd), "inotify"), fd: fd, hosts: map[int32]string{}}
}

func (r *renames) add(host, dir string) error {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	watch, err := syscall.InotifyAddWatch(r.fd, dir, syscall.IN_MOVED_TO)
	r.hosts[int32(watch)] = host
	return err
}

// serve looks whenever there is an event, until close.
func (r *renames) serve() {
	if r == nil {
		return
	}
	raw, err := r.file.SyscallConn()
	if err == nil {
		_ = raw.Read(func(uintptr) bool { r.look(); return false })
	}
}

func (r *renames) close() {
	if r != nil {
		_ = r.file.Close()
	}
}

// look reports the events that the kernel has queued.
func (r *renames) look() {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var buffer [16 << 10]byte
	for {
		n, err := syscall.Read(r.fd, buffer[:])
		if n <= 0 || err != nil {
			return
		}
		for events := buffer[:n]; len(events) >= syscall.SizeofInotifyEvent; {
			watch := int32(binary.NativeEndian.Uint32(events))
			end := syscall.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(events[12:]))
			r.report(r.hosts[watch], string(bytes.TrimRight(events[syscall.SizeofInotifyEvent:end], "\x00")))
			events = events[end:]
		}
	}
}

func (r *renames) report(host, name string) {
	zone, isKey := strings.CutSuffix(name, keyExt)
	if isKey && !strings.HasPrefix(zone, ".") {
		r.journal.Add(journal.Edge{Edge: journal.Renamed, Host: host, Zone: zone})
	}
}
