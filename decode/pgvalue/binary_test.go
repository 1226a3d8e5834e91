package pgvalue

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"

	"millrace/internal/record"
)

// binaryPlans are the plans of all types and modes that read binary forms.
func binaryPlans(t testing.TB) []*Plan {
	var out []*Plan
	for _, p := range compileAll(t) {
		if p.DecodeBinary != nil {
			out = append(out, p)
		}
	}
	return out
}

// FuzzDecodeBinary: any bytes give a value of the schema, null, or an error.
func FuzzDecodeBinary(f *testing.F) {
	for _, s := range []string{"", "\x00", "\x01", "\x00\x01", "\x7f\xff\xff\xff", "\x80\x00\x00\x00", "\x7f\xf8\x00\x00\x00\x00\x00\x00", "\x80\x00\x00\x00\x00\x00\x00\x00",
		"\x00\x00\x00\x00\x00\x00\x00\x02", "\x00\x02\x00\x00\x00\x00\x00\x02\x00\x01\x13\x88", "\x00\x00\x00\x00\xc0\x00\x00\x00", "\x00\x01\x7f\xff\x40\x00\x3f\xff\x27\x0f", "\x01{}", "0123456789abcdef"} {
		f.Add([]byte(s), uint16(0))
		f.Add([]byte(s), uint16(1))
	}
	plans := binaryPlans(f)
	const some = 200
	var b record.Batch
	f.Fuzz(func(t *testing.T, data []byte, which uint16) {
		from := int(which) * some % len(plans)
		for _, p := range plans[from:min(from+some, len(plans))] {
			b.Reset()
			c, err := p.DecodeBinary(&b, data)
			if err == nil && !c.IsNull() && !conforms(&b, p.Schema, c) {
				t.Fatalf("%x does not fit %s %s", data, p.Schema.Type, p.Schema.Name)
			}
		}
	})
}

// Random numerics, as the server sends them and as it prints them, decode alike.
func TestBinaryNumericIsText(t *testing.T) {
	plans := []*Plan{
		compile(t, column(oidNumeric, -1), Modes{}, Snapshot), compile(t, column(oidNumeric, 20<<16|4+4), Modes{}, Snapshot), compile(t, column(oidNumeric, 30<<16+4), Modes{}, Snapshot),
		compile(t, column(oidNumeric, -1), Modes{Decimal: "string"}, Snapshot), compile(t, column(oidNumeric, 20<<16|4+4), Modes{Decimal: "double"}, Snapshot),
	}
	for range 6000 {
		n := rand.IntN(7)
		d := make([]byte, 8, 8+2*n)
		binary.BigEndian.PutUint16(d, uint16(n))
		binary.BigEndian.PutUint16(d[2:], uint16(int16(rand.IntN(7)-3)))
		binary.BigEndian.PutUint16(d[4:], []uint16{numericPositive, numericNegative}[rand.IntN(2)])
		binary.BigEndian.PutUint16(d[6:], uint16(rand.IntN(12)))
		for i := range n {
			g := uint16(rand.IntN(10000))
			if i == 0 {
				g = max(g, 1)
			}
			if rand.IntN(3) == 0 {
				g = g / 100 * 100
			}
			d = binary.BigEndian.AppendUint16(d, g)
		}
		w, ok := parseWireNumeric(d)
		if !ok {
			t.Fatalf("%x", d)
		}
		text := w.appendText(nil)
		for i, p := range plans {
			var a, b record.Batch
			x, e1 := p.DecodeBinary(&a, d)
			y, e2 := p.Decode(&b, text)
			if !errors.Is(e1, e2) || e1 == nil && dump(&a, x) != dump(&b, y) {
				t.Fatalf("plan %d, %x, %s: %s %v, as text %s %v", i, d, text, dump(&a, x), e1, dump(&b, y), e2)
			}
		}
	}
}
