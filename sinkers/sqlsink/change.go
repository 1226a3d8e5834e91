package sqlsink

import (
	"strings"

	"millrace/internal/errs"
	"millrace/internal/record"
)

// opcode is what a record means for the target.
type opcode uint8

const (
	opNothing opcode = iota
	opWrite
	opDelete
	opTruncate
)

// shape is how the values of one schema are read: as a Debezium envelope or as a
// flat row. It is worked out once per schema pointer.
type shape struct {
	skip     bool // schema changes and the like
	envelope bool
	op       int // field indexes; -1: absent
	before   int
	after    int
	source   int
	row      *record.Schema // of before and after, or the value's own
	data     int            // CloudEvents: the field that holds the record; -1: none
	inner    *shape         // of that field
}

func shapeOf(c *config, s *record.Schema) *shape {
	sh := &shape{op: -1, before: -1, after: -1, source: -1, data: -1, row: s}
	if s.Type != record.Struct {
		sh.row = nil
		return sh
	}
	if c.cloudEvents != nil && s.Name != "" && c.cloudEvents.MatchString(s.Name) {
		if i, f := s.Field("data"); i >= 0 && f.Type == record.Struct {
			sh.data, sh.inner = i, shapeOf(c, f)
			return sh
		}
	}
	if strings.HasSuffix(s.Name, ".SchemaChangeValue") {
		sh.skip = true
		return sh
	}
	op, _ := s.Field("op")
	after, as := s.Field("after")
	if strings.HasSuffix(s.Name, ".Envelope") && op >= 0 || s.Name == "" && op >= 0 && after >= 0 {
		sh.envelope, sh.op, sh.after, sh.row = true, op, after, as
		sh.before, _ = s.Field("before")
		sh.source, _ = s.Field("source")
	}
	return sh
}

// change is what classify found in a record.
type change struct {
	op     opcode
	row    record.Cell    // a struct, or null (a delete without row)
	schema *record.Schema // of row; nil when there is none
	source record.Cell    // the envelope's source block, or null
	srcSch *record.Schema
}

// classify reads a record. Its errors are about this record only.
func (k *Sink) classify(b *record.Batch, r *record.Record) (change, error) {
	if r.Value.IsNull() {
		if k.cfg.plain && !k.cfg.deletes {
			return change{}, refusal("A record of topic " + r.Topic.Name + " has a null value, and delete.enabled is false. Set delete.enabled=true with pk.mode=record_key, or drop such records with a transform")
		}
		if !k.cfg.deletes || k.cfg.keyMode == keyRecordValue {
			return change{}, nil
		}
		return change{op: opDelete}, nil
	}
	if r.ValueSchema == nil {
		return change{}, refusal("The value of a record of topic " + r.Topic.Name + " has no schema, so there are no columns to write. Use a converter with schemas (value.converter.schemas.enable=true, or Avro)")
	}
	sh := k.shapes[r.ValueSchema]
	if sh == nil {
		sh = shapeOf(k.cfg, r.ValueSchema)
		k.shapes[r.ValueSchema] = sh
		if sh.skip {
			k.log.Warn("records of a schema change topic are left out", "topic", r.Topic.Name)
		}
	}
	value := r.Value
	if sh.data >= 0 {
		value, sh = b.Child(value, sh.data), sh.inner
		if value.IsNull() {
			return change{}, nil
		}
	}
	switch {
	case sh.skip:
		return change{}, nil
	case sh.row == nil && k.cfg.textColumn != "" && r.ValueSchema.Type == record.String:
		return change{op: opWrite, schema: r.ValueSchema}, nil
	case sh.row == nil:
		return change{}, refusal("The value of a record of topic " + r.Topic.Name + " is a " + r.ValueSchema.Type.String() + ", but only structs have columns")
	case !sh.envelope:
		return change{op: opWrite, row: value, schema: sh.row}, nil
	}
	return k.unwrap(b, value, r.ValueSchema, sh)
}

func (k *Sink) unwrap(b *record.Batch, value record.Cell, vs *record.Schema, sh *shape) (change, error) {
	ch := change{schema: sh.row}
	if sh.data >= 0 {
		_, vs = vs.Field("data")
	}
	if sh.source >= 0 {
		ch.source = b.Child(value, sh.source)
		_, ch.srcSch = vs.Field("source")
	}
	opc := b.Child(value, sh.op)
	op := ""
	if opc.Kind() == record.String {
		op = b.Str(opc)
	}
	switch op {
	case "c", "r", "u":
		ch.op, ch.row = opWrite, b.Child(value, sh.after)
		if ch.row.IsNull() {
			return change{}, refusal("An envelope with op " + op + " has no `after`")
		}
	case "d":
		if !k.cfg.deletes {
			return change{}, nil
		}
		ch.op = opDelete
		if sh.before >= 0 {
			ch.row = b.Child(value, sh.before)
		}
	case "t":
		if k.cfg.truncate {
			ch.op = opTruncate
		}
	default: // what has a row is one to write; a message ("m") has none
		if sh.after >= 0 && !b.Child(value, sh.after).IsNull() {
			ch.op, ch.row = opWrite, b.Child(value, sh.after)
		}
	}
	return ch, nil
}

// refusal is an error about one record.
func refusal(msg string) error { return &errs.Error{Java: errs.DataException, Msg: msg} }

// isPlaceholder tells whether a value stands for an unchanged TOAST value, in each
// form that the source gives it.
func isPlaceholder(b *record.Batch, c record.Cell, ph []byte) bool {
	switch c.Kind() {
	case record.String, record.Bytes:
		return c.Len() == len(ph) && string(b.Raw(c)) == string(ph)
	case record.Array:
		if c.Len() == 1 {
			e := b.Child(c, 0)
			return (e.Kind() == record.String || e.Kind() == record.Bytes) &&
				(string(b.Raw(e)) == string(ph) || string(b.Raw(e)) == placeholderUUID(ph))
		}
		if c.Len() != len(ph) {
			return false
		}
		for i := range ph { // int4[], int8[] and date[]: the codes of its characters
			e := b.Child(c, i)
			if e.Kind() != record.Int32 && e.Kind() != record.Int64 || e.Int() != int64(ph[i]) {
				return false
			}
		}
		return true
	case record.Map:
		if c.Len() != 2 {
			return false
		}
		key := b.Child(c, 0)
		return key.Kind() == record.String && string(b.Raw(key)) == string(ph)
	}
	return false
}
