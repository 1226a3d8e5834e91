package capture

import (
	"millrace/internal/record"
	"millrace/internal/store"
)

var (
	noteKey = &record.Schema{Type: record.Struct, Name: "io.debezium.connector.common.NotificationKey", Version: 1,
		Fields: []record.Field{{Name: "id", Schema: record.PlainString}}}
	noteValue = &record.Schema{Type: record.Struct, Name: "io.debezium.connector.common.Notification", Version: 1, Fields: []record.Field{
		{Name: "id", Schema: record.PlainString},
		{Name: "type", Schema: record.PlainString},
		{Name: "aggregate_type", Schema: record.PlainString},
		{Name: "additional_data", Schema: &record.Schema{Type: record.Map, Optional: true, Key: record.PlainString, Elem: record.PlainString}},
		{Name: "timestamp", Schema: record.PlainInt64},
	}}
)

// The aggregate types of notifications.
const (
	InitialSnapshot     = "Initial Snapshot"
	IncrementalSnapshot = "Incremental Snapshot"
)

// Notification tells what a snapshot does.
type Notification struct {
	ID, Aggregate, Type string
	Data                [][2]string // additional_data
}

// AppendNotification appends the record of a notification. additional_data is in
// the order of Java's HashMap.
func AppendNotification(b *record.Batch, topic *record.Topic, n Notification, nowMs int64) {
	m := store.NewHash()
	for _, d := range n.Data {
		m.Put(d[0], d[1])
	}
	es := m.Entries()
	data := b.Alloc(record.Map, 2*len(es))
	for i, e := range es {
		b.SetChild(data, 2*i, b.StringCell(e.Key))
		b.SetChild(data, 2*i+1, b.StringCell(e.Value))
	}
	k := b.Alloc(record.Struct, 1)
	b.SetChild(k, 0, b.StringCell(n.ID))
	v := b.Alloc(record.Struct, 5)
	b.SetChild(v, 0, b.StringCell(n.ID))
	b.SetChild(v, 1, b.StringCell(n.Type))
	b.SetChild(v, 2, b.StringCell(n.Aggregate))
	b.SetChild(v, 3, data)
	b.SetChild(v, 4, record.Int64Cell(nowMs))
	r := b.Append()
	r.Topic, r.KeySchema, r.Key, r.ValueSchema, r.Value = topic, noteKey, k, noteValue, v
}
