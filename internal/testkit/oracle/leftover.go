package oracle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// history makes a row of each record in the run's schema history; positions of the
// snapshot and of the stream are numbered apart.
func (s *session) history(ctx context.Context) (out []Row, err error) {
	topic := "history." + s.run.Prefix
	adm := kadm.NewClient(s.Hub.cl)
	ends, err := adm.ListEndOffsets(ctx, topic)
	if err != nil {
		return nil, err
	}
	end, _ := ends.Lookup(topic, 0)
	cl, err := kgo.NewClient(kgo.SeedBrokers(s.Kafka), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}))
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	normal := map[bool]*Normal{true: NewNormal(s.run, *s.c.Normal), false: NewNormal(s.run, *s.c.Normal)}
	for next := int64(0); next < end.Offset; {
		fetched := cl.PollFetches(ctx)
		if err := fetched.Err(); err != nil {
			return nil, err
		}
		fetched.EachRecord(func(r *kgo.Record) {
			next = r.Offset + 1
			row, e := s.historyRow(r.Value, normal)
			if err = errors.Join(err, e); row != nil {
				out = append(out, row)
			}
		})
	}
	return out, err
}

func (s *session) historyRow(value []byte, normal map[bool]*Normal) (Row, error) {
	if strings.Contains(string(value), "zz_sentinel") {
		return nil, nil
	}
	v, err := ParseJSON(value)
	o, ok := v.(*Object)
	if err != nil || !ok {
		return nil, fmt.Errorf("a record of the schema history is no object: %w", err)
	}
	if db, _ := o.Get("databaseName"); db != nil && db != "" && !strings.Contains(fmt.Sprint(db), s.run.DB[1:]) {
		return nil, nil
	}
	pos, _ := o.Get("position")
	p, ok := pos.(*Object)
	if !ok {
		return nil, errors.New("a record of the schema history has no position")
	}
	_, initial := p.Get("snapshot")
	out := &Object{}
	for i, k := range o.Keys {
		out.Set(k, normal[initial].Walk(o.Vals[i], k, k == "position"))
	}
	return object("topic", "~history", "key", nil, "value", out), nil
}

// offsets stops the connector and makes a row of each offset that it left. The keys
// event and row depend on the moment of the stop and are left out.
func (s *session) offsets(ctx context.Context) ([]Row, error) {
	if err := s.stop(ctx); err != nil {
		return nil, err
	}
	var raw struct{ Offsets []map[string]map[string]any }
	if err := s.Rest.Do(ctx, "GET", "/connectors/"+s.name+"/offsets", nil, &raw); err != nil {
		return nil, err
	}
	n := NewNormal(s.run, *s.c.Normal)
	var out []Row
	for _, o := range raw.Offsets {
		row := &Object{}
		for _, part := range []string{"partition", "offset"} {
			x := &Object{}
			for _, k := range sortedKeys(o[part]) {
				if k != "event" && k != "row" {
					x.Set(n.Text(k), n.Walk(plainValue(o[part][k]), k, true))
				}
			}
			row.Set(part, x)
		}
		out = append(out, object("topic", "~offsets", "key", nil, "value", row))
	}
	return out, nil
}

func sortedKeys(m map[string]any) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// plainValue turns a value of encoding/json into one of this package's.
func plainValue(v any) Value {
	switch x := v.(type) {
	case float64:
		return Int(fmt.Sprintf("%.0f", x))
	default:
		return x
	}
}
