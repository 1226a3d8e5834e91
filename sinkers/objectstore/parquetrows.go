package objectstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/parquet-go/parquet-go"

	"millrace/internal/record"
)

// A Parquet writer keeps buffers per column: with a thousand open files they would
// be most of a task's memory. So the rows of an open file wait in a spool, in a form
// of their own, and become columns when a row group is full or the file ends, one
// file at a time by a writer that all of them share.
//
// A row that waits is its length and its values, leaf after leaf as they come: the
// leaf, repetition and definition level as varints, and for what is not null the
// value, numbers in 4 or 8 bytes, bytes with their length before them.

// parquetEncoder is one open file.
type parquetEncoder struct {
	f      *parquetFormat
	plan   *parquetPlan
	out    io.Writer
	rows   *spool
	layout *parquetLayout // nil before the first row group
	w      *parquetWriter // likewise
	nulls  bool           // some array has a null element
	buf    []byte
}

// write adds a record to the rows that wait.
func (e *parquetEncoder) write(b *record.Batch, r *record.Record) error {
	const head = binary.MaxVarintLen32 // room for the row's length
	e.buf = append(e.buf[:0], make([]byte, head)...)
	if err := e.row(b, r); err != nil {
		return err
	}
	n := len(e.buf) - head
	var size [head]byte
	k := binary.PutUvarint(size[:], uint64(n))
	copy(e.buf[head-k:], size[:k])
	if _, err := e.rows.Write(e.buf[head-k:]); err != nil {
		return err
	}
	if e.rows.size() >= rowGroupBytes {
		return e.flush()
	}
	return nil
}

func (e *parquetEncoder) row(b *record.Batch, r *record.Record) error {
	if e.plan.whole {
		c := r.Value
		if e.plan.parts[0].source == fieldKey {
			c = r.Key
		}
		if c.IsNull() || c.Len() != len(e.plan.parts) {
			return dataError("A Parquet file has no place for a null value (topic %s). Leave tombstones out with the filter transform and the predicate RecordIsTombstone", r.Topic.Name)
		}
		for i := range e.plan.parts {
			if err := e.append(e.plan.parts[i].col, b, b.Child(c, i), 0); err != nil {
				return err
			}
		}
		return nil
	}
	for i := range e.plan.parts {
		p := &e.plan.parts[i]
		if err := e.append(p.col, b, valueOf(b, r, &p.member), 0); err != nil {
			return err
		}
	}
	return nil
}

// append adds a value, at repetition level rep, to the leaves of n.
func (e *parquetEncoder) append(n *column, b *record.Batch, c record.Cell, rep int) error {
	if c.IsNull() {
		if n.fill != nil && !n.fill.Root.IsNull() {
			return e.append(n, n.fill.Batch(), n.fill.Root, rep)
		}
		if !n.optional {
			return dataError("A required field is null (type %s)", n.schema.Type)
		}
		e.nulls = e.nulls || n.element
		e.nothing(n, rep, n.nullDef)
		return nil
	}
	switch {
	case n.isList, n.isMap:
		per := len(n.children)
		if c.Len() == 0 {
			e.nothing(n, rep, n.emptyDef)
			return nil
		}
		for i := 0; i < c.Len(); i++ {
			at := n.elementsRep
			if i < per {
				at = rep
			}
			if err := e.append(n.children[i%per], b, b.Child(c, i), at); err != nil {
				return err
			}
		}
		return nil
	case n.children != nil:
		if c.Kind() != record.Struct || c.Len() != len(n.children) {
			return dataError("The value does not fit its schema: a %s where %s is expected", c.Kind(), n.schema.Type)
		}
		for i, child := range n.children {
			if err := e.append(child, b, b.Child(c, i), rep); err != nil {
				return err
			}
		}
		return nil
	}
	e.level(n.leaf, rep, n.def)
	e.scalar(n.schema, b, c)
	return nil
}

func (e *parquetEncoder) level(leaf, rep, def int) {
	if leaf|rep|def < 0x80 {
		e.buf = append(e.buf, byte(leaf), byte(rep), byte(def))
		return
	}
	e.buf = binary.AppendUvarint(binary.AppendUvarint(binary.AppendUvarint(e.buf, uint64(leaf)), uint64(rep)), uint64(def))
}

func (e *parquetEncoder) nothing(n *column, rep, def int) {
	for i := n.leaf; i < n.leaf+n.leaves; i++ {
		e.level(i, rep, def)
	}
}

// scalar appends a value in the form that value reads.
func (e *parquetEncoder) scalar(s *record.Schema, b *record.Batch, c record.Cell) {
	switch s.Type {
	case record.Int8, record.Int16, record.Int32:
		e.buf = binary.LittleEndian.AppendUint32(e.buf, uint32(int32(c.Int())))
	case record.Int64:
		e.buf = binary.LittleEndian.AppendUint64(e.buf, uint64(c.Int()))
	case record.Float32:
		e.buf = binary.LittleEndian.AppendUint32(e.buf, math.Float32bits(float32(c.Float())))
	case record.Float64:
		e.buf = binary.LittleEndian.AppendUint64(e.buf, math.Float64bits(c.Float()))
	case record.Boolean:
		v := byte(0)
		if c.Bool() {
			v = 1
		}
		e.buf = append(e.buf, v)
	default:
		p := b.Raw(c)
		e.buf = append(binary.AppendUvarint(e.buf, uint64(len(p))), p...)
	}
}

var errRow = errors.New("the rows of a Parquet file that waited are not what was written")

// value reads the value at the beginning of p and returns how long it is. Bytes are
// borrowed from p.
func value(t record.Type, p []byte) (v parquet.Value, n int) {
	switch t {
	case record.Int8, record.Int16, record.Int32, record.Float32:
		if n = 4; len(p) < n {
			return v, -1
		}
		x := binary.LittleEndian.Uint32(p)
		if t == record.Float32 {
			return parquet.FloatValue(math.Float32frombits(x)), n
		}
		return parquet.Int32Value(int32(x)), n
	case record.Int64, record.Float64:
		if n = 8; len(p) < n {
			return v, -1
		}
		x := binary.LittleEndian.Uint64(p)
		if t == record.Float64 {
			return parquet.DoubleValue(math.Float64frombits(x)), n
		}
		return parquet.Int64Value(int64(x)), n
	case record.Boolean:
		if len(p) < 1 {
			return v, -1
		}
		return parquet.BooleanValue(p[0] != 0), 1
	}
	size, k := binary.Uvarint(p)
	if k <= 0 || size > uint64(len(p)-k) {
		return v, -1
	}
	return parquet.ByteArrayValue(p[k : k+int(size)]), k + int(size)
}

// shred appends the values of a row to the columns. plain: without a place for null
// elements, of which there are none.
func (p *parquetPlan) shred(row []byte, plain bool) error {
	for len(row) > 0 {
		var at [3]int
		for i := range at {
			x, k := binary.Uvarint(row)
			if k <= 0 {
				return errRow
			}
			at[i], row = int(x), row[k:]
		}
		leaf, rep, def := at[0], at[1], at[2]
		if leaf < 0 || leaf >= len(p.leaves) {
			return errRow
		}
		c := p.leaves[leaf]
		v, n := parquet.NullValue(), 0
		if def == c.def {
			if v, n = value(c.schema.Type, row); n < 0 {
				return errRow
			}
		}
		if plain && def < len(c.defs) {
			def = c.defs[def]
		}
		p.cols[leaf] = append(p.cols[leaf], v.Level(rep, def, leaf))
		row = row[n:]
	}
	return nil
}

// hand gives the values in the columns to a writer, which copies them.
func (p *parquetPlan) hand(w *parquetWriter) error {
	writers := w.ColumnWriters()
	for i, values := range p.cols {
		if len(values) > 0 {
			if _, err := writers[i].WriteRowValues(values); err != nil {
				return fmt.Errorf("write a column of a Parquet file: %w", err)
			}
		}
		if p.cols[i] = values[:0]; cap(values) > 64<<10 {
			p.cols[i] = nil
		}
	}
	return nil
}

// readAhead is how much of the rows that wait is turned into columns at a time.
const readAhead = 256 << 10

// pour turns the rows that wait into columns of the writer; last: no more will come.
func (e *parquetEncoder) pour(last bool) (err error) {
	if e.w == nil {
		e.layout = e.plan.plain
		if e.layout == nil || e.nulls || !last && e.plan.nullable {
			e.layout = e.plan.full
		}
		if e.w, err = e.f.writer(e.layout, e.out); err != nil {
			return err
		}
	}
	defer func() {
		for i := range e.plan.cols { // rows of an attempt that failed are not the next one's
			e.plan.cols[i] = e.plan.cols[i][:0]
		}
	}()
	buf := make([]byte, min(readAhead, e.rows.size()))
	held, size := 0, e.rows.size()
	for at := int64(0); at < size || held > 0; {
		n, err := e.rows.ReadAt(buf[held:min(int64(len(buf)), int64(held)+size-at)], at)
		if err != nil && (!errors.Is(err, io.EOF) || n == 0) {
			return fmt.Errorf("read the rows of a Parquet file that waited: %w", err)
		}
		at, held = at+int64(n), held+n
		left := buf[:held]
		for len(left) > 0 {
			want, k := binary.Uvarint(left)
			if k <= 0 || want > uint64(len(left)-k) {
				break // the rest of the row is not read yet
			}
			if err := e.plan.shred(left[k:k+int(want)], e.layout == e.plan.plain); err != nil {
				return err
			}
			left = left[k+int(want):]
		}
		if err := e.plan.hand(e.w); err != nil {
			return err
		}
		if len(left) == held { // not one whole row
			if at >= size {
				return errRow
			}
			buf = append(buf, make([]byte, len(buf))...)
			continue
		}
		held = copy(buf, left)
	}
	e.rows.reset()
	return nil
}

func (e *parquetEncoder) held() int { return 0 } // the spool counts itself

// flush ends a row group.
func (e *parquetEncoder) flush() error {
	if err := e.pour(false); err != nil {
		return err
	}
	if err := e.w.Flush(); err != nil {
		return fmt.Errorf("end a row group of a Parquet file: %w", err)
	}
	return nil
}

func (e *parquetEncoder) close() error {
	if err := e.pour(true); err != nil {
		return err
	}
	if err := e.w.Close(); err != nil {
		return fmt.Errorf("end a Parquet file: %w", err)
	}
	e.rows.close()
	e.layout.spare, e.w = e.w, nil
	return nil
}

// drop gives back what waits in a file that is not ended.
func (e *parquetEncoder) drop() { e.rows.close() }
