package demo

import "golang.org/x/sys/unix"

// adopt makes processes whose parent has gone children of this one: pg_ctl leaves
// the server behind, and not every machine has an init process that collects it.
func adopt() error { return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }

// reap collects the adopted processes that have ended.
func reap() {
	for {
		var ws unix.WaitStatus
		if pid, err := unix.Wait4(-1, &ws, 0, nil); pid <= 0 || err != nil {
			return
		}
	}
}
