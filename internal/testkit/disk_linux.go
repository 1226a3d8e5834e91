package testkit

import (
	"fmt"
	"os"
	"syscall"
	"testing"
)

// SmallDisk mounts an empty file system of so many bytes on a directory, so that a test can
// fill it. It belongs to the user with the number uid and is unmounted when the test ends. Only
// root may mount; elsewhere, and where the kernel refuses, the test is skipped.
func SmallDisk(t testing.TB, dir string, size, uid int) {
	t.Helper()
	err := os.MkdirAll(dir, 0o755)
	if err == nil {
		err = syscall.Mount("millrace-test", dir, "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV, fmt.Sprintf("size=%d,mode=0700,uid=%d", size, uid))
	}
	if err != nil {
		t.Skipf("a disk that can be filled is a mount, which is refused here: %v", err)
	}
	t.Cleanup(func() {
		// A server may have a deleted file open for a moment yet.
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
}
