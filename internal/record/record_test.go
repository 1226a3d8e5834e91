package record

import (
	"strings"
	"testing"
)

func tableSchema() *Schema {
	return &Schema{Type: Struct, Name: "t.Value", Optional: true, Fields: []Field{
		{"id", PlainInt32}, {"name", OptionalString}, {"tags", &Schema{Type: Array, Elem: OptionalString}},
		{"attrs", &Schema{Type: Map, Key: PlainString, Elem: OptionalString}}, {"raw", OptionalBytes}, {"score", OptionalFloat64}}}
}

func TestInternerMakesEqualSchemasOnePointer(t *testing.T) {
	var in Interner
	a, b := in.Intern(tableSchema()), in.Intern(tableSchema())
	if a != b {
		t.Fatal("equal schemas got two pointers")
	}
	other := tableSchema()
	other.Fields[0].Schema = &Schema{Type: Int32, Default: MustDatum(PlainInt32, 0)}
	if in.Intern(other) == a {
		t.Fatal("a schema with a default got the pointer of one without")
	}
	if a.Fields[1].Schema != in.Intern(&Schema{Type: String, Optional: true}) {
		t.Fatal("children are not interned")
	}
}

func TestGoValuesSurviveTheTape(t *testing.T) {
	s := tableSchema()
	b := &Batch{}
	c, err := FromGo(b, s, map[string]any{"id": 7, "name": "Anne", "tags": []any{"a", nil}, "attrs": map[string]any{"k": "v"}, "raw": []byte{1, 2}, "score": 1.5})
	if err != nil {
		t.Fatal(err)
	}
	copied := &Batch{}
	copied.StringCell("something before it")
	c = copied.Import(b, c)
	b.Reset()
	var sb strings.Builder
	Dump(&sb, copied, c)
	want := `struct(int32:7 "Anne" array("a" null) map("k" "v") x'0102' float64:3ff8000000000000)`
	if sb.String() != want {
		t.Errorf("got  %s\nwant %s", sb.String(), want)
	}
	if _, err := FromGo(b, s, map[string]any{"id": "seven"}); err == nil || !strings.Contains(err.Error(), `field "id"`) {
		t.Errorf("a string in an int32 field gave %v", err)
	}
}

func TestHeadersStayTogether(t *testing.T) {
	b := &Batch{}
	x := b.Append()
	b.AddHeader(x, Header{Key: "a"})
	b.AddHeader(x, Header{Key: "b"})
	b.Append()
	y := &b.Records[1]
	b.AddHeader(y, Header{Key: "c"})
	x = &b.Records[0]
	b.AddHeader(x, Header{Key: "d"})
	b.Append()
	b.ShareHeaders(&b.Records[2], &b.Records[0])
	for i, want := range []string{"abd", "c", "abd"} {
		got := ""
		for _, h := range b.Headers(&b.Records[i]) {
			got += h.Key
		}
		if got != want {
			t.Errorf("record %d has headers %q, want %q", i, got, want)
		}
	}
}

func TestWarmBatchAllocatesNothing(t *testing.T) {
	b := &Batch{}
	fill := func() {
		b.Reset()
		for range 100 {
			row := b.Alloc(Struct, 3)
			b.SetChild(row, 0, Int64Cell(1))
			b.SetChild(row, 1, b.StringCell("text"))
			r := b.Append()
			r.Value = row
			b.AddHeader(r, Header{Key: "k", Value: row})
		}
	}
	fill()
	if n := testing.AllocsPerRun(20, fill); n != 0 {
		t.Errorf("%v allocations to refill a warm batch", n)
	}
}

func TestPoolDropsWhatHasGrownTooLarge(t *testing.T) {
	p := &Pool{Keep: 1 << 10}
	big, small := p.Get(), p.Get()
	big.StringCell(strings.Repeat("x", 1<<12))
	small.StringCell("x")
	big.Release()
	small.Release()
	if got := p.Get(); got != small {
		t.Error("the small batch was not kept")
	}
	if got := p.Get(); got == big {
		t.Error("the batch beyond Keep was kept")
	}
}
