package postgres

import (
	"fmt"
	"strings"
	"testing"

	"millrace/decode/pgvalue"
	"millrace/internal/record"
	"millrace/internal/testkit"
	snappg "millrace/snapshot/postgres"
)

// everyType has a column of every type whose binary form is decoded, of others that
// come as text within a binary COPY, and of domains over both.
const everyType = `create type mood as enum ('sad', 'ok', 'it''s');
 create domain dnum as numeric(8,2); create domain dtext as text; create domain dmood as mood; create domain dts as timestamp(3); create domain darr as int[]; create domain dnotnull as int not null default 7;
 create type addr as (street text, no int);
 create table every(n serial primary key, b bool, i2 int2, i4 int4, i8 int8, o oid, f4 float4, f8 float8,
 num numeric, num2 numeric(12,2), num0 numeric(30,0), num18 numeric(25,18), t text, vc varchar(20), bp char(5), nm name, ch "char",
 j json, jb jsonb, x xml, u uuid, by bytea, d date, tm time, tm0 time(0), tz timetz, ts timestamp, ts3 timestamp(3), tstz timestamptz, tstz0 timestamptz(0), tstz3 timestamptz(3),
 iv interval, m money, inet inet, cidr cidr, mac macaddr, bit1 bit, bit7 bit(7), vb varbit, vb5 varbit(5), pt point, bx box, i4r int4range, tsr tstzrange, nr numrange,
 tsv tsvector, e mood, dn dnum, dt dtext, dm dmood, dtm dts, da darr, dnn dnotnull, ia int[], ta text[], na numeric(8,2)[], tstza timestamptz[], ea mood[], ad addr, aad addr[], "q""x" int, mr int4multirange, lsn pg_lsn, v2 int2vector)`

// everyRow are values as input text, by column; each row of the table sets one.
var everyRow = map[string][]string{
	"b": {"t", "f"}, "i2": {"-32768", "32767", "0"}, "i4": {"-2147483648", "2147483647"}, "i8": {"-9223372036854775808", "9223372036854775807", "0"},
	"o":  {"0", "4294967295"},
	"f4": {"NaN", "Infinity", "-Infinity", "-0", "0.1", "3.4028235e38", "1e-45", "16777217"},
	"f8": {"NaN", "Infinity", "-Infinity", "-0", "0.1", "1.7976931348623157e308", "5e-324", "123456789012345680", "0.30000000000000004"},
	"num": {"0", "0.00", "-0.000", "1", "-1", "10", "100", "1000", "10000", "12345.678", "0.0001", "0.00010", "1e20", "-1e-20", "99999999999999999999999999999999999999999.5", "NaN", "Infinity", "-Infinity",
		"123456789012345678", "9999999999999999", "10000000000000000", "0.1234567890123456789", "1e100", "1e-100", "100000000", "5000.05", "20000.0000", "-9999.9999"},
	"num2":  {"0", "-0.01", "1.25", "9999999999.99", "-9999999999.99", "NaN", "100", "10000", "1234.5"},
	"num0":  {"0", "-1", "999999999999999999999999999999", "10000", "123456789012345678901"},
	"num18": {"0.000000000000000001", "-1", "1234567.123456789012345678", "0.5"},
	"t":     {"", "a\tb\n\\N", "😀é", "NULL"}, "vc": {"", "x  "}, "bp": {"a", "", "äöü"}, "nm": {"name", ""}, "ch": {"a", ""},
	"j": {`{"a": 1 , "b":[1,2]}`, `"x"`, "null"}, "jb": {`{"b": 1 , "a":[1,2]}`, `"x\ny"`, "null", "1.50"}, "x": {"<a>b</a>", "<?xml version=\"1.0\" encoding=\"UTF-8\"?><a/>"},
	"u": {"00000000-0000-0000-0000-000000000000", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"}, "by": {"", `\x00ff10`, `\xdeadbeef`},
	"d":  {"1970-01-01", "2000-02-29", "1582-10-15", "1582-10-14", "1582-10-10", "1582-10-04", "0001-01-01", "0001-12-31 BC", "4713-01-01 BC", "0005-02-28 BC", "5874897-12-31", "infinity", "-infinity", "9999-12-31", "10000-01-01"},
	"tm": {"00:00:00", "23:59:59.999999", "24:00:00", "12:34:56.7"}, "tm0": {"12:34:56.7", "24:00:00"},
	"tz":  {"00:00:00+00", "23:59:59.999999-05", "24:00:00+02", "12:34:56.7+05:30:15", "10:00:00-15:59:59", "00:00:00+15:59"},
	"ts":  {"1970-01-01 00:00:00", "1969-12-31 23:59:59.999999", "2026-11-21 03:04:05.678901", "1582-10-10 12:00:00", "0001-01-01 00:00:00 BC", "4713-01-01 00:00:00 BC", "294276-12-31 23:59:59.999999", "infinity", "-infinity", "9999-12-31 23:59:59", "10000-01-01 00:00:00", "1677-09-21 00:12:43", "2262-04-12 00:00:00"},
	"ts3": {"1969-12-31 23:59:59.999", "2026-11-21 03:04:05.678901", "infinity"},
	"tstz": {"1970-01-01 00:00:00+00", "1969-12-31 23:59:59.999999+00", "2026-11-21 03:04:05.678901+05:30", "2026-11-21 03:04:05+00", "0001-01-01 00:00:00+00 BC", "0001-12-31 23:59:59.5+00", "4713-01-01 00:00:00+00 BC", "294276-12-31 23:59:59.999999+00", "infinity", "-infinity", "9999-12-31 23:59:59+00", "10000-01-01 00:00:00+00",
		"1582-10-10 12:00:00+00", "0001-01-01 00:00:00+00"},
	"tstz0": {"2026-11-21 03:04:05.6+00", "0044-03-15 12:00:00+00 BC", "infinity"}, "tstz3": {"2026-11-21 03:04:05.6+00", "12026-11-21 03:04:05.6789+00"},
	"iv": {"1 year 2 mons -3 days 04:05:06.78", "0", "-1 mons", "1000000:00:00"}, "m": {"1234567.89", "-0.5", "0"}, "inet": {"192.168.1.5", "10.0.0.0/8", "::1"}, "cidr": {"10.0.0.0/8"}, "mac": {"08:00:2b:01:02:03"},
	"bit1": {"0", "1"}, "bit7": {"0000001", "1010101"}, "vb": {"", "1", "101010101010"}, "vb5": {"", "10"}, "pt": {"(1.5,-2)", "(NaN,Infinity)"}, "bx": {"(1,2),(3,4)"},
	"i4r": {"[1,5)", "empty"}, "tsr": {"[2020-01-01 00:00:00+02,)"}, "nr": {"(1.50,2]"}, "tsv": {"fat:1A cat"},
	"e": {"sad", "it's"}, "dn": {"1.5", "-0.01"}, "dt": {"x"}, "dm": {"ok"}, "dtm": {"2020-01-01 00:00:00.123"}, "da": {"{1,NULL,3}"}, "dnn": {"9"},
	"ia": {"{1,2,NULL}", "{}", "{{1,2},{3,4}}", "[0:1]={1,2}"}, "ta": {`{a,"b,c",NULL,"\"q\""}`, "{{a},{b}}"}, "na": {"{1.5,NULL}"}, "tstza": {"{2020-01-01 00:00:00+02}"}, "ea": {"{sad,ok}"},
	"ad": {`("a b",1)`}, "aad": {`{"(x,1)"}`}, `q"x`: {"5"}, "mr": {"{[1,2),[5,6)}"}, "lsn": {"1/ABC"}, "v2": {"1 2 3"},
}

// TestBinaryIsText reads every value by a binary COPY and by one of text, in every
// handling mode, and wants the same cells, keys and failures.
func TestBinaryIsText(t *testing.T) {
	r := newRig(t, everyType)
	for col, values := range everyRow {
		for _, v := range values {
			r.Exec(t, "insert into every("+quoteIdent(col)+") values ("+quoteLiteral(v)+")")
		}
	}
	modes := []pgvalue.Modes{
		{MoneyDigits: 2},
		{Decimal: "string", Time: "connect", Binary: "hex", Interval: "string", MoneyDigits: 1, IncludeUnknown: true},
		{Decimal: "double", Time: "isostring", Binary: "base64", IncludeUnknown: true},
		{Time: "nanoseconds", Binary: "base64-url-safe"}, {Time: "microseconds"}, {Time: "adaptive_time_microseconds"},
	}
	for _, m := range modes {
		t.Run(fmt.Sprintf("%+v", m), func(t *testing.T) {
			compareForms(t, r, m)
		})
	}
}

func compareForms(t *testing.T, r *rig, m pgvalue.Modes) {
	src, err := NewSource("cap", 0, r.props, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	src.opts.Modes.Decimal, src.opts.Modes.Time, src.opts.Modes.Binary, src.opts.Modes.Interval = m.Decimal, m.Time, m.Binary, m.Interval
	src.opts.Modes.MoneyDigits, src.opts.Modes.IncludeUnknown = m.MoneyDigits, m.IncludeUnknown
	x := &task{src: src, opts: src.opts, interner: &record.Interner{}, log: testkit.Log(t)}
	x.source = x.interner.Intern(sourceSchemaFor(x.opts.Naming.SchemaName))
	x.topics = topics{byName: map[string]*record.Topic{}}
	conn, err := x.snapshotConn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer closeConn(conn)
	x.cat, x.general = newCatalog(conn), conn
	tables, err := x.cat.tables(t.Context(), "c.relname = 'every'")
	if err != nil {
		t.Fatal(err)
	}
	st := &snapshotTable{meta: tables[0]}
	if err := x.compile(t.Context(), &st.table, st.meta.Columns, st.meta.Key, "public", "every", pgvalue.Snapshot); err != nil {
		t.Fatal(err)
	}
	sr := &snapshotReader{task: x}
	sr.selectAll(st)
	if st.binary == nil {
		t.Fatal("the table is not read in binary form")
	}
	all := make([]int, len(st.rows.Spec.Columns))
	names := make([]string, len(all))
	for i := range all {
		all[i], names[i] = i, quoteIdent(st.rows.Spec.Columns[i].Name)
	}
	read := func(q snappg.Query, decode func(*record.Batch, []byte) (string, error)) (out []string) {
		q.SQL += " ORDER BY n"
		if _, err := snappg.Copy(t.Context(), conn, q, func(row []byte) error {
			var b record.Batch
			s, err := decode(&b, row)
			out = append(out, s)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return out
	}
	binary := read(snappg.Query{SQL: st.sql, Binary: true}, func(b *record.Batch, row []byte) (string, error) {
		v, err := st.binary.Decode(b, row)
		return dumpRow(b, v.Value, v.Key, v.Failures), err
	})
	var split snappg.Splitter
	text := read(snappg.Query{SQL: snappg.Select("public", "every", names, "")}, func(b *record.Batch, row []byte) (string, error) {
		f, err := split.Split(row)
		if err != nil {
			return "", err
		}
		v, err := st.rows.DecodeTexts(b, f)
		return dumpRow(b, v.Value, v.Key, v.Failures), err
	})
	if len(text) != len(binary) || len(text) == 0 {
		t.Fatalf("%d rows as text, %d in binary form", len(text), len(binary))
	}
	for i := range text {
		if text[i] != binary[i] {
			t.Errorf("row %d\n  text   %s\n  binary %s", i+1, text[i], binary[i])
		}
	}
}

func dumpRow(b *record.Batch, value, key record.Cell, failures any) string {
	var sb strings.Builder
	record.Dump(&sb, b, value)
	record.Dump(&sb, b, key)
	return sb.String() + fmt.Sprint(failures)
}
