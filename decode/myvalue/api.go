// Package myvalue turns MySQL and MariaDB column values into Connect values by
// Debezium's rules: the schema of a column from its DDL, its value from the wire
// bytes of a row image (Stream) or from the server's text (Snapshot), its default,
// and what stands for a null in a NOT NULL column. It is pure: no I/O, no
// goroutine, no logger.
//
// The column model comes from DDL text and the wire form from the table map; a
// Plan joins the two once per table version.
package myvalue

import (
	"millrace/decode/binlog"
	"millrace/internal/record"
)

// Modes are the handling modes of a connector, as their config texts (lower case).
type Modes struct {
	Decimal        string // precise, string, double
	BigintUnsigned string // long, precise
	Time           string // adaptive_time_microseconds, connect, isostring, microseconds, nanoseconds
	Binary         string // bytes, base64, base64-url-safe, hex
	// TimeAdjuster is enable.time.adjuster: years 0–69 become 20xx, 70–99 19xx.
	TimeAdjuster bool
	// FieldName and SchemaName adjust names; nil: as they are.
	FieldName, SchemaName func(string) string
}

// Column is one column of a table version as its DDL describes it.
type Column struct {
	Name     string
	TypeName string // upper case with attributes, e.g. "INT UNSIGNED", "VARCHAR", "BOOLEAN"
	Length   int    // -1 none
	Scale    int    // -1 none
	Charset  string // of a text column, resolved through table and database; "" none
	Optional bool
	// HasDefault: the DDL has a DEFAULT clause (or the column is nullable without
	// one, which counts as DEFAULT NULL). Default nil is NULL.
	HasDefault bool
	Default    *string
	Labels     []string // of ENUM and SET
	Comment    *string  // nil: none

	// Column options of the connector, already matched against this column.
	Truncate  int                   // column.truncate.to.N.chars; -1 none
	MaskChars int                   // column.mask.with.N.chars; -1 none
	Hash      func(v []byte) []byte // column.mask.hash…; nil none
	Propagate bool                  // column/datatype.propagate.source.type
	// Boolean: TinyIntOneToBooleanConverter applies.
	Boolean bool
	// Sink is the form that JdbcSinkDataTypesConverter asks for: SinkBoolean, SinkDouble,
	// SinkFloat or SinkString; "" none.
	Sink Sink
	// ZeroDate is what ZeroDateFallbackConverter puts in the place of a zero date, as
	// the server would print it; "" none.
	ZeroDate string
}

// Plan is how one column is decoded.
type Plan struct {
	Name   string         // field name after adjustment
	Schema *record.Schema // nil: the type is not supported and the column is omitted
	// Wire makes the cell of a value's bytes in a row image. The bytes are only
	// read during the call.
	Wire func(b *record.Batch, p []byte) (record.Cell, error)
	// Text makes the cell of a value's text as the server sends it in a result set
	// (connection charset utf8mb4, session time zone UTC).
	Text func(b *record.Batch, p []byte) (record.Cell, error)
	// Null is the value for NULL: nil for null, else the fallback of a NOT NULL
	// column (its default, or the reference's fallback for the type).
	Null *record.Datum
}

// Compile makes the plan of a column. wire is nil where only Text is needed.
func Compile(col Column, wire *binlog.WireColumn, modes Modes, in *record.Interner) (*Plan, error) {
	k, err := kindOf(&col, &modes)
	if err != nil {
		return nil, err
	}
	p := &Plan{Name: col.Name}
	if modes.FieldName != nil {
		p.Name = modes.FieldName(col.Name)
	}
	if k.schema == nil {
		return p, nil
	}
	s := k.schema.Copy()
	s.Optional = col.Optional || s.Optional
	if col.Comment != nil && s.Doc == "" {
		s.Doc, s.EmptyDoc = *col.Comment, *col.Comment == ""
	}
	s.Params = append(append([]record.Param(nil), s.Params...), optionParams(&col)...)
	plain := s
	if d := defaultOf(&col, k); d != nil {
		s = s.Copy()
		s.Default = d
	}
	p.Schema = in.Intern(s)
	p.Text = k.text
	if wire != nil {
		if p.Wire, err = k.wire(&col, wire); err != nil {
			return nil, err
		}
		if compressed(wire) {
			p.Wire = inflated(p.Wire)
		}
	}
	if col.ZeroDate != "" {
		if p.Wire, p.Text, err = zeroDates(&col, k, p.Wire); err != nil {
			return nil, err
		}
	}
	if !col.Optional {
		p.Null = p.Schema.Default
		if p.Null == nil {
			p.Null, err = record.DatumOf(plain, k.fallback)
			if err != nil {
				return nil, err
			}
		}
	}
	mask(&col, p)
	return p, nil
}
