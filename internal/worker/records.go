package worker

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/internal/convert"
	"millrace/internal/kafkaconf"
	"millrace/internal/record"
)

// RecordQuery asks for records of a topic.
type RecordQuery struct {
	// After are the offsets already seen, by partition; partitions that are not there
	// begin Limit records before their end.
	After map[int32]int64
	// Limit is the most records of an answer.
	Limit int
	// Key is a text that the key's bytes must hold; "": any.
	Key string
	// Schema asks for {"schema": …, "payload": …} in place of plain keys and values.
	Schema bool
	// At asks for the records around one: a few before it, Limit in all. nil: not.
	At *RecordPlace
	// Reached, if not nil, is filled with the last offset that was looked at, by
	// partition: After of the next question.
	Reached map[int32]int64
}

// RecordPlace is the place of a record.
type RecordPlace struct {
	Partition int32
	Offset    int64
}

// around is how many records before the one that was asked for are shown.
const around = 10

// TopicRecord is a record as JSON, read with the connector's converters. Problem
// says why a key or value is missing.
type TopicRecord struct {
	Partition int32             `json:"partition"`
	Offset    int64             `json:"offset"`
	Timestamp int64             `json:"timestamp"`
	Key       json.RawMessage   `json:"key"`
	Value     json.RawMessage   `json:"value"`
	Headers   map[string]string `json:"headers,omitempty"`
	Problem   string            `json:"problem,omitempty"`
}

// Records answers GET /connectors/NAME/topics/TOPIC/records, an extension of the
// Connect API: the newest records of one of a connector's topics, oldest first.
func (w *Worker) Records(ctx context.Context, name, topic string, q RecordQuery) ([]TopicRecord, error) {
	c := w.configs.Get(name)
	if c == nil {
		return nil, notFound(name)
	}
	topics, err := w.Topics(name)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(topics, topic) {
		return nil, statusErrorf(404, "The connector %s has not used the topic %s yet.", name, topic)
	}
	props, err := w.cfg.Providers.Resolve(c.Config.Strings())
	if err != nil {
		return nil, err
	}
	set, err := w.converters(props)
	if err != nil {
		return nil, err
	}
	plain, err := convert.NewJSON(map[string]string{"schemas.enable": strconv.FormatBool(q.Schema), "decimal.format": "NUMERIC"}, false)
	if err != nil {
		return nil, err
	}
	conf := kafkaconf.Consumer(w.cfg.clientProps("consumer.", nil, "millrace-records-"+name))
	if err := conf.Err(); err != nil {
		return nil, err
	}
	v := &viewer{topic: &record.Topic{Name: topic}, set: set, plain: plain}
	return v.read(ctx, conf.Opts, q)
}

// viewer turns records into JSON.
type viewer struct {
	topic *record.Topic
	set   converterSet
	plain convert.Converter
	batch record.Batch
}

// recordsTimeout is how long an answer may take to find its records.
const recordsTimeout = 10 * time.Second

func (v *viewer) read(ctx context.Context, opts []kgo.Opt, q RecordQuery) ([]TopicRecord, error) {
	ctx, cancel := context.WithTimeout(ctx, recordsTimeout)
	defer cancel()
	// Without control records a topic that ends with the mark of a transaction would
	// seem to have one more record.
	cl, err := kgo.NewClient(append(opts, kgo.KeepControlRecords())...)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	begins, err := adm.ListStartOffsets(ctx, v.topic.Name)
	if err != nil {
		return nil, err
	}
	ends, err := adm.ListEndOffsets(ctx, v.topic.Name)
	if err != nil {
		return nil, err
	}
	from, left := map[int32]kgo.Offset{}, map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		first, _ := begins.Lookup(v.topic.Name, o.Partition)
		at := max(first.Offset, o.Offset-int64(q.Limit))
		if seen, ok := q.After[o.Partition]; ok {
			at = max(first.Offset, seen+1)
		}
		end := o.Offset
		if q.At != nil {
			if q.At.Partition != o.Partition {
				return
			}
			at = max(first.Offset, q.At.Offset-around)
			end = min(end, at+int64(q.Limit))
		}
		if q.Reached != nil {
			q.Reached[o.Partition] = end - 1
		}
		if at < end {
			from[o.Partition], left[o.Partition] = kgo.NewOffset().At(at), end
		}
	})
	out := []TopicRecord{}
	if len(left) == 0 {
		return out, nil
	}
	until := maps.Clone(left)
	cl.AddConsumePartitions(map[string]map[int32]kgo.Offset{v.topic.Name: from})
	for len(left) > 0 {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			break // what was found so far
		}
		if err := fetches.Err(); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			return nil, err
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
			if r.Attrs.IsControl() || r.Offset >= until[r.Partition] { // what came since is for the next question
				return
			}
			if q.Key == "" || bytes.Contains(r.Key, []byte(q.Key)) {
				out = append(out, v.record(ctx, r))
			}
		})
	}
	slices.SortStableFunc(out, func(a, b TopicRecord) int {
		return cmp.Or(cmp.Compare(a.Timestamp, b.Timestamp), cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
	})
	if n := len(out) - q.Limit; n > 0 {
		out = out[n:]
	}
	return out, nil
}

func (v *viewer) record(ctx context.Context, r *kgo.Record) TopicRecord {
	out := TopicRecord{Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp.UnixMilli()}
	var problems [2]error
	out.Key, problems[0] = v.json(ctx, v.set.key, r.Key)
	out.Value, problems[1] = v.json(ctx, v.set.value, r.Value)
	if err := errors.Join(problems[:]...); err != nil {
		out.Problem = err.Error()
	}
	for _, h := range r.Headers {
		if out.Headers == nil {
			out.Headers = map[string]string{}
		}
		out.Headers[h.Key] = string(h.Value)
	}
	return out
}

func (v *viewer) json(ctx context.Context, conv convert.Converter, data []byte) (json.RawMessage, error) {
	v.batch.Reset()
	s, c, err := conv.Decode(ctx, v.topic, data, &v.batch)
	if err != nil {
		return nil, err
	}
	enc, err := v.plain.Encoder(ctx, v.topic, s)
	if err != nil {
		return nil, err
	}
	out, null, err := enc.Append(nil, &v.batch, c)
	if err != nil || null {
		return json.RawMessage("null"), err
	}
	return out, nil
}
