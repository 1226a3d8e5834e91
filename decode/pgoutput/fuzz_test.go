package pgoutput

import (
	"testing"

	"millrace/decode/pgvalue"
	"millrace/internal/record"
)

// FuzzMessages: any bytes give a message or a typed error.
func FuzzMessages(f *testing.F) {
	seeds := [][]byte{nil, {'B'}, {'R', 0, 0, 0, 1, 'p', 0, 't', 0, 'd', 0, 1, 1, 'i', 'd', 0, 0, 0, 0, 23, 0xff, 0xff, 0xff, 0xff},
		{'T', 0xff, 0xff, 0xff, 0xff, 0}, {'T', 0, 0, 0, 1, 3, 0, 0, 0, 7}, {'M', 1, 0, 0, 0, 0, 0, 0, 0, 1, 'p', 0, 0, 0, 0, 1, 'x'},
		{'M', 1, 0, 0, 0, 0, 0, 0, 0, 1, 'p', 0, 0xff, 0xff, 0xff, 0xff}, {'O', 0, 0, 0, 0, 0, 0, 0, 1, 'o', 0}, {'Y', 0, 0, 0, 1, 'p', 0, 't', 0},
		{'S', 0, 0, 0, 1, 1}, {'E'}, append([]byte{'c', 0, 0, 0, 1}, make([]byte, 25)...), {'A', 0, 0, 0, 1, 0, 0, 0, 2}, {'R', 0, 0, 0, 1, 0, 0, 'd', 0xff, 0xff}}
	seeds = append(seeds, append([]byte{'I', 0, 0, 0, 1, 'N'}, tuple("1", nil, byte('u'))...),
		append(append([]byte{'U', 0, 0, 0, 1, 'O'}, tuple("1", "2")...), append([]byte{'N'}, tuple("1", byte('u'))...)...),
		append([]byte{'D', 0, 0, 0, 1, 'K'}, tuple("1", nil)...))
	for _, s := range seeds {
		f.Add(s, false)
		f.Add(s, true)
	}
	tab, _ := tenColumns(f)
	var b record.Batch
	f.Fuzz(func(t *testing.T, msg []byte, streamed bool) {
		_, _ = ParseBegin(msg)
		_, _ = ParseCommit(msg)
		_, _ = ParseOrigin(msg)
		_, _ = ParseRelation(msg, streamed)
		_, _ = ParseType(msg, streamed)
		_, _ = ParseLogical(msg, streamed)
		_, _ = ParseStreamStart(msg)
		_, _ = ParseStreamCommit(msg)
		_, _ = ParseStreamAbort(msg)
		_, _ = ParsePrepared(msg)
		if _, rest, err := SplitXID(msg); err == nil && len(rest) != len(msg)-5 {
			t.Fatal("a message lost bytes with its transaction id")
		}
		if m, err := ParseTruncate(msg, streamed); err == nil {
			for i := range m.Len() {
				m.Relation(i)
			}
		}
		c, err := ParseChange(msg, streamed)
		if err != nil {
			return
		}
		b.Reset()
		_, _, _ = tab.DecodeTuple(&b, c.New, c.Old)
		_, _ = tab.DecodeOld(&b, c.Old)
		tab.ToastedColumns(nil, c.New, c.Old)
	})
}

// FuzzTuple: any tuple of a table with every kind of column gives a row or an
// error.
func FuzzTuple(f *testing.F) {
	spec := TableSpec{Schema: "s", Name: "t", ValueName: "v", KeyName: "k", Key: []int{0, 3}, ExtraKeyName: "x", ExtraKeyValue: "s.t"}
	for i, oid := range []uint32{23, 25, 1700, 1184, 17, 1007, 1009, 600, 1186, 3802} {
		spec.Columns = append(spec.Columns, col(string(rune('a'+i)), oid, -1, i%2 == 0))
	}
	tab, err := Compile(spec, nil, pgvalue.Modes{Placeholder: []byte("ph"), MoneyDigits: 2}, &record.Interner{})
	if err != nil {
		f.Fatal(err)
	}
	good := tuple("1", "x", "1.5", "2020-01-01 00:00:00+00", `\x00`, "{1,2}", "{a}", "(1,2)", "1 day", "{}")
	f.Add(good, good)
	f.Add(tuple("x", byte('u'), "NaN", nil, byte('u'), "{", nil, byte('u'), nil, nil), good)
	var b record.Batch
	f.Fuzz(func(t *testing.T, data, old []byte) {
		b.Reset()
		row, _, err := tab.DecodeTuple(&b, data, OldTuple{'O', old})
		if err == nil && (row.Value.Len() != len(tab.ValueSchema.Fields) || row.Key.Len() != len(tab.KeySchema.Fields)) {
			t.Fatal("a row without all its fields")
		}
	})
}
