package pgvalue

import (
	"math/big"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"millrace/internal/record"
)

func compile(t *testing.T, c Column, m Modes, path Path) *Plan {
	t.Helper()
	if c.Name == "" {
		c.Name = "c"
	}
	p, err := Compile(c, extensionTypes, m, path, &record.Interner{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func column(oid uint32, mod int32) Column {
	return Column{TypeOID: oid, Typmod: mod, Truncate: -1, MaskChars: -1}
}

func dump(b *record.Batch, c record.Cell) string {
	var sb strings.Builder
	record.Dump(&sb, b, c)
	return sb.String()
}

// What no recording shows: values that stop Debezium, and other settings of the
// server.
func TestDecode(t *testing.T) {
	for _, c := range []struct {
		oid  uint32
		mod  int32
		m    Modes
		text string
		want string // Dump, or the start of the error
	}{
		{oidTimeTZ, -1, Modes{}, "10:00:00.5+05:30:15", `"04:29:45.5Z"`},
		{oidTimeTZ, -1, Modes{}, "00:00:00", "value of type timetz"},
		{oidTime, -1, Modes{}, "24:00:00.1", "value of type time"},
		{oidMoney, -1, Modes{Decimal: "string", MoneyDigits: 2}, "1.234,56 €", `"1234.56"`},
		{oidMoney, -1, Modes{Decimal: "string", MoneyDigits: 2}, "-1.234.567,8 kr", `"-1234567.8"`},
		{oidMoney, -1, Modes{Decimal: "string", MoneyDigits: 0}, "¥1,234", `"1234"`},
		{oidMoney, -1, Modes{Decimal: "string", MoneyDigits: 2}, "($1,234.50)", `"-1234.50"`},
		{oidMoney, -1, Modes{MoneyDigits: 0}, "$0.50", `x'01'`},
		{oidMoney, -1, Modes{MoneyDigits: 0}, "-$0.50", `x'ff'`},
		{oidMoney, -1, Modes{MoneyDigits: 0}, "$0.49", `x'00'`},
		{oidInterval, -1, Modes{Interval: "string"}, "2562047788:00:54.775807", `"P0Y0M0DT2562047788H0M54.775807S"`},
		{oidInterval, -1, Modes{Interval: "string"}, "-1 years -2 mons +3 days -04:05:06.78", `"P-1Y-2M3DT-4H-5M-6.78S"`},
		{oidInterval, -1, Modes{Interval: "string"}, "00:00:01.235", `"P0Y0M0DT0H0M1.234999999S"`},
		{oidInterval, -1, Modes{Interval: "string"}, "-00:00:01.973", `"P0Y0M0DT0H0M-1.972999999S"`},
		{oidInterval, -1, Modes{Interval: "string"}, "00:00:59.999999", `"P0Y0M0DT0H0M59.999999S"`},
		{oidInterval, -1, Modes{Interval: "string"}, "-00:00:00.000001", `"P0Y0M0DT0H0M-0.000001S"`},
		{oidInterval, -1, Modes{Interval: "string"}, "00:00:20", `"P0Y0M0DT0H0M20S"`},
		{oidInterval, -1, Modes{Interval: "string"}, "00:00:00", `"P0Y0M0DT0H0M0S"`},
		{oidInterval, -1, Modes{}, "-infinity", "int64:-9223372036854775808"},
		{oidInterval, -1, Modes{Interval: "string"}, "infinity", "value of type interval"},
		{oidBytea, -1, Modes{}, `abc\000`, "value of type bytea"},
		{oidVarbit, 1, Modes{}, "", "value of type varbit(1)"},
		{oidNumeric, -1, Modes{}, "NaN", "value of type numeric is NaN"},
		{oidNumeric, 10<<16 | 2 + 4, Modes{}, "1.005", "value of type numeric has more digits"},
		{oidNumeric, 10<<16 | 2 + 4, Modes{Decimal: "string"}, "-0.1", `"-0.10"`},
		{oidTimestamp, -1, Modes{Time: "nanoseconds"}, "1500-01-01 00:00:00", "value of type timestamp is outside"},
		{oidOID, -1, Modes{}, "4294967296", "value of type oid"},
		{20015, -1, Modes{}, "b", `"b"`},
		{20012, -1, Modes{}, "1.5", `x'0096'`},
		{1009, -1, Modes{}, `{{a,"b c"},{NULL,d}}`, `array("{a,\"b c\"}" "{NULL,d}")`},
		{1007, -1, Modes{}, `{{1},{2}}`, `array(null null)`},
		{1007, -1, Modes{}, `{1,}`, "value of type array"},
		{1007, -1, Modes{}, `{1}x`, "value of type array"},
		{oidName, -1, Modes{}, "x", "null"},
	} {
		p := compile(t, column(c.oid, c.mod), c.m, Stream)
		var b record.Batch
		v, err := p.Decode(&b, []byte(c.text))
		got := dump(&b, v)
		if err != nil {
			got = err.Error()
		}
		if got != c.want && (err == nil || !strings.HasPrefix(got, c.want)) {
			t.Errorf("type %d, %+v, %q: %s, want %s", c.oid, c.m, c.text, got, c.want)
		}
	}
}

func TestNotNullFallbacks(t *testing.T) {
	c := column(oidTimestamp, -1)
	c.NotNull = true
	if p := compile(t, c, Modes{Time: "nanoseconds"}, Stream); p.Null == nil || p.Null.Root.Int() != 0 {
		t.Error("a NOT NULL timestamp in nanoseconds has no fallback")
	}
	c = column(oidNumeric, -1)
	c.NotNull = true
	if p := compile(t, c, Modes{}, Stream); p.Toast != nil || !p.ToastErr || p.Null == nil {
		t.Error("an unchanged NOT NULL numeric needs a fallback and a warning")
	}
}

// A name is unreadable in the stream, as recorded, but not in a key.
func TestNameInKey(t *testing.T) {
	c := column(oidName, -1)
	c.InKey = true
	var b record.Batch
	if v, err := compile(t, c, Modes{}, Stream).Decode(&b, []byte("x")); err != nil || b.Str(v) != "x" {
		t.Errorf("key %s, %v", dump(&b, v), err)
	}
}

func TestUnknownModeIsRefused(t *testing.T) {
	for _, m := range []Modes{{Decimal: "exact"}, {Time: "ms"}, {Binary: "base32"}, {Hstore: "text"}, {Interval: "iso"}} {
		if _, err := Compile(column(oidInt4, -1), nil, m, Stream, &record.Interner{}); err == nil {
			t.Errorf("%+v was accepted", m)
		}
	}
}

func TestTruncateCutsSurrogatePairs(t *testing.T) {
	for _, c := range []struct {
		n    int
		want string
	}{{0, ""}, {1, "a"}, {2, "a\xED\xA0\xBD"}, {3, "a😀"}, {4, "a😀b"}, {9, "a😀b"}} {
		col := column(oidText, -1)
		col.Truncate = c.n
		var b record.Batch
		v, err := compile(t, col, Modes{}, Stream).Decode(&b, []byte("a😀b"))
		if err != nil || b.Str(v) != c.want {
			t.Errorf("cut to %d: %q, %v, want %q", c.n, b.Str(v), err, c.want)
		}
	}
}

func TestCalendar(t *testing.T) {
	for range 20000 {
		days := rand.Int64N(2*2145042905) - 2145042905
		y, m, d := dateOf(days)
		if back := daysOf(y, m, d); back != days || m < 1 || m > 12 || d < 1 || d > daysIn(y, m) {
			t.Fatalf("day %d is %d-%d-%d, which is day %d", days, y, m, d, back)
		}
		small := rand.Int64N(7_000_000) - 3_500_000
		y, m, d = dateOf(small)
		if want := time.Unix(small*secPerDay, 0).UTC(); int(y) != want.Year() || m != int(want.Month()) || d != want.Day() {
			t.Fatalf("day %d is %d-%d-%d, want %s", small, y, m, d, want)
		}
	}
	if got := julianDaysOf(1582, 10, 5); got != reform {
		t.Errorf("5 October 1582 of the Julian calendar is day %d, want %d", got, reform)
	}
}

func TestDecimalBytes(t *testing.T) {
	for range 20000 {
		n := rand.IntN(45) + 1
		digits := make([]byte, n)
		for i := range digits {
			digits[i] = byte('0' + rand.IntN(10))
		}
		v, _ := new(big.Int).SetString(string(digits), 10)
		text := string(digits)
		if rand.IntN(2) == 0 {
			v.Neg(v)
			text = "-" + text
		}
		d, ok := parseDecimal([]byte(text))
		if !ok {
			t.Fatal(text)
		}
		pad := rand.IntN(6)
		v.Mul(v, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(pad)), nil))
		if got, want := d.appendUnscaled(nil, pad), AppendBigInt(nil, v); string(got) != string(want) {
			t.Fatalf("%s with %d zeros: %x, want %x", text, pad, got, want)
		}
	}
	for v, want := range map[int64]string{0: "00", 127: "7f", 128: "0080", -1: "ff", -128: "80", -129: "ff7f", 256: "0100"} {
		if got := AppendBigInt(nil, big.NewInt(v)); string(got) != string(mustHex(t, want)) {
			t.Errorf("%d: %x, want %s", v, got, want)
		}
	}
}

func mustHex(t *testing.T, s string) []byte {
	out, ok := appendUnhex(nil, []byte(s))
	if !ok {
		t.Fatal(s)
	}
	return out
}

func TestShortFloats(t *testing.T) {
	for range 20000 {
		s := strconv.FormatFloat(rand.NormFloat64()*1e4, 'f', rand.IntN(10), 64)
		want, _ := strconv.ParseFloat(s, 64)
		if got, ok := parseFloat([]byte(s), 64); !ok || got != want {
			t.Fatalf("%s: %v, want %v", s, got, want)
		}
	}
}

func TestJavaHash(t *testing.T) {
	for s, want := range map[string]int32{"": 0, "hello": 99162322, "Aa": 2112, "BB": 2112, "é": 233, "😀": 1772899} {
		if got := javaHash([]byte(s)); got != want {
			t.Errorf("%q: %d, want %d", s, got, want)
		}
	}
}

func TestSourceTypeName(t *testing.T) {
	c := column(oidInt8, -1)
	c.Serial = true
	if got := SourceTypeName(&c, nil, Snapshot) + " " + SourceTypeName(&c, nil, Stream); got != "bigserial int8" {
		t.Error(got)
	}
}

// The short way through a timestamp in UTC must print what the long way prints.
func TestRewriteUTC(t *testing.T) {
	for range 20000 {
		at := moment{sec: rand.Int64N(200*365*secPerDay) - 100*365*secPerDay}
		frac := rand.IntN(7)
		if frac > 0 {
			at.nano = int32(rand.IntN(1_000_000)) * 1000
		}
		text := string(appendMoment(nil, moment{at.sec, at.nano}, frac))
		text = strings.Replace(strings.TrimSuffix(text, "Z"), "T", " ", 1) + "+00"
		m, ok := scanTimestamp([]byte(text), true)
		if !ok {
			t.Fatal(text)
		}
		digits := rand.IntN(7)
		if digits == 0 {
			digits = -1
		}
		var b record.Batch
		v, ok := rewriteUTC(&b, []byte(text), digits)
		if want := string(appendMoment(nil, m, digits)); !ok || b.Str(v) != want {
			t.Fatalf("%s with %d digits: %s, %v, want %s", text, digits, b.Str(v), ok, want)
		}
	}
}
