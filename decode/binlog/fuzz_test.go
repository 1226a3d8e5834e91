package binlog

import (
	"encoding/binary"
	"testing"
)

// tableMap writes a small table map body: (id int, name varchar(20), doc json).
func tableMap() []byte {
	b := []byte{1, 0, 0, 0, 0, 0, 1, 0, 1, 'd', 0, 1, 't', 0, 3, TypeLong, TypeVarchar, TypeJSON, 3}
	b = binary.LittleEndian.AppendUint16(b, 20)
	b = append(b, 4)                                       // json: length bytes
	b = append(b, 0b110)                                   // name and doc are nullable
	b = append(b, metaSignedness, 1, 0x80)                 // id is unsigned
	b = append(b, metaColumnName, 12, 2, 'i', 'd', 4, 'n') // names
	return append(b, 'a', 'm', 'e', 3, 'd', 'o', 'c')
}

func insertBody() []byte {
	b := []byte{1, 0, 0, 0, 0, 0, 1, 0, 2, 0, 3, 0b111}
	b = append(b, 0b100, 7, 0, 0, 0, 4, 'A', 'n', 'n', 'e') // row 1: doc is NULL
	return append(b, 0b010, 8, 0, 0, 0, 2, 0, 0, 0, 4, 1)   // row 2: name is NULL, doc is the literal true
}

func TestRowsAreSplitIntoColumns(t *testing.T) {
	m, err := ParseTableMap(tableMap(), 6)
	if err != nil {
		t.Fatal(err)
	}
	if m.Schema != "d" || m.Table != "t" || !m.Columns[0].Unsigned || m.Columns[1].Name != "name" || m.Columns[2].Name != "doc" || m.Columns[0].Nullable {
		t.Fatalf("table map read as %+v", m)
	}
	rows, err := ParseRows(Insert, 2, m, insertBody(), 6)
	if err != nil {
		t.Fatal(err)
	}
	var before, after Image
	ok, err := rows.Next(&before, &after)
	if !ok || err != nil || string(after.Columns[1]) != "Anne" || !after.Null[2] || after.Null[1] {
		t.Fatalf("first row %+v, %v", after, err)
	}
	ok, err = rows.Next(&before, &after)
	if !ok || err != nil || after.Columns[0][0] != 8 || !after.Null[1] || string(after.Columns[2]) != "\x04\x01" {
		t.Fatalf("second row %+v, %v", after, err)
	}
	if ok, err = rows.Next(&before, &after); ok || err != nil {
		t.Fatalf("a third row: %v, %v", ok, err)
	}
}

func FuzzRows(f *testing.F) {
	f.Add(tableMap(), insertBody(), byte(0))
	f.Fuzz(func(t *testing.T, table, body []byte, k byte) {
		m, err := ParseTableMap(table, 6)
		if err != nil {
			return
		}
		kind := []Kind{Insert, Update, Delete, PartialUpdate}[k%4]
		rows, err := ParseRows(kind, 1+int(k>>2)%2, m, body, 6)
		if err != nil {
			return
		}
		var before, after Image
		for n := 0; n < 1000; n++ {
			if ok, _ := rows.Next(&before, &after); !ok {
				return
			}
		}
	})
}
