package convert

import (
	"context"
	"encoding/base64"
	"math"
	"math/rand/v2"
	"strconv"
	"testing"

	"millrace/internal/record"
)

// TestMemo writes events whose source blocks differ in any of their fields, over
// several fillings of one batch, and compares each with what an encoder writes that
// has no past.
func TestMemo(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for name, c := range converters(t) {
		e := newEnvelope(t)
		enc := encoderFor(t, c, e)
		for range 3 {
			texts := []record.Cell{{}}
			for _, s := range []string{"", "a", "longer \"text\"", "[null,\"24023128\"]"} {
				texts = append(texts, e.batch.StringCell(s))
			}
			source := e.batch.Child(e.cell, 2)
			for range 300 {
				for i := range rnd.IntN(4) {
					f := (i*5 + rnd.IntN(16)) % 16
					switch old := e.batch.Child(source, f); {
					case old.Kind() == record.Int64 || f == 11 || f == 13 || f == 15:
						e.batch.SetChild(source, f, record.Int64Cell(rnd.Int64N(1<<rnd.IntN(60))))
					case f == 6 || f == 14:
						e.batch.SetChild(source, f, texts[rnd.IntN(len(texts))])
					default:
						e.batch.SetChild(source, f, texts[1+rnd.IntN(len(texts)-1)])
					}
				}
				got, _, err := enc.Append([]byte("x"), e.batch, e.cell)
				if err != nil {
					t.Fatal(name, err)
				}
				fresh := *e.batch // the copy is another batch to a memo
				var blank record.Batch
				cell := blank.Import(&fresh, e.cell)
				want, _, err := enc.Append([]byte("x"), &blank, cell)
				if err != nil {
					t.Fatal(name, err)
				}
				if string(got) != string(want) {
					t.Fatalf("%s: got  %q\nwant %q", name, got, want)
				}
				if rnd.IntN(2) == 0 { // so that the memo is of this batch
					if _, _, err := enc.Append(nil, e.batch, e.cell); err != nil {
						t.Fatal(err)
					}
				}
			}
			var kept record.Batch
			cell := kept.Import(e.batch, e.cell)
			e.batch.Reset()
			e.cell = e.batch.Import(&kept, cell)
		}
	}
}

// TestMemoAfterError checks that a struct that could not be written leaves nothing.
func TestMemoAfterError(t *testing.T) {
	e := newEnvelope(t)
	c, err := NewJSON(map[string]string{"schemas.enable": "false"}, false)
	if err != nil {
		t.Fatal(err)
	}
	enc, err := c.Encoder(context.Background(), &record.Topic{Name: "t"}, e.schema)
	if err != nil {
		t.Fatal(err)
	}
	want, _, err := enc.Append(nil, e.batch, e.cell)
	if err != nil {
		t.Fatal(err)
	}
	source := e.batch.Child(e.cell, 2)
	table := e.batch.Child(source, 10)
	e.batch.SetChild(source, 10, record.Cell{})
	if _, _, err := enc.Append(nil, e.batch, e.cell); err == nil {
		t.Fatal("a null where none may be was written")
	}
	e.batch.SetChild(source, 10, table)
	for range 2 {
		if got, _, err := enc.Append(nil, e.batch, e.cell); err != nil || string(got) != string(want) {
			t.Fatalf("got  %q, %v\nwant %q", got, err, want)
		}
	}
}

func FuzzJSONInt(f *testing.F) {
	for _, v := range []int64{0, 9, 10, 99, 100, 12345678, 99999999, 100000000, 1735689600123456789, math.MaxInt64, math.MinInt64, -1} {
		f.Add(v)
	}
	for v := int64(1); v > 0 && v < math.MaxInt64/10; v *= 10 {
		f.Add(v)
		f.Add(v - 1)
	}
	f.Fuzz(func(t *testing.T, v int64) {
		for _, dst := range [][]byte{nil, make([]byte, 0, 64)} {
			if got := string(appendJSONInt(dst, v)); got != strconv.FormatInt(v, 10) {
				t.Errorf("%d is written as %s", v, got)
			}
		}
	})
}

func FuzzJSONBytes(f *testing.F) {
	f.Add([]byte("a text of some length\"and more"))
	f.Add([]byte("plain text of thirty-two bytes.."))
	f.Add([]byte("Grüße, \xed\xa0\x80 und \U0001F600 mehr\x1f\\"))
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 0x7f, 0x80, 0xff})
	f.Fuzz(func(t *testing.T, s []byte) {
		if got, want := string(appendJSONString(nil, s)), string(append(appendJSONEscaped([]byte{'"'}, s), '"')); got != want {
			t.Errorf("%q is written as %s and not as %s", s, got, want)
		}
		if got, want := string(appendJSONBase64(nil, s)), `"`+base64.StdEncoding.EncodeToString(s)+`"`; got != want {
			t.Errorf("%q is written as %s and not as %s", s, got, want)
		}
	})
}
