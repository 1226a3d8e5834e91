package main

import (
	"time"

	"golang.org/x/sys/unix"
)

// touch makes the kernel own that many MiB of memory before a measurement begins,
// and gives them back. It matters on a virtual machine whose host takes free memory
// away (free page reporting, balloons): the broker's page cache then takes several
// times longer for the first write into a page than for all others, and that is
// what a short run measures. Not done unless -touch asks for it; the notes below the
// table say that it was.
func (b *bench) touch() error {
	if b.touchMiB == 0 {
		return nil
	}
	began := time.Now()
	m, err := unix.Mmap(-1, 0, b.touchMiB<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return err
	}
	walk := func() {
		for i := 0; i < len(m); i += 4096 {
			m[i]++
		}
	}
	walk()
	first := time.Since(began)
	again := time.Now()
	walk()
	b.logf("touched %d MiB: %.2f s, again %.2f s", b.touchMiB, first.Seconds(), time.Since(again).Seconds())
	return unix.Munmap(m)
}
