package emit

import (
	"strings"
	"testing"

	"millrace/internal/record"
)

func testEnvelope(t testing.TB, tombstones bool) (*Envelope, *Shared) {
	t.Helper()
	in := &record.Interner{}
	key := in.Intern(&record.Schema{Type: record.Struct, Name: "s.t.Key", Fields: []record.Field{{Name: "id", Schema: record.PlainInt32}}})
	val := in.Intern(&record.Schema{Type: record.Struct, Optional: true, Name: "s.t.Value", Fields: []record.Field{{Name: "id", Schema: record.PlainInt32}, {Name: "v", Schema: record.OptionalString}}})
	src := in.Intern(&record.Schema{Type: record.Struct, Name: "src", Fields: []record.Field{{Name: "lsn", Schema: record.PlainInt64}}})
	return NewEnvelope(in, EnvelopeSpec{Topic: &record.Topic{Name: "s.t"}, Name: "s.t.Envelope", Key: key, Value: val, Source: src, Tombstones: tombstones}),
		NewShared([2]string{"h1", "x"}, [2]string{"h2", "y"})
}

func row(b *record.Batch, id int32, v string) (value, key record.Cell) {
	value, key = b.Alloc(record.Struct, 2), b.Alloc(record.Struct, 1)
	b.SetChild(value, 0, record.Int32Cell(id))
	b.SetChild(value, 1, b.StringCell(v))
	b.SetChild(key, 0, record.Int32Cell(id))
	return value, key
}

func source(b *record.Batch) record.Cell {
	s := b.Alloc(record.Struct, 1)
	b.SetChild(s, 0, record.Int64Cell(7))
	return s
}

// print shows records as text: key, value, header names and values.
func printRecords(b *record.Batch) string {
	var sb strings.Builder
	for i := range b.Records {
		r := &b.Records[i]
		record.Dump(&sb, b, r.Key)
		sb.WriteByte(' ')
		record.Dump(&sb, b, r.Value)
		for _, h := range b.Headers(r) {
			sb.WriteString(" " + h.Key + "=")
			record.Dump(&sb, b, h.Value)
		}
		sb.WriteByte('\n')
	}
	return sb.String()
}

func TestEnvelope(t *testing.T) {
	e, s := testEnvelope(t, true)
	b := &record.Batch{}
	s.Begin(b)
	v, k := row(b, 1, "a")
	c := Change{Op: OpCreate, After: v, Key: k, Source: source(b), NowNs: 1700000000123456789}
	e.Append(b, s, &c)
	c = Change{Op: OpDelete, Before: v, Key: k, Source: source(b), NowNs: 1e9}
	e.Append(b, s, &c)
	v2, k2 := row(b, 2, "a")
	del, ins := Change{Op: OpDelete, Before: v, Source: source(b), NowNs: 1e9}, Change{Op: OpCreate, After: v2, Source: source(b), NowNs: 1e9}
	e.AppendKeyChange(b, s, &del, &ins, k, k2)
	c = Change{Op: OpTruncate, Key: k, Source: source(b), NowNs: 1e9}
	e.Append(b, s, &c)
	const now = ` "d" int64:1000 int64:1000000 int64:1000000000)`
	want := `struct(int32:1) struct(null struct(int32:1 "a") struct(int64:7) null "c" int64:1700000000123 int64:1700000000123456 int64:1700000000123456789) h1="x" h2="y"
struct(int32:1) struct(struct(int32:1 "a") null struct(int64:7) null` + now + ` h1="x" h2="y"
struct(int32:1) null h1="x" h2="y"
struct(int32:1) struct(struct(int32:1 "a") null struct(int64:7) null` + now + ` __debezium.newkey=struct(int32:2) h1="x" h2="y"
struct(int32:1) null __debezium.newkey=struct(int32:2) h1="x" h2="y"
struct(int32:2) struct(null struct(int32:2 "a") struct(int64:7) null "c" int64:1000 int64:1000000 int64:1000000000) __debezium.oldkey=struct(int32:1) h1="x" h2="y"
null struct(null null struct(int64:7) null "t" int64:1000 int64:1000000 int64:1000000000) h1="x" h2="y"
`
	if got := printRecords(b); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if b.Records[6].KeySchema != nil || b.Records[2].ValueSchema != nil || b.Records[2].KeySchema != e.Key {
		t.Error("schemas of truncate and tombstone")
	}
	var names []string
	for _, f := range e.Schema.Fields {
		names = append(names, f.Name)
	}
	if got := strings.Join(names, " "); got != "before after source transaction op ts_ms ts_us ts_ns" || e.Schema.Version != 2 {
		t.Error(got)
	}
}

func TestEnvelopeSkippedHalves(t *testing.T) {
	e, s := testEnvelope(t, false)
	b := &record.Batch{}
	s.Begin(b)
	v, k := row(b, 1, "a")
	_, k2 := row(b, 2, "a")
	e.AppendKeyChange(b, s, nil, &Change{Op: OpCreate, After: v, Source: source(b)}, k, k2)
	e.AppendKeyChange(b, s, &Change{Op: OpDelete, Before: v, Source: source(b)}, nil, k, k2)
	if len(b.Records) != 2 || b.Headers(&b.Records[0])[0].Key != HeaderOldKey || b.Headers(&b.Records[1])[0].Key != HeaderNewKey {
		t.Errorf("got\n%s", printRecords(b))
	}
}

// TestTransformsDoNotShare: what is done to the headers or the key of one record
// must not show in its neighbours.
func TestTransformsDoNotShare(t *testing.T) {
	e, s := testEnvelope(t, true)
	b := &record.Batch{}
	s.Begin(b)
	v, k := row(b, 1, "a")
	e.Append(b, s, &Change{Op: OpDelete, Before: v, Key: k, Source: source(b)})
	before := printRecords(b)
	b.AddHeader(&b.Records[0], record.Header{Key: "mine", Schema: record.PlainString, Value: b.StringCell("z")})
	b.SetChild(b.Records[0].Key, 0, record.Int32Cell(99))
	if got := strings.SplitN(printRecords(b), "\n", 2)[1]; got != strings.SplitN(before, "\n", 2)[1] {
		t.Errorf("the tombstone changed with its delete:\n%s", got)
	}
}

func TestEnvelopeAllocatesNothing(t *testing.T) {
	e, s := testEnvelope(t, true)
	b := &record.Batch{}
	fill := func() {
		b.Reset()
		s.Begin(b)
		for i := range int32(200) {
			v, k := row(b, i, "some text")
			c := Change{Op: OpUpdate, Before: v, After: v, Key: k, Source: source(b), Tx: TransactionCell(b, b.StringCell("1:2"), 1, 1)}
			e.Append(b, s, &c)
			c.Op = OpDelete
			e.Append(b, s, &c)
			del, ins := c, c
			e.AppendKeyChange(b, s, &del, &ins, k, k)
		}
	}
	fill()
	if n := testing.AllocsPerRun(20, fill); n != 0 {
		t.Errorf("%v allocations per batch of 200 rows on a warm batch", n)
	}
}
