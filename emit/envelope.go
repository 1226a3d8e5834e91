package emit

import (
	"millrace/internal/metrics"
	"millrace/internal/record"
)

// Op is the operation of a change as the envelope spells it.
type Op byte

// The operations of Debezium's envelope.
const (
	OpCreate   Op = 'c'
	OpUpdate   Op = 'u'
	OpDelete   Op = 'd'
	OpRead     Op = 'r'
	OpTruncate Op = 't'
	OpMessage  Op = 'm'
)

// The headers of a primary-key change: the delete carries the new key, the
// create the old one.
const (
	HeaderNewKey = "__debezium.newkey"
	HeaderOldKey = "__debezium.oldkey"
)

// Places of the fields in the envelope.
const (
	envBefore = iota
	envAfter
	envSource
	envTx
	envOp
	envTsMs
	envTsUs
	envTsNs
	envFields
)

// TransactionBlock is the schema of the envelope's transaction field.
var TransactionBlock = &record.Schema{Type: record.Struct, Optional: true, Name: "event.block", Version: 1, Fields: []record.Field{
	{Name: "id", Schema: record.PlainString},
	{Name: "total_order", Schema: record.PlainInt64},
	{Name: "data_collection_order", Schema: record.PlainInt64},
}}

// Change is one change of a row. All cells lie in the batch that the records are
// appended to.
type Change struct {
	Op            Op
	Before, After record.Cell // struct by the table's value schema, or null
	Key           record.Cell // struct by the table's key schema, or null
	Source        record.Cell // source block, made by the engine
	Tx            record.Cell // struct by TransactionBlock, or null
	NowNs         int64       // the connector's clock, ns since 1970
	CommitUs      int64       // commit time in the source, µs since 1970, for the lag metric
}

// EnvelopeSpec is what an Envelope is made of.
type EnvelopeSpec struct {
	Topic *record.Topic
	Name  string         // schema name, <topic>.Envelope after name adjustment
	Key   *record.Schema // nil: no key
	Value *record.Schema // <topic>.Value, an optional struct
	// Source is the schema of the engine's source block.
	Source *record.Schema
	// Tombstones: a record with a null value follows each delete.
	Tombstones bool
}

// Envelope makes the records of the changes of one table version. It is
// immutable; appending allocates nothing once the batch is warm.
type Envelope struct {
	Topic      *record.Topic
	Key        *record.Schema
	Schema     *record.Schema
	tombstones bool
}

// NewEnvelope compiles an envelope; its schema is interned in in.
func NewEnvelope(in *record.Interner, s EnvelopeSpec) *Envelope {
	return &Envelope{Topic: s.Topic, Key: s.Key, tombstones: s.Tombstones, Schema: in.Intern(&record.Schema{
		Type: record.Struct, Name: s.Name, Version: 2, Fields: []record.Field{
			{Name: "before", Schema: s.Value},
			{Name: "after", Schema: s.Value},
			{Name: "source", Schema: s.Source},
			{Name: "transaction", Schema: TransactionBlock},
			{Name: "op", Schema: record.PlainString},
			{Name: "ts_ms", Schema: record.OptionalInt64},
			{Name: "ts_us", Schema: record.OptionalInt64},
			{Name: "ts_ns", Schema: record.OptionalInt64},
		}})}
}

// Append appends the record of a change, and after a delete its tombstone. A
// truncate has no key, whatever the table's key is.
func (e *Envelope) Append(b *record.Batch, s *Shared, c *Change) {
	r := e.append(b, s, c)
	s.share(b, r)
	if c.Op == OpDelete && e.tombstones {
		e.tombstone(b, c.Key, r.CommitUs)
	}
}

// AppendKeyChange appends what becomes of an update that changed the key: the
// delete of the old row, its tombstone, and the create of the new row, each
// naming the other's key in a header. Either change may be nil when the
// connector skips that operation; oldKey and newKey are always needed.
func (e *Envelope) AppendKeyChange(b *record.Batch, s *Shared, del, ins *Change, oldKey, newKey record.Cell) {
	if del != nil {
		del.Key = oldKey
		r := e.append(b, s, del)
		b.AddHeader(r, record.Header{Key: HeaderNewKey, Schema: e.Key, Value: b.CloneChildren(newKey, 0)})
		s.add(b, r)
		if e.tombstones {
			e.tombstone(b, oldKey, r.CommitUs)
		}
	}
	if ins != nil {
		ins.Key = newKey
		r := e.append(b, s, ins)
		b.AddHeader(r, record.Header{Key: HeaderOldKey, Schema: e.Key, Value: b.CloneChildren(oldKey, 0)})
		s.add(b, r)
	}
}

// append appends the data record without headers.
func (e *Envelope) append(b *record.Batch, s *Shared, c *Change) *record.Record {
	v := b.Alloc(record.Struct, envFields)
	f := b.Children(v)
	f[envBefore], f[envAfter], f[envSource], f[envTx] = c.Before, c.After, c.Source, c.Tx
	f[envOp] = s.op(c.Op)
	if s.seen != nil {
		s.seen.Seen(byte(c.Op))
	}
	f[envTsMs] = record.Int64Cell(c.NowNs / 1e6)
	f[envTsUs] = record.Int64Cell(c.NowNs / 1e3)
	f[envTsNs] = record.Int64Cell(c.NowNs)
	r := b.Append()
	r.Topic, r.ValueSchema, r.Value, r.CommitUs = e.Topic, e.Schema, v, c.CommitUs
	if c.Op != OpTruncate {
		r.KeySchema, r.Key = e.Key, c.Key
	}
	return r
}

// tombstone appends the tombstone of the delete that was appended last. The key's
// children are copied, as a transform may rewrite those of each record in place.
func (e *Envelope) tombstone(b *record.Batch, key record.Cell, commitUs int64) {
	if !key.IsNull() {
		key = b.CloneChildren(key, 0)
	}
	r := b.Append()
	r.Topic, r.KeySchema, r.Key, r.CommitUs = e.Topic, e.Key, key, commitUs
	b.ShareHeaders(r, &b.Records[len(b.Records)-2])
}

// Shared holds what all records of one batch have in common: the texts of the
// operations and the headers that say which connector made the record. They are
// put into a batch once, by Begin, and referred to by every record after that.
type Shared struct {
	names  []string
	values []string
	ops    [8]record.Cell
	seen   *metrics.Events // nil: nobody counts
	cells  []record.Header
	proto  record.Record // carries the span of the shared headers
}

// NewShared makes the shared part of records with these headers (name, value
// pairs, both texts), in order. None is fine.
func NewShared(headers ...[2]string) *Shared {
	s := &Shared{}
	for _, h := range headers {
		s.names, s.values = append(s.names, h[0]), append(s.values, h[1])
	}
	return s
}

// Count makes e count the changes that are appended.
func (s *Shared) Count(e *metrics.Events) { s.seen = e }

var opText = [8]string{"c", "u", "d", "r", "t", "m"}

func opIndex(o Op) int {
	switch o {
	case OpCreate:
		return 0
	case OpUpdate:
		return 1
	case OpDelete:
		return 2
	case OpRead:
		return 3
	case OpTruncate:
		return 4
	}
	return 5
}

// Begin puts the shared values into a fresh batch. It must be called once for
// each batch before anything is appended with this Shared.
func (s *Shared) Begin(b *record.Batch) {
	for i := range s.ops[:6] {
		s.ops[i] = b.StringCell(opText[i])
	}
	s.cells = s.cells[:0]
	for i, n := range s.names {
		s.cells = append(s.cells, record.Header{Key: n, Schema: record.PlainString, Value: b.StringCell(s.values[i])})
	}
	s.proto = record.Record{}
	if len(s.cells) > 0 {
		b.SetHeaders(&s.proto, s.cells)
	}
}

// OpCell is the text of an operation in the batch that was begun last.
func (s *Shared) OpCell(o Op) record.Cell { return s.op(o) }

func (s *Shared) op(o Op) record.Cell { return s.ops[opIndex(o)] }

// Headers makes r carry the shared headers and no others.
func (s *Shared) Headers(b *record.Batch, r *record.Record) { s.share(b, r) }

func (s *Shared) share(b *record.Batch, r *record.Record) { b.ShareHeaders(r, &s.proto) }

// add appends the shared headers behind those that r already has.
func (s *Shared) add(b *record.Batch, r *record.Record) {
	for _, h := range s.cells {
		b.AddHeader(r, h)
	}
}

// TransactionCell makes a transaction block; id is a text in the batch.
func TransactionCell(b *record.Batch, id record.Cell, total, collection int64) record.Cell {
	c := b.Alloc(record.Struct, 3)
	f := b.Children(c)
	f[0], f[1], f[2] = id, record.Int64Cell(total), record.Int64Cell(collection)
	return c
}
