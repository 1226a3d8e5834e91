package postgres

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// spoolBuffer is what is written to, and read from, a spool at once.
const spoolBuffer = 128 << 10

// spoolDir is where transactions that are not committed yet are kept: the system's
// directory for temporary files, which TMPDIR names.
func spoolDir() string { return os.TempDir() }

// spoolError is a spool that could not be written or read: the disk is full, the
// directory is missing.
type spoolError struct {
	dir   string
	bytes int64
	cause error
}

// Error implements error.
func (e *spoolError) Error() string {
	return fmt.Sprintf("keep a large transaction that is not committed yet in a file in %s, behind %d bytes: %v", e.dir, e.bytes, e.cause)
}

// Unwrap returns what the file system said.
func (e *spoolError) Unwrap() error { return e.cause }

// scratch is an unnamed file: it is removed as soon as it is open, so that nothing
// is left behind however the process ends.
type scratch struct {
	f   *os.File
	rm  string // to be removed when it is closed, where open files cannot be
	dir string
}

func (x *scratch) open(dir string) error {
	if x.f != nil {
		return nil
	}
	f, err := os.CreateTemp(dir, "millrace-transaction-*")
	if err != nil {
		return err
	}
	x.f, x.dir = f, dir
	if os.Remove(f.Name()) != nil {
		x.rm = f.Name()
	}
	return nil
}

func (x *scratch) close() {
	if x.f == nil {
		return
	}
	_ = x.f.Close() // nothing in it is wanted any more
	if x.rm != "" {
		_ = os.Remove(x.rm)
	}
	x.f = nil
}

// spool keeps the messages of one transaction that the server sends before its
// commit, in order, in a file. Subtransactions that are rolled back are cut off:
// they nest, so everything behind the first change of one that is rolled back
// belongs to it or to those inside of it.
//
// An entry is the length of the message (4 bytes), its place in the log (8 bytes),
// and the message without the transaction id.
type spool struct {
	dir  string
	data scratch
	size int64  // of the entries that count, the buffer's included
	buf  []byte // not yet written; lent by the writer, and flushed before it goes elsewhere
	subs subStack
}

const spoolHeader = 12

// add appends a message of the transaction's own, or of the subtransaction xid.
// head is the message's type, body what follows the transaction id.
func (s *spool) add(xid uint32, sub bool, at LSN, head byte, body []byte) error {
	if sub {
		if err := s.subs.push(s.dir, xid, s.size); err != nil {
			return s.fail(err)
		}
	}
	n := spoolHeader + 1 + len(body)
	if len(s.buf)+n > cap(s.buf) {
		if err := s.flush(); err != nil {
			return err
		}
	}
	s.buf = binary.BigEndian.AppendUint32(s.buf, uint32(1+len(body)))
	s.buf = binary.BigEndian.AppendUint64(s.buf, uint64(at))
	s.buf = append(s.buf, head)
	if s.size += int64(n); len(s.buf)+len(body) <= cap(s.buf) {
		s.buf = append(s.buf, body...)
		return nil
	}
	// Larger than the buffer: straight into the file.
	s.size -= int64(len(body))
	if err := s.flush(); err != nil {
		return err
	}
	if _, err := s.data.f.WriteAt(body, s.size); err != nil {
		return s.fail(err)
	}
	s.size += int64(len(body))
	return nil
}

// flush writes what is in the buffer.
func (s *spool) flush() error {
	if len(s.buf) == 0 {
		return nil
	}
	if err := s.data.open(s.dir); err != nil {
		return s.fail(err)
	}
	if _, err := s.data.f.WriteAt(s.buf, s.size-int64(len(s.buf))); err != nil {
		return s.fail(err)
	}
	s.buf = s.buf[:0]
	return nil
}

// rollback cuts off a subtransaction and all that came behind its start. The
// buffer must be empty.
func (s *spool) rollback(xid uint32) error {
	at, found, err := s.subs.cut(xid)
	if err != nil {
		return s.fail(err)
	}
	if !found || at >= s.size {
		return nil
	}
	s.size = at
	if s.data.f != nil {
		if err := s.data.f.Truncate(at); err != nil {
			return s.fail(err)
		}
	}
	return nil
}

func (s *spool) fail(err error) error { return &spoolError{s.dir, s.size, err} }

// close gives the file back to the system.
func (s *spool) close() {
	s.data.close()
	s.subs.file.close()
}

// reader returns the entries from the first on. The buffer must be empty.
func (s *spool) reader() *spoolReader {
	r := &spoolReader{s: s}
	if s.data.f != nil {
		r.r = bufio.NewReaderSize(io.NewSectionReader(s.data.f, 0, s.size), spoolBuffer)
	}
	return r
}

// spoolReader reads a spool.
type spoolReader struct {
	s    *spool
	r    *bufio.Reader // nil: the spool is empty
	done int           // bytes of the entry returned last that are still in r
	big  []byte        // an entry that is larger than the reader's buffer
}

var errSpoolCut = errors.New("it ends within an entry")

// next returns the next message and its place; the message is valid until the
// next call. io.EOF ends the spool.
func (r *spoolReader) next() (LSN, []byte, error) {
	if r.r == nil {
		return 0, nil, io.EOF
	}
	if _, err := r.r.Discard(r.done); err != nil {
		return 0, nil, r.s.fail(err)
	}
	r.done = 0
	h, err := r.r.Peek(spoolHeader)
	if errors.Is(err, io.EOF) && len(h) == 0 {
		return 0, nil, io.EOF
	}
	if err != nil {
		return 0, nil, r.s.fail(cut(err))
	}
	n, at := int(binary.BigEndian.Uint32(h)), LSN(binary.BigEndian.Uint64(h[4:]))
	if spoolHeader+n <= r.r.Size() {
		m, err := r.r.Peek(spoolHeader + n)
		if err != nil {
			return 0, nil, r.s.fail(cut(err))
		}
		r.done = len(m)
		return at, m[spoolHeader:], nil
	}
	if _, err := r.r.Discard(spoolHeader); err != nil {
		return 0, nil, r.s.fail(err)
	}
	if cap(r.big) < n {
		r.big = make([]byte, n)
	}
	r.big = r.big[:n]
	if _, err := io.ReadFull(r.r, r.big); err != nil {
		return 0, nil, r.s.fail(cut(err))
	}
	return at, r.big, nil
}

func cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errSpoolCut
	}
	return err
}

// subStack knows where in a spool each subtransaction begins. Ids are given in the
// order of their start, a parent's before its child's, so the stack is sorted by
// both; it grows and shrinks at its end. Beyond a few thousand entries its older
// part lies in a file: a loop with an exception handler in PL/pgSQL starts a
// subtransaction per turn.
type subStack struct {
	file scratch
	kept int64 // entries in the file
	top  []subStart
}

type subStart struct {
	xid uint32
	at  int64
}

// subsInMemory is how many entries are in memory at most; half of them move to the
// file, and back, at once.
const (
	subsInMemory = 4096
	subBytes     = 12
)

// behind reports whether transaction id a was given after b, as ids wrap around.
func behind(a, b uint32) bool { return int32(a-b) > 0 }

// push notes that the subtransaction xid has a change at an offset. Only its first
// one counts, and that of a parent counts for nothing behind its child's: the
// child ends when the parent does.
func (t *subStack) push(dir string, xid uint32, at int64) error {
	if err := t.fill(); err != nil {
		return err
	}
	if n := len(t.top); n > 0 && !behind(xid, t.top[n-1].xid) {
		return nil
	}
	if len(t.top) == subsInMemory {
		if err := t.file.open(dir); err != nil {
			return err
		}
		var b []byte
		for _, e := range t.top[:subsInMemory/2] {
			b = binary.BigEndian.AppendUint32(b, e.xid)
			b = binary.BigEndian.AppendUint64(b, uint64(e.at))
		}
		if _, err := t.file.f.WriteAt(b, t.kept*subBytes); err != nil {
			return err
		}
		t.kept += subsInMemory / 2
		t.top = append(t.top[:0], t.top[subsInMemory/2:]...)
	}
	t.top = append(t.top, subStart{xid, at})
	return nil
}

// fill brings entries back from the file when none is in memory.
func (t *subStack) fill() error {
	if len(t.top) > 0 || t.kept == 0 {
		return nil
	}
	n := min(t.kept, subsInMemory/2)
	b := make([]byte, n*subBytes)
	if _, err := t.file.f.ReadAt(b, (t.kept-n)*subBytes); err != nil {
		return err
	}
	for ; len(b) > 0; b = b[subBytes:] {
		t.top = append(t.top, subStart{binary.BigEndian.Uint32(b), int64(binary.BigEndian.Uint64(b[4:]))})
	}
	t.kept -= n
	return nil
}

// cut forgets the subtransaction xid and all that started behind it, and returns
// the offset of the first change of any of them.
func (t *subStack) cut(xid uint32) (at int64, found bool, err error) {
	for {
		if err := t.fill(); err != nil {
			return 0, false, err
		}
		n := len(t.top)
		if n == 0 || behind(xid, t.top[n-1].xid) {
			return at, found, nil
		}
		at, found, t.top = t.top[n-1].at, true, t.top[:n-1]
	}
}
