package pgoutput

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// Message types of the protocol, the first byte of every message.
const (
	TypeBegin          = 'B'
	TypeMessage        = 'M'
	TypeCommit         = 'C'
	TypeOrigin         = 'O'
	TypeRelation       = 'R'
	TypeType           = 'Y'
	TypeInsert         = 'I'
	TypeUpdate         = 'U'
	TypeDelete         = 'D'
	TypeTruncate       = 'T'
	TypeStreamStart    = 'S'
	TypeStreamStop     = 'E'
	TypeStreamCommit   = 'c'
	TypeStreamAbort    = 'A'
	TypeBeginPrepare   = 'b'
	TypePrepare        = 'P'
	TypeCommitPrepared = 'K'
	TypeRollbackPrep   = 'r'
	TypeStreamPrepare  = 'p'
)

// FormatError is a message that does not follow the protocol: the connection is
// out of step or the server speaks a version we do not know.
type FormatError struct {
	// Message is the message's type byte, 0 when it is empty.
	Message byte
	// What is missing or wrong.
	What string
}

// Error implements error.
func (e *FormatError) Error() string {
	if e.Message == 0 {
		return "malformed pgoutput message: " + e.What
	}
	return fmt.Sprintf("malformed pgoutput message %q: %s", e.Message, e.What)
}

// Begin starts a transaction that is sent whole.
type Begin struct {
	FinalLSN uint64 // LSN of the commit record
	CommitUs int64  // commit time, microseconds since 2000-01-01
	XID      uint32
}

// Commit ends a transaction.
type Commit struct {
	Flags    byte
	LSN      uint64 // of the commit record
	EndLSN   uint64 // of the end of the transaction
	CommitUs int64  // microseconds since 2000-01-01
}

// Origin names the replication origin of a transaction.
type Origin struct {
	LSN  uint64
	Name string
}

// DataType is a TYPE message.
type DataType struct {
	XID          uint32
	OID          uint32
	Schema, Name string
}

// Change is an INSERT, UPDATE or DELETE. Its slices are lent by the message.
type Change struct {
	Type     byte
	XID      uint32 // only inside a streamed transaction
	Relation uint32
	Old      OldTuple
	// New starts at the new tuple's column count; nil for a DELETE.
	New []byte
}

// Truncate is a TRUNCATE message. Relations is lent by the message: 4 bytes each.
type Truncate struct {
	XID       uint32
	Options   byte // 1 CASCADE, 2 RESTART IDENTITY
	relations []byte
}

// Len is the number of truncated relations.
func (t Truncate) Len() int { return len(t.relations) / 4 }

// Relation returns the OID of truncated relation i.
func (t Truncate) Relation(i int) uint32 { return binary.BigEndian.Uint32(t.relations[4*i:]) }

// Logical is a logical decoding message. Prefix and Content are lent.
type Logical struct {
	XID           uint32
	Transactional bool
	LSN           uint64
	Prefix        []byte
	Content       []byte
}

// StreamStart begins a block of a transaction that is sent before its commit.
type StreamStart struct {
	XID   uint32
	First bool
}

// StreamCommit commits a streamed transaction.
type StreamCommit struct {
	XID uint32
	Commit
}

// StreamAbort aborts a streamed transaction, or one of its subtransactions.
type StreamAbort struct {
	XID, SubXID uint32
	LSN         uint64 // protocol 4 with streaming parallel, else 0
	AbortUs     int64
}

// Prepared is any message of two-phase commit.
type Prepared struct {
	Type     byte
	Flags    byte
	LSN      uint64 // of the prepare, or of the (roll back) commit
	EndLSN   uint64
	TimeUs   int64
	CommitUs int64 // of a ROLLBACK PREPARED: its own time; else 0
	XID      uint32
	GID      string
}

// reader walks over a message with bounds checks; the first failure sticks.
type reader struct {
	b   []byte
	typ byte
	err string
}

func (r *reader) fail(what string) {
	if r.err == "" {
		r.err = what
	}
	r.b = nil
}

func (r *reader) bytes(n int, what string) []byte {
	if n < 0 || len(r.b) < n {
		r.fail(what)
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) u8(what string) byte {
	if v := r.bytes(1, what); v != nil {
		return v[0]
	}
	return 0
}

func (r *reader) u16(what string) int {
	if v := r.bytes(2, what); v != nil {
		return int(binary.BigEndian.Uint16(v))
	}
	return 0
}

func (r *reader) u32(what string) uint32 {
	if v := r.bytes(4, what); v != nil {
		return binary.BigEndian.Uint32(v)
	}
	return 0
}

func (r *reader) u64(what string) uint64 {
	if v := r.bytes(8, what); v != nil {
		return binary.BigEndian.Uint64(v)
	}
	return 0
}

// text reads up to the next zero byte.
func (r *reader) text(what string) []byte {
	n := bytes.IndexByte(r.b, 0)
	if n < 0 {
		r.fail(what)
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n+1:]
	return v
}

func (r *reader) done() error {
	if r.err != "" {
		return &FormatError{r.typ, r.err}
	}
	return nil
}

// open checks the type byte and skips it, and the XID of a streamed block.
func open(msg []byte, want byte, streamed bool) (r reader, xid uint32) {
	r = reader{b: msg}
	r.typ = r.u8("it is empty")
	if r.err == "" && r.typ != want {
		r.fail(fmt.Sprintf("expected %q", want))
	}
	if streamed {
		xid = r.u32("transaction id")
	}
	return r, xid
}

// ParseBegin reads a BEGIN.
func ParseBegin(msg []byte) (Begin, error) {
	r, _ := open(msg, TypeBegin, false)
	m := Begin{FinalLSN: r.u64("final LSN"), CommitUs: int64(r.u64("commit time")), XID: r.u32("transaction id")}
	return m, r.done()
}

// ParseCommit reads a COMMIT.
func ParseCommit(msg []byte) (Commit, error) {
	r, _ := open(msg, TypeCommit, false)
	m := r.commit()
	return m, r.done()
}

func (r *reader) commit() Commit {
	return Commit{Flags: r.u8("flags"), LSN: r.u64("commit LSN"), EndLSN: r.u64("end LSN"), CommitUs: int64(r.u64("commit time"))}
}

// ParseOrigin reads an ORIGIN.
func ParseOrigin(msg []byte) (Origin, error) {
	r, _ := open(msg, TypeOrigin, false)
	m := Origin{LSN: r.u64("origin LSN"), Name: string(r.text("origin name"))}
	return m, r.done()
}

// ParseRelation reads a RELATION; everything in the result is a copy. streamed
// says whether the message is inside a streamed transaction (protocol 2 and up).
func ParseRelation(msg []byte, streamed bool) (Relation, error) {
	r, _ := open(msg, TypeRelation, streamed)
	m := Relation{OID: r.u32("relation id"), Schema: string(r.text("schema")), Name: string(r.text("name")), ReplicaIdentity: r.u8("replica identity")}
	if m.Schema == "" {
		m.Schema = "pg_catalog" // the protocol's short form
	}
	n := r.u16("column count")
	if n*10 > len(r.b) {
		r.fail("columns") // a column takes at least 10 bytes: no allocation for a lie
		return m, r.done()
	}
	m.Columns = make([]RelationColumn, n)
	for i := range m.Columns {
		m.Columns[i] = RelationColumn{
			Key:     r.u8("column flags")&1 != 0,
			Name:    string(r.text("column name")),
			TypeOID: r.u32("column type"),
			Typmod:  int32(r.u32("column modifier")),
		}
	}
	return m, r.done()
}

// ParseType reads a TYPE.
func ParseType(msg []byte, streamed bool) (DataType, error) {
	r, xid := open(msg, TypeType, streamed)
	m := DataType{XID: xid, OID: r.u32("type id"), Schema: string(r.text("schema")), Name: string(r.text("name"))}
	return m, r.done()
}

// ParseChange reads an INSERT, UPDATE or DELETE without looking into the tuples'
// values. It does not allocate.
func ParseChange(msg []byte, streamed bool) (Change, error) {
	var c Change
	if len(msg) == 0 {
		return c, &FormatError{0, "it is empty"}
	}
	c.Type = msg[0]
	if c.Type != TypeInsert && c.Type != TypeUpdate && c.Type != TypeDelete {
		return c, &FormatError{c.Type, "is no row change"}
	}
	r := reader{b: msg[1:], typ: c.Type}
	if streamed {
		c.XID = r.u32("transaction id")
	}
	c.Relation = r.u32("relation id")
	kind := r.u8("tuple kind")
	if c.Type != TypeInsert && (kind == 'K' || kind == 'O') {
		old := r.b
		r.skipTuple()
		if r.err == "" {
			c.Old = OldTuple{kind, old[:len(old)-len(r.b)]}
		}
		if c.Type == TypeDelete {
			return c, r.done()
		}
		kind = r.u8("tuple kind")
	}
	if r.err == "" && (kind != 'N' || c.Type == TypeDelete) {
		r.fail("unknown tuple kind")
	}
	c.New = r.b
	return c, r.done()
}

// skipTuple moves behind a tuple.
func (r *reader) skipTuple() {
	for n := r.u16("column count"); n > 0 && r.err == ""; n-- {
		switch r.u8("column kind") {
		case 'n', 'u':
		case 't', 'b':
			r.bytes(int(int32(r.u32("value length"))), "value")
		default:
			r.fail("unknown column kind")
		}
	}
}

// ParseTruncate reads a TRUNCATE.
func ParseTruncate(msg []byte, streamed bool) (Truncate, error) {
	r, xid := open(msg, TypeTruncate, streamed)
	n := r.u32("relation count")
	m := Truncate{XID: xid, Options: r.u8("options")}
	if uint64(n)*4 > uint64(len(r.b)) {
		r.fail("relation ids")
		return m, r.done()
	}
	m.relations = r.bytes(int(n)*4, "relation ids")
	return m, r.done()
}

// ParseLogical reads a logical decoding message.
func ParseLogical(msg []byte, streamed bool) (Logical, error) {
	r, xid := open(msg, TypeMessage, streamed)
	m := Logical{XID: xid, Transactional: r.u8("flags")&1 != 0, LSN: r.u64("LSN"), Prefix: r.text("prefix")}
	m.Content = r.bytes(int(int32(r.u32("content length"))), "content")
	return m, r.done()
}

// SplitXID takes a message within a streamed block apart: the (sub)transaction it
// belongs to, and what follows the id. The message's type byte and rest together
// are the message as it is outside of such a block.
func SplitXID(msg []byte) (xid uint32, rest []byte, err error) {
	if len(msg) == 0 {
		return 0, nil, &FormatError{0, "it is empty"}
	}
	r := reader{b: msg[1:], typ: msg[0]}
	xid = r.u32("transaction id")
	return xid, r.b, r.done()
}

// ParseStreamStart reads a STREAM START.
func ParseStreamStart(msg []byte) (StreamStart, error) {
	r, xid := open(msg, TypeStreamStart, true)
	m := StreamStart{XID: xid, First: r.u8("first segment flag") == 1}
	return m, r.done()
}

// ParseStreamCommit reads a STREAM COMMIT.
func ParseStreamCommit(msg []byte) (StreamCommit, error) {
	r, xid := open(msg, TypeStreamCommit, true)
	m := StreamCommit{XID: xid, Commit: r.commit()}
	return m, r.done()
}

// ParseStreamAbort reads a STREAM ABORT; LSN and time are there only in parallel
// streaming.
func ParseStreamAbort(msg []byte) (StreamAbort, error) {
	r, xid := open(msg, TypeStreamAbort, true)
	m := StreamAbort{XID: xid, SubXID: r.u32("subtransaction id")}
	if len(r.b) > 0 {
		m.LSN, m.AbortUs = r.u64("abort LSN"), int64(r.u64("abort time"))
	}
	return m, r.done()
}

// ParsePrepared reads the messages of two-phase commit: BEGIN PREPARE, PREPARE,
// COMMIT PREPARED, ROLLBACK PREPARED and STREAM PREPARE.
func ParsePrepared(msg []byte) (Prepared, error) {
	if len(msg) == 0 {
		return Prepared{}, &FormatError{0, "it is empty"}
	}
	r := reader{b: msg[1:], typ: msg[0]}
	m := Prepared{Type: msg[0]}
	switch msg[0] {
	case TypeBeginPrepare:
	case TypePrepare, TypeCommitPrepared, TypeRollbackPrep, TypeStreamPrepare:
		m.Flags = r.u8("flags")
	default:
		r.fail("is no message of two-phase commit")
	}
	m.LSN, m.EndLSN, m.TimeUs = r.u64("LSN"), r.u64("end LSN"), int64(r.u64("time"))
	if msg[0] == TypeRollbackPrep {
		m.CommitUs = int64(r.u64("rollback time"))
	}
	m.XID, m.GID = r.u32("transaction id"), string(r.text("global id"))
	return m, r.done()
}
