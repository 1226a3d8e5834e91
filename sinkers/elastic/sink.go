package elastic

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"millrace/internal/configdef"
	"millrace/internal/errs"
	"millrace/internal/record"
)

// Sink is one task of an Elasticsearch or OpenSearch sink.
type Sink struct {
	cfg       *config
	log       *slog.Logger
	client    *client
	nodes     map[planKey]*node
	topics    map[string]*resource
	resources map[string]*resource // by name
	lanes     []lane
	use       int    // of lanes, by this batch
	id, route []byte // of the record being added
	absent    absent
	tries     int
	crowd     atomic.Int32            // requests that take turns from now on; see post
	turn      chan struct{}           // room for the one whose turn it is
	anew      map[partition]time.Time // read from their beginning; see Anew
	last      stamp                   // of the batch that the lanes still hold; zero: none
	gathering stamp                   // the batch whose records are being added
	refused   []errs.BadRecord        // of that batch, before anything was sent
	reports   []errs.BadRecord        // likewise, that end no task
}

type partition struct {
	topic string
	id    int32
}

// stamp tells one batch from another.
type stamp struct {
	n           int
	first, last record.Origin
}

func stampOf(b *record.Batch) stamp {
	n := len(b.Records)
	if n == 0 {
		return stamp{}
	}
	return stamp{n, b.Records[0].Origin, b.Records[n-1].Origin}
}

// NewConfluent makes a task of Confluent's Elasticsearch sink; Start connects.
func NewConfluent(props map[string]string, log *slog.Logger) (*Sink, error) {
	return newSink(DefConfluent(), confluentConfig, props, log)
}

// NewOpenSearch makes a task of Aiven's OpenSearch sink; Start connects.
func NewOpenSearch(props map[string]string, log *slog.Logger) (*Sink, error) {
	return newSink(DefOpenSearch(), openSearchConfig, props, log)
}

func newSink(def *configdef.Def, read func(configdef.Values) (*config, error), props map[string]string, log *slog.Logger) (*Sink, error) {
	v, err := def.Parse(props)
	if err != nil {
		return nil, configError("%s", err.Error())
	}
	c, err := read(v)
	if err != nil {
		return nil, err
	}
	return &Sink{cfg: c, log: log, client: newClient(c), nodes: map[planKey]*node{}, topics: map[string]*resource{}, resources: map[string]*resource{},
		lanes: make([]lane, c.lanes), turn: make(chan struct{}, 1), anew: map[partition]time.Time{}, absent: absent{text: []byte(v.String("unavailable.value.placeholder"))}}, nil
}

// Start asks the cluster for an answer.
func (s *Sink) Start(ctx context.Context) error {
	status, body, err := s.client.do(ctx, http.MethodGet, "/", "", nil)
	if err == nil && (status == http.StatusUnauthorized || status == http.StatusForbidden || busy(status)) {
		err = statusError(status, "GET /", body)
	}
	if err != nil { // any other answer shows that the cluster is there; small builds have no root page
		return &errs.Error{Java: errs.ConnectException, Msg: "Could not connect to the cluster at " + s.client.addresses(), Retriable: errs.Retriable(err), Cause: err}
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

// Anew tells that a partition is read from its beginning because no offset of it is
// stored. Versions are offsets, so documents of an earlier life of the topic (or of
// another partition that held their keys) would outrank all that comes now, and
// updates would be lost. The first record therefore begins a new era of an index
// that is older than this: versions are era and offset, and the era is kept in the
// mapping's _meta.
func (s *Sink) Anew(topic string, id int32) { s.anew[partition{topic, id}] = time.Now() }

// Put sends the batch and returns when every item was answered. A batch that is put
// again goes on with what was not answered yet.
func (s *Sink) Put(ctx context.Context, b *record.Batch) error {
	if is := stampOf(b); s.last != is || is.n == 0 {
		if err := s.gather(ctx, b); err != nil {
			return s.later(err)
		}
		s.last = is
	}
	before := s.open()
	reported, failed, err := s.send(ctx)
	if err != nil {
		if s.open() < before {
			s.tries = 0 // the cluster is back
		}
		return s.later(err)
	}
	s.tries, s.last = 0, stamp{}
	reported, failed = merge(s.reports, reported), merge(s.refused, failed)
	if len(failed) > 0 && !s.cfg.queued {
		r := &b.Records[failed[0].Index]
		return &errs.Error{Java: errs.ConnectException, Msg: fmt.Sprintf("The record of topic %s, partition %d, offset %d cannot be written", r.Origin.Topic.Name, r.Origin.Partition, r.Origin.Offset),
			Hint: "errors.tolerance=all with errors.deadletterqueue.topic.name sends such records to a topic and goes on; drop.invalid.message and the behavior.on.* settings leave them out", Cause: failed[0].Err}
	}
	if bad := merge(reported, failed); len(bad) > 0 {
		return &errs.RecordError{Bad: bad}
	}
	return nil
}

// open is how many items of the batch were not answered yet.
func (s *Sink) open() (n int) {
	for i := range s.lanes {
		n += len(s.lanes[i].left)
	}
	return n
}

// gather turns the records into the lanes' actions.
func (s *Sink) gather(ctx context.Context, b *record.Batch) error {
	s.last, s.refused, s.reports, s.gathering = stamp{}, nil, nil, stampOf(b)
	for i := range s.lanes {
		s.lanes[i].reset()
	}
	// No more requests than the batch needs: each costs the cluster a sync of its log.
	s.use = max(1, min(len(s.lanes), (len(b.Records)+s.cfg.batch-1)/s.cfg.batch))
	for i := range b.Records {
		err := s.add(ctx, b, i)
		var e *errs.Error
		var bad *malformed
		switch {
		case err == nil:
		case errors.As(err, &bad):
			s.malformed(&b.Records[i], errs.BadRecord{Index: i, Err: bad.err})
		case errors.As(err, &e) && e.Java == errs.DataException:
			if s.cfg.dropInvalid {
				s.log.Warn("record left out", "error", err, "topic", b.Records[i].Origin.Topic.Name, "partition", b.Records[i].Origin.Partition, "offset", b.Records[i].Origin.Offset)
				if !s.cfg.reported {
					continue
				}
			}
			s.refused = append(s.refused, errs.BadRecord{Index: i, Err: err})
			if !s.cfg.queued {
				return nil // it ends the task: what comes behind it is not written
			}
		default:
			return err
		}
	}
	return nil
}

// malformed deals with a record whose document the cluster would refuse.
func (s *Sink) malformed(r *record.Record, bad errs.BadRecord) {
	switch s.cfg.malformed {
	case onFail:
		s.refused = append(s.refused, bad)
		return
	case onWarn:
		s.log.Warn("document left out", "error", bad.Err, "topic", r.Origin.Topic.Name, "partition", r.Origin.Partition, "offset", r.Origin.Offset)
	}
	if s.cfg.malformed == onReport || s.cfg.reported {
		s.reports = append(s.reports, bad)
	}
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
	return &retryLater{err, min(s.cfg.backoff<<min(s.tries, 10), 10*time.Second)}
}

// retryLater is a retriable error that says when to come back.
type retryLater struct {
	error
	delay time.Duration
}

func (e *retryLater) Unwrap() error { return e.error }

// RetryAfter is how long the runner waits before it puts the batch again.
func (e *retryLater) RetryAfter() time.Duration { return e.delay }

// refusal is the error of a record that cannot become a document; see
// drop.invalid.message.
func refusal(format string, args ...any) error {
	return &errs.Error{Java: errs.DataException, Msg: fmt.Sprintf(format, args...)}
}

// malformed is the error of a document that the cluster is known to refuse, so that
// it need not be sent; see behavior.on.malformed.documents.
type malformed struct{ err error }

func (e *malformed) Error() string { return e.err.Error() }

func malformedf(format string, args ...any) error { return &malformed{refusal(format, args...)} }

// keyIgnored: Java's sink goes by the topic's name behind transforms; the one before them is taken too.
func (s *Sink) keyIgnored(r *record.Record) bool {
	return s.cfg.ignoreKey || s.cfg.ignoreKeyTopics[r.Topic.Name] || s.cfg.ignoreKeyTopics[r.Origin.Topic.Name]
}

// keyOf is a record's key; the one field of a schemaless key, as Debezium's JSON
// without schemas has it, stands for itself.
func keyOf(b *record.Batch, r *record.Record) record.Cell {
	if r.Key.Kind() == record.Map && r.KeySchema == nil && r.Key.Len() == 2 {
		return b.Child(r.Key, 1)
	}
	return r.Key
}

// documentID returns the id of a record; versioned tells whether writes of the
// document carry the offset as version.
func (s *Sink) documentID(b *record.Batch, r *record.Record) (id []byte, versioned bool, err error) {
	topic := r.Origin.Topic.Name
	if s.keyIgnored(r) && s.cfg.idStrategy != idKey {
		if s.cfg.idStrategy == idNone {
			return nil, false, nil
		}
		// The name before transforms: topics that are routed into one index keep their documents apart.
		s.id = append(append(s.id[:0], topic...), '+')
		s.id = append(strconv.AppendInt(s.id, int64(r.Origin.Partition), 10), '+')
		s.id = strconv.AppendInt(s.id, r.Origin.Offset, 10)
		return s.id, false, nil
	}
	if r.Key.IsNull() {
		return nil, false, refusal("Key is used as document id and can not be null (topic %s). Set key.ignore=true to use topic, partition and offset", topic)
	}
	id, ok := scalar(s.id[:0], b, keyOf(b, r))
	s.id = id
	if ok && len(id) == 0 {
		return nil, false, malformedf("The key of a record of topic %s is an empty text, which cannot be a document's id. Set key.ignore=true to use topic, partition and offset", topic)
	}
	if !ok {
		return nil, false, refusal("%s type is not supported as document id. Supported are: int8, int16, int32, int64, string. Use the ExtractField$Key transform, or set key.ignore=true", strings.ToUpper(r.Key.Kind().String()))
	}
	if len(id) > 512 {
		return nil, false, malformedf("The key is longer than the 512 bytes that an id may have")
	}
	return id, true, nil
}
