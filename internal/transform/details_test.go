package transform

import (
	"encoding/base64"
	"math"
	"math/big"
	"strconv"
	"strings"
	"testing"
	"time"

	"millrace/internal/record"
)

func TestDateFormat(t *testing.T) {
	// Texts recorded from java.text.SimpleDateFormat, and its calendar's corners.
	for _, c := range []struct {
		ms            int64
		pattern, want string
	}{
		{1614834367089, "YYYY-'W'ww-u", "2021-W10-4"},
		{1609372800007, "YYYY-'W'ww-u", "2021-W01-4"},
		{1614834367089, "yy.DDD hh:mm a ''z''", "21.063 05:06 AM 'UTC'"},
		{1735646400070, "yy.DDD hh:mm a ''z''", "24.366 12:00 PM 'UTC'"},
		{1614834367089, "MMMM d, y G W F k K", "March 4, 2021 AD 1 1 5 5"},
		{1709166600000, "MMMM d, y G W F k K", "February 29, 2024 AD 5 5 24 0"},
		{1614834367089, "S SS SSS X XX XXX Z z", "89 89 089 Z Z Z +0000 UTC"},
		{-62135769600000, "yyyy-MM-dd G", "0001-01-01 AD"}, // Julian before 1582-10-15
		{-12219292800000, "yyyy-MM-dd", "1582-10-15"},
		{-12219292800001, "yyyy-MM-dd", "1582-10-04"},
		{-62135769600001, "yyyy-MM-dd G", "0001-12-31 BC"},
		{-1, "EEE, d MMM yyyy HH:mm:ss.SSS", "Wed, 31 Dec 1969 23:59:59.999"},
	} {
		f, err := compileDateFormat(c.pattern)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(f.format(nil, c.ms)); got != c.want {
			t.Errorf("%d %q: %q, want %q", c.ms, c.pattern, got, c.want)
		}
	}
	now := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		pattern, text string
		want          int64
		ok            bool
	}{
		{"yyyy-MM-dd", "2020-01-02", 1577923200000, true},
		{"yyyy-MM-dd", "2020-13-45", 1613260800000, true}, // lenient, as recorded
		{"yyyy-MM-dd", "2020-01-02 and more", 1577923200000, true},
		{"yyyy-MM-dd", "soon", 0, false},
		{"yyyyMMddHHmmss", "20220102030405", 1641092645000, true},
		{"EEE, d MMM yyyy HH:mm:ss Z", "Thu, 4 Mar 2021 05:06:07 +0200", 1614827167000, true},
		{"yyyy-MM-dd'T'HH:mm:ssX", "2021-03-04T05:06:07Z", 1614834367000, true},
		{"yyyy-MM-dd'T'HH:mm:ssXXX", "2021-03-04T05:06:07-01:30", 1614839767000, true},
		{"hh:mm a", "12:30 AM", 1800000, true},
		{"dd/MM/yy", "04/03/21", 1614816000000, true},
		{"dd/MM/yy", "04/03/47", -720489600000, true}, // more than 20 years ahead
		{"yyyy-MM-dd HH:mm z", "2021-07-01 12:00 EST", 1625158800000, true},
	} {
		f, err := compileDateFormat(c.pattern)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := f.parse(c.text, now)
		if ok != c.ok || ok && got != c.want {
			t.Errorf("%q %q: %d %v", c.pattern, c.text, got, ok)
		}
	}
	for p, want := range map[string]string{"yyyy'": "Unterminated quote", "b": "Illegal pattern character 'b'", "XXXX": "invalid ISO 8601 format: length=4"} {
		if _, err := compileDateFormat(p); err == nil || err.Error() != want {
			t.Errorf("%q: %v", p, err)
		}
	}
}

func TestCalendarThereAndBack(t *testing.T) {
	for day := int64(-800000); day < 800000; day += 37 {
		y, m, d := civil(day)
		if back := dayOf(y, m, int64(d)); back != day {
			t.Fatalf("day %d is %d-%d-%d, which is day %d", day, y, m, d, back)
		}
	}
}

func TestLiterals(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"42", "int8 int8:42"}, {"-9223372036854775808", "int64 int64:-9223372036854775808"}, {"40000", "int32 int32:40000"},
		{"3.1400", "float32 float32:40091eb860000000"}, {"true", "boolean true"}, {"null", "null"}, {"plain text", `string "plain text"`},
		{`"quoted"`, `string "\"quoted\""`}, {"[1, 2,3]", "array array(int8:1 int8:2 int8:3)"}, {`{"a": 1, "b": "x"}`, `map map("a" int8:1 "b" "x")`},
		{"2020-02-29", "int32 int32:18321"}, {"2020-02-29T01:02:03.004Z", "int64 int64:1582938123004"}, {"1e400", "bytes x'01'"},
		{"[1,", `string "[1,"`}, {`{"a":[true,null]}`, `map map("a" array(true null))`}, {"", `string ""`},
	} {
		s, d := parseLiteral(c.text)
		got := "null"
		if d != nil {
			var sb strings.Builder
			record.Dump(&sb, d.Batch(), d.Root)
			got = s.Type.String() + " " + sb.String()
		}
		if got != c.want {
			t.Errorf("%q: %s, want %s", c.text, got, c.want)
		}
	}
	s, _ := parseLiteral("1e400")
	if p, _ := s.Param("scale"); p != "-400" {
		t.Error(p)
	}
}

func TestJavaText(t *testing.T) {
	for f, want := range map[float64]string{1.1: "1.1", 1e10: "1.0E10", 1e-5: "1.0E-5", 123456789012: "1.23456789012E11", 0.001: "0.001", 9999999: "9999999.0", 1e7: "1.0E7", math.Inf(-1): "-Infinity"} {
		if got := string(appendJavaFloat(nil, f, 64)); got != want {
			t.Errorf("%v: %s", f, got)
		}
	}
	if got := string(appendJavaFloat(nil, float64(float32(1.1)), 32)); got != "1.1" {
		t.Error(got)
	}
	for _, c := range []struct {
		n     int64
		scale int
		want  string
	}{{12340, 3, "12.340"}, {0, 3, "0.000"}, {-1500, 3, "-1.500"}, {1, 10, "1E-10"}, {5, -2, "5E+2"}, {123, -2, "1.23E+4"}, {0, 8, "0E-8"}, {7, 0, "7"}} {
		if got := string(appendDecimal(nil, big.NewInt(c.n), c.scale)); got != c.want {
			t.Errorf("%d scale %d: %s, want %s", c.n, c.scale, got, c.want)
		}
	}
	for _, n := range []int64{0, 1, -1, 127, 128, -128, -129, 255, -256, 32767, -32768, 1 << 40, -(1 << 40)} {
		if back := decimalOf(twosComplement(big.NewInt(n))); back.Int64() != n {
			t.Errorf("%d became %v", n, back)
		}
	}
}

func TestFieldPath(t *testing.T) {
	for text, want := range map[string]string{"a.b": "a|b", "`a.b`.c": "a.b|c", "a": "a", "a.`b.c`": "a|b.c", "`a\\`.b`": "a`.b", "a.": "a|"} {
		got, err := fieldPath(text, "V2")
		if err != nil || strings.Join(got, "|") != want {
			t.Errorf("%q: %q %v", text, got, err)
		}
	}
	if _, err := fieldPath("`a", "V2"); err == nil {
		t.Error("an open backtick passed")
	}
}

func TestJSONExpansion(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`{"b":true,"d":1.5,"i":1,"l":3000000000,"s":"x"}`, `struct(true float64:3ff8000000000000 int32:1 int64:3000000000 "x")`},
		{`{"a":[1,2],"t":["x",null],"n":null,"e":[]}`, `struct(array(int32:1 int32:2) array("x" null))`},
		{`{"ao":[{"x":1},{"y":"z"}]}`, `struct(array(struct(int32:1 null) struct(null "z")))`},
		{`[{"x":1},{"x":2}]`, `array(struct(int32:1) struct(int32:2))`},
		{`{"m":[1,"x"]}`, `"{\"m\":[1,\"x\"]}"`}, {`{"big":12345678901234567890}`, `"{\"big\":12345678901234567890}"`},
		{`17`, `"17"`}, {`{`, `"{"`}, {`[]`, `"[]"`},
		{`{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8,"i":9,"j":10}`, `struct(int32:1 int32:2 int32:3 int32:4 int32:5 int32:6 int32:7 int32:8 int32:9 int32:10)`},
	} {
		var b record.Batch
		x := jsonExpander{}
		_, v := x.expand(&b, "payload", record.OptionalString, b.StringCell(c.text))
		var sb strings.Builder
		record.Dump(&sb, &b, v)
		if sb.String() != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.text, sb.String(), c.want)
		}
	}
	x := jsonExpander{}
	var b record.Batch
	s1, _ := x.expand(&b, "payload", nil, b.StringCell(`{"a":{"b":1}}`))
	s2, _ := x.expand(&b, "payload", nil, b.StringCell(`{"a":{"b":2}}`))
	if s1 != s2 || s1.Name != "payload" || s1.Fields[0].Schema.Name != "payload.a" {
		t.Errorf("%v %v", s1, s2)
	}
}

func TestLocalOffsets(t *testing.T) {
	z, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		local string
		want  int64
	}{
		{"2021-07-01 12:00:00", 7200}, {"2021-01-01 12:00:00", 3600},
		{"2021-03-28 02:30:00", 3600}, // a gap: the offset before it
		{"2021-10-31 02:30:00", 7200}, // twice: the earlier one
		{"2021-03-28 03:00:00", 7200}, {"2021-10-31 03:00:00", 3600},
	} {
		at, _ := time.Parse(time.DateTime, c.local)
		if got := localOffset(z, at.Unix()); got != c.want {
			t.Errorf("%s: %d", c.local, got)
		}
	}
}

func TestHashes(t *testing.T) {
	if javaStringHash("hello") != 99162322 || javaStringHash("") != 0 {
		t.Error("String.hashCode differs")
	}
	if h := javaDecimalHash([]byte{0x00, 0x96}, 2); h != 150*31+2 {
		t.Error(h)
	}
	// Partitions of five that the real step was recorded to choose.
	for city, want := range map[string]int32{"Amsterdam": 3, "Berlin": 4, "Ünal": 1, "Zagreb": 1} {
		h := int32(uint64(murmur3([]byte(city)))>>32) & math.MaxInt32
		if h%5 != want {
			t.Errorf("%s: %d", city, h%5)
		}
	}
}

func FuzzDateFormat(f *testing.F) {
	f.Add("yyyy-MM-dd HH:mm:ss.SSS Z", "2020-01-02 03:04:05.678 +0100")
	f.Add("EEEE, MMMM d y G 'at' h a", "Monday, May 1 2020 AD at 5 PM")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		df, err := compileDateFormat(pattern)
		if err != nil {
			return
		}
		if ms, ok := df.parse(text, time.Unix(0, 0)); ok && ms > -1e15 && ms < 1e15 {
			df.format(nil, ms)
		}
	})
}

func FuzzExpandAndLiteral(f *testing.F) {
	f.Add(`{"a":[{"b":1},{"c":null}],"d":1e5}`)
	f.Add(`{"a": [true, {"b": "c"}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		var b record.Batch
		x := jsonExpander{nullBytes: true}
		x.expand(&b, "p", record.OptionalString, b.StringCell(text))
		parseLiteral(text)
	})
}

func TestNamingStyles(t *testing.T) {
	for style, want := range map[string]string{"snake_case": "db_my_table_1a", "camel_case": "dbMytable1a", "upper_case": "DB.MYTABLE1A", "lower_case": "db.mytable1a", "default": "db.MyTable1a"} {
		n := namer{"p_", "_s", style}
		if got := n.name("db.MyTable1a"); got != "p_"+want+"_s" {
			t.Errorf("%s: %s", style, got)
		}
	}
	var b record.Batch
	r := event(t, &b, "c", nil, row(1, "a", 1))
	if _, err := newStep(t, "FieldNameTransformation", "column.naming.style", "UPPER_CASE").Apply(&b, r); err != nil {
		t.Fatal(err)
	}
	if got := show(&b, r); !strings.Contains(got, `key={ID:1}`) || !strings.Contains(got, `after:{ID:1 NAME:"a"`) || !strings.Contains(got, ` source:{table:`) {
		t.Error(got)
	}
}

func TestSourceSchema(t *testing.T) {
	s := newStep(t, "ExtractSchemaToNewRecord")
	var b record.Batch
	if _, err := s.Apply(&b, event(t, &b, "c", nil, row(1, "a", 1))); err == nil || !strings.Contains(err.Error(), "column.propagate.source.type") {
		t.Error(err)
	}
	col := &record.Schema{Type: record.Int32, Params: []record.Param{{Key: "__debezium.source.column.type", Value: "INT4"}, {Key: "__debezium.source.column.length", Value: "10"}, {Key: "__debezium.source.column.name", Value: "id"}}}
	rs := structOf("s.t.Value", true, f("id", col))
	env := &record.Schema{Type: record.Struct, Name: "s.t.Envelope", Fields: []record.Field{f("before", rs), f("after", rs), f("source", structOf("S", false, f("table", record.PlainString)))}}
	r := b.Append()
	r.Topic, r.ValueSchema = itemsTopic, env
	r.Value, _ = record.FromGo(&b, env, map[string]any{"after": map[string]any{"id": 1}, "source": map[string]any{"table": "t"}})
	if _, err := s.Apply(&b, r); err != nil {
		t.Fatal(err)
	}
	want := `s.items key=null value={before:null after:{id:1} source:{table:"t"} sourceSchema:{id:"t" table:{columns:array(struct("id" "INT4" 10 null null))}}}`
	if got := show(&b, r); got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}

func geometryRecord(t *testing.T, b *record.Batch, wkb string, srid any) *record.Record {
	t.Helper()
	g := &record.Schema{Type: record.Struct, Optional: true, Name: geometryName, Version: 1, Fields: []record.Field{f("wkb", record.PlainBytes), f("srid", record.OptionalInt32)}}
	s := structOf("s.g.Value", false, f("a", g))
	raw, err := base64.StdEncoding.DecodeString(wkb)
	if err != nil {
		t.Fatal(err)
	}
	r := b.Append()
	r.Topic, r.ValueSchema = itemsTopic, s
	r.Value, err = record.FromGo(b, s, map[string]any{"a": map[string]any{"wkb": raw, "srid": srid}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestGeometry uses recorded geometries.
func TestGeometry(t *testing.T) {
	const point, extended = "AQEAAAAAAAAAAAAAQAAAAAAAAPA/", "AQEAACDmEAAAAAAAAAAAAEAAAAAAAADwPw=="
	const line, lineExtended = "AQIAAAACAAAAAAAAAAAAAAAAAAAAAADwPwAAAAAAAABAAAAAAAAACEA=", "AQIAACARDwAAAgAAAAAAAAAAAAAAAAAAAAAA8D8AAAAAAAAAQAAAAAAAAAhA"
	const swapped, lineSwapped = "AQEAAAAAAAAAAADwPwAAAAAAAABA", "AQIAAAACAAAAAAAAAAAA8D8AAAAAAAAAAAAAAAAAAAhAAAAAAAAAAEA="
	for _, c := range []struct {
		class, option, value, in string
		srid                     any
		want                     string
	}{
		{"GeometryFormatTransformer", "format", "wkb", point, 4326, extended}, {"GeometryFormatTransformer", "format", "wkb", line, 3857, lineExtended},
		{"GeometryFormatTransformer", "format", "ewkb", extended, 4326, point}, {"GeometryFormatTransformer", "format", "wkb", extended, 4326, point},
		{"GeometryFormatTransformer", "format", "wkb", point, nil, "!Cannot convert to EWKB when SRID is null"},
		{"SwapGeometryCoordinates", "srids", "4326", point, 4326, swapped}, {"SwapGeometryCoordinates", "srids", "1,3857", line, 3857, lineSwapped},
		{"SwapGeometryCoordinates", "srids", "4326", point, 1, point}, {"SwapGeometryCoordinates", "srids", "4326", point, nil, point},
		{"SwapGeometryCoordinates", "srids", "4326", "AQIAAAD///8P", 4326, "!Failed to swap EWKB/WKB coordinates: the geometry is no WKB"},
	} {
		var b record.Batch
		r := geometryRecord(t, &b, c.in, c.srid)
		_, err := newStep(t, c.class, c.option, c.value).Apply(&b, r)
		got := base64.StdEncoding.EncodeToString(b.Raw(b.Child(b.Child(r.Value, 0), 0)))
		if err != nil {
			got = "!" + err.Error()
		}
		if got != c.want {
			t.Errorf("%s %s %v: %s, want %s", c.class, c.value, c.srid, got, c.want)
		}
	}
}

func FuzzSwapWKB(fz *testing.F) {
	for _, s := range []string{"AQEAAAAAAAAAAAAAQAAAAAAAAPA/", "AQIAACARDwAAAgAAAAAAAAAAAAAAAAAAAAAA8D8AAAAAAAAAQAAAAAAAAAhA", "AQcAAAABAAAAAQEAAAAAAAAAAAAAQAAAAAAAAPA/"} {
		p, _ := base64.StdEncoding.DecodeString(s)
		fz.Add(p)
	}
	fz.Fuzz(func(t *testing.T, p []byte) {
		before := string(p)
		if _, err := swapWKB(p, 0); err == nil {
			if _, err := swapWKB(p, 0); err != nil || string(p) != before {
				t.Error("swapping twice is not the same")
			}
		}
	})
}

func TestVectors(t *testing.T) {
	dense := &record.Schema{Type: record.Array, Optional: true, Name: "io.debezium.data.FloatVector", Version: 1, Elem: record.PlainFloat32}
	s := structOf("s.v.Value", false, f("id", record.PlainInt32), f("e", dense), f("n", dense))
	var b record.Batch
	r := b.Append()
	r.Topic, r.ValueSchema = itemsTopic, s
	r.Value, _ = record.FromGo(&b, s, map[string]any{"id": 1, "e": []any{float32(1), float32(2.5), float32(-3e-5)}})
	if _, err := newStep(t, "VectorToJsonConverter").Apply(&b, r); err != nil {
		t.Fatal(err)
	}
	if got := show(&b, r); got != `s.items key=null value={id:1 e:"{ \"values\": [1.0, 2.5, -3.0E-5] }" n:null}` || r.ValueSchema.Fields[1].Schema.Name != "io.debezium.data.Json" {
		t.Error(got)
	}
}

func TestRecordSize(t *testing.T) {
	s := newStep(t, "EnforceRecordSize", "max.bytes", "1", "min.field.size", "3")
	var b record.Batch
	r := event(t, &b, "c", nil, row(1, "abcdef", 1))
	if _, err := s.Apply(&b, r); err != nil {
		t.Fatal(err)
	}
	if got := show(&b, r); !strings.Contains(got, `after:{id:1 name:"" qty:1 price:x'0096'`) {
		t.Error(got)
	}
	if c := cutCell(&b, b.StringCell("a😀b"), 2); b.Str(c) != "a" {
		t.Errorf("%q", b.Str(c))
	}
}

// TestNumbers: numbers as Java's BigDecimal and Connect's Values read them, seen live.
func TestNumbers(t *testing.T) {
	for text, want := range map[string]string{"1e3": "int16", "1.0": "int8", "100e-2": "int8", "-0.0": "int8", "1.": "int8", "16777217.0": "int32", "9007199254740993.0": "int64",
		"1.5": "float32", "1.0e20": "float32", "3.5e38": "float64", "1E400": "bytes", "99999999999999999999": "bytes", ".5": "string", "0x10": "string", "1_0": "string", "1e": "string"} {
		if s, _ := parseLiteral(text); s.Type.String() != want {
			t.Errorf("%s: %s, want %s", text, s.Type, want)
		}
	}
	mask := func(s *record.Schema, text string) string {
		m := &maskField{replacement: text, replace: true}
		d, err := m.masked(s)
		if err != nil {
			return "!" + err.Error()
		}
		if s.Type >= record.Float32 {
			return strconv.FormatFloat(d.Root.Float(), 'g', -1, 64)
		}
		return strconv.FormatInt(d.Root.Int(), 10)
	}
	for _, c := range []struct {
		s          *record.Schema
		text, want string
	}{
		{record.PlainInt8, "99999", "-97"}, {record.PlainInt16, "99999", "-31073"}, {record.PlainInt8, "-129", "127"}, {record.PlainInt32, "42.9", "42"}, {record.PlainInt16, "1e2", "100"},
		{record.PlainInt32, "99999999999999999999", "1661992959"}, {record.PlainInt64, "99999999999999999999", "7766279631452241919"}, {record.PlainInt64, "3.5e38", "2405898429902356480"},
		{record.PlainFloat64, "1e400", "+Inf"}, {record.PlainFloat32, "3.5e38", "+Inf"}, {record.PlainFloat64, "-0", "0"}, {record.PlainFloat32, "1.005", "1.0049999952316284"},
		{record.PlainInt8, "abc", "!Unable to convert abc (class java.lang.String) to a number"}, {record.PlainFloat64, "NaN", "!Unable to convert NaN (class java.lang.String) to a number"},
	} {
		if got := mask(c.s, c.text); got != c.want {
			t.Errorf("%s as %s: %s, want %s", c.text, c.s.Type, got, c.want)
		}
	}
}
