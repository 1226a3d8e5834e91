package oracle

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const cases = "../../../testdata/oracle"

// TestRecordings reads every case and recording and compares each with itself:
// nothing differs, and a change in any scalar is seen.
func TestRecordings(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(cases, "[pt][or][sa]*", "*.yaml")) // postgres, transforms
	if err != nil || len(paths) < 300 {
		t.Fatalf("%d cases, %v", len(paths), err)
	}
	records := 0
	for _, p := range paths {
		if _, err := LoadCase(p); err != nil {
			t.Error(err)
		}
		rec := strings.TrimSuffix(p, ".yaml") + ".expected.json"
		want, err := LoadRecording(rec)
		if err != nil {
			t.Error(err)
			continue
		}
		got, err := LoadRecording(rec)
		if err != nil {
			t.Fatal(err)
		}
		if r := Compare(want, got); len(r.Differences) > 0 || r.Equal != len(want) {
			t.Errorf("%s differs from itself: %v", rec, r.Differences)
		}
		records += len(want)
		for i, row := range got {
			if seen := mutate(row); seen && len(Compare(want, got).Differences) == 0 {
				t.Errorf("%s: a change in record %d goes unseen", rec, i)
			}
			break
		}
	}
	t.Logf("%d cases, %d records", len(paths), records)
}

// mutate changes the first scalar of a row that is no name.
func mutate(v Value) bool {
	switch x := v.(type) {
	case *Object:
		for i := len(x.Vals) - 1; i >= 0; i-- {
			switch y := x.Vals[i].(type) {
			case Int:
				x.Vals[i] = string(y) // same digits, another type
				return true
			case string:
				x.Vals[i] = y + "x"
				return true
			}
			if mutate(x.Vals[i]) {
				return true
			}
		}
	case []Value:
		return slices.ContainsFunc(x, mutate)
	}
	return false
}

func TestParseJSON(t *testing.T) {
	for in, want := range map[string]string{
		`{"b":1,"a":[1.50,-0,1e5,NaN,-Infinity]}`: `{"b": 1, "a": ["~1.50", 0, "~1e5", "~NaN", "~-Infinity"]}`,
		`"\u00e9\n\ud83d\ude00"`:                  `"é\n😀"`,
		`"\ud83d"`:                                `"\xed\xa0\xbd"`,
		`{"a":1,"b":2,"a":3}`:                     `{"a": 3, "b": 2}`,
		` 123456789012345678901234567890 `:        `123456789012345678901234567890`,
	} {
		v, err := ParseJSON([]byte(in))
		if err != nil || Print(v) != want {
			t.Errorf("%s: %s, %v; want %s", in, Print(v), err, want)
		}
	}
	for _, in := range []string{``, `007`, `1.`, `+1`, `{"a"}`, `[1,]`, "\"a\nb\"", `"\x"`, `1 2`, `nul`, `"abc`} {
		if v, err := ParseJSON([]byte(in)); err == nil {
			t.Errorf("%q was read as %s", in, Print(v))
		}
	}
}

func TestNormal(t *testing.T) {
	run := Run{Prefix: "pabc", DB: "dabc", Slot: "sabc", Bootstrap: "127.0.0.1:9092"}
	yes := true
	n := NewNormal(run, Normalise{IDs: []string{"uuid"}, Split: &yes})
	for _, c := range []struct{ in, want string }{
		{`{"ts_ms":5,"source":{"lsn":77,"txId":9,"ts_ms":0,"version":"3","sequence":"[\"66\",\"77\"]","db":"dabc"}}`,
			`{"ts_ms": "<ts>", "source": {"lsn": "lsn#1", "txId": "tx#1", "ts_ms": 0, "version": "<version>", "sequence": "[\"commit#1\",\"lsn#1\"]", "db": "inventory"}}`},
		{`{"source":{"lsn":88,"sequence":"[null,\"88\"]"},"transaction":{"id":"9:88","total_order":1}}`,
			`{"source": {"lsn": "lsn#2", "sequence": "[null,\"lsn#2\"]"}, "transaction": {"id": "txid#1", "total_order": 1}}`},
		{`{"id":"9:88","lsn":5,"__lsn":77,"__source_ts_ms":4,"uuid":"a-b","pos":0}`,
			`{"id": "txid#1", "lsn": 5, "__lsn": "lsn#1", "__source_ts_ms": "<ts>", "uuid": "uuid#1", "pos": 0}`},
		{`"at 127.0.0.1:9092 in pabc.public.t of slot sabc"`, `"at BOOTSTRAP in server1.public.t of slot slot1"`},
	} {
		v, err := ParseJSON([]byte(c.in))
		if err != nil {
			t.Fatal(err)
		}
		if got := Print(n.Walk(v, "", false)); got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.in, got, c.want)
		}
	}
	for _, c := range [][3]string{{"__source_lsn", "77", "lsn#1"}, {"__version", "3.6.1", "<version>"}, {"x", "pabc", "server1"}} {
		if got := n.Header(c[0], c[1]); got != c[2] {
			t.Errorf("header %s=%s: %s, want %s", c[0], c[1], got, c[2])
		}
	}
}

func TestSplitSQL(t *testing.T) {
	in := "select ';', \";\" ; -- a; b\ninsert into t values (E'a\\';', 'c:\\'); /* x; */ do $a$ begin; end $a$;" +
		"create rule r as on insert to t do (select 1; select 2);copy t from stdin;\n1\ta;b\n\\.\nselect 1"
	var got []string
	for _, s := range splitSQL(in) {
		got = append(got, strings.TrimSpace(s.sql)+"|"+s.data)
	}
	want := []string{
		`select ';', ";"|`,
		"-- a; b\ninsert into t values (E'a\\';', 'c:\\')|",
		"/* x; */ do $a$ begin; end $a$|",
		"create rule r as on insert to t do (select 1; select 2)|",
		"copy t from stdin|1\ta;b\n",
		"select 1|",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestSplitMySQL(t *testing.T) {
	in := "/* a; */ select ';', \";\", `;` ; -- a; b\nselect 'it\\';' # x;\n; set sql_mode='NO_BACKSLASH_ESCAPES'; select 'c:\\'; create table t(id int/*x*/primary key);\n" +
		"delimiter //\ncreate procedure p() begin select 1; end //\nDELIMITER ;\nselect 2"
	want := []string{
		"/* a; */ select ';', \";\", `;`", "-- a; b\nselect 'it\\';' # x;", "set sql_mode='NO_BACKSLASH_ESCAPES'", "select 'c:\\'",
		"create table t(id int/*x*/ primary key)", "create procedure p() begin select 1; end", "select 2",
	}
	if got := splitMySQL(in); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}
