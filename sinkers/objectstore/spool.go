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
	memoryBudget = 16 << 20
	memoryShare  = 256 << 10
	leastSpill   = 4 << 10
)

// budget counts what all spools of a task hold in memory.
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
	s.mem = append(s.mem, p...)
	used := s.all.used.Add(int64(len(p)))
	if len(s.mem) >= memoryShare || used > memoryBudget && len(s.mem) >= leastSpill {
		if err := s.spill(); err != nil { // as if it had not been written: no byte is there twice
			s.mem = s.mem[:len(s.mem)-len(p)]
			s.all.used.Add(-int64(len(p)))
			return 0, err
		}
	}
	return len(p), nil
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
	s.all.used.Add(-int64(len(s.mem)))
	if s.mem = s.mem[:0]; cap(s.mem) > 8<<10 {
		s.mem = nil
	}
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
	s.all.used.Add(-int64(len(s.mem)))
	if s.mem, s.kept = s.mem[:0], 0; cap(s.mem) > 8<<10 {
		s.mem = nil
	}
}

// close gives the memory and the disk space back.
func (s *spool) close() {
	s.all.used.Add(-int64(len(s.mem)))
	s.mem = nil
	if s.disk != nil {
		_ = s.disk.Close()
		s.disk = nil
	}
}
