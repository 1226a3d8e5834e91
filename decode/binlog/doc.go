// Package binlog reads the row events of a MySQL or MariaDB binary log: the table
// map and the row images of write, update, delete and partial-JSON update events
// (https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_replication_binlog_event.html).
//
// It splits an image into the wire bytes of each column; decode/myvalue gives them
// meaning. It is pure: bytes in, slices into the same bytes and typed errors out.
// Slices are lent by the event buffer. Every entry is fuzzed.
package binlog

import "fmt"

// Column types of the binary log (enum_field_types).
const (
	TypeDecimal    = 0
	TypeTiny       = 1
	TypeShort      = 2
	TypeLong       = 3
	TypeFloat      = 4
	TypeDouble     = 5
	TypeNull       = 6
	TypeTimestamp  = 7
	TypeLongLong   = 8
	TypeInt24      = 9
	TypeDate       = 10
	TypeTime       = 11
	TypeDateTime   = 12
	TypeYear       = 13
	TypeNewDate    = 14
	TypeVarchar    = 15
	TypeBit        = 16
	TypeTimestamp2 = 17
	TypeDateTime2  = 18
	TypeTime2      = 19
	TypeVector     = 242
	TypeJSON       = 245
	TypeNewDecimal = 246
	TypeEnum       = 247
	TypeSet        = 248
	TypeTinyBlob   = 249
	TypeMediumBlob = 250
	TypeLongBlob   = 251
	TypeBlob       = 252
	TypeVarString  = 253
	TypeString     = 254
	TypeGeometry   = 255
)

// MariaDB's compressed column types.
const (
	TypeBlobCompressed    = 140
	TypeVarcharCompressed = 141
)

// Error is malformed or unsupported input: where in the event and what was expected.
type Error struct {
	What string
	At   int
}

func (e *Error) Error() string { return fmt.Sprintf("binlog row event, byte %d: %s", e.At, e.What) }

// reader walks over an event body and remembers the first failure.
type reader struct {
	p   []byte
	at  int
	bad *Error
}

func (r *reader) fail(what string) {
	if r.bad == nil {
		r.bad = &Error{what, r.at}
	}
	r.at = len(r.p)
}

func (r *reader) take(n int, what string) []byte {
	if n < 0 || n > len(r.p)-r.at {
		r.fail(what + " ends early")
		return nil
	}
	out := r.p[r.at : r.at+n : r.at+n]
	r.at += n
	return out
}

func (r *reader) uint(n int, what string) uint64 {
	var v uint64
	for i, c := range r.take(n, what) {
		v |= uint64(c) << (8 * i)
	}
	return v
}

// packed reads a length-encoded integer.
func (r *reader) packed(what string) uint64 {
	switch c := r.uint(1, what); c {
	case 252:
		return r.uint(2, what)
	case 253:
		return r.uint(3, what)
	case 254:
		return r.uint(8, what)
	case 251, 255:
		r.fail(what + " has no length")
		return 0
	default:
		return c
	}
}

func (r *reader) packedBytes(what string) []byte {
	n := r.packed(what)
	if n > uint64(len(r.p)-r.at) {
		r.fail(what + " ends early")
		return nil
	}
	return r.take(int(n), what)
}

func (r *reader) err() error {
	if r.bad == nil {
		return nil
	}
	return r.bad
}

// Bit reports bit i of a bitmap, low bit first.
func Bit(bitmap []byte, i int) bool { return bitmap[i>>3]&(1<<(i&7)) != 0 }
