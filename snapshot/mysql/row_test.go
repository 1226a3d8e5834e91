package mysql

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
)

func TestRow(t *testing.T) {
	long := bytes.Repeat([]byte("x"), 70000)
	in := [][]byte{[]byte("1"), nil, {}, bytes.Repeat([]byte("y"), 251), bytes.Repeat([]byte("z"), 300), long}
	got, err := Split(nil, Append(nil, in))
	if err != nil || !slices.EqualFunc(got, in, func(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }) {
		t.Errorf("%d fields, %v", len(got), err)
	}
	for _, bad := range []string{"\x02a", "\xfc\x05", "\xfd\x01\x00", "\xfe\xff\xff\xff\xff\xff\xff\xff\xff", "\xff"} {
		if _, err := Split(nil, []byte(bad)); err == nil {
			t.Errorf("%q is no row", bad)
		}
	}
}

// FuzzSplit feeds the splitter anything, and wants back what Append wrote.
func FuzzSplit(f *testing.F) {
	f.Add([]byte("\x011\xfb\xfc\x01\x00a"), []byte("x"))
	f.Add([]byte("\xfe\x01\x00\x00\x00\x00\x00\x00\x00a"), []byte{})
	f.Fuzz(func(t *testing.T, row, v []byte) {
		_, _ = Split(nil, row) // must not panic
		if v == nil {
			v = []byte{}
		}
		got, err := Split(nil, Append(nil, [][]byte{v, nil, v}))
		if err != nil || len(got) != 3 || !bytes.Equal(got[0], v) || got[1] != nil || !bytes.Equal(got[2], v) {
			t.Fatalf("%q: %q %v", v, got, err)
		}
	})
}

func BenchmarkSplit(b *testing.B) {
	row := Append(nil, [][]byte{[]byte("1234567"), []byte("42"), []byte("shipped"), []byte("99.95"), []byte("a note of some length about order 1234567"), []byte("2026-11-21 03:00:00.123456"), []byte("2026-11-22"), []byte("7"), []byte("411522.3333333333"), []byte("1")})
	var fields [][]byte
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if fields, err = Split(fields[:0], row); err != nil {
			b.Fatal(err)
		}
	}
}

func TestQueries(t *testing.T) {
	one := Source{DB: "d", Table: "t`x", Columns: []string{"id", "v"}, Key: []KeyColumn{{"id", Number}}}
	two := Source{DB: "d", Table: "t", Columns: []string{"a", "b"}, Key: []KeyColumn{{"a", Text}, {"b", Bytes}}}
	none := Source{DB: "d", Table: "t", Columns: []string{"a"}}
	for _, c := range []struct{ got, want string }{
		{none.Select(Range{}), "SELECT `a` FROM `d`.`t`"},
		{one.Select(Range{}), "SELECT `id`, `v` FROM `d`.`t``x` FORCE INDEX (PRIMARY) ORDER BY `id`"},
		{one.Select(Range{From: Values{"-7"}, To: Values{"9"}}), "SELECT `id`, `v` FROM `d`.`t``x` FORCE INDEX (PRIMARY) WHERE ((`id` > -7)) AND ((`id` <= 9)) ORDER BY `id`"},
		{one.Select(Range{From: Values{"1 or 1=1"}}), "SELECT `id`, `v` FROM `d`.`t``x` FORCE INDEX (PRIMARY) WHERE ((`id` > NULL)) ORDER BY `id`"},
		{two.Select(Range{From: Values{"x'", "\xff"}}), "SELECT `a`, `b` FROM `d`.`t` FORCE INDEX (PRIMARY) WHERE `a` >= _utf8mb4 x'7827' AND ((`a` > _utf8mb4 x'7827') OR (`a` = _utf8mb4 x'7827' AND `b` > x'ff')) ORDER BY `a`, `b`"},
		{two.Boundary(nil, 100), "SELECT `a`, `b` FROM `d`.`t` FORCE INDEX (PRIMARY) ORDER BY `a`, `b` LIMIT 1 OFFSET 99"},
	} {
		if c.got != c.want {
			t.Errorf("\ngot  %s\nwant %s", c.got, c.want)
		}
	}
}

func TestPrimaryKey(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"CREATE TABLE `t` (\n  `id` int NOT NULL,\n  PRIMARY KEY (`id`)\n) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4", "[id]"},
		{"CREATE TABLE `t` (\n  `a``,b` int NOT NULL,\n  `c` int,\n  PRIMARY KEY (`a``,b`,`c`) USING BTREE,\n  KEY `x` (`c`)\n) ENGINE=InnoDB", "[a`,b c]"},
		{"CREATE TABLE `t` (\n  `t` text,\n  PRIMARY KEY (`t`(100))\n) ENGINE=InnoDB", "[]"},
		{"CREATE TABLE `t` (\n  `a` int,\n  PRIMARY KEY (`a` DESC)\n) ENGINE=InnoDB", "[]"},
		{"CREATE TABLE `t` (\n  `a` int,\n  PRIMARY KEY (`a`)\n) ENGINE=MyISAM", "[]"},
		{"CREATE TABLE `t` (\n  `a` int COMMENT '\\n  PRIMARY KEY (`a`)'\n) ENGINE=InnoDB", "[]"},
	} {
		if got := fmt.Sprint(PrimaryKey(c.text)); got != c.want {
			t.Errorf("%s\ngot %s, want %s", c.text, got, c.want)
		}
	}
}

// What is left of a table is told by the rows that were emitted, not by those that
// came, and survives its text form.
func TestTracker(t *testing.T) {
	none := func(Values) (Values, error) { return nil, nil }
	row := func(s string) [][]byte { return [][]byte{[]byte("v"), []byte(s)} }
	tr := NewTracker([]int{1}, Fresh())
	left := func() string {
		p, done := tr.Progress()
		text, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(string(text), " ", done)
	}
	want := func(s string) {
		t.Helper()
		if got := left(); got != s {
			t.Errorf("got %s, want %s", got, s)
		}
	}
	want(`{"rest":true} false`)
	a, _, _, _ := tr.take(func(Values) (Values, error) { return Values{"\xff5"}, nil })
	want(`{"open":[{"to":["\u0000ff35"]}],"rest":true,"next":["\u0000ff35"]} false`)
	b, r, _, _ := tr.take(none)
	if _, _, ok, _ := tr.take(none); ok || r.From[0] != "\xff5" || r.To != nil {
		t.Error("a third range", r)
	}
	tr.came(a, 2, true)
	tr.came(b, 1, false)
	tr.Emitted(a, row("1"))
	want(`{"open":[{"from":["1"],"to":["\u0000ff35"]},{"from":["\u0000ff35"]}]} false`)
	tr.Emitted(b, row("9"))
	tr.Emitted(a, row("5"))
	want(`{"open":[{"from":["9"]}]} false`)
	var p Progress
	if err := json.Unmarshal([]byte(`{"open":[{"to":["\u0000ff35"]}],"rest":true,"next":["\u0000ff35"]}`), &p); err != nil || p.Next[0] != "\xff5" {
		t.Error(p, err)
	}
	tr.came(b, 0, true)
	want(`{} true`)
	tr = NewTracker(nil, Fresh())
	c, _, _, _ := tr.take(none)
	tr.came(c, 1, true)
	want(`{"rest":true} false`)
	tr.Emitted(c, row("1"))
	want(`{} true`)
}
