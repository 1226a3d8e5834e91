package pgoutput

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"millrace/decode/pgvalue"
	"millrace/internal/record"
)

func smallTable(t *testing.T, modes pgvalue.Modes, edit func(*TableSpec)) *Table {
	t.Helper()
	spec := TableSpec{Schema: "public", Name: "t", KeyName: "K", ValueName: "V", Key: []int{0},
		Columns: []pgvalue.Column{col("id", 25, -1, true), col("body", 25, -1, false), col("n", 1700, -1, true)}}
	if edit != nil {
		edit(&spec)
	}
	modes.Placeholder = []byte("gone")
	tab, err := Compile(spec, nil, modes, &record.Interner{})
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

func text(b *record.Batch, c record.Cell) string {
	var sb strings.Builder
	record.Dump(&sb, b, c)
	return sb.String()
}

// An unchanged TOAST value comes from a full old row, else it is the placeholder;
// a key tuple never fills it in.
func TestToast(t *testing.T) {
	tab := smallTable(t, pgvalue.Modes{}, nil)
	var b record.Batch
	data := tuple("k", byte('u'), "1")
	for _, c := range []struct {
		old     OldTuple
		want    string
		toasted int
	}{
		{OldTuple{}, `"gone"`, 1},
		{OldTuple{'O', tuple("k", "old", "1")}, `"old"`, 0},
		{OldTuple{'O', tuple("k", nil, "1")}, `"gone"`, 1},
		{OldTuple{'K', tuple("k", "old", "1")}, `"gone"`, 1},
	} {
		row, _, err := tab.DecodeTuple(&b, data, c.old)
		if err != nil {
			t.Fatal(err)
		}
		if got := text(&b, b.Child(row.Value, 1)); got != c.want || row.Toasted != c.toasted || row.Failures != nil {
			t.Errorf("old %q: %s, %d placeholders, %v", c.old.Data, got, row.Toasted, row.Failures)
		}
		if got := tab.ToastedColumns(nil, data, c.old); len(got) != c.toasted || c.toasted == 1 && !slices.Equal(got, []int{1}) {
			t.Errorf("old %q: columns %v", c.old.Data, got)
		}
	}
}

// A value that has no form gives the fallback and is reported, or stops in mode
// fail.
func TestFailures(t *testing.T) {
	var b record.Batch
	for _, data := range [][]byte{tuple("k", "x", "NaN"), tuple("k", "x", byte('u'))} {
		row, _, err := smallTable(t, pgvalue.Modes{ConvertFailure: "warn"}, nil).DecodeTuple(&b, data, OldTuple{})
		if err != nil || len(row.Failures) != 1 || row.Failures[0].Column != "n" {
			t.Fatalf("%v, %v", row.Failures, err)
		}
		if got := text(&b, b.Child(row.Value, 2)); got != "struct(int32:0 x'00')" {
			t.Error(got)
		}
		_, _, err = smallTable(t, pgvalue.Modes{ConvertFailure: "fail"}, nil).DecodeTuple(&b, data, OldTuple{})
		var v *pgvalue.ValueError
		if !errors.As(err, &v) || !strings.Contains(err.Error(), `column "n" of table public.t`) {
			t.Error(err)
		}
	}
}

// The key is neither masked nor left out with its column, and can have an extra
// field.
func TestKey(t *testing.T) {
	tab := smallTable(t, pgvalue.Modes{}, func(s *TableSpec) {
		s.Columns[0].MaskChars = 3
		s.Columns[1].NotNull = true
		s.InValue = []bool{true, false, true}
		s.Key = []int{1, 0}
		s.ExtraKeyName, s.ExtraKeyValue = "table", "public.t"
	})
	var b record.Batch
	row, err := tab.DecodeTexts(&b, [][]byte{[]byte("secret"), []byte("body"), []byte("1")})
	if err != nil {
		t.Fatal(err)
	}
	if got := text(&b, row.Key) + text(&b, row.Value); got != `struct("body" "secret" "public.t")struct("***" struct(int32:0 x'01'))` {
		t.Error(got)
	}
	if f := tab.KeySchema.Fields; f[0].Name != "body" || !f[0].Schema.Optional || f[2].Name != "table" {
		t.Error("key schema", f)
	}
}

func TestOmittedColumns(t *testing.T) {
	tab := smallTable(t, pgvalue.Modes{}, func(s *TableSpec) { s.Columns[1].TypeOID = 602 })
	if !slices.Equal(tab.Omitted, []string{"body"}) || len(tab.ValueSchema.Fields) != 2 {
		t.Error(tab.Omitted)
	}
	if tab = smallTable(t, pgvalue.Modes{}, func(s *TableSpec) { s.Columns[1].TypeOID, s.Key = 5555, []int{1} }); tab.KeySchema == nil || len(tab.KeySchema.Fields) != 0 {
		t.Error("a key of an unsupported type is a struct without fields")
	}
}

func TestBrokenTuples(t *testing.T) {
	tab := smallTable(t, pgvalue.Modes{}, nil)
	var b record.Batch
	whole := tuple("k", "x", "1")
	for n := range whole {
		if _, _, err := tab.DecodeTuple(&b, whole[:n], OldTuple{}); err == nil {
			t.Errorf("%d of %d bytes were taken for a tuple", n, len(whole))
		}
	}
	var f *FormatError
	if _, _, err := tab.DecodeTuple(&b, tuple("k"), OldTuple{}); !errors.As(err, &f) {
		t.Error(err)
	}
	if _, _, err := tab.DecodeTuple(&b, []byte{0, 3, 'b', 0, 0, 0, 1, 'x', 'n', 'n'}, OldTuple{}); err == nil || !strings.Contains(err.Error(), "binary") {
		t.Error(err)
	}
	if _, err := tab.DecodeTexts(&b, [][]byte{nil}); err == nil {
		t.Error("a row of one value was taken for one of three")
	}
}

func TestEqual(t *testing.T) {
	tab := smallTable(t, pgvalue.Modes{}, nil)
	var b record.Batch
	decode := func(values ...any) Row {
		row, _, err := tab.DecodeTuple(&b, tuple(values...), OldTuple{})
		if err != nil {
			t.Fatal(err)
		}
		return row
	}
	a, same, other := decode("k", "x", "1"), decode("k", "x", "1.0"), decode("k", nil, "1")
	if !Equal(&b, a.Key, other.Key) || !Equal(&b, a.Value, same.Value) || Equal(&b, a.Value, other.Value) {
		t.Error("rows compare wrongly")
	}
}

func TestMessages(t *testing.T) {
	u64 := func(v byte) []byte { return []byte{0, 0, 0, 0, 0, 0, 0, v} }
	cat := func(parts ...[]byte) (out []byte) {
		for _, p := range parts {
			out = append(out, p...)
		}
		return out
	}
	if m, err := ParseBegin(cat([]byte{'B'}, u64(1), u64(2), []byte{0, 0, 0, 3})); err != nil || m != (Begin{1, 2, 3}) {
		t.Error(m, err)
	}
	if m, err := ParseCommit(cat([]byte{'C', 0}, u64(1), u64(2), u64(3))); err != nil || m != (Commit{0, 1, 2, 3}) {
		t.Error(m, err)
	}
	if m, err := ParseOrigin(cat([]byte{'O'}, u64(9), []byte("o\x00"))); err != nil || m != (Origin{9, "o"}) {
		t.Error(m, err)
	}
	rel := cat([]byte{'R', 0, 0, 0, 7}, []byte("\x00t\x00f"), []byte{0, 1, 1}, []byte("id\x00"), []byte{0, 0, 0, 23, 0xff, 0xff, 0xff, 0xff})
	if m, err := ParseRelation(rel, false); err != nil || m.Schema != "pg_catalog" || m.Name != "t" || m.OID != 7 || m.ReplicaIdentity != 'f' || m.Columns[0] != (RelationColumn{true, "id", 23, -1}) {
		t.Error(m, err)
	}
	trunc := []byte{'T', 0, 0, 0, 9, 0, 0, 0, 2, 3, 0, 0, 0, 5, 0, 0, 0, 6}
	if m, err := ParseTruncate(trunc, true); err != nil || m.XID != 9 || m.Options != 3 || m.Len() != 2 || m.Relation(1) != 6 {
		t.Error(m, err)
	}
	if m, err := ParseLogical(cat([]byte{'M', 1}, u64(4), []byte("p\x00"), []byte{0, 0, 0, 2, 'h', 'i'}), false); err != nil || !m.Transactional || m.LSN != 4 || string(m.Prefix) != "p" || string(m.Content) != "hi" {
		t.Error(m, err)
	}
	if m, err := ParseStreamStart([]byte{'S', 0, 0, 0, 1, 1}); err != nil || m != (StreamStart{1, true}) {
		t.Error(m, err)
	}
	if m, err := ParseStreamCommit(cat([]byte{'c', 0, 0, 0, 8, 0}, u64(1), u64(2), u64(3))); err != nil || m.XID != 8 || m.EndLSN != 2 {
		t.Error(m, err)
	}
	if m, err := ParseStreamAbort(cat([]byte{'A', 0, 0, 0, 1, 0, 0, 0, 2}, u64(3), u64(4))); err != nil || m != (StreamAbort{1, 2, 3, 4}) {
		t.Error(m, err)
	}
	if m, err := ParsePrepared(cat([]byte{'r', 0}, u64(1), u64(2), u64(3), u64(4), []byte{0, 0, 0, 5}, []byte("g\x00"))); err != nil || m.GID != "g" || m.CommitUs != 4 || m.XID != 5 {
		t.Error(m, err)
	}
	if m, err := ParseType(cat([]byte{'Y', 0, 0, 0, 1}, []byte("s\x00n\x00")), false); err != nil || m != (DataType{0, 1, "s", "n"}) {
		t.Error(m, err)
	}
	del := cat([]byte{'D', 0, 0, 0, 1, 'K'}, tuple("k", nil, nil))
	if m, err := ParseChange(del, false); err != nil || m.Old.Kind != 'K' || m.New != nil || len(m.Old.Data) != len(tuple("k", nil, nil)) {
		t.Error(m, err)
	}
	var f *FormatError
	for _, bad := range [][]byte{nil, {'I'}, {'I', 0, 0, 0, 1, 'K'}, {'D', 0, 0, 0, 1, 'N'}, {'U', 0, 0, 0, 1, 'O', 0, 1, 't', 0xff, 0xff, 0xff, 0xff, 'N'}} {
		if _, err := ParseChange(bad, false); !errors.As(err, &f) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
