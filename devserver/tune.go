package main

import (
	"os"
	"runtime/debug"
	"strings"
	"syscall"
)

// The Go runtime as a server of many short calls wants it.
const (
	// gcPercent lets the heap grow: collecting was a seventh of the CPU time.
	gcPercent = 400
	// stacks has goroutines begin with the size of stack that they usually come
	// to need; to grow it in each call was a twentieth.
	stacks = "adaptivestackstart=1"
)

// tune sets both. The runtime reads the second when the process begins, so the
// process becomes itself once more, with the same ID.
func tune() {
	debug.SetGCPercent(gcPercent)
	now := os.Getenv("GODEBUG")
	if strings.Contains(now, stacks) {
		return
	}
	path, err := os.Executable()
	if err != nil || os.Setenv("GODEBUG", strings.Trim(now+","+stacks, ",")) != nil {
		return
	}
	_ = syscall.Exec(path, os.Args, os.Environ()) // otherwise go on as it is
}
