package worker

import (
	"time"

	"millrace/internal/metrics"
	"millrace/internal/record"
)

// tally is what is counted of one topic.
type tally struct {
	to          *metrics.SinkTopic
	rows, bytes int
}

// clock tells where values of a schema hold the time of the commit in the source, in
// ms since 1970: source.ts_ms of an envelope, or __source_ts_ms, as
// ExtractNewRecordState names it with add.fields=source.ts_ms. -1: nowhere.
type clock struct{ outer, inner int }

func clockOf(s *record.Schema) clock {
	if s.Type != record.Struct {
		return clock{-1, -1}
	}
	if i, src := s.Field("source"); i >= 0 && src.Type == record.Struct {
		if j, ts := src.Field("ts_ms"); j >= 0 && ts.Type == record.Int64 {
			return clock{i, j}
		}
	}
	if i, ts := s.Field("__source_ts_ms"); i >= 0 && ts.Type == record.Int64 {
		return clock{i, -1}
	}
	return clock{-1, -1}
}

// committed returns when a record's change was committed in the source; 0: it does not say.
func (t *SinkTask) committed(b *record.Batch, r *record.Record) int64 {
	if r.Value.IsNull() {
		return 0
	}
	if r.ValueSchema == nil {
		return committedOf(b, r.Value)
	}
	at, known := t.clocks[r.ValueSchema]
	if !known {
		at = clockOf(r.ValueSchema)
		t.clocks[r.ValueSchema] = at
	}
	if at.outer < 0 {
		return 0
	}
	c := b.Child(r.Value, at.outer)
	if at.inner >= 0 {
		if c.Kind() != record.Struct {
			return 0
		}
		c = b.Child(c, at.inner)
	}
	if c.Kind() != record.Int64 {
		return 0
	}
	return c.Int()
}

// committedOf is committed of a value without schema.
func committedOf(b *record.Batch, v record.Cell) int64 {
	at := entry(b, v, "__source_ts_ms")
	if at.IsNull() {
		at = entry(b, entry(b, v, "source"), "ts_ms")
	}
	if at.Kind() != record.Int64 {
		return 0
	}
	return at.Int()
}

// entry returns the value of a key of a map; null: it has none, or is none.
func entry(b *record.Batch, v record.Cell, key string) record.Cell {
	if v.Kind() == record.Map {
		for kv := b.Children(v); len(kv) > 1; kv = kv[2:] {
			if kv[0].Kind() == record.String && string(b.Raw(kv[0])) == key {
				return kv[1]
			}
		}
	}
	return record.Cell{}
}

// count adds a chunk that was written to the metrics.
func (t *SinkTask) count(c *chunk) {
	t.cfg.Metrics.SinkRows.Add(float64(len(c.batch.Records)))
	now := time.Now()
	for i, rec := range c.raws {
		r := &c.batch.Records[i]
		x := t.tallies[r.Origin.Topic]
		if x == nil {
			x = &tally{to: t.cfg.Metrics.SinkTopic(r.Origin.Topic.Name)}
			t.tallies[r.Origin.Topic] = x
		}
		x.rows, x.bytes = x.rows+1, x.bytes+c.sizes[i]
		at := rec.Timestamp
		if !at.IsZero() {
			t.cfg.Metrics.SinkLag.Observe(max(0, now.Sub(at).Seconds()))
		}
		if ms := t.committed(&c.batch, r); ms > 0 {
			at = time.UnixMilli(ms)
		}
		if !at.IsZero() {
			x.to.Lag.Observe(max(0, now.Sub(at).Seconds()))
		}
	}
	for _, x := range t.tallies {
		if x.rows == 0 {
			continue
		}
		x.to.Rows.Add(float64(x.rows))
		x.to.Bytes.Add(float64(x.bytes))
		x.to.Put.Observe(c.took.Seconds())
		x.rows, x.bytes = 0, 0
	}
}
