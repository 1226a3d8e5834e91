package store

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sort"
	"strings"
	"sync"
)

// Offsets is the store of source offsets. It is safe for concurrent use.
type Offsets struct {
	log    Log
	logger *slog.Logger

	mu sync.Mutex
	// by connector, then by canonical partition (keys sorted)
	rows map[string]map[string]*offsetRow
}

type offsetRow struct {
	key       []byte // the whole key as it was first written, kept for ever
	partition []byte
	offset    []byte // nil: reset
}

// PartitionOffset is one source partition and its offset, as JSON; Offset nil is
// a reset.
type PartitionOffset struct{ Partition, Offset []byte }

// NewOffsets makes an offset store over a log.
func NewOffsets(log Log, logger *slog.Logger) *Offsets {
	return &Offsets{log: log, logger: logger, rows: map[string]map[string]*offsetRow{}}
}

// Start replays the log.
func (o *Offsets) Start(ctx context.Context) error { return o.log.Start(ctx, o.apply) }

// Close stops reading.
func (o *Offsets) Close(ctx context.Context) error { return o.log.Close(ctx) }

// Sync reads to the end of the log, so that offsets of a task that another
// worker ran are seen.
func (o *Offsets) Sync(ctx context.Context) error { return o.log.Sync(ctx) }

func (o *Offsets) apply(r Record) {
	conn, part, err := parseOffsetKey(r.Key)
	if err != nil {
		o.logger.Warn("skip a record of the offset storage that is no offset", "key", string(r.Key), "error", err)
		return
	}
	canon, err := Canonical(part)
	if err != nil {
		o.logger.Warn("skip a record of the offset storage that is no offset", "key", string(r.Key), "error", err)
		return
	}
	if r.Value != nil {
		if string(r.Value) == "null" {
			r.Value = nil
		} else if _, err := ParseJSON(r.Value); err != nil {
			o.logger.Warn("skip an offset that cannot be read", "key", string(r.Key), "error", err)
			return
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	m := o.rows[conn]
	if m == nil {
		m = map[string]*offsetRow{}
		o.rows[conn] = m
	}
	// The newest spelling of a key wins: Java finds an offset by the bytes it
	// would write itself.
	m[canon] = &offsetRow{key: append([]byte(nil), r.Key...), partition: part, offset: clone(r.Value)}
}

func clone(b []byte) []byte {
	if b == nil {
		return nil
	}
	return append([]byte{}, b...)
}

// Get returns the offset of a connector's partition, nil if there is none.
func (o *Offsets) Get(connector string, partition []byte) []byte {
	canon, err := Canonical(partition)
	if err != nil {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if r := o.rows[connector][canon]; r != nil {
		return r.offset
	}
	return nil
}

// List returns the partitions of a connector that have an offset, sorted.
func (o *Offsets) List(connector string) []PartitionOffset {
	o.mu.Lock()
	defer o.mu.Unlock()
	var keys []string
	for k, r := range o.rows[connector] {
		if r.offset != nil {
			keys = append(keys, k)
		}
	}
	sort.Strings(keys)
	out := make([]PartitionOffset, 0, len(keys))
	for _, k := range keys {
		r := o.rows[connector][k]
		out = append(out, PartitionOffset{r.partition, r.offset})
	}
	return out
}

// Put stores offsets of a connector and returns when they are durable and read
// back. The key bytes of a partition that is known are used again.
func (o *Offsets) Put(ctx context.Context, connector string, offsets ...PartitionOffset) error {
	recs := make([]Record, 0, len(offsets))
	for _, p := range offsets {
		recs = append(recs, Record{Key: o.Key(connector, p.Partition), Value: p.Offset})
	}
	return o.log.Append(ctx, recs...)
}

// PutAsync hands an offset over without waiting; a failure is logged.
func (o *Offsets) PutAsync(connector string, p PartitionOffset) {
	o.log.AppendAsync(Record{Key: o.Key(connector, p.Partition), Value: p.Offset}, func(err error) {
		if err != nil {
			o.logger.Warn("an offset was not copied", "connector", connector, "error", err)
		}
	})
}

// Key is the key under which a partition's offset is stored: the bytes that were
// used before, if it is known.
func (o *Offsets) Key(connector string, partition []byte) []byte {
	if canon, err := Canonical(partition); err == nil {
		o.mu.Lock()
		row := o.rows[connector][canon]
		o.mu.Unlock()
		if row != nil {
			return row.key
		}
	}
	return OffsetKey(connector, partition)
}

// For binds the store to a connector, as emit wants it.
func (o *Offsets) For(connector string) ConnectorOffsets { return ConnectorOffsets{o, connector} }

// ConnectorOffsets is the offset store of one connector.
type ConnectorOffsets struct {
	offsets   *Offsets
	connector string
}

// Put implements emit.OffsetStore.
func (c ConnectorOffsets) Put(ctx context.Context, partition, offset []byte) error {
	return c.offsets.Put(ctx, c.connector, PartitionOffset{partition, offset})
}

// OffsetKey is the key of a partition: ["connector",{partition}].
func OffsetKey(connector string, partition []byte) []byte {
	k := AppendJSONString([]byte{'['}, connector)
	k = append(append(k, ','), partition...)
	return append(k, ']')
}

func parseOffsetKey(key []byte) (connector string, partition []byte, err error) {
	v, err := ParseJSON(key)
	if err != nil {
		return "", nil, err
	}
	l, ok := v.([]any)
	if !ok || len(l) != 2 {
		return "", nil, fmt.Errorf("the key is no pair")
	}
	name, ok := l[0].(string)
	if !ok {
		return "", nil, fmt.Errorf("the key does not begin with a connector's name")
	}
	if _, ok := l[1].(*Object); !ok {
		return "", nil, fmt.Errorf("the key holds no partition")
	}
	return name, AppendJSON(nil, l[1]), nil
}

// Canonical spells a JSON document with sorted keys and without spaces, to
// compare partitions that were written in different orders.
func Canonical(doc []byte) (string, error) {
	v, err := ParseJSON(doc)
	if err != nil {
		return "", err
	}
	return string(AppendJSON(nil, sorted(v))), nil
}

func sorted(v any) any {
	switch x := v.(type) {
	case *Object:
		o := &Object{Fields: make([]Field, len(x.Fields))}
		for i, f := range x.Fields {
			o.Fields[i] = Field{f.Key, sorted(f.Value)}
		}
		sort.SliceStable(o.Fields, func(i, j int) bool { return o.Fields[i].Key < o.Fields[j].Key })
		return o
	case []any:
		out := make([]any, len(x))
		for i := range x {
			out[i] = sorted(x[i])
		}
		return out
	case json.Number:
		// 1 and 1.0 stay different, as they do in Java's bytes.
		return json.Number(strings.TrimPrefix(x.String(), "+"))
	}
	return v
}
