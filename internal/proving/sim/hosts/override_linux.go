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

// startWithoutOverride starts a command that must obey file permissions even
// when it runs as root. The thread that gave up the capability ends with the
// goroutine.
func startWithoutOverride(cmd *exec.Cmd) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		// A process that may not drop the capability does not have it.
		_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, prCapBoundingDrop, capDACOverride, 0)
		started <- cmd.Start()
	}()
	return <-started
}
