package sqlsink_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"testing"

	"millrace/internal/errs"
	"millrace/internal/record"
	"millrace/internal/testkit"
)

// TestRefusedRowBeforeNewTable: a refused row has records taken anew while the first
// record of another table waits; that one is still what it was.
func TestRefusedRowBeforeNewTable(t *testing.T) {
	tg := newSQLiteTarget(t)
	tg.exec(t, "create table server1_t(id int primary key, a varchar(40) not null, b blob, n int check (n < 1000))")
	k, err := start(t, upserts(tg, map[string]string{"errors.tolerance": "all", "collection.name.format": "${topic}", "schema.evolution": "basic"}))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = k.Stop() }()
	b := &record.Batch{}
	flat(t, b, 1, map[string]any{"a": "x", "n": 1})
	flat(t, b, 2, map[string]any{"a": "x", "n": 1000})
	flat(t, b, 3, nil)
	flat(t, b, 4, map[string]any{"a": "new", "n": 4})
	other := &record.Topic{Name: "server1.u"}
	b.Records[3].Topic, b.Records[3].Origin.Topic = other, other
	var bad *errs.RecordError
	if err := k.Put(t.Context(), b); !errors.As(err, &bad) || len(bad.Bad) != 1 || bad.Bad[0].Index != 1 {
		t.Fatalf("want the second record refused, got %v", err)
	}
	if rows := tg.read(t)["server1_u"].Rows; asJSON(rows) != `[["4","new",null,"4"]]` {
		t.Errorf("server1_u holds %s", asJSON(rows))
	}
}

// edgeValues are values at the ends of what PostgreSQL has, as its source sends them.
var edgeValues = []struct {
	name           string
	schema         *record.Schema
	value          any
	postgres, lite string // as texts; "" of lite: not looked at
}{
	{"date", debezium(record.Int32, "time.Date"), -2147472692, "infinity", "infinity"},
	{"date", debezium(record.Int32, "time.Date"), -2147472691, "-infinity", "-infinity"},
	{"date", debezium(record.Int32, "time.Date"), -622191234, "infinity", "infinity"},
	{"date", debezium(record.Int32, "time.Date"), -625821272, "-infinity", "-infinity"},
	{"date", debezium(record.Int32, "time.Date"), -735160, "0044-03-15 BC", ""},
	{"milliseconds", debezium(record.Int64, "time.Timestamp"), 9223372036825200, "infinity", "infinity"},
	{"milliseconds", debezium(record.Int64, "time.Timestamp"), -9223372036832400, "-infinity", "-infinity"},
	{"nanoseconds", debezium(record.Int64, "time.NanoTimestamp"), int64(-1 << 63), "-infinity", "-infinity"},
	{"zoned", debezium(record.String, "time.ZonedTimestamp"), "-0043-03-15T01:02:03.000000Z", "0044-03-15 01:02:03+00 BC", ""},
	{"zoned", debezium(record.String, "time.ZonedTimestamp"), "+294276-12-31T23:59:59.999999Z", "294276-12-31 23:59:59.999999+00", ""},
	{"zoned", debezium(record.String, "time.ZonedTimestamp"), "+12000-02-29T00:00:00Z", "12000-02-29 00:00:00+00", ""},
	{"float", &record.Schema{Type: record.Float64, Optional: true}, math.NaN(), "NaN", "NaN"},
	{"duration", debezium(record.Int64, "time.MicroDuration"), int64(5617296000000000000), "1560360000:00:00", "5617296000000000000"},
	{"duration", debezium(record.Int64, "time.MicroDuration"), -3661000001, "-01:01:01.000001", "-3661000001"},
	{"durations", &record.Schema{Type: record.Array, Optional: true, Elem: debezium(record.Int64, "time.MicroDuration")}, []any{3661000001}, "{01:01:01.000001}", `[\"01:01:01.000001\"]`},
}

func debezium(typ record.Type, name string) *record.Schema {
	return &record.Schema{Type: typ, Optional: true, Name: "io.debezium." + name, Version: 1}
}

// TestEdgeValues: they arrive as they were.
func TestEdgeValues(t *testing.T) {
	run := func(t *testing.T, tg caseTarget, want func(i int) string) {
		for i, c := range edgeValues {
			row := &record.Schema{Type: record.Struct, Fields: []record.Field{{Name: "id", Schema: record.PlainInt32}, {Name: "v", Schema: c.schema}}}
			k, err := start(t, upserts(tg, map[string]string{"collection.name.format": "t_" + c.name, "schema.evolution": "basic"}))
			if err != nil {
				t.Fatal(err)
			}
			b := &record.Batch{}
			flatOf(t, b, i, row, map[string]any{"v": c.value})
			if err := k.Put(t.Context(), b); err != nil {
				t.Errorf("%s %v: %v", c.name, c.value, err)
			}
			if err := k.Stop(); err != nil {
				t.Error(err)
			}
		}
		state := tg.read(t)
		for i, c := range edgeValues {
			var got []string
			for _, r := range state["t_"+c.name].Rows {
				if asJSON(r[0]) == asJSON(strconv.Itoa(i)) {
					got = append(got, strings.Trim(asJSON(r[1]), `"`))
				}
			}
			if w := want(i); w != "" && (len(got) != 1 || got[0] != w) {
				t.Errorf("%s %v: got %v, want %s", c.name, c.value, got, w)
			}
		}
	}
	t.Run("postgres", func(t *testing.T) { run(t, newPostgresTarget(t), func(i int) string { return edgeValues[i].postgres }) })
	t.Run("sqlite", func(t *testing.T) { run(t, newSQLiteTarget(t), func(i int) string { return edgeValues[i].lite }) })
}

func decimal(scale, precision string) *record.Schema {
	s := &record.Schema{Type: record.Bytes, Optional: true, Name: "org.apache.kafka.connect.data.Decimal", Version: 1, Params: []record.Param{{Key: "scale", Value: scale}}}
	if precision != "" {
		s.Params = append(s.Params, record.Param{Key: "connect.decimal.precision", Value: precision})
	}
	return s
}

// TestColumnTypesTakeTheirValues: tables come into being for decimals of every scale, and hold the values.
func TestColumnTypesTakeTheirValues(t *testing.T) {
	scaled := []byte{7}
	pow := new(big.Int).Exp(big.NewInt(10), big.NewInt(2046), nil)
	wide := new(big.Int).Mul(big.NewInt(1234500), pow).Bytes()
	fields := []record.Field{{Name: "id", Schema: record.PlainInt32}, {Name: "wide", Schema: decimal("2046", "5")}, {Name: "neg", Schema: decimal("-2", "3")}, {Name: "small", Schema: decimal("4", "2")},
		{Name: "f", Schema: &record.Schema{Type: record.Float32, Optional: true}},
		{Name: "list", Schema: &record.Schema{Type: record.Array, Optional: true, Elem: varDecimal}}}
	row := &record.Schema{Type: record.Struct, Fields: fields}
	targets(t, func(t *testing.T, tg caseTarget) {
		k, err := start(t, upserts(tg, map[string]string{"schema.evolution": "basic"}))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = k.Stop() }()
		b := &record.Batch{}
		value := map[string]any{"wide": wide, "neg": []byte{0x03, 0xe7}, "small": scaled, "f": float64(math.MaxFloat32)}
		if _, pg := tg.(*postgresTarget); !pg { // there it is an array of numeric
			value["list"] = []any{map[string]any{"scale": 1, "value": []byte{15}}}
		}
		flatOf(t, b, 1, row, value)
		if err := k.Put(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		got := tg.read(t)["t"].Rows[0]
		for i, want := range []string{"1", "1234500", "99900", "0.0007"} {
			if x, ok := new(big.Rat).SetString(fmt.Sprint(got[i])); !ok || x.Cmp(rat(want)) != 0 {
				t.Errorf("%s is %.60v, want %s", fields[i].Name, got[i], want)
			}
		}
		if got[4] == nil || value["list"] != nil && strings.ReplaceAll(fmt.Sprint(got[5]), " ", "") != `["1.5"]` {
			t.Errorf("f is %v, list %v", got[4], got[5])
		}
	})
}

func rat(s string) *big.Rat {
	r, _ := new(big.Rat).SetString(s)
	return r
}

var varDecimal = &record.Schema{Type: record.Struct, Optional: true, Name: "io.debezium.data.VariableScaleDecimal", Version: 1, Fields: []record.Field{
	{Name: "scale", Schema: record.PlainInt32}, {Name: "value", Schema: &record.Schema{Type: record.Bytes}}}}

// TestGeometryAndVectorWithoutExtensions: a target that has no such types keeps what
// can be cast once it has.
func TestGeometryAndVectorWithoutExtensions(t *testing.T) {
	geometry := &record.Schema{Type: record.Struct, Optional: true, Name: "io.debezium.data.geometry.Geometry", Version: 1, Fields: []record.Field{
		{Name: "wkb", Schema: &record.Schema{Type: record.Bytes}}, {Name: "srid", Schema: &record.Schema{Type: record.Int32, Optional: true}}}}
	vector := &record.Schema{Type: record.Array, Optional: true, Name: "io.debezium.data.FloatVector", Version: 1, Elem: &record.Schema{Type: record.Float32}}
	row := &record.Schema{Type: record.Struct, Fields: []record.Field{{Name: "id", Schema: record.PlainInt32}, {Name: "g", Schema: geometry}, {Name: "v", Schema: vector}}}
	wkb, err := hex.DecodeString("0101000000000000000000f03f0000000000000040")
	if err != nil {
		t.Fatal(err)
	}
	for name, tg := range map[string]caseTarget{"postgres": newPostgresTarget(t), "mariadb": newMySQLTarget(t, "mariadb", testkit.MariaDB(t)), "sqlite": newSQLiteTarget(t)} {
		k, err := start(t, upserts(tg, map[string]string{"schema.evolution": "basic"}))
		if err != nil {
			t.Fatal(err)
		}
		b := &record.Batch{}
		flatOf(t, b, 1, row, map[string]any{"g": map[string]any{"wkb": wkb, "srid": 4326}, "v": []any{1.0, 2.5, -3.0}})
		if err := k.Put(t.Context(), b); err != nil {
			t.Fatal(name, err)
		}
		if err := k.Stop(); err != nil {
			t.Error(err)
		}
		got := tg.read(t)["t"].Rows[0]
		want := map[string]string{"postgres": `\x0101000020e6100000000000000000f03f0000000000000040`, "sqlite": "\x01\x01\x00\x00\x20\xe6\x10\x00\x00" + string(wkb[5:])}[name]
		if v := fmt.Sprint(got[2]); v != "[1,2.5,-3]" && v[0] == '[' || want != "" && fmt.Sprint(got[1]) != want {
			t.Errorf("%s: got %q", name, got)
		}
	}
}

// TestEnumLabelWithComma: MySQL's source escapes it in the schema and in streamed values.
func TestEnumLabelWithComma(t *testing.T) {
	enum := debezium(record.String, "data.Enum")
	enum.Params = []record.Param{{Key: "allowed", Value: `a,c\,d`}}
	row := &record.Schema{Type: record.Struct, Fields: []record.Field{{Name: "id", Schema: record.PlainInt32}, {Name: "e", Schema: enum}}}
	targets(t, func(t *testing.T, tg caseTarget) {
		k, err := start(t, upserts(tg, map[string]string{"schema.evolution": "basic"}))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = k.Stop() }()
		b := &record.Batch{}
		for i, v := range []string{"a", "c,d", `c\,d`} {
			flatOf(t, b, i, row, map[string]any{"e": v})
		}
		if err := k.Put(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		if got := asJSON(tg.read(t)["t"].Rows); got != `[["0","a"],["1","c,d"],["2","c,d"]]` {
			t.Errorf("got %s", got)
		}
	})
}
