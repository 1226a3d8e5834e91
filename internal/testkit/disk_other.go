//go:build !linux

package testkit

import "testing"

// SmallDisk mounts an empty file system; not on this system.
func SmallDisk(t testing.TB, dir string, size, uid int) {
	t.Helper()
	t.Skip("a disk that can be filled is a mount, which only Linux has here")
}
