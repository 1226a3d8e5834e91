package binlog

import "math/bits"

// Kind is what a row event does.
type Kind byte

// The kinds of row events.
const (
	Insert        Kind = 'c'
	Update        Kind = 'u'
	Delete        Kind = 'd'
	PartialUpdate Kind = 'p' // update whose after image may hold JSON diffs
)

// Rows is the body of a row event, split lazily by Next.
type Rows struct {
	Kind  Kind
	Table *TableMap
	// Before and After tell per column whether it is present in that image
	// (binlog_row_image); nil where the event has no such image.
	Before, After []byte
	nBefore, nAft int
	r             reader
}

// Image is one row image: the wire bytes per column. It is valid until the next
// call of Next with the same Image and as long as the event buffer.
type Image struct {
	// Columns holds the bytes of each column of the table; meaningless unless Present.
	Columns [][]byte
	// Present: the column is part of the image. Null: it is there and NULL.
	Present, Null []bool
	// Partial: the bytes are JSON diffs to be applied to the before image.
	Partial []bool
}

// TableID reads the table id of a row event body.
func TableID(body []byte, idSize int) (uint64, error) {
	r := &reader{p: body}
	id := r.uint(idSize, "table id")
	return id, r.err()
}

// EndOfStatement reports the STMT_END_F flag of a row event body.
func EndOfStatement(body []byte, idSize int) bool {
	return len(body) > idSize && body[idSize]&1 != 0
}

// ParseRows reads the head of a row event body (behind the common header, checksum
// removed). version 2 events carry extra data.
func ParseRows(kind Kind, version int, t *TableMap, body []byte, idSize int) (*Rows, error) {
	out := &Rows{Kind: kind, Table: t, r: reader{p: body}}
	r := &out.r
	r.take(idSize+2, "table id and flags")
	if version == 2 {
		n := int(r.uint(2, "extra data length"))
		r.take(n-2, "extra data")
	}
	n := r.packed("column count")
	if r.bad == nil && n != uint64(len(t.Columns)) {
		r.fail("the row event has another number of columns than its table map")
	}
	size := (len(t.Columns) + 7) / 8
	first := r.take(size, "columns present")
	second := first
	if kind == Update || kind == PartialUpdate {
		second = r.take(size, "columns present after")
	}
	if r.bad != nil {
		return nil, r.bad
	}
	if kind != Insert {
		out.Before, out.nBefore = first, count(first, len(t.Columns))
	}
	if kind != Delete {
		out.After, out.nAft = second, count(second, len(t.Columns))
	}
	return out, nil
}

func count(bitmap []byte, n int) int {
	c := 0
	for _, b := range bitmap[:n/8] {
		c += bits.OnesCount8(b)
	}
	if n%8 != 0 {
		c += bits.OnesCount8(bitmap[n/8] & (1<<(n%8) - 1))
	}
	return c
}

// Next reads the next row into before and after (the one that the kind does not
// have is left alone). It answers false at the end or with an error.
func (x *Rows) Next(before, after *Image) (bool, error) {
	if x.r.at >= len(x.r.p) {
		return false, x.r.err()
	}
	from := x.r.at
	if x.Before != nil {
		x.image(before, x.Before, x.nBefore, false)
	}
	if x.After != nil && x.r.bad == nil {
		x.image(after, x.After, x.nAft, x.Kind == PartialUpdate)
	}
	if x.r.at == from && x.r.bad == nil {
		x.r.fail("a row without any column")
	}
	return x.r.bad == nil, x.r.err()
}

func (m *Image) reset(n int) {
	if cap(m.Columns) < n {
		m.Columns, m.Present, m.Null, m.Partial = make([][]byte, n), make([]bool, n), make([]bool, n), make([]bool, n)
	}
	m.Columns, m.Present, m.Null, m.Partial = m.Columns[:n], m.Present[:n], m.Null[:n], m.Partial[:n]
	clear(m.Columns)
	clear(m.Present)
	clear(m.Null)
	clear(m.Partial)
}

func (x *Rows) image(m *Image, present []byte, n int, partial bool) {
	cols, r := x.Table.Columns, &x.r
	m.reset(len(cols))
	var diffs []byte
	if partial && r.packed("value options")&1 != 0 {
		json := 0
		for i := range cols {
			if cols[i].Type == TypeJSON {
				json++
			}
		}
		diffs = r.take((json+7)/8, "partial columns")
	}
	nulls := r.take((n+7)/8, "null bitmap")
	if r.bad != nil {
		return
	}
	at, json := 0, 0
	for i := range cols {
		isDiff := false
		if cols[i].Type == TypeJSON {
			isDiff = diffs != nil && Bit(diffs, json)
			json++
		}
		if !Bit(present, i) {
			continue
		}
		m.Present[i] = true
		if Bit(nulls, at) {
			m.Null[i] = true
		} else {
			m.Partial[i] = isDiff
			m.Columns[i] = x.column(&cols[i])
		}
		at++
		if r.bad != nil {
			return
		}
	}
}

// column takes the bytes of one value. Length prefixes of texts and blobs are
// taken off; fixed-width values come as they are.
func (x *Rows) column(c *WireColumn) []byte {
	r := &x.r
	switch c.Type {
	case TypeTiny, TypeYear:
		return r.take(1, "value")
	case TypeShort:
		return r.take(2, "value")
	case TypeInt24, TypeDate, TypeNewDate, TypeTime:
		return r.take(3, "value")
	case TypeLong, TypeFloat, TypeTimestamp:
		return r.take(4, "value")
	case TypeLongLong, TypeDouble, TypeDateTime:
		return r.take(8, "value")
	case TypeTimestamp2:
		return r.take(4+fraction(c.Meta), "timestamp")
	case TypeDateTime2:
		return r.take(5+fraction(c.Meta), "datetime")
	case TypeTime2:
		return r.take(3+fraction(c.Meta), "time")
	case TypeNewDecimal:
		return r.take(DecimalSize(int(c.Meta>>8), int(c.Meta&0xff)), "decimal")
	case TypeBit:
		return r.take((int(c.Meta>>8)*8+int(c.Meta&0xff)+7)/8, "bit")
	case TypeEnum, TypeSet:
		return r.take(int(c.Meta), "enum or set")
	case TypeVarchar, TypeVarString, TypeVarcharCompressed, TypeString:
		if c.Meta > 255 {
			return r.take(int(r.uint(2, "length")), "text")
		}
		return r.take(int(r.uint(1, "length")), "text")
	case TypeBlob, TypeTinyBlob, TypeMediumBlob, TypeLongBlob, TypeJSON, TypeGeometry, TypeVector, TypeBlobCompressed:
		if c.Meta < 1 || c.Meta > 4 {
			r.fail("blob with a bad length size")
			return nil
		}
		return r.take(int(r.uint(int(c.Meta), "length")), "blob")
	}
	r.fail("unknown column type " + itoa(int(c.Type)))
	return nil
}

func fraction(fsp uint16) int { return (int(fsp) + 1) / 2 }

func itoa(n int) string {
	if n >= 10 {
		return itoa(n/10) + itoa(n%10)
	}
	return string(rune('0' + n))
}

var decimalBytes = [...]int{0, 1, 1, 2, 2, 3, 3, 4, 4, 4}

// DecimalSize is how many bytes a DECIMAL(precision, scale) takes (decimal2bin).
func DecimalSize(precision, scale int) int {
	whole := precision - scale
	if whole < 0 {
		return -1
	}
	return whole/9*4 + decimalBytes[whole%9] + scale/9*4 + decimalBytes[scale%9]
}

// Inflate replaces the row images by what f makes of them: MariaDB compresses
// them behind the head of the event.
func (x *Rows) Inflate(f func([]byte) ([]byte, error)) error {
	p, err := f(x.r.p[x.r.at:])
	if err != nil {
		return &Error{"the compressed rows cannot be read: " + err.Error(), x.r.at}
	}
	x.r = reader{p: p}
	return nil
}
