package hosts

import (
	"os/exec"
	"runtime"
	"syscall"
)

const (
	prCapBoundingDrop = 24 // PR_CAPBSET_DROP, prctl(2)
	capDACOverride    = 1  // CAP_DAC_OVERRIDE, capabilities(7)
)

// startWithoutOverride starts a command that file permissions bind even when it
// runs as root. The thread that gave up the capability ends with the goroutine.
func startWithoutOverride(cmd *exec.Cmd) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		// Whoever may not drop it has no such capability to drop.
		_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, prCapBoundingDrop, capDACOverride, 0)
		started <- cmd.Start()
	}()
	return <-started
}
