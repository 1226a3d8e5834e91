package sqlsink

import (
	"math/big"
	"strings"
	"testing"

	"millrace/internal/record"
)

func FuzzParseURL(f *testing.F) {
	for _, s := range []string{"jdbc:postgresql://h:5432/db?sslmode=require", "jdbc:mysql://u:p@h,h2:1/db", "jdbc:sqlite:/tmp/x.db", "jdbc:postgresql:db", "jdbc:mariadb://[::1]:3306/x", "jdbc:", "jdbc:postgresql://%zz/%zz?a=%zz"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := parseURL(s)
		if err != nil {
			return
		}
		if u.dialect != dialectSQLite && len(u.hosts) == 0 {
			t.Errorf("%q has no host", s)
		}
		_, _ = pgConfig(&config{url: u})
	})
}

// FuzzDecimal compares with math/big.
func FuzzDecimal(f *testing.F) {
	f.Add([]byte{0x30, 0x39}, 2)
	f.Add([]byte{0xff}, 5)
	f.Add([]byte{0x80, 0, 0, 0, 0, 0, 0, 0}, 3)
	f.Add([]byte{0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0}, -2)
	f.Add([]byte{}, 0)
	f.Fuzz(func(t *testing.T, p []byte, scale int) {
		if len(p) > 64 || scale > 100 || scale < -100 {
			return
		}
		v := new(big.Int).SetBytes(p)
		if len(p) > 0 && p[0]&0x80 != 0 {
			v.Sub(v, new(big.Int).Lsh(big.NewInt(1), uint(8*len(p))))
		}
		want := new(big.Rat).SetInt(v)
		ten := new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(scale, -scale))), nil))
		if scale > 0 {
			want.Quo(want, ten)
		} else {
			want.Mul(want, ten)
		}
		text := string(appendDecimal(nil, p, scale))
		got, ok := new(big.Rat).SetString(text)
		if !ok || got.Cmp(want) != 0 {
			t.Errorf("%x scale %d: %s, want %s", p, scale, text, want)
		}
	})
}

// FuzzCopyValue checks that a text survives COPY's escapes and an array literal.
func FuzzCopyValue(f *testing.F) {
	for _, s := range []string{"", "plain", "a\tb\nc\rd\\e", `"quoted"`, `\N`, `\.`, "{a,b}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b := &record.Batch{}
		m := sem{kind: kindString}
		e := pgEncoder{}
		out, err := e.copyValue(nil, &m, record.PlainString, b, b.StringCell(s))
		if err != nil {
			t.Fatal(err)
		}
		if strings.ContainsAny(string(out), "\t\n\r") {
			t.Fatalf("%q holds a separator", out)
		}
		back := strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\r`, "\r", `\t`, "\t").Replace(string(out))
		if back != s {
			t.Errorf("%q came back as %q", s, back)
		}
		out, err = e.element(nil, &m, record.PlainString, b, b.StringCell(s))
		if err != nil {
			t.Fatal(err)
		}
		back = strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(strings.TrimSuffix(strings.TrimPrefix(string(out), `"`), `"`))
		if back != s {
			t.Errorf("array element %q came back as %q", s, back)
		}
	})
}

func TestDates(t *testing.T) {
	for days, want := range map[int64]string{0: "1970-01-01", -1: "1969-12-31", 18262: "2020-01-01", -719162: "0001-01-01", 2932896: "9999-12-31", 2932897: "10000-01-01", 18321: "2020-02-29"} {
		if got := string(appendDate(nil, days)); got != want {
			t.Errorf("day %d is %s, want %s", days, got, want)
		}
	}
	if got := string(pgTimestamp(nil, -719163, 0, true)); got != "0001-12-31 00:00:00 BC" {
		t.Errorf("the day before year 1 is %s", got)
	}
	if got := string(appendClock(nil, 86400e9)); got != "24:00:00" {
		t.Errorf("midnight's end is %s", got)
	}
	if got := string(appendTimestamp(nil, -1, 1e3)); got != "1969-12-31 23:59:59.999999" {
		t.Errorf("a microsecond before 1970 is %s", got)
	}
}
