package myvalue

import (
	"math/rand/v2"
	"testing"

	"millrace/decode/binlog"
	"millrace/internal/record"
)

// BenchmarkImage decodes one row image of ten columns, the table of the benchmarks.
func BenchmarkImage(b *testing.B) {
	cols := []Column{column("BIGINT", -1, -1), column("INT", -1, -1), column("VARCHAR", 20, -1), column("DECIMAL", 12, 2), column("TEXT", -1, -1),
		column("TIMESTAMP", 6, -1), column("DATE", -1, -1), column("SMALLINT", -1, -1), column("DOUBLE", -1, -1), column("TINYINT", 1, -1)}
	in := make([]bool, len(cols))
	for i := range in {
		in[i] = true
		cols[i].Name += string(rune('a' + i))
	}
	wire := []binlog.WireColumn{{Type: binlog.TypeLongLong}, {Type: binlog.TypeLong}, {Type: binlog.TypeVarchar, Meta: 80}, {Type: binlog.TypeNewDecimal, Meta: 12<<8 | 2},
		{Type: binlog.TypeBlob, Meta: 2}, {Type: binlog.TypeTimestamp2, Meta: 6}, {Type: binlog.TypeDate}, {Type: binlog.TypeShort}, {Type: binlog.TypeDouble}, {Type: binlog.TypeTiny}}
	p, err := CompileTable(TableSpec{Columns: cols, Wire: wire, InValue: in, Key: []int{0}, KeyName: "k", ValueName: "v"}, defaults, &record.Interner{})
	if err != nil {
		b.Fatal(err)
	}
	m := binlog.Image{Present: in, Null: make([]bool, 10), Partial: make([]bool, 10), Columns: [][]byte{{1, 2, 3, 0, 0, 0, 0, 0}, {5, 6, 0, 0}, []byte("shipped"), {0x80, 0, 0, 0x04, 0xd2, 0x19},
		[]byte("a note of some length about order 123456"), {0x69, 0x20, 0, 0, 1, 0xe2, 0x40}, {0x75, 0xd5, 0x0f}, {7, 0}, {1, 2, 3, 4, 5, 6, 7, 0x40}, {1}}}
	var pool record.Pool
	batch := pool.Get()
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		if n%512 == 511 {
			batch.Release()
			batch = pool.Get()
		}
		if _, fails := p.Image(batch, &m, nil); fails != nil {
			b.Fatal(fails)
		}
	}
}

// The number that a DECIMAL is read as at once is that of its text.
func TestDecimalAtOnce(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		precision := 1 + rnd.IntN(18)
		scale := rnd.IntN(precision + 1)
		p := make([]byte, binlog.DecimalSize(precision, scale))
		for i := range p {
			p[i] = byte(rnd.Uint32())
		}
		text, ok := appendDecimal(nil, p, precision, scale)
		n, ok2 := decimalInt(p, precision, scale)
		if ok != ok2 {
			t.Fatalf("DECIMAL(%d,%d) %x: %t, %t", precision, scale, p, ok, ok2)
		}
		if !ok {
			continue
		}
		want, err := appendUnscaled(nil, text)
		if got := appendInt(nil, n); err != nil || string(got) != string(want) {
			t.Fatalf("DECIMAL(%d,%d) %x is %s: %x instead of %x, %v", precision, scale, p, text, got, want, err)
		}
	}
	if _, ok := decimalInt([]byte{1}, 12, 2); ok {
		t.Error("too few bytes")
	}
}
