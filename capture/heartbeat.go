package capture

import "millrace/internal/record"

var (
	heartbeatKey = &record.Schema{Type: record.Struct, Name: "io.debezium.connector.common.ServerNameKey", Version: 1,
		Fields: []record.Field{{Name: "serverName", Schema: record.PlainString}}}
	heartbeatValue = &record.Schema{Type: record.Struct, Name: "io.debezium.connector.common.Heartbeat", Version: 1,
		Fields: []record.Field{{Name: "ts_ms", Schema: record.PlainInt64}}}
)

// AppendHeartbeat appends a heartbeat record of the logical server. It goes to
// partition 0, as Debezium's do. nowMs is the connector's clock in ms since 1970.
func AppendHeartbeat(b *record.Batch, topic *record.Topic, server string, nowMs int64) {
	k := b.Alloc(record.Struct, 1)
	b.SetChild(k, 0, b.StringCell(server))
	v := b.Alloc(record.Struct, 1)
	b.SetChild(v, 0, record.Int64Cell(nowMs))
	r := b.Append()
	r.Topic, r.KeySchema, r.Key, r.ValueSchema, r.Value = topic, heartbeatKey, k, heartbeatValue, v
	r.Partition = 0
}
