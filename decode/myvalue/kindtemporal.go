package myvalue

import (
	"encoding/binary"
	"math"
	"net/netip"
	"strconv"
	"strings"

	"millrace/decode/binlog"
	"millrace/internal/record"
)

// escapeLabel writes a label as the reference does in "allowed" and in streamed
// values: backslash and comma get a backslash.
func escapeLabel(s string) string {
	return strings.ReplaceAll(s, `,`, `\,`)
}

func labelsParam(labels []string) record.Param {
	escaped := make([]string, len(labels))
	for i, l := range labels {
		escaped[i] = escapeLabel(l)
	}
	return record.Param{Key: "allowed", Value: strings.Join(escaped, ",")}
}

func plainText(b *record.Batch, p []byte) (record.Cell, error) {
	return b.BytesCell(record.String, p), nil
}

func enumKind(col *Column) *kind {
	escaped := make([]string, len(col.Labels))
	for i, l := range col.Labels {
		escaped[i] = escapeLabel(l)
	}
	return &kind{schema: logical(record.String, "io.debezium.data.Enum", labelsParam(col.Labels)), fallback: "", class: classText, text: plainText,
		wire: same(func(b *record.Batch, p []byte) (record.Cell, error) {
			i := le(p)
			if i == 0 || i > uint64(len(escaped)) {
				return b.StringCell(""), nil
			}
			return b.StringCell(escaped[i-1]), nil
		})}
}

func setKind(col *Column) *kind {
	labels := col.Labels
	return &kind{schema: logical(record.String, "io.debezium.data.EnumSet", labelsParam(labels)), fallback: "", class: classText, text: plainText,
		wire: same(func(b *record.Batch, p []byte) (record.Cell, error) {
			v := le(p)
			a := b.Arena()
			from := len(a)
			for i, l := range labels {
				if i < 64 && v&(1<<i) != 0 {
					if len(a) > from {
						a = append(a, ',')
					}
					a = append(a, l...)
				}
			}
			b.SetArena(a)
			return b.SpanCell(record.String, from, len(a)), nil
		})}
}

// le reads a little-endian number of up to 8 bytes.
func le(p []byte) uint64 {
	var v uint64
	for i := len(p) - 1; i >= 0; i-- {
		v = v<<8 | uint64(p[i])
	}
	return v
}

func jsonKind() *kind {
	return &kind{schema: logical(record.String, "io.debezium.data.Json"), fallback: "{}", class: classText, text: plainText,
		wire: same(func(b *record.Batch, p []byte) (record.Cell, error) {
			if len(p) == 0 {
				return record.Cell{}, nil
			}
			a := b.Arena()
			from := len(a)
			a, err := AppendJSON(a, p)
			b.SetArena(a)
			return b.SpanCell(record.String, from, len(a)), err
		})}
}

// uuidKind is MariaDB's UUID. Its 16 bytes come as the server stores them, with
// trailing zero bytes cut off.
func uuidKind() *kind {
	return &kind{schema: logical(record.String, "io.debezium.data.Uuid"), fallback: "", class: classText, text: plainText,
		wire: same(func(b *record.Batch, p []byte) (record.Cell, error) {
			var v [16]byte
			copy(v[:], p)
			a := b.Arena()
			from := len(a)
			const digits = "0123456789abcdef"
			for i, c := range v {
				if i == 4 || i == 6 || i == 8 || i == 10 {
					a = append(a, '-')
				}
				a = append(a, digits[c>>4], digits[c&15])
			}
			b.SetArena(a)
			return b.SpanCell(record.String, from, len(a)), nil
		})}
}

// inetKind is MariaDB's INET4 and INET6: size bytes in network order, trailing zero
// bytes cut off.
func inetKind(size int) *kind {
	k := textKind(record.PlainString.Copy())
	k.wire = same(func(b *record.Batch, p []byte) (record.Cell, error) {
		var v [16]byte
		copy(v[:], p)
		at := netip.AddrFrom16(v)
		if size == 4 {
			at = netip.AddrFrom4([4]byte(v[:4]))
		}
		a := b.Arena()
		from := len(a)
		a = at.AppendTo(a)
		b.SetArena(a)
		return b.SpanCell(record.String, from, len(a)), nil
	})
	return k
}

func yearKind(m *Modes) *kind {
	return &kind{schema: logical(record.Int32, "io.debezium.time.Year"), fallback: 1970, class: classInt,
		text: func(_ *record.Batch, p []byte) (record.Cell, error) {
			v, err := strconv.Atoi(string(p))
			c := civil{year: v}
			c.adjust(m.TimeAdjuster)
			return record.Int32Cell(int32(c.year)), err
		},
		wire: same(func(_ *record.Batch, p []byte) (record.Cell, error) {
			if len(p) < 1 {
				return record.Cell{}, errShort
			}
			return record.Int32Cell(1900 + int32(p[0])), nil
		})}
}

func dateKind(m *Modes) *kind {
	k := &kind{fallback: 0, class: classDate}
	switch m.Time {
	case "connect":
		k.schema = logical(record.Int32, "org.apache.kafka.connect.data.Date")
	case "isostring":
		k.schema, k.fallback = logical(record.String, "io.debezium.time.IsoDate"), "1970-01-01Z"
	default:
		k.schema = logical(record.Int32, "io.debezium.time.Date")
	}
	cell := func(b *record.Batch, c civil) (record.Cell, error) {
		if c.zero() {
			return record.Cell{}, nil
		}
		if c.adjust(m.TimeAdjuster); !c.valid() {
			return record.Cell{}, errRange("impossible date " + c.String())
		}
		return dateCell(b, m.Time, c), nil
	}
	k.text = func(b *record.Batch, p []byte) (record.Cell, error) {
		c, ok := parseCivil(p)
		if !ok {
			return record.Cell{}, errText
		}
		return cell(b, c)
	}
	k.wire = same(func(b *record.Batch, p []byte) (record.Cell, error) {
		c, err := wireDate(p)
		if err != nil || c.year == 0 {
			return record.Cell{}, err
		}
		return cell(b, c)
	})
	return k
}

func timeKind(m *Modes) *kind {
	k := &kind{fallback: 0, class: classTime}
	switch m.Time {
	case "connect":
		k.schema = logical(record.Int32, "org.apache.kafka.connect.data.Time")
	case "isostring":
		k.schema, k.fallback = logical(record.String, "io.debezium.time.IsoTime"), "00:00:00Z"
	case "nanoseconds":
		k.schema = logical(record.Int64, "io.debezium.time.NanoTime")
	default:
		k.schema = logical(record.Int64, "io.debezium.time.MicroTime")
	}
	k.text = func(b *record.Batch, p []byte) (record.Cell, error) {
		us, ok := parseTime(p)
		if !ok {
			return record.Cell{}, errText
		}
		return timeCell(b, m.Time, us)
	}
	k.wire = func(_ *Column, w *binlog.WireColumn) (decodeFunc, error) {
		read := wireTime2
		if w.Type == binlog.TypeTime {
			read = wireTime
		}
		return func(b *record.Batch, p []byte) (record.Cell, error) {
			us, err := read(p)
			if err != nil {
				return record.Cell{}, err
			}
			return timeCell(b, m.Time, us)
		}, nil
	}
	return k
}

func dateTimeKind(col *Column, m *Modes) *kind {
	fsp := min(max(col.Length, 0), 6)
	k := &kind{fallback: 0, class: classDateTime}
	switch m.Time {
	case "connect":
		k.schema = logical(record.Int64, "org.apache.kafka.connect.data.Timestamp")
	case "isostring":
		k.schema, k.fallback = logical(record.String, "io.debezium.time.IsoTimestamp"), "1970-01-01T00:00:00Z"
	case "microseconds":
		k.schema = logical(record.Int64, "io.debezium.time.MicroTimestamp")
	case "nanoseconds":
		k.schema = logical(record.Int64, "io.debezium.time.NanoTimestamp")
	default:
		name := "io.debezium.time.Timestamp"
		if fsp > 3 {
			name = "io.debezium.time.MicroTimestamp"
		}
		k.schema = logical(record.Int64, name)
	}
	cell := func(b *record.Batch, c civil) (record.Cell, error) {
		if c.zero() {
			return record.Cell{}, nil
		}
		c.adjust(m.TimeAdjuster)
		return dateTimeCell(b, m.Time, fsp, c)
	}
	k.text = func(b *record.Batch, p []byte) (record.Cell, error) {
		c, ok := parseCivil(p)
		if !ok {
			return record.Cell{}, errText
		}
		if c.year == 0 { // Java's driver makes it the year 1
			c.year = 1
		}
		return cell(b, c)
	}
	k.wire = func(_ *Column, w *binlog.WireColumn) (decodeFunc, error) {
		read := wireDateTime2
		if w.Type == binlog.TypeDateTime {
			read = wireDateTime
		}
		return func(b *record.Batch, p []byte) (record.Cell, error) {
			c, err := read(p)
			if err != nil || c.year == 0 {
				return record.Cell{}, err
			}
			return cell(b, c)
		}, nil
	}
	return k
}

func timestampKind(col *Column) *kind {
	fsp := min(max(col.Length, 0), 6)
	return &kind{schema: logical(record.String, "io.debezium.time.ZonedTimestamp"), fallback: "1970-01-01T00:00:00Z", class: classTimestamp,
		text: func(b *record.Batch, p []byte) (record.Cell, error) {
			c, ok := parseCivil(p)
			if !ok {
				return record.Cell{}, errText
			}
			if c.zero() {
				return record.Cell{}, nil
			}
			us := c.micros()
			sec := floorDiv(us, microsPerSecond)
			return zonedCell(b, sec, int(us-sec*microsPerSecond), -1), nil
		},
		wire: same(func(b *record.Batch, p []byte) (record.Cell, error) {
			sec, micro, err := wireTimestamp(p)
			if err != nil || (sec == 0 && micro == 0) {
				return record.Cell{}, err
			}
			return zonedCell(b, sec, micro, fsp), nil
		})}
}

// emptyCollection is the WKB of an empty GEOMETRYCOLLECTION.
var emptyCollection = []byte{1, 7, 0, 0, 0, 0, 0, 0, 0}

func geometryFields() []record.Field {
	return []record.Field{{Name: "wkb", Schema: record.PlainBytes}, {Name: "srid", Schema: record.OptionalInt32}}
}

func sridCell(p []byte) record.Cell {
	if v := le32(p); v != 0 {
		return record.Int32Cell(int32(v))
	}
	return record.Cell{}
}

func geometryKind() *kind {
	f := func(b *record.Batch, p []byte) (record.Cell, error) {
		if len(p) < 5 {
			return record.Cell{}, errShort
		}
		wkb := b.BytesCell(record.Bytes, p[4:])
		c := b.Alloc(record.Struct, 2)
		b.SetChild(c, 0, wkb)
		b.SetChild(c, 1, sridCell(p))
		return c, nil
	}
	// Its schema is optional in every case, that of a POINT is not.
	return &kind{schema: &record.Schema{Type: record.Struct, Optional: true, Name: "io.debezium.data.geometry.Geometry", Version: 1, Doc: "Geometry", Fields: geometryFields()},
		fallback: map[string]any{"wkb": emptyCollection}, class: classNone, text: f, wire: same(f)}
}

func pointKind() *kind {
	f := func(b *record.Batch, p []byte) (record.Cell, error) {
		if len(p) < 25 {
			return record.Cell{}, errShort
		}
		order := binary.ByteOrder(binary.LittleEndian)
		if p[4] == 0 {
			order = binary.BigEndian
		}
		wkb := b.BytesCell(record.Bytes, p[4:])
		c := b.Alloc(record.Struct, 4)
		b.SetChild(c, 0, record.Float64Cell(math.Float64frombits(order.Uint64(p[9:]))))
		b.SetChild(c, 1, record.Float64Cell(math.Float64frombits(order.Uint64(p[17:]))))
		b.SetChild(c, 2, wkb)
		b.SetChild(c, 3, sridCell(p))
		return c, nil
	}
	return &kind{schema: &record.Schema{Type: record.Struct, Name: "io.debezium.data.geometry.Point", Version: 1, Doc: "Geometry (POINT)",
		Fields: []record.Field{{Name: "x", Schema: record.PlainFloat64}, {Name: "y", Schema: record.PlainFloat64},
			{Name: "wkb", Schema: record.OptionalBytes}, {Name: "srid", Schema: record.OptionalInt32}}},
		fallback: map[string]any{"x": 0.0, "y": 0.0}, class: classNone, text: f, wire: same(f)}
}

func vectorKind() *kind {
	f := func(b *record.Batch, p []byte) (record.Cell, error) {
		if len(p)%4 != 0 {
			return record.Cell{}, errShort
		}
		c := b.Alloc(record.Array, len(p)/4)
		for i := range len(p) / 4 {
			b.SetChild(c, i, record.Float32Cell(math.Float32frombits(le32(p[4*i:]))))
		}
		return c, nil
	}
	return &kind{schema: &record.Schema{Type: record.Array, Name: "io.debezium.data.FloatVector", Version: 1, Elem: record.PlainFloat32},
		fallback: []any{}, class: classNone, text: f, wire: same(f)}
}

// zeroDates puts the fallback of ZeroDateFallbackConverter where a value is there
// but is no date.
func zeroDates(col *Column, k *kind, wire decodeFunc) (w, text decodeFunc, err error) {
	var b record.Batch
	c, err := k.text(&b, []byte(col.ZeroDate))
	if err != nil {
		return nil, nil, err
	}
	instead := record.NewDatum(&b, c)
	wrap := func(f decodeFunc) decodeFunc {
		if f == nil {
			return nil
		}
		return func(b *record.Batch, p []byte) (record.Cell, error) {
			c, err := f(b, p)
			if err == nil && c.IsNull() {
				c = b.Put(instead)
			}
			return c, err
		}
	}
	return wrap(wire), wrap(k.text), nil
}
