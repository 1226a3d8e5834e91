package capture

import (
	"strconv"

	"millrace/emit"
	"millrace/internal/record"
	"millrace/internal/store"
)

var (
	txKey = &record.Schema{Type: record.Struct, Name: "io.debezium.connector.common.TransactionMetadataKey", Version: 1,
		Fields: []record.Field{{Name: "id", Schema: record.PlainString}}}
	txCollection = &record.Schema{Type: record.Struct, Optional: true, Name: "event.collection", Version: 1, Fields: []record.Field{
		{Name: "data_collection", Schema: record.PlainString}, {Name: "event_count", Schema: record.PlainInt64}}}
	txValue = &record.Schema{Type: record.Struct, Name: "io.debezium.connector.common.TransactionMetadataValue", Version: 1, Fields: []record.Field{
		{Name: "status", Schema: record.PlainString},
		{Name: "id", Schema: record.PlainString},
		{Name: "event_count", Schema: record.OptionalInt64},
		{Name: "data_collections", Schema: &record.Schema{Type: record.Array, Optional: true, Elem: txCollection}},
		{Name: "ts_ms", Schema: record.PlainInt64},
	}}
)

// Transaction counts the events of the running transaction and makes the
// records about it. The zero value is outside of a transaction.
type Transaction struct {
	total  int64
	tables []tableCount // in order of first event
}

type tableCount struct {
	name string
	n    int64
}

// Count is the number of events of one table in a running transaction.
type Count struct {
	Table string
	N     int64
}

// Reset starts counting anew.
func (t *Transaction) Reset() { t.total, t.tables = 0, t.tables[:0] }

// Restore continues counting in mid-transaction, from the counts of a stored offset.
func (t *Transaction) Restore(counts []Count) {
	t.Reset()
	for _, c := range counts {
		t.tables = append(t.tables, tableCount{c.Table, c.N})
		t.total += c.N
	}
}

// Counts returns the counts so far in the order of each table's first event. The
// slice is new.
func (t *Transaction) Counts() []Count {
	out := make([]Count, len(t.tables))
	for i, c := range t.tables {
		out[i] = Count{c.name, c.n}
	}
	return out
}

// Event counts one event of a table and returns its order in the transaction and
// among the events of its table, both from 1.
func (t *Transaction) Event(table string) (total, collection int64) {
	t.total++
	for i := range t.tables {
		if t.tables[i].name == table {
			t.tables[i].n++
			return t.total, t.tables[i].n
		}
	}
	t.tables = append(t.tables, tableCount{table, 1})
	return t.total, 1
}

// AppendBegin appends the BEGIN record. tsMs is the commit time of the source.
func (t *Transaction) AppendBegin(b *record.Batch, topic *record.Topic, id string, tsMs int64) {
	appendTx(b, topic, "BEGIN", id, tsMs)
}

// AppendEnd appends the END record with the counts. The tables come in the order
// in which Java's HashMap holds their names, since that is what Debezium writes.
func (t *Transaction) AppendEnd(b *record.Batch, topic *record.Topic, id string, tsMs int64) {
	v := appendTx(b, topic, "END", id, tsMs)
	order := store.NewHash()
	for i := range t.tables {
		order.Put(t.tables[i].name, strconv.Itoa(i))
	}
	list := b.Alloc(record.Array, len(t.tables))
	for i, e := range order.Entries() {
		at, _ := strconv.Atoi(e.Value)
		c := b.Alloc(record.Struct, 2)
		b.SetChild(c, 0, b.StringCell(e.Key))
		b.SetChild(c, 1, record.Int64Cell(t.tables[at].n))
		b.SetChild(list, i, c)
	}
	b.SetChild(v, 2, record.Int64Cell(t.total))
	b.SetChild(v, 3, list)
}

func appendTx(b *record.Batch, topic *record.Topic, status, id string, tsMs int64) record.Cell {
	k := b.Alloc(record.Struct, 1)
	b.SetChild(k, 0, b.StringCell(id))
	v := b.Alloc(record.Struct, 5)
	b.SetChild(v, 0, b.StringCell(status))
	b.SetChild(v, 1, b.StringCell(id))
	b.SetChild(v, 4, record.Int64Cell(tsMs))
	r := b.Append()
	r.Topic, r.KeySchema, r.Key, r.ValueSchema, r.Value = topic, txKey, k, txValue, v
	return v
}

// Block makes the envelope's transaction block of one event.
func Block(b *record.Batch, id record.Cell, total, collection int64) record.Cell {
	return emit.TransactionCell(b, id, total, collection)
}
