package myvalue

import (
	"millrace/decode/binlog"
	"millrace/internal/record"
)

// Sink is a form that Debezium's JdbcSinkDataTypesConverter gives a column, so that
// a JDBC sink makes the type again that the source has.
type Sink string

// The forms of JdbcSinkDataTypesConverter.
const (
	SinkBoolean Sink = "boolean" // int16, 0 or 1
	SinkDouble  Sink = "double"  // float64
	SinkFloat   Sink = "float"   // float32
	SinkString  Sink = "string"  // as it is, with the character set as a parameter
)

// charsetParam is the schema parameter of SinkString.
const charsetParam = "__debezium.source.column.character_set"

// sinkKind changes a kind to the form that the converter asks for; one whose values
// are no numbers stays as it is.
func sinkKind(k *kind, col *Column) *kind {
	if k.schema == nil {
		return k
	}
	if col.Sink == SinkString {
		if col.Charset == "" {
			return k
		}
		out := *k
		out.schema = k.schema.Copy()
		out.schema.Params = append(append([]record.Param(nil), k.schema.Params...), record.Param{Key: charsetParam, Value: col.Charset})
		return &out
	}
	number := cellNumber(k.schema)
	if number == nil {
		return k
	}
	out := &kind{fallback: 0.0, class: classFloat}
	var cell func(float64) record.Cell
	switch col.Sink {
	case SinkBoolean:
		out.schema, out.fallback, out.class = &record.Schema{Type: record.Int16}, int16(0), classInt
		cell = func(v float64) record.Cell {
			if v != 0 {
				return record.IntCell(record.Int16, 1)
			}
			return record.IntCell(record.Int16, 0)
		}
	case SinkFloat:
		out.schema = &record.Schema{Type: record.Float32}
		cell = func(v float64) record.Cell { return record.Float32Cell(float32(v)) }
	default:
		out.schema = &record.Schema{Type: record.Float64}
		cell = record.Float64Cell
	}
	convert := func(f decodeFunc) decodeFunc {
		if f == nil {
			return nil
		}
		return func(b *record.Batch, p []byte) (record.Cell, error) {
			c, err := f(b, p)
			if err != nil || c.IsNull() {
				return c, err
			}
			return cell(number(c)), nil
		}
	}
	out.text, out.literal = convert(k.text), convert(k.literal)
	out.wire = func(col *Column, w *binlog.WireColumn) (decodeFunc, error) {
		f, err := k.wire(col, w)
		return convert(f), err
	}
	return out
}

// cellNumber reads cells of a schema as numbers; nil: they are none.
func cellNumber(s *record.Schema) func(record.Cell) float64 {
	if s.Name != "" {
		return nil
	}
	switch s.Type {
	case record.Boolean:
		return func(c record.Cell) float64 {
			if c.Bool() {
				return 1
			}
			return 0
		}
	case record.Int8, record.Int16, record.Int32, record.Int64:
		return func(c record.Cell) float64 { return float64(c.Int()) }
	case record.Float32, record.Float64:
		return record.Cell.Float
	}
	return nil
}
