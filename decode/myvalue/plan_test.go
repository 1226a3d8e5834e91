package myvalue

import (
	"strings"
	"testing"

	"millrace/decode/binlog"
	"millrace/internal/record"
)

func show(b *record.Batch, c record.Cell) string {
	var sb strings.Builder
	record.Dump(&sb, b, c)
	return sb.String()
}

func column(typ string, length, scale int) Column {
	return Column{Name: "c", TypeName: typ, Length: length, Scale: scale, Optional: true, Truncate: -1, MaskChars: -1}
}

var defaults = Modes{Decimal: "precise", BigintUnsigned: "long", Time: "adaptive_time_microseconds", Binary: "bytes", TimeAdjuster: true}

// The same value from the binary log and from a result set.
func TestBothPaths(t *testing.T) {
	for _, c := range []struct {
		col        Column
		wire       binlog.WireColumn
		bytes      []byte
		text       string
		want, snap string // snap "": the same
	}{
		{column("INT", -1, -1), binlog.WireColumn{Type: binlog.TypeLong}, []byte{0xfe, 0xff, 0xff, 0xff}, "-2", "int32:-2", ""},
		{column("INT UNSIGNED", -1, -1), binlog.WireColumn{Type: binlog.TypeLong}, []byte{0xfe, 0xff, 0xff, 0xff}, "4294967294", "int64:4294967294", ""},
		{column("MEDIUMINT", -1, -1), binlog.WireColumn{Type: binlog.TypeInt24}, []byte{0xff, 0xff, 0xff}, "-1", "int32:-1", ""},
		{column("BIGINT UNSIGNED", -1, -1), binlog.WireColumn{Type: binlog.TypeLongLong}, []byte{255, 255, 255, 255, 255, 255, 255, 255}, "18446744073709551615", "int64:-1", ""},
		{column("DECIMAL", 10, 2), binlog.WireColumn{Type: binlog.TypeNewDecimal, Meta: 10<<8 | 2}, []byte{0x7f, 0xff, 0xff, 0xfe, 0xe6}, "-1.25", "x'83'", ""},
		{column("FLOAT", -1, -1), binlog.WireColumn{Type: binlog.TypeFloat, Meta: 4}, []byte{0, 0, 0xc0, 0x3f}, "1.5", "float32:3ff8000000000000", ""},
		{column("DATETIME", 6, -1), binlog.WireColumn{Type: binlog.TypeDateTime2, Meta: 6}, []byte{0x99, 0xa8, 0x82, 0x00, 0x00, 0, 0, 1}, "2021-01-01 00:00:00.000001", "int64:1609459200000001", ""},
		{column("TIME", 2, -1), binlog.WireColumn{Type: binlog.TypeTime2, Meta: 2}, []byte{0x7f, 0xef, 0x7d, 0xce}, "-01:02:02.50", "int64:-3722500000", ""},
		{column("DATE", -1, -1), binlog.WireColumn{Type: binlog.TypeDate}, []byte{0x21, 0xca, 0x0f}, "2021-01-01", "int32:18628", ""},
		{column("TIMESTAMP", 3, -1), binlog.WireColumn{Type: binlog.TypeTimestamp2, Meta: 3}, []byte{0x5f, 0xee, 0x66, 0, 0x03, 0xe8}, "2021-01-01 00:00:00.1", `"2021-01-01T00:00:00.100Z"`, `"2021-01-01T00:00:00.1Z"`},
		{column("BIT", 10, -1), binlog.WireColumn{Type: binlog.TypeBit}, []byte{1, 2}, "\x01\x02", "x'0201'", ""},
	} {
		w := c.wire
		p, err := Compile(c.col, &w, defaults, &record.Interner{})
		if err != nil {
			t.Fatal(err)
		}
		b := &record.Batch{}
		v, err := p.Wire(b, c.bytes)
		if got := show(b, v); got != c.want || err != nil {
			t.Errorf("%s from the log: got %s, %v; want %s", c.col.TypeName, got, err, c.want)
		}
		if c.snap == "" {
			c.snap = c.want
		}
		v, err = p.Text(b, []byte(c.text))
		if got := show(b, v); got != c.snap || err != nil {
			t.Errorf("%s from a snapshot: got %s, %v; want %s", c.col.TypeName, got, err, c.snap)
		}
	}
}

func TestDefaults(t *testing.T) {
	s := func(x string) *string { return &x }
	for _, c := range []struct {
		col  Column
		def  *string
		null bool
		want string // "" none
	}{
		{column("INT", -1, -1), s("1.5"), false, "int32:2"},
		{column("DECIMAL", 5, 2), s("1.005"), false, "x'65'"},
		{column("BIT", 1, -1), s("b'1'"), true, "true"},
		{column("VARCHAR", 10, -1), s("it''s"), true, `"it''s"`},
		{column("TIMESTAMP", -1, -1), s("CURRENT_TIMESTAMP"), true, ""},
		{column("TIMESTAMP", -1, -1), s("CURRENT_TIMESTAMP"), false, `"1970-01-01T00:00:00Z"`},
		{column("DATETIME", -1, -1), s("now()"), true, "int64:0"},
		{column("INT", -1, -1), nil, true, ""},
	} {
		c.col.Optional, c.col.HasDefault, c.col.Default = c.null, true, c.def
		p, err := Compile(c.col, nil, defaults, &record.Interner{})
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if d := p.Schema.Default; d != nil {
			got = show(d.Batch(), d.Root)
		}
		if got != c.want {
			t.Errorf("default of %s null=%v: got %s, want %s", c.col.TypeName, c.null, got, c.want)
		}
	}
}

func FuzzColumn(f *testing.F) {
	f.Add(uint8(3), []byte{1, 2, 3, 4}, uint16(0))
	types := []string{"BIT", "TINYINT", "INT", "BIGINT", "FLOAT", "DOUBLE", "DECIMAL", "VARCHAR", "BINARY", "ENUM", "SET", "JSON", "UUID", "YEAR", "DATE", "TIME", "DATETIME", "TIMESTAMP", "POINT", "GEOMETRY", "VECTOR"}
	f.Fuzz(func(t *testing.T, n uint8, p []byte, meta uint16) {
		col := column(types[int(n)%len(types)], int(meta%65), int(meta%31))
		col.Labels, col.Charset = []string{"a", "b"}, "sjis"
		plan, err := Compile(col, &binlog.WireColumn{Type: byte(meta), Meta: meta}, defaults, &record.Interner{})
		if err != nil {
			return
		}
		b := &record.Batch{}
		_, _ = plan.Wire(b, p)
		_, _ = plan.Text(b, p)
	})
}
