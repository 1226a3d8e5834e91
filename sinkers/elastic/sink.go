package elastic

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"millrace/internal/configdef"
	"millrace/internal/errs"
	"millrace/internal/record"
)

// Sink is one task of an Elasticsearch or OpenSearch sink.
type Sink struct {
	cfg     *config
	log     *slog.Logger
	client  *client
	nodes   map[*record.Schema]*node
	indices map[string]bool // made or found
	lanes   []lane
	scratch []byte
	tries   int
}

// NewConfluent makes a task of Confluent's Elasticsearch sink; Start connects.
func NewConfluent(props map[string]string, log *slog.Logger) (*Sink, error) {
	return newSink(DefConfluent(), confluentConfig, props, log)
}

// NewOpenSearch makes a task of Aiven's OpenSearch sink; Start connects.
func NewOpenSearch(props map[string]string, log *slog.Logger) (*Sink, error) {
	return newSink(DefOpenSearch(), openSearchConfig, props, log)
}

func newSink(def *configdef.Def, read func(configdef.Values) *config, props map[string]string, log *slog.Logger) (*Sink, error) {
	v, err := def.Parse(props)
	if err != nil {
		return nil, &errs.Error{Java: errs.ConfigException, Msg: err.Error()}
	}
	c := read(v)
	cl, err := newClient(c)
	if err != nil {
		return nil, &errs.Error{Java: errs.ConfigException, Msg: err.Error()}
	}
	return &Sink{cfg: c, log: log, client: cl, nodes: map[*record.Schema]*node{}, indices: map[string]bool{}, lanes: make([]lane, c.lanes)}, nil
}

// Start asks the cluster for an answer.
func (s *Sink) Start(ctx context.Context) error {
	status, body, err := s.client.do(ctx, http.MethodGet, "/", "", nil)
	if err == nil && (status == http.StatusUnauthorized || status == http.StatusForbidden || busy(status)) {
		err = statusError(status, "GET /", body)
	}
	if err != nil { // any other answer shows that the cluster is there; small builds have no root page
		return &errs.Error{Java: errs.ConnectException, Msg: "Could not connect to the cluster at " + strings.Join(s.cfg.urls, ","), Retriable: errs.Retriable(err), Cause: err}
	}
	return nil
}

// Flush has nothing to do: Put returns when everything was answered.
func (s *Sink) Flush(context.Context) error { return nil }

// Stop closes idle connections.
func (s *Sink) Stop() error {
	s.client.http.CloseIdleConnections()
	return nil
}

// Put sends the batch and returns when every item was answered.
func (s *Sink) Put(ctx context.Context, b *record.Batch) error {
	for i := range s.lanes {
		s.lanes[i].reset()
	}
	var bad []errs.BadRecord
	for i := range b.Records {
		err := s.add(ctx, b, i)
		var e *errs.Error
		switch {
		case err == nil:
		case errors.As(err, &e) && e.Java == errs.DataException:
			if s.cfg.malformed == onIgnore || s.cfg.malformed == onWarn {
				s.log.Warn("record left out", "error", err, "topic", b.Records[i].Origin.Topic.Name, "partition", b.Records[i].Origin.Partition, "offset", b.Records[i].Origin.Offset)
				continue
			}
			bad = append(bad, errs.BadRecord{Index: i, Err: err})
		default:
			return s.later(err)
		}
	}
	refused, err := s.send(ctx)
	if err != nil {
		return s.later(err)
	}
	s.tries = 0
	if bad = merge(bad, refused); len(bad) > 0 {
		return &errs.RecordError{Bad: bad}
	}
	return nil
}

// merge keeps batch order.
func merge(a, b []errs.BadRecord) []errs.BadRecord {
	out := make([]errs.BadRecord, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if a[0].Index < b[0].Index {
			out, a = append(out, a[0]), a[1:]
		} else {
			out, b = append(out, b[0]), b[1:]
		}
	}
	return append(append(out, a...), b...)
}

// later counts the tries of a retriable error.
func (s *Sink) later(err error) error {
	if !errs.Retriable(err) {
		return err
	}
	s.tries++
	if s.cfg.retries >= 0 && s.tries > s.cfg.retries {
		return &errs.Error{Java: errs.ConnectException, Msg: fmt.Sprintf("Failed after %d retries", s.cfg.retries), Cause: err, Hint: "max.retries sets how many there are; without it they go on until the cluster takes the batch"}
	}
	return &retryLater{err, min(s.cfg.backoff<<min(s.tries, 10), 30*time.Second)}
}

// retryLater is a retriable error that says when to come back.
type retryLater struct {
	error
	delay time.Duration
}

func (e *retryLater) Unwrap() error { return e.error }

// RetryAfter is how long the runner waits before it puts the batch again.
func (e *retryLater) RetryAfter() time.Duration { return e.delay }

func refusal(format string, args ...any) error {
	return &errs.Error{Java: errs.DataException, Msg: fmt.Sprintf(format, args...)}
}

// index returns the index or data stream of a topic.
func (s *Sink) index(topic string) (name string, stream bool) {
	if name := s.cfg.indexOf[topic]; name != "" {
		return name, s.cfg.externalStreams
	}
	if s.cfg.dataStream != nil {
		return s.cfg.dataStream(topic), true
	}
	return indexName(topic), false
}

// prepare makes the index and its mapping when they are missing.
func (s *Sink) prepare(ctx context.Context, topic, index string, stream bool, schema *record.Schema) error {
	mapped := !s.cfg.ignoreSchema && !s.cfg.ignoreSchemaFor[topic]
	if s.indices[index] {
		return nil
	}
	if !stream && s.cfg.indexOf[topic] == "" {
		status, body, err := s.client.do(ctx, http.MethodHead, "/"+url.PathEscape(index), "", nil)
		if err != nil {
			return err
		}
		if status == http.StatusNotFound {
			if _, err = s.client.call(ctx, http.MethodPut, "/"+url.PathEscape(index), nil); err != nil && !strings.Contains(err.Error(), "resource_already_exists_exception") {
				return err
			}
		} else if status >= 300 {
			return statusError(status, "look for index "+index, body)
		}
		if err := s.putMapping(ctx, index, mapped, schema); err != nil {
			return err
		}
	}
	s.indices[index] = true
	return nil
}

func (s *Sink) putMapping(ctx context.Context, index string, mapped bool, schema *record.Schema) error {
	mapped = mapped && schema != nil // without a schema the index maps by itself
	if !mapped && !s.cfg.dynamicMapping {
		return nil
	}
	out, err := s.client.call(ctx, http.MethodGet, "/"+url.PathEscape(index)+"/_mapping", nil)
	if err != nil {
		return err
	}
	var have map[string]struct{ Mappings map[string]json.RawMessage }
	if err := json.Unmarshal(out, &have); err != nil {
		return fmt.Errorf("read the mapping of %s: %w", index, err)
	}
	for _, x := range have {
		if len(x.Mappings) > 0 {
			return nil
		}
	}
	mapping := []byte(`{"dynamic":true}`)
	if mapped {
		if schema.Type != record.Struct {
			return nil
		}
		mapping = appendMapping(nil, schema)
	}
	_, err = s.client.call(ctx, http.MethodPut, "/"+url.PathEscape(index)+"/_mapping", mapping)
	return err
}

// documentID returns the id of a record; versioned tells whether writes of the
// document carry the offset as version.
func (s *Sink) documentID(b *record.Batch, r *record.Record) (id []byte, versioned bool, err error) {
	topic := r.Origin.Topic.Name
	if (s.cfg.ignoreKey || s.cfg.ignoreKeyTopics[topic]) && s.cfg.idStrategy != idKey {
		if s.cfg.idStrategy == idNone {
			return nil, false, nil
		}
		s.scratch = append(append(s.scratch[:0], topic...), '+')
		s.scratch = append(strconv.AppendInt(s.scratch, int64(r.Origin.Partition), 10), '+')
		s.scratch = strconv.AppendInt(s.scratch, r.Origin.Offset, 10)
		return s.scratch, false, nil
	}
	key := r.Key
	if key.IsNull() {
		return nil, false, refusal("Key is used as document id and can not be null (topic %s). Set key.ignore=true to use topic, partition and offset", topic)
	}
	if key.Kind() == record.Map && r.KeySchema == nil && key.Len() == 2 {
		key = b.Child(key, 1) // a schemaless key of one field, as Debezium's JSON without schemas
	}
	id, ok := scalar(s.scratch[:0], b, key)
	s.scratch = id
	if !ok {
		return nil, false, refusal("%s type is not supported as document id. Supported are: int8, int16, int32, int64, string. Use the ExtractField$Key transform, or set key.ignore=true", strings.ToUpper(key.Kind().String()))
	}
	if len(id) > 512 {
		return nil, false, refusal("The key is longer than the 512 bytes that an id may have")
	}
	return id, true, nil
}
