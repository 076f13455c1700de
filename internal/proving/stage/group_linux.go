package stage

import "syscall"

// ownGroup puts a program into a process group of its own. Should this process be
// killed, the program dies with it, and holds no port, lock or file for ever.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
