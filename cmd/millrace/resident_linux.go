package main

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// trimText gives the pages of the program's own file that start-up has touched back
// to the page cache, and keeps the kernel from mapping whole large pages of it
// around each byte that is read: of a program of which a worker runs a tenth, three
// quarters would count as resident. Pages that are used come back by themselves,
// without being read from the disk. Regions that were written to, by a dynamic
// linker for instance, are left alone. Nothing depends on it, so errors are not told.
func trimText() {
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer func() { _ = f.Close() }() // only read
	var at region
	var all []region
	for sc := bufio.NewScanner(f); sc.Scan(); {
		w := strings.Fields(sc.Text())
		switch {
		case len(w) >= 6 && !strings.HasSuffix(w[0], ":"):
			at = region{}
			if w[5] == self && strings.HasPrefix(w[1], "r-") {
				at = parseRegion(w[0])
			}
		case len(w) == 3 && w[0] == "Anonymous:" && w[1] != "0":
			at = region{}
		case len(w) > 0 && w[0] == "VmFlags:" && at.size > 0: // the last line of a region
			all = append(all, at)
		}
	}
	for _, r := range all {
		const noHugePage = 15 // MADV_NOHUGEPAGE
		_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, r.from, r.size, noHugePage)
		_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, r.from, r.size, syscall.MADV_DONTNEED)
	}
}

// region is a part of the address space.
type region struct{ from, size uintptr }

// parseRegion reads "from-to" in hexadecimal.
func parseRegion(s string) region {
	a, b, _ := strings.Cut(s, "-")
	from, err1 := strconv.ParseUint(a, 16, 64)
	to, err2 := strconv.ParseUint(b, 16, 64)
	if err1 != nil || err2 != nil || to < from {
		return region{}
	}
	return region{uintptr(from), uintptr(to - from)}
}
