package pgvalue

import (
	"encoding/binary"
	"math"

	"millrace/internal/record"
)

func pointSchema() *record.Schema {
	s := logical(record.Struct, "io.debezium.data.geometry.Point")
	s.Doc = "Geometry (POINT)"
	s.Fields = []record.Field{
		{Name: "x", Schema: record.PlainFloat64}, {Name: "y", Schema: record.PlainFloat64},
		{Name: "wkb", Schema: record.OptionalBytes}, {Name: "srid", Schema: record.OptionalInt32},
	}
	return s
}

// codecPoint decodes the built-in point, with its well-known binary form.
func codecPoint() *codec {
	put := func(b *record.Batch, x, y float64) record.Cell {
		a := b.Arena()
		from := len(a)
		a = append(a, 1, 1, 0, 0, 0)
		a = binary.LittleEndian.AppendUint64(a, math.Float64bits(x))
		a = binary.LittleEndian.AppendUint64(a, math.Float64bits(y))
		b.SetArena(a)
		wkb := b.SpanCell(record.Bytes, from, len(a))
		c := b.Alloc(record.Struct, 4)
		b.SetChild(c, 0, record.Float64Cell(x))
		b.SetChild(c, 1, record.Float64Cell(y))
		b.SetChild(c, 2, wkb)
		return c
	}
	c := &codec{schema: pointSchema()}
	c.decode = func(b *record.Batch, t []byte) (record.Cell, error) {
		if len(t) < 5 || t[0] != '(' || t[len(t)-1] != ')' {
			return record.Cell{}, errPoint
		}
		t = t[1 : len(t)-1]
		for i, ch := range t {
			if ch != ',' {
				continue
			}
			x, ok1 := parseFloat(t[:i], 64)
			y, ok2 := parseFloat(t[i+1:], 64)
			if !ok1 || !ok2 {
				break
			}
			return put(b, javaNaN(x), javaNaN(y)), nil
		}
		return record.Cell{}, errPoint
	}
	c.fallback = func(b *record.Batch) record.Cell { return put(b, 0, 0) }
	return c
}

// javaNaN makes the NaN of Java, whose bits end up in the binary form.
func javaNaN(v float64) float64 {
	if v != v {
		return math.Float64frombits(0x7ff8000000000000)
	}
	return v
}

// codecGeometry decodes PostGIS's hexadecimal EWKB. A geometry is always optional,
// a geography only if its column is.
func codecGeometry(geography bool) *codec {
	doc := "Geometry"
	if geography {
		doc = "Geography"
	}
	s := logical(record.Struct, "io.debezium.data.geometry."+doc)
	s.Doc = doc
	s.Fields = []record.Field{{Name: "wkb", Schema: record.PlainBytes}, {Name: "srid", Schema: record.OptionalInt32}}
	c := &codec{schema: s, optional: !geography}
	c.decode = func(b *record.Batch, t []byte) (record.Cell, error) {
		wkb, err := putUnhex(b, record.Bytes, t, errGeometry)
		if err != nil {
			return wkb, err
		}
		raw := b.Raw(wkb)
		if len(raw) < 9 {
			return record.Cell{}, errGeometry
		}
		var order binary.ByteOrder = binary.LittleEndian
		if raw[0] == 0 {
			order = binary.BigEndian
		}
		srid := record.Cell{}
		if order.Uint32(raw[1:])&0x20000000 != 0 {
			srid = record.Int32Cell(int32(order.Uint32(raw[5:])))
		}
		st := b.Alloc(record.Struct, 2)
		b.SetChild(st, 0, wkb)
		b.SetChild(st, 1, srid)
		return st, nil
	}
	c.fallback = func(b *record.Batch) record.Cell {
		v, _ := c.decode(b, []byte("010700000000000000"))
		return v
	}
	return c
}

// normaliseGeometric prints the numbers of a box, circle, line, lseg, path or
// polygon as Java prints doubles, which is what the JDBC driver does.
func normaliseGeometric(dst, t []byte) []byte {
	for i := 0; i < len(t); {
		c := t[i]
		if isStructural(c) {
			dst = append(dst, c)
			i++
			continue
		}
		n := i
		for n < len(t) && !isStructural(t[n]) {
			n++
		}
		if v, ok := parseFloat(t[i:n], 64); ok {
			dst = record.AppendJavaDouble(dst, v)
		} else {
			dst = append(dst, t[i:n]...)
		}
		i = n
	}
	return dst
}

func isStructural(c byte) bool {
	switch c {
	case '(', ')', '[', ']', '<', '>', '{', '}', ',':
		return true
	}
	return false
}
