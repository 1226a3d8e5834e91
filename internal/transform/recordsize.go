package transform

import (
	"math"
	"unicode/utf8"

	"millrace/internal/configdef"
	"millrace/internal/record"
)

// recordSize is EnforceRecordSize: large text and bytes of before and after are cut
// in proportion until an estimate of the record's size fits.
type recordSize struct {
	max   int64
	ratio float64
	least int
	plans planCache[*recordSizePlan]
	found []cuttable
}

// recordSizePlan holds the fields before and after of the value.
type recordSizePlan struct {
	rows    []int
	schemas []*record.Schema
}

// cuttable is a field that is large enough to be cut.
type cuttable struct{ row, field, size int }

func recordSizeDef() *configdef.Def {
	positive := func(what string) func(configdef.Input) []string {
		return func(in configdef.Input) []string {
			if in.Value == "0" || in.Value == "0.0" || len(in.Value) > 0 && in.Value[0] == '-' {
				return invalid(in, what)
			}
			return nil
		}
	}
	return &configdef.Def{Options: []configdef.Option{
		opt("max.bytes", configdef.Int, required, configdef.High, "Greatest estimated size of a record.", positive("Must be a positive integer")),
		opt("compression.ratio", configdef.Double, "1.0", configdef.Medium, "What the estimate is multiplied with.", positive("Must be a positive number")),
		opt("min.field.size", configdef.Int, "25000", configdef.Medium, "Fields up to this size are not cut.", func(in configdef.Input) []string {
			if len(in.Value) > 0 && in.Value[0] == '-' {
				return invalid(in, "Must be non-negative")
			}
			return nil
		}),
	}}
}

func newRecordSize(v configdef.Values) (Step, error) {
	return &recordSize{max: v.Int64("max.bytes"), ratio: v.Float("compression.ratio"), least: v.Int("min.field.size")}, nil
}

func (t *recordSize) Apply(b *record.Batch, r *record.Record) (bool, error) {
	if r.Value.Kind() != record.Struct || r.ValueSchema == nil || r.Offset >= 0 {
		return true, nil // sinks have nothing to make smaller
	}
	p, ok := t.plans.lookup(r.ValueSchema)
	if !ok {
		p = &recordSizePlan{}
		for _, name := range []string{"before", "after"} {
			if i, s := r.ValueSchema.Field(name); i >= 0 && s.Type == record.Struct {
				p.rows, p.schemas = append(p.rows, i), append(p.schemas, s)
			}
		}
		t.plans.store(r.ValueSchema, p)
	}
	size := int64(math.Ceil(float64(t.estimate(b, r)) * t.ratio))
	if size <= t.max || len(p.rows) == 0 {
		return true, nil
	}
	t.found = t.found[:0]
	total := 0
	for k, row := range p.rows {
		c := b.Child(r.Value, row)
		for i := 0; i < c.Len(); i++ {
			v := b.Child(c, i)
			if v.Kind() != record.String && v.Kind() != record.Bytes || p.schemas[k].Fields[i].Schema.Name == nameDecimal {
				continue // half of a decimal's bytes is another number
			}
			if n := charCount(b, v); n > t.least {
				t.found = append(t.found, cuttable{row, i, n})
				total += n
			}
		}
	}
	if total > 0 {
		t.cut(b, r, p, total, size-t.max)
	}
	return true, nil
}

func (t *recordSize) cut(b *record.Batch, r *record.Record, p *recordSizePlan, total int, excess int64) {
	out := b.CloneChildren(r.Value, 0)
	for _, row := range p.rows {
		sum := 0
		for _, f := range t.found {
			if f.row == row {
				sum += f.size
			}
		}
		part := int64(math.Ceil(float64(sum) / float64(total) * float64(excess)))
		if sum == 0 || part <= 0 {
			continue
		}
		c := b.CloneChildren(b.Child(out, row), 0)
		for _, f := range t.found {
			if f.row == row {
				keep := max(0, f.size-int(math.Ceil(float64(f.size)/float64(sum)*float64(part))))
				b.SetChild(c, f.field, cutCell(b, b.Child(c, f.field), keep))
			}
		}
		b.SetChild(out, row, c)
	}
	r.Value = out
}

// charCount is the length in UTF-16 characters of text, in bytes of bytes.
func charCount(b *record.Batch, c record.Cell) int {
	if c.Kind() == record.Bytes {
		return c.Len()
	}
	n := 0
	for _, r := range b.Str(c) {
		if n++; r >= 0x10000 {
			n++
		}
	}
	return n
}

// cutCell shortens a value; a character beyond the BMP is left out rather than halved.
func cutCell(b *record.Batch, c record.Cell, keep int) record.Cell {
	raw := b.Raw(c)
	if c.Kind() == record.Bytes {
		return b.BytesCell(record.Bytes, raw[:min(keep, len(raw))])
	}
	at, n := 0, 0
	for at < len(raw) {
		r, size := utf8.DecodeRune(raw[at:])
		if n++; r >= 0x10000 {
			n++
		}
		if n > keep {
			break
		}
		at += size
	}
	return b.BytesCell(record.String, raw[:at])
}

// estimate is Debezium's estimate: what the record would take on Java's heap, with
// 100 bytes for each entry of partition, offset (taken as seven) and headers.
func (t *recordSize) estimate(b *record.Batch, r *record.Record) int64 {
	n := int64(8*100+8+len(r.Topic.Name)) + 100*int64(len(b.Headers(r)))
	return n + heapSize(b, r.Key) + heapSize(b, r.Value)
}

func heapSize(b *record.Batch, c record.Cell) int64 {
	switch c.Kind() {
	case record.Null:
		return 0
	case record.String:
		return 56 + int64(c.Len())
	case record.Bytes:
		return 24 + int64(c.Len())
	case record.Struct, record.Array, record.Map:
		n := int64(56)
		if c.Kind() == record.Array {
			n = 64
		} else if c.Kind() == record.Map {
			n = 88
		}
		for i := 0; i < c.Len(); i++ {
			n += 8 + heapSize(b, b.Child(c, i))
		}
		return n
	}
	return 24
}
