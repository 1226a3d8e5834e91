package myvalue

import (
	"fmt"
	"slices"

	"millrace/decode/binlog"
	"millrace/internal/errs"
	"millrace/internal/record"
)

// TableSpec is what CompileTable needs for one version of a table: its columns in
// order with their options, which of them are in the value, and which, in order,
// make the key.
type TableSpec struct {
	Columns   []Column
	Wire      []binlog.WireColumn // of the table map; nil for a snapshot
	InValue   []bool
	Key       []int  // indexes into Columns in key order; empty: no key
	KeyName   string // schema names, already adjusted
	ValueName string
	// ExtraKey is an additional required text field of the key (regex naming); "" none.
	ExtraKeyName, ExtraKeyValue string
}

// Table is a compiled table version. It is used by one goroutine.
type Table struct {
	KeySchema   *record.Schema // nil: no key
	ValueSchema *record.Schema // optional struct
	Omitted     []string       // columns whose type is not supported

	cols     []tableColumn
	nKey     int
	nValue   int
	extraKey string
}

type tableColumn struct {
	plan  *Plan // with column options
	key   *Plan // without them; nil: not part of the key
	value int   // place in the value; -1
	keyAt int   // place in the key
	same  bool  // the key has what the value has: no option changes that
	name  string
}

// Row is a decoded row.
type Row struct {
	Value record.Cell // struct by ValueSchema
	Key   record.Cell // struct by KeySchema, or null
}

// Failure is a value that could not be converted; its field is null, or the
// fallback of a NOT NULL column.
type Failure struct {
	Column string
	Err    error
}

// CompileTable makes the plans of a table version.
func CompileTable(spec TableSpec, modes Modes, in *record.Interner) (*Table, error) {
	t := &Table{extraKey: spec.ExtraKeyValue}
	key := &record.Schema{Type: record.Struct, Name: spec.KeyName, Fields: make([]record.Field, len(spec.Key))}
	value := &record.Schema{Type: record.Struct, Name: spec.ValueName, Optional: true}
	if spec.ExtraKeyName != "" {
		key.Fields = append(key.Fields, record.Field{Name: spec.ExtraKeyName, Schema: record.PlainString})
	}
	for i := range spec.Columns {
		col := spec.Columns[i]
		var wire *binlog.WireColumn
		if spec.Wire != nil {
			wire = &spec.Wire[i]
		}
		p, err := Compile(col, wire, modes, in)
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", col.Name, err)
		}
		tc := tableColumn{plan: p, value: -1, name: col.Name}
		if p.Schema == nil {
			t.Omitted = append(t.Omitted, col.Name)
		} else if spec.InValue[i] {
			if slices.ContainsFunc(value.Fields, func(f record.Field) bool { return f.Name == p.Name }) {
				return nil, errs.DuplicateField(p.Name)
			}
			tc.value = len(value.Fields)
			value.Fields = append(value.Fields, record.Field{Name: p.Name, Schema: p.Schema})
		}
		for at, k := range spec.Key {
			if k != i || p.Schema == nil {
				continue
			}
			plain := col
			plain.Truncate, plain.MaskChars, plain.Hash, plain.Propagate = -1, -1, nil, false
			if tc.key, err = Compile(plain, wire, modes, in); err != nil {
				return nil, fmt.Errorf("column %s: %w", col.Name, err)
			}
			tc.keyAt = at
			tc.same = col.Truncate < 0 && col.MaskChars < 0 && col.Hash == nil
			key.Fields[at] = record.Field{Name: tc.key.Name, Schema: tc.key.Schema}
		}
		t.cols = append(t.cols, tc)
	}
	t.nKey, t.nValue = len(key.Fields), len(value.Fields)
	for _, f := range key.Fields {
		if f.Schema == nil {
			return nil, fmt.Errorf("a key column has a type that is not supported")
		}
	}
	if t.nKey > 0 {
		t.KeySchema = in.Intern(key)
	}
	t.ValueSchema = in.Intern(value)
	return t, nil
}

// cell makes the cell of one value: of its bytes in a row image, or of its text.
func (p *Plan) cell(b *record.Batch, null bool, raw []byte, wire bool) (record.Cell, error) {
	var err error
	if !null {
		f := p.Text
		if wire {
			f = p.Wire
		}
		var v record.Cell
		if v, err = f(b, raw); err == nil && !v.IsNull() {
			return v, nil
		}
	}
	if p.Null != nil {
		return b.Put(p.Null), err
	}
	return record.Cell{}, err
}

// decode puts one column into the row. raw nil with null false cannot happen: an
// absent column comes with null.
func (t *Table) decode(b *record.Batch, row *Row, c *tableColumn, null bool, raw []byte, wire bool, fails []Failure) []Failure {
	var v record.Cell
	var err error
	if c.value >= 0 {
		if v, err = c.plan.cell(b, null, raw, wire); err != nil {
			fails = append(fails, Failure{c.name, err})
		}
		b.SetChild(row.Value, c.value, v)
	}
	if c.key != nil {
		if c.value < 0 || !c.same {
			if v, err = c.key.cell(b, null, raw, wire); err != nil {
				fails = append(fails, Failure{c.name, err})
			}
		}
		b.SetChild(row.Key, c.keyAt, v)
	}
	return fails
}

func (t *Table) begin(b *record.Batch) Row {
	row := Row{Value: b.Alloc(record.Struct, t.nValue)}
	if t.nKey > 0 {
		row.Key = b.Alloc(record.Struct, t.nKey)
		if t.extraKey != "" {
			b.SetChild(row.Key, t.nKey-1, b.StringCell(t.extraKey))
		}
	}
	return row
}

// Image decodes a row image. A column that the image lacks (binlog_row_image
// MINIMAL or NOBLOB) takes its value from fill, the other image of the same row,
// when that has it; fill may be nil.
func (t *Table) Image(b *record.Batch, m, fill *binlog.Image) (Row, []Failure) {
	row := t.begin(b)
	var fails []Failure
	for i := range t.cols {
		src := m
		if !m.Present[i] && fill != nil && i < len(fill.Present) && fill.Present[i] {
			src = fill
		}
		if src.Partial[i] && fill != nil {
			text, err := AppendJSONDiff(nil, fill.Columns[i], src.Columns[i])
			if err == nil {
				fails = t.decode(b, &row, &t.cols[i], false, text, false, fails)
				continue
			}
			fails = append(fails, Failure{t.cols[i].name, err})
		}
		null := !src.Present[i] || src.Null[i] || src.Partial[i]
		fails = t.decode(b, &row, &t.cols[i], null, src.Columns[i], true, fails)
	}
	return row, fails
}

// Texts decodes a row of a result set; nil fields are NULL.
func (t *Table) Texts(b *record.Batch, fields [][]byte) (Row, []Failure) {
	row := t.begin(b)
	var fails []Failure
	for i := range t.cols {
		if i < len(fields) {
			fails = t.decode(b, &row, &t.cols[i], fields[i] == nil, fields[i], false, fails)
		}
	}
	return row, fails
}

// Null reports whether column i of the spec is null in a row's value; false when it
// is not in the value at all.
func (t *Table) Null(b *record.Batch, row Row, i int) bool {
	return t.cols[i].value >= 0 && b.Child(row.Value, t.cols[i].value).IsNull()
}

// SetText decodes one column of a result set into a row that is there; nil is NULL.
func (t *Table) SetText(b *record.Batch, row Row, i int, p []byte) []Failure {
	return t.decode(b, &row, &t.cols[i], p == nil, p, false, nil)
}

// Uses reports whether column i of the spec is in the value or in the key.
func (t *Table) Uses(i int) bool { return t.cols[i].value >= 0 || t.cols[i].key != nil }
