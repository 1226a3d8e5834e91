package pgoutput

import (
	"errors"
	"fmt"
	"slices"

	"millrace/decode/pgvalue"
	"millrace/internal/errs"
	"millrace/internal/record"
)

// tablePlans is the compiled part of a Table. It is immutable: a Table may be used
// by several goroutines at once, each with a batch of its own.
type tablePlans struct {
	cols []column
	keys []keyField // in key order
	fail bool       // a value that cannot be converted is an error
}

// column is where a column of the relation goes.
type column struct {
	plan  *pgvalue.Plan // nil: not in the value
	field int           // index in the value struct
	key   *pgvalue.Plan // nil: not in the key
	at    int           // index in the key struct
	// shared: key and value decode to the same cell.
	shared bool
}

// keyField is a field of the key: a column of the relation.
type keyField struct{ col int }

// Compile makes the decoders and schemas of one version of a table. Errors name
// the table and what in the configuration is not known.
func Compile(spec TableSpec, types pgvalue.Types, modes pgvalue.Modes, in *record.Interner) (*Table, error) {
	t := &Table{Spec: spec}
	t.fail = modes.ConvertFailure == "fail"
	t.cols = make([]column, len(spec.Columns))
	value := &record.Schema{Type: record.Struct, Optional: true, Name: spec.ValueName}
	for i, col := range spec.Columns {
		if i < len(spec.InValue) && !spec.InValue[i] {
			continue
		}
		p, err := pgvalue.Compile(col, types, modes, spec.Path, in)
		if err != nil {
			return nil, fmt.Errorf("compile table %s.%s: %w", spec.Schema, spec.Name, err)
		}
		if p.Schema == nil {
			t.Omitted = append(t.Omitted, col.Name)
			continue
		}
		if slices.ContainsFunc(value.Fields, func(f record.Field) bool { return f.Name == p.Name }) {
			return nil, errs.DuplicateField(p.Name)
		}
		t.cols[i].plan, t.cols[i].field = p, len(value.Fields)
		value.Fields = append(value.Fields, record.Field{Name: p.Name, Schema: p.Schema})
	}
	t.ValueSchema = in.Intern(value)
	return t, t.compileKey(types, modes, in)
}

// compileKey makes the key: the columns in key order, never masked or truncated.
func (t *Table) compileKey(types pgvalue.Types, modes pgvalue.Modes, in *record.Interner) error {
	spec := &t.Spec
	key := &record.Schema{Type: record.Struct, Name: spec.KeyName}
	for _, i := range spec.Key {
		if i < 0 || i >= len(spec.Columns) {
			return fmt.Errorf("compile table %s.%s: key column %d of %d", spec.Schema, spec.Name, i, len(spec.Columns))
		}
		col := spec.Columns[i]
		differs := col.Truncate >= 0 || col.MaskChars >= 0 || col.Hash != nil || pgvalue.KeyDiffers(&col, types)
		col.Truncate, col.MaskChars, col.Hash, col.Propagate = -1, -1, nil, false
		col.InKey = true
		if t.cols[i].plan == nil && spec.Path == pgvalue.Stream && i < len(spec.InValue) && !spec.InValue[i] {
			// Debezium's stream asks the catalog only about columns that pass the
			// filter; of others it assumes that they may be null.
			col.NotNull, col.Default = false, ""
		}
		p, err := pgvalue.Compile(col, types, modes, spec.Path, in)
		if err != nil {
			return fmt.Errorf("compile key of table %s.%s: %w", spec.Schema, spec.Name, err)
		}
		if p.Schema == nil {
			continue // Debezium leaves a key column of an unsupported type out as well
		}
		c := &t.cols[i]
		if c.key != nil {
			continue // named twice
		}
		c.key, c.at, c.shared = p, len(key.Fields), c.plan != nil && !differs
		t.keys = append(t.keys, keyField{i})
		key.Fields = append(key.Fields, record.Field{Name: p.Name, Schema: p.Schema})
	}
	if spec.ExtraKeyName != "" {
		key.Fields = append(key.Fields, record.Field{Name: spec.ExtraKeyName, Schema: record.PlainString})
	}
	if len(key.Fields) > 0 || len(spec.Key) > 0 { // as Debezium's, a key of unsupported types has no fields
		t.KeySchema = in.Intern(key)
	}
	return nil
}

// DecodeTuple decodes a new tuple, or an old one given as tuple: it starts at the
// column count. old, if its kind is 'O', fills unchanged TOAST values in; pass the
// zero OldTuple otherwise. It returns what follows the tuple. The batch gets the
// cells; on an error they are garbage that nobody refers to.
func (t *Table) DecodeTuple(b *record.Batch, tuple []byte, old OldTuple) (Row, []byte, error) {
	r := reader{b: tuple, typ: 'N'}
	if n := r.u16("column count"); r.err == "" && n != len(t.cols) {
		return Row{}, nil, &FormatError{'N', fmt.Sprintf("table %s.%s has %d columns, its relation %d", t.Spec.Schema, t.Spec.Name, n, len(t.cols))}
	}
	prev := oldReader(old)
	row := t.start(b)
	for i := range t.cols {
		text, kind := r.value()
		if prev.typ == 'O' {
			if before, was := prev.value(); kind == 'u' && was == 't' {
				text, kind = before, 't'
			}
		}
		if r.err != "" {
			return Row{}, nil, r.done()
		}
		if err := t.put(b, &row, i, text, kind); err != nil {
			return Row{}, nil, err
		}
	}
	return row, r.b, nil
}

// DecodeOld decodes an old tuple. Of a 'K' tuple only the columns of the replica
// identity have values; the others are null, or the fallbacks of NOT NULL columns.
func (t *Table) DecodeOld(b *record.Batch, old OldTuple) (Row, error) {
	row, _, err := t.DecodeTuple(b, old.Data, OldTuple{})
	return row, err
}

// DecodeTexts decodes a row whose values are given as text; a nil field is null.
// The fields are only read during the call.
func (t *Table) DecodeTexts(b *record.Batch, fields [][]byte) (Row, error) {
	if len(fields) != len(t.cols) {
		return Row{}, fmt.Errorf("decode row of table %s.%s: it has %d values, the table %d columns", t.Spec.Schema, t.Spec.Name, len(fields), len(t.cols))
	}
	row := t.start(b)
	for i, f := range fields {
		kind := byte('t')
		if f == nil {
			kind = 'n'
		}
		if err := t.put(b, &row, i, f, kind); err != nil {
			return Row{}, err
		}
	}
	return row, nil
}

// oldReader opens a full old tuple; of any other it returns the zero reader.
func oldReader(old OldTuple) reader {
	if old.Kind != 'O' {
		return reader{}
	}
	r := reader{b: old.Data, typ: 'O'}
	r.u16("column count")
	return r
}

// value reads one column of a tuple.
func (r *reader) value() (text []byte, kind byte) {
	b := r.b
	if len(b) == 0 {
		r.fail("column kind")
		return nil, 'n'
	}
	kind = b[0]
	switch kind {
	case 'n', 'u':
		r.b = b[1:]
		return nil, kind
	case 't', 'b':
		if len(b) < 5 {
			r.fail("value length")
			return nil, 'n'
		}
		n := int(int32(uint32(b[1])<<24 | uint32(b[2])<<16 | uint32(b[3])<<8 | uint32(b[4])))
		if n < 0 || len(b)-5 < n {
			r.fail("value")
			return nil, 'n'
		}
		r.b = b[5+n:]
		return b[5 : 5+n : 5+n], kind
	}
	r.fail("unknown column kind")
	return nil, 'n'
}

// start allocates the structs of a row.
func (t *Table) start(b *record.Batch) Row {
	row := Row{Value: b.Alloc(record.Struct, len(t.ValueSchema.Fields))}
	if t.KeySchema != nil {
		row.Key = b.Alloc(record.Struct, len(t.KeySchema.Fields))
		if t.Spec.ExtraKeyName != "" {
			b.SetChild(row.Key, len(t.KeySchema.Fields)-1, b.StringCell(t.Spec.ExtraKeyValue))
		}
	}
	return row
}

// put decodes column i into the value and the key.
func (t *Table) put(b *record.Batch, row *Row, i int, text []byte, kind byte) error {
	if kind == 'b' {
		return fmt.Errorf("decode column %q of table %s.%s: the value is in binary format, which was not asked for; remove binary from slot.stream.params",
			t.Spec.Columns[i].Name, t.Spec.Schema, t.Spec.Name)
	}
	if kind == 'u' {
		row.Toasted++
	}
	return t.place(b, row, i, text, kind)
}

// place decodes column i into the value and the key, from text or the binary form.
func (t *Table) place(b *record.Batch, row *Row, i int, data []byte, kind byte) error {
	c := &t.cols[i]
	var v record.Cell
	if c.plan != nil {
		var err error
		if v, err = t.cell(b, c.plan, row, i, data, kind); err != nil {
			return err
		}
		b.SetChild(row.Value, c.field, v)
	}
	if c.key == nil {
		return nil
	}
	if !c.shared {
		var err error
		if v, err = t.cell(b, c.key, row, i, data, kind); err != nil {
			return err
		}
	}
	b.SetChild(row.Key, c.at, v)
	return nil
}

// cell decodes one value by a plan and puts the plan's constants in place of what
// is not there.
func (t *Table) cell(b *record.Batch, p *pgvalue.Plan, row *Row, i int, data []byte, kind byte) (record.Cell, error) {
	var v record.Cell
	var err error
	switch kind {
	case 't':
		v, err = p.Decode(b, data)
	case 'b':
		v, err = p.DecodeBinary(b, data)
	case 'u':
		if p.Toast != nil {
			return b.Put(p.Toast), nil
		}
		if p.ToastErr {
			err = errToast
		}
	}
	if err != nil {
		return t.failed(b, p, row, i, err)
	}
	if v.IsNull() && p.Null != nil {
		v = b.Put(p.Null)
	}
	return v, nil
}

// failed is what becomes of a value that could not be converted: an error, or the
// plan's constant for null and a note in the row.
func (t *Table) failed(b *record.Batch, p *pgvalue.Plan, row *Row, i int, err error) (record.Cell, error) {
	if t.fail && !(p.Schema.Optional && quiet(err)) {
		return record.Cell{}, fmt.Errorf("decode column %q of table %s.%s: %w", t.Spec.Columns[i].Name, t.Spec.Schema, t.Spec.Name, err)
	}
	row.Failures = append(row.Failures, Failure{t.Spec.Columns[i].Name, err})
	if p.Null != nil {
		return b.Put(p.Null), nil
	}
	return record.Cell{}, nil
}

// quiet says whether Debezium makes null of the value in every failure mode.
func quiet(err error) bool {
	var v *pgvalue.ValueError
	return errors.As(err, &v) && v.Quiet
}

var errToast = &pgvalue.ValueError{Type: "TOAST", Reason: "is unchanged and was not sent, and no placeholder fits its type; set REPLICA IDENTITY FULL on the table or use the reselect post-processor"}

// ToastedColumns appends the indexes of the columns that the tuple does not carry
// because their TOAST value is unchanged.
func (t *Table) ToastedColumns(dst []int, tuple []byte, old OldTuple) []int {
	r := reader{b: tuple, typ: 'N'}
	n := r.u16("column count")
	prev := oldReader(old)
	for i := 0; i < n && r.err == ""; i++ {
		_, kind := r.value()
		before := byte('n')
		if prev.typ == 'O' {
			_, before = prev.value()
		}
		if kind == 'u' && before != 't' && r.err == "" {
			dst = append(dst, i)
		}
	}
	return dst
}

// Equal reports whether two values of the same batch are equal all the way down:
// for key changes and for updates that change nothing. Floating point numbers are
// equal by their bits, so NaN equals NaN and zero does not equal negative zero, as
// in Java.
func Equal(b *record.Batch, x, y record.Cell) bool {
	if x.Kind() != y.Kind() || x.Len() != y.Len() {
		return false
	}
	switch x.Kind() {
	case record.Null:
		return true
	case record.String, record.Bytes:
		return string(b.Raw(x)) == string(b.Raw(y))
	case record.Array, record.Map, record.Struct:
		xs, ys := b.Children(x), b.Children(y)
		for i := range xs {
			if !Equal(b, xs[i], ys[i]) {
				return false
			}
		}
		return true
	}
	return x.Int() == y.Int()
}
