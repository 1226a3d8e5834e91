package pgoutput

import (
	"encoding/binary"
	"fmt"

	"millrace/internal/record"
)

// Copy decodes the rows of a COPY (FORMAT binary) of some columns of a table. It is
// immutable like its table.
type Copy struct {
	t      *Table
	fields []copyField
	absent []int // columns of the table that no field brings
}

// copyField is a field of the rows: a column of the table.
type copyField struct {
	col    int
	binary bool // else the text form
}

// Binary reports whether column i is decoded from its binary form: the type has one,
// and the value and the key both read it. Otherwise the query has to give its text.
func (t *Table) Binary(i int) bool {
	c := &t.cols[i]
	return (c.plan == nil || c.plan.DecodeBinary != nil) && (c.key == nil || c.key.DecodeBinary != nil)
}

// Reads reports whether column i is decoded at all: it is in the value or the key, and
// its type is supported.
func (t *Table) Reads(i int) bool { return t.cols[i].plan != nil || t.cols[i].key != nil }

// NewCopy makes the decoder of rows whose fields are the table's columns cols, in
// that order, each in its binary form where Binary says so and else as text. Columns
// that are left out are null.
func (t *Table) NewCopy(cols []int) *Copy {
	c := &Copy{t: t}
	have := make([]bool, len(t.cols))
	for _, i := range cols {
		c.fields = append(c.fields, copyField{i, t.Binary(i)})
		have[i] = true
	}
	for i := range have {
		if !have[i] {
			c.absent = append(c.absent, i)
		}
	}
	return c
}

// Decode decodes a row: the count of its fields, then of each its length (-1 null)
// and its bytes. The row is only read during the call.
func (c *Copy) Decode(b *record.Batch, row []byte) (Row, error) {
	t := c.t
	if len(row) < 2 || int(int16(binary.BigEndian.Uint16(row))) != len(c.fields) {
		return Row{}, c.malformed()
	}
	row = row[2:]
	out := t.start(b)
	for _, f := range c.fields {
		if len(row) < 4 {
			return Row{}, c.malformed()
		}
		n := int(int32(binary.BigEndian.Uint32(row)))
		row = row[4:]
		kind := byte('t')
		switch {
		case n == -1:
			n, kind = 0, 'n'
		case n < 0 || n > len(row):
			return Row{}, c.malformed()
		case f.binary:
			kind = 'b'
		}
		if err := t.place(b, &out, f.col, row[:n:n], kind); err != nil {
			return Row{}, err
		}
		row = row[n:]
	}
	if len(row) > 0 {
		return Row{}, c.malformed()
	}
	for _, i := range c.absent {
		if err := t.place(b, &out, i, nil, 'n'); err != nil {
			return Row{}, err
		}
	}
	return out, nil
}

func (c *Copy) malformed() error {
	return fmt.Errorf("decode a row of table %s.%s: it does not have the binary form of COPY with %d fields", c.t.Spec.Schema, c.t.Spec.Name, len(c.fields))
}
