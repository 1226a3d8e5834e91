package myvalue

import (
	"encoding/binary"
	"testing"

	"millrace/decode/binlog"
	"millrace/internal/record"
)

// A row image costs no heap allocation once the batch is warm.
func TestImageAllocatesNothing(t *testing.T) {
	cols := []Column{column("INT UNSIGNED", -1, -1), column("VARCHAR", 40, -1), column("DECIMAL", 10, 2), column("DATETIME", 6, -1), column("TIMESTAMP", 3, -1),
		column("JSON", -1, -1), column("ENUM", 1, -1), column("VARCHAR", 40, -1), column("BLOB", -1, -1), column("DATE", -1, -1)}
	cols[6].Labels, cols[7].Charset = []string{"a", "b"}, "latin1"
	cols[0].Optional = false
	table := &binlog.TableMap{Columns: []binlog.WireColumn{{Type: binlog.TypeLong}, {Type: binlog.TypeVarchar, Meta: 160}, {Type: binlog.TypeNewDecimal, Meta: 10<<8 | 2},
		{Type: binlog.TypeDateTime2, Meta: 6}, {Type: binlog.TypeTimestamp2, Meta: 3}, {Type: binlog.TypeJSON, Meta: 4}, {Type: binlog.TypeEnum, Meta: 1},
		{Type: binlog.TypeVarchar, Meta: 40}, {Type: binlog.TypeBlob, Meta: 2}, {Type: binlog.TypeDate}}}
	row := []byte{0, 0, 7, 0, 0, 0, 3, 'a', 'b', 'c', 0x80, 0, 0, 1, 0x19}
	row = append(row, 0x99, 0xa8, 0x82, 0, 0, 0, 0, 1, 0x5f, 0xee, 0x66, 0, 0x03, 0xe8)
	doc := []byte{0, 1, 0, 12, 0, 11, 0, 1, 0, 5, 5, 0, 'k'} // {"k": 5}
	row = append(binary.LittleEndian.AppendUint32(row, uint32(len(doc))), doc...)
	row = append(row, 2, 2, 'x', 0xe9, 3, 0, 1, 2, 3, 0x21, 0xca, 0x0f)
	body := append([]byte{1, 0, 0, 0, 0, 0, 1, 0, 2, 0, 10, 0xff, 3}, row...)
	in := make([]bool, len(cols))
	for i := range in {
		in[i] = true
		cols[i].Name += string(rune('a' + i))
	}
	p, err := CompileTable(TableSpec{Columns: cols, Wire: table.Columns, InValue: in, Key: []int{0}, KeyName: "k", ValueName: "v"}, defaults, &record.Interner{})
	if err != nil {
		t.Fatal(err)
	}
	var before, after binlog.Image
	var pool record.Pool
	decode := func() {
		rows, err := binlog.ParseRows(binlog.Insert, 2, table, body, 6)
		if err != nil {
			t.Fatal(err)
		}
		if ok, err := rows.Next(&before, &after); !ok {
			t.Fatal(err)
		}
		b := pool.Get()
		for range 100 {
			if r, fails := p.Image(b, &after, nil); fails != nil || r.Key.IsNull() {
				t.Fatal(fails)
			}
		}
		b.Release()
	}
	for range 3 {
		decode()
	}
	// What is left is the event itself, which is one of many rows.
	if n := testing.AllocsPerRun(50, decode); n > 5 {
		t.Errorf("100 rows of 10 columns cost %.0f allocations", n)
	}
}
