package testkit

import "syscall"

// dieWithParent makes a child process end when the test process is killed, so
// that no daemon is left behind.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
