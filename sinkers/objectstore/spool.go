package objectstore

import (
	"fmt"
	"io"
	"os"
	"sync/atomic"
)

// What the bytes of files that are being made may take. A file that outgrows its
// share continues on disk, and so does every file while all of them together
// take more than the budget.
const (
	memoryBudget = 6 << 20
	memoryShare  = 256 << 10
	leastSpill   = 4 << 10
)

// budget counts the memory that all spools of a task take, used or not.
type budget struct{ used atomic.Int64 }

// spool holds the bytes of one file: the first part on disk, if any, the rest in
// memory. It is written by one goroutine and then read by another.
type spool struct {
	all  *budget
	dir  string // for the file on disk; "" is the system's
	mem  []byte
	disk *os.File // already removed from its directory
	kept int64    // bytes on disk
}

// Write implements io.Writer.
func (s *spool) Write(p []byte) (int, error) {
	s.grow(len(p))
	s.mem = append(s.mem, p...)
	if len(s.mem) >= memoryShare || s.all.used.Load() > memoryBudget && len(s.mem) >= leastSpill {
		if err := s.spill(); err != nil { // as if it had not been written: no byte is there twice
			s.mem = s.mem[:len(s.mem)-len(p)]
			return 0, err
		}
	}
	return len(p), nil
}

// grow makes room for n bytes: little more than is wanted, since there are many spools.
func (s *spool) grow(n int) {
	want := len(s.mem) + n
	if want <= cap(s.mem) {
		return
	}
	const step = 1 << 10
	size := (max(want, min(2*cap(s.mem), cap(s.mem)+cap(s.mem)/4+step)) + step - 1) / step * step
	mem := make([]byte, len(s.mem), size)
	copy(mem, s.mem)
	s.all.used.Add(int64(size - cap(s.mem)))
	s.mem = mem
}

// empty forgets what is in memory, and gives the memory back unless it is little or
// there is plenty.
func (s *spool) empty(all bool) {
	if all || cap(s.mem) > 6<<10 && s.all.used.Load() > memoryBudget/2 {
		s.all.used.Add(-int64(cap(s.mem)))
		s.mem = nil
	}
	s.mem = s.mem[:0]
}

// spill moves what is in memory to the disk.
func (s *spool) spill() error {
	if s.disk == nil {
		f, err := os.CreateTemp(s.dir, "millrace-file-*")
		if err != nil {
			return fmt.Errorf("make a temporary file for a large object; set TMPDIR to a directory with space: %w", err)
		}
		_ = os.Remove(f.Name()) // the open file stays usable and is gone with the process
		s.disk = f
	}
	n, err := s.disk.WriteAt(s.mem, s.kept)
	if err != nil {
		return fmt.Errorf("write a temporary file for a large object; set TMPDIR to a directory with space: %w", err)
	}
	s.kept += int64(n)
	s.empty(false)
	return nil
}

// size is the length of the file so far.
func (s *spool) size() int64 { return s.kept + int64(len(s.mem)) }

// ReadAt implements io.ReaderAt.
func (s *spool) ReadAt(p []byte, off int64) (n int, err error) {
	if off < s.kept {
		want := p[:min(int64(len(p)), s.kept-off)]
		if n, err = s.disk.ReadAt(want, off); err != nil && n < len(want) {
			return n, err
		}
		off += int64(n)
	}
	if n < len(p) {
		if off-s.kept >= int64(len(s.mem)) {
			return n, io.EOF
		}
		m := copy(p[n:], s.mem[off-s.kept:])
		if n += m; n < len(p) {
			return n, io.EOF
		}
	}
	return n, nil
}

// reset empties the spool for more to come.
func (s *spool) reset() {
	s.empty(false)
	s.kept = 0
}

// close gives the memory and the disk space back.
func (s *spool) close() {
	s.empty(true)
	if s.disk != nil {
		_ = s.disk.Close()
		s.disk = nil
	}
}
