package pgoutput

import (
	"encoding/binary"
	"testing"

	"millrace/decode/pgvalue"
	"millrace/internal/record"
)

// copyTable has columns that are read in binary form and one that is not (point).
func copyTable(t testing.TB) *Table {
	spec := TableSpec{Schema: "s", Name: "t", ValueName: "v", KeyName: "k", Key: []int{0}, Path: pgvalue.Snapshot}
	for i, oid := range []uint32{23, 25, 1700, 1184, 17, 600} {
		spec.Columns = append(spec.Columns, col(string(rune('a'+i)), oid, -1, i%2 == 0))
	}
	tab, err := Compile(spec, nil, pgvalue.Modes{Placeholder: []byte("ph"), MoneyDigits: 2}, &record.Interner{})
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

// copyRow makes a row of COPY; nil is NULL.
func copyRow(fields ...[]byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(len(fields)))
	for _, f := range fields {
		if f == nil {
			b = append(b, 0xff, 0xff, 0xff, 0xff)
			continue
		}
		b = binary.BigEndian.AppendUint32(b, uint32(len(f)))
		b = append(b, f...)
	}
	return b
}

func TestCopyDecode(t *testing.T) {
	tab := copyTable(t)
	if !tab.Binary(0) || tab.Binary(5) || !tab.Reads(5) {
		t.Error("which columns are read in binary form")
	}
	var b record.Batch
	row, err := tab.NewCopy([]int{1, 0, 5}).Decode(&b, copyRow([]byte("x"), []byte{0, 0, 0, 7}, []byte("(1,2)")))
	if err != nil {
		t.Fatal(err)
	}
	if v := row.Value; b.Child(v, 0).Int() != 7 || b.Str(b.Child(v, 1)) != "x" || b.Child(v, 5).IsNull() || b.Child(row.Key, 0).Int() != 7 {
		t.Error("the values are not where they belong")
	}
	if v := b.Child(row.Value, 3); !v.IsNull() {
		t.Error("a column that is not read is not null")
	}
	for _, bad := range [][]byte{nil, {0}, copyRow([]byte("x")), copyRow([]byte("x"), []byte{0, 0, 0, 7}, []byte("(1,2)"))[:20], append(copyRow([]byte("x"), []byte{0, 0, 0, 7}, nil), 0)} {
		if _, err := tab.NewCopy([]int{1, 0, 5}).Decode(&b, bad); err == nil {
			t.Errorf("%x was decoded", bad)
		}
	}
}

// FuzzCopy: any bytes give a row with all its fields, or an error.
func FuzzCopy(f *testing.F) {
	tab := copyTable(f)
	c := tab.NewCopy([]int{0, 1, 2, 3, 4, 5})
	f.Add(copyRow([]byte{0, 0, 0, 7}, []byte("x"), []byte{0, 1, 0, 0, 0, 0, 0, 0, 0, 5}, make([]byte, 8), []byte{1}, []byte("(1,2)")))
	f.Add(copyRow(nil, nil, nil, nil, nil, nil))
	f.Add([]byte{0, 6, 0xff})
	var b record.Batch
	f.Fuzz(func(t *testing.T, data []byte) {
		b.Reset()
		row, err := c.Decode(&b, data)
		if err == nil && (row.Value.Len() != len(tab.ValueSchema.Fields) || row.Key.Len() != len(tab.KeySchema.Fields)) {
			t.Fatal("a row without all its fields")
		}
	})
}
