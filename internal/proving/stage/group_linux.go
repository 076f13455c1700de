package stage

import "syscall"

// ownGroup puts a program into a process group of its own. If this process is
// killed, the program dies too, so that it does not hold a port, lock or file
// for ever.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
