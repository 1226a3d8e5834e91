package pgoutput

import (
	"encoding/binary"
	"testing"

	"millrace/decode/pgvalue"
	"millrace/internal/record"
)

// tuple builds a tuple's bytes; a nil value is null, "\x00u" an unchanged TOAST value.
func tuple(values ...any) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(len(values)))
	for _, v := range values {
		switch x := v.(type) {
		case nil:
			b = append(b, 'n')
		case byte:
			b = append(b, x)
		case string:
			b = append(b, 't')
			b = binary.BigEndian.AppendUint32(b, uint32(len(x)))
			b = append(b, x...)
		}
	}
	return b
}

func col(name string, oid uint32, mod int32, notNull bool) pgvalue.Column {
	return pgvalue.Column{Name: name, TypeOID: oid, Typmod: mod, NotNull: notNull, Truncate: -1, MaskChars: -1}
}

func tenColumns(t testing.TB) (*Table, []byte) {
	spec := TableSpec{Schema: "public", Name: "orders", KeyName: "s.public.orders.Key", ValueName: "s.public.orders.Value", Key: []int{0},
		Columns: []pgvalue.Column{
			col("id", 20, -1, true), col("qty", 23, -1, true), col("name", 1043, 54, true), col("price", 1700, 12<<16|2+4, true),
			col("note", 25, -1, false), col("at", 1184, -1, true), col("day", 1082, -1, false), col("rank", 21, -1, false),
			col("score", 701, -1, false), col("paid", 16, -1, true),
		}}
	tab, err := Compile(spec, nil, pgvalue.Modes{Decimal: "precise", Time: "adaptive", Binary: "bytes"}, &record.Interner{})
	if err != nil {
		t.Fatal(err)
	}
	return tab, tuple("1234567890123", "42", "a customer's name", "12345.67", "some longer text about this order, with details",
		"2026-02-03 04:05:06.789012+00", "2026-02-03", "7", "3.14159265", "t")
}

func TestDecodeTupleAllocatesNothing(t *testing.T) {
	tab, data := tenColumns(t)
	var b record.Batch
	n := testing.AllocsPerRun(1000, func() {
		b.Reset()
		for range 10 {
			if _, _, err := tab.DecodeTuple(&b, data, OldTuple{}); err != nil {
				t.Fatal(err)
			}
		}
	})
	if n != 0 {
		t.Fatalf("%v allocations per 10 rows on a warm batch, want 0", n)
	}
	msg := append([]byte{'I', 0, 0, 0, 1, 'N'}, data...)
	if n := testing.AllocsPerRun(1000, func() {
		if _, err := ParseChange(msg, false); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Fatalf("%v allocations per message, want 0", n)
	}
}

func BenchmarkDecodeTuple(b *testing.B) {
	tab, data := tenColumns(b)
	msg := append([]byte{'I', 0, 0, 0, 1, 'N'}, data...)
	var batch record.Batch
	b.ReportAllocs()
	b.SetBytes(int64(len(msg)))
	for i := range b.N {
		if i%1000 == 0 {
			batch.Reset()
		}
		c, err := ParseChange(msg, false)
		if err != nil {
			b.Fatal(err)
		}
		if _, _, err := tab.DecodeTuple(&batch, c.New, c.Old); err != nil {
			b.Fatal(err)
		}
	}
}
