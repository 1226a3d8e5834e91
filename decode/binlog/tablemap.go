package binlog

// TableMap is a TABLE_MAP_EVENT: the wire types of the columns that the row
// events after it carry. It owns its memory.
type TableMap struct {
	ID            uint64
	Schema, Table string
	Columns       []WireColumn
	// PrimaryKey holds column indexes when binlog_row_metadata=FULL sent them.
	PrimaryKey []int
}

// WireColumn is how one column is written in row images.
type WireColumn struct {
	Type     byte // real type: ENUM and SET are taken out of STRING
	Meta     uint16
	Nullable bool
	Unsigned bool // known from the optional metadata
	// Name, Charset (collation id) and Labels are there with binlog_row_metadata=FULL.
	Name    string
	Charset int
	Labels  []string
	Hidden  bool // invisible column
}

// ParseTableMap reads the body of a TABLE_MAP_EVENT (behind the common header,
// checksum removed). idSize is 4 or 6 bytes, as the format description says.
func ParseTableMap(body []byte, idSize int) (*TableMap, error) {
	r := &reader{p: body}
	t := &TableMap{ID: r.uint(idSize, "table id")}
	r.take(2, "flags")
	t.Schema = string(r.take(int(r.uint(1, "schema length")), "schema"))
	r.take(1, "schema end")
	t.Table = string(r.take(int(r.uint(1, "table length")), "table"))
	r.take(1, "table end")
	n := r.packed("column count")
	if n > uint64(len(body)) {
		r.fail("more columns than bytes")
	}
	if r.bad != nil {
		return nil, r.bad
	}
	types := r.take(int(n), "column types")
	meta := r.packedBytes("column metadata")
	nulls := r.take((int(n)+7)/8, "null bitmap")
	if r.bad != nil {
		return nil, r.bad
	}
	t.Columns = make([]WireColumn, n)
	m := &reader{p: meta}
	for i := range t.Columns {
		t.Columns[i] = wireColumn(types[i], m)
		t.Columns[i].Nullable = Bit(nulls, i)
	}
	if m.bad != nil {
		return nil, m.bad
	}
	t.optional(r)
	return t, r.err()
}

func wireColumn(typ byte, m *reader) WireColumn {
	c := WireColumn{Type: typ}
	switch typ {
	case TypeString, TypeEnum, TypeSet:
		b := m.take(2, "string metadata")
		if b == nil {
			return c
		}
		switch real := b[0]; {
		case real == TypeEnum || real == TypeSet:
			c.Type, c.Meta = real, uint16(b[1])
		default:
			// The two high bits of a CHAR's length hide, inverted, in bits 4 and 5 of the type byte.
			c.Meta = (uint16(real)<<4&0x300 ^ 0x300) | uint16(b[1])
		}
	case TypeVarchar, TypeVarString, TypeVarcharCompressed, TypeBit:
		c.Meta = uint16(m.uint(2, "metadata"))
	case TypeNewDecimal:
		b := m.take(2, "decimal metadata")
		if b != nil {
			c.Meta = uint16(b[0])<<8 | uint16(b[1])
		}
	case TypeBlob, TypeTinyBlob, TypeMediumBlob, TypeLongBlob, TypeJSON, TypeGeometry, TypeVector, TypeBlobCompressed,
		TypeFloat, TypeDouble, TypeTimestamp2, TypeDateTime2, TypeTime2:
		c.Meta = uint16(m.uint(1, "metadata"))
	}
	return c
}

// Kinds of the optional metadata (Table_map_log_event::Optional_metadata_field_type).
const (
	metaSignedness        = 1
	metaDefaultCharset    = 2
	metaColumnCharset     = 3
	metaColumnName        = 4
	metaSetLabels         = 5
	metaEnumLabels        = 6
	metaSimplePrimaryKey  = 8
	metaPrimaryKeyPrefix  = 9
	metaEnumDefault       = 10
	metaEnumColumnCharset = 11
	metaVisibility        = 12
)

func (t *TableMap) optional(r *reader) {
	for r.bad == nil && r.at < len(r.p) {
		kind := r.uint(1, "metadata kind")
		f := &reader{p: r.packedBytes("metadata field")}
		if r.bad != nil {
			return
		}
		switch kind {
		case metaSignedness:
			i := 0
			t.each(isNumeric, func(c *WireColumn) {
				if i>>3 < len(f.p) {
					c.Unsigned = f.p[i>>3]&(0x80>>(i&7)) != 0
				}
				i++
			})
		case metaDefaultCharset, metaEnumDefault:
			t.defaultCharsets(f, kind == metaEnumDefault)
		case metaColumnCharset:
			t.each(isText, func(c *WireColumn) { c.Charset = int(f.packed("charset")) })
		case metaEnumColumnCharset:
			t.each(isEnumOrSet, func(c *WireColumn) { c.Charset = int(f.packed("charset")) })
		case metaColumnName:
			for i := range t.Columns {
				t.Columns[i].Name = string(f.packedBytes("column name"))
			}
		case metaSetLabels:
			t.labels(f, TypeSet)
		case metaEnumLabels:
			t.labels(f, TypeEnum)
		case metaSimplePrimaryKey, metaPrimaryKeyPrefix:
			for f.bad == nil && f.at < len(f.p) {
				t.PrimaryKey = append(t.PrimaryKey, int(f.packed("key column")))
				if kind == metaPrimaryKeyPrefix {
					f.packed("key prefix")
				}
			}
		case metaVisibility:
			for i := range t.Columns {
				if i>>3 < len(f.p) {
					t.Columns[i].Hidden = f.p[i>>3]&(0x80>>(i&7)) == 0
				}
			}
		}
		if f.bad != nil {
			r.fail(f.bad.What)
		}
	}
}

func (t *TableMap) each(match func(byte) bool, do func(*WireColumn)) {
	for i := range t.Columns {
		if match(t.Columns[i].Type) {
			do(&t.Columns[i])
		}
	}
}

func (t *TableMap) defaultCharsets(f *reader, enums bool) {
	match := isText
	if enums {
		match = isEnumOrSet
	}
	def := int(f.packed("default charset"))
	other := map[int]int{}
	for f.bad == nil && f.at < len(f.p) {
		i := int(f.packed("charset column"))
		other[i] = int(f.packed("charset"))
	}
	i := 0
	t.each(match, func(c *WireColumn) {
		c.Charset = def
		if cs, ok := other[i]; ok {
			c.Charset = cs
		}
		i++
	})
}

func (t *TableMap) labels(f *reader, typ byte) {
	t.each(func(x byte) bool { return x == typ }, func(c *WireColumn) {
		n := f.packed("label count")
		if n > uint64(len(f.p)) {
			f.fail("more labels than bytes")
			return
		}
		for range n {
			c.Labels = append(c.Labels, string(f.packedBytes("label")))
		}
	})
}

func isNumeric(t byte) bool {
	switch t {
	case TypeTiny, TypeShort, TypeInt24, TypeLong, TypeLongLong, TypeNewDecimal, TypeDecimal, TypeFloat, TypeDouble, TypeYear:
		return true
	}
	return false
}

func isText(t byte) bool {
	switch t {
	case TypeString, TypeVarString, TypeVarchar, TypeBlob, TypeTinyBlob, TypeMediumBlob, TypeLongBlob, TypeBlobCompressed, TypeVarcharCompressed:
		return true
	}
	return false
}

func isEnumOrSet(t byte) bool { return t == TypeEnum || t == TypeSet }
