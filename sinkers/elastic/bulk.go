package elastic

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"millrace/internal/errs"
	"millrace/internal/record"
)

// lane is the actions of a batch that are sent one request after the other; all
// actions of a document are in one lane.
type lane struct {
	body  []byte
	items []item
	bad   []errs.BadRecord
	err   error
	seen  map[uint64]bool // ids of the request being filled
}

// item is one action: its bytes in the lane's body and its record.
type item struct {
	from, to int
	index    int
	id       uint64 // hash of the id, 0: none
}

func (l *lane) reset() {
	l.body, l.items, l.bad, l.err = l.body[:0], l.items[:0], nil, nil
}

var seed = maphash.MakeSeed()

// add appends the action of a record to its lane.
func (s *Sink) add(ctx context.Context, b *record.Batch, i int) error {
	r := &b.Records[i]
	topic := r.Topic.Name
	if r.Value.IsNull() {
		switch {
		case s.cfg.nulls == onFail:
			return refusal("Sink record with null value encountered for topic/partition/offset %s/%d/%d (to ignore future records like this change the configuration property 'behavior.on.null.values' from 'fail' to 'ignore')", r.Origin.Topic.Name, r.Origin.Partition, r.Origin.Offset)
		case s.cfg.nulls == onIgnore, r.Key.IsNull():
			return nil
		}
	}
	index, stream := s.index(topic)
	if err := s.prepare(ctx, topic, index, stream, r.ValueSchema); err != nil {
		return err
	}
	id, versioned, err := s.documentID(b, r)
	if err != nil {
		return err
	}
	version := r.Origin.Offset
	if s.cfg.versionHeader != "" {
		if version, err = headerVersion(b, r, s.cfg.versionHeader); err != nil {
			return err
		}
	}
	var l *lane
	hash := uint64(0)
	if len(id) > 0 {
		hash = maphash.Bytes(seed, id) | 1
		l = &s.lanes[hash>>8%uint64(len(s.lanes))]
	} else {
		l = &s.lanes[i%len(s.lanes)]
	}
	from := len(l.body)
	if err := s.action(l, b, r, index, id, stream, versioned, version); err != nil {
		l.body = l.body[:from]
		return err
	}
	if len(l.body) > from {
		l.items = append(l.items, item{from: from, to: len(l.body), index: i, id: hash})
	}
	return nil
}

func headerVersion(b *record.Batch, r *record.Record, name string) (int64, error) {
	for _, h := range b.Headers(r) {
		if h.Key != name {
			continue
		}
		switch h.Value.Kind() {
		case record.Int8, record.Int16, record.Int32, record.Int64:
			return h.Value.Int(), nil
		case record.String:
			if v, err := strconv.ParseInt(b.Str(h.Value), 10, 64); err == nil {
				return v, nil
			}
		}
		return 0, refusal("The header %s does not hold a whole number", name)
	}
	return 0, refusal("A record of topic %s has no header %s to take the version from", r.Origin.Topic.Name, name)
}

// action writes the action and the document.
func (s *Sink) action(l *lane, b *record.Batch, r *record.Record, index string, id []byte, stream, versioned bool, version int64) error {
	null := r.Value.IsNull()
	op := "index"
	switch {
	case stream && null:
		return nil // a data stream deletes nothing
	case stream:
		op, versioned = "create", false
	case null:
		op = "delete"
	case s.cfg.upsert && len(id) > 0:
		op, versioned = "update", false
	}
	l.body = append(append(append(l.body, `{"`...), op...), `":{"_index":`...)
	l.body = appendText(l.body, []byte(index))
	if len(id) > 0 && !stream {
		l.body = appendText(append(l.body, `,"_id":`...), id)
	}
	if versioned && !(s.cfg.upsert && null) {
		// gte: the same record again is no conflict.
		l.body = strconv.AppendInt(append(l.body, `,"version_type":"external_gte","version":`...), version, 10)
	}
	if op == "update" {
		l.body = append(l.body, `,"retry_on_conflict":5`...)
	}
	l.body = append(l.body, "}}\n"...)
	if null {
		return nil
	}
	if op == "update" {
		l.body = append(l.body, `{"doc_as_upsert":true,"doc":`...)
	}
	from := len(l.body)
	var err error
	if l.body, err = s.node(r.ValueSchema).append(l.body, b, r.Value); err != nil {
		return refusal("The value of a record of topic %s cannot become a document: %v", r.Topic.Name, err)
	}
	if l.body[from] != '{' {
		return refusal("The value of a record of topic %s is a %s; a document must be a struct or a map", r.Topic.Name, r.Value.Kind())
	}
	if stream {
		s.stamp(l, b, r, from)
	}
	if op == "update" {
		l.body = append(l.body, '}')
	}
	l.body = append(l.body, '\n')
	return nil
}

func (s *Sink) node(schema *record.Schema) *node {
	if schema == nil {
		return nil
	}
	n := s.nodes[schema]
	if n == nil {
		n = compile(schema, s.cfg.compactMaps)
		s.nodes[schema] = n
	}
	return n
}

// stamp adds @timestamp to a data stream's document: a field of the value, or the
// record's time.
func (s *Sink) stamp(l *lane, b *record.Batch, r *record.Record, from int) {
	at := strconv.AppendInt(nil, r.Timestamp, 10)
	for _, name := range s.cfg.timestampFields {
		if i, f := r.ValueSchema.Field(name); i >= 0 && !b.Child(r.Value, i).IsNull() {
			if out, err := compile(f, true).append(nil, b, b.Child(r.Value, i)); err == nil {
				at = out
				break
			}
		}
	}
	l.body = append(l.body[:len(l.body)-1], `,"@timestamp":`...)
	if l.body[from+1] == ',' { // an empty document
		l.body = append(l.body[:from+1], `"@timestamp":`...)
	}
	l.body = append(append(l.body, at...), '}')
}

// send sends all lanes at once and joins them.
func (s *Sink) send(ctx context.Context) ([]errs.BadRecord, error) {
	var wg sync.WaitGroup
	for i := range s.lanes {
		if l := &s.lanes[i]; len(l.items) > 0 {
			wg.Go(func() { l.err = s.sendLane(ctx, l) })
		}
	}
	wg.Wait()
	var bad []errs.BadRecord
	var failed []error
	for i := range s.lanes {
		bad = merge(bad, s.lanes[i].bad)
		if s.lanes[i].err != nil {
			failed = append(failed, s.lanes[i].err)
		}
	}
	for _, err := range failed {
		if !errs.Retriable(err) {
			return nil, err
		}
	}
	if len(failed) > 0 {
		return nil, failed[0]
	}
	return bad, nil
}

// sendLane sends a lane's actions in requests of bounded size, in order.
func (s *Sink) sendLane(ctx context.Context, l *lane) error {
	for left := l.items; len(left) > 0; {
		n, size := 0, 0
		clear(l.seen)
		for n < len(left) && n < s.cfg.batch && (n == 0 || size+left[n].to-left[n].from <= s.cfg.bulkBytes) {
			if s.cfg.upsert && left[n].id != 0 {
				// Updates carry no version: a second one of a document waits for the
				// answer to the first, which might have to be sent again.
				if l.seen[left[n].id] {
					break
				}
				if l.seen == nil {
					l.seen = map[uint64]bool{}
				}
				l.seen[left[n].id] = true
			}
			size += left[n].to - left[n].from
			n++
		}
		if err := s.bulk(ctx, l, left[:n]); err != nil {
			return err
		}
		left = left[n:]
	}
	return nil
}

type bulkAnswer struct {
	Errors bool
	Items  []map[string]struct {
		Status int
		Error  *struct {
			Type, Reason string
			CausedBy     *struct{ Type, Reason string } `json:"caused_by"`
		}
	}
}

const itemTries = 8

// bulk sends items and sends those again that the cluster was too busy for.
// Versions keep a late one from going over a newer one.
func (s *Sink) bulk(ctx context.Context, l *lane, items []item) error {
	delay := max(s.cfg.backoff, 10*time.Millisecond)
	for try := 1; ; try++ {
		var body []byte
		if n := len(items); items[n-1].to-items[0].from == total(items) {
			body = l.body[items[0].from:items[n-1].to]
		} else {
			for _, it := range items {
				body = append(body, l.body[it.from:it.to]...)
			}
		}
		status, out, err := s.client.do(ctx, http.MethodPost, "/_bulk", "application/x-ndjson", body)
		if err != nil {
			return err
		}
		if status >= 300 {
			return statusError(status, "bulk request", out)
		}
		var answer bulkAnswer
		if err := json.Unmarshal(out, &answer); err != nil || len(answer.Items) != len(items) {
			return &errs.Error{Java: errs.RetriableException, Msg: fmt.Sprintf("the answer to a bulk request of %d items cannot be read", len(items)), Retriable: true, Cause: err}
		}
		if !answer.Errors {
			return nil
		}
		again, err := s.results(l, items, &answer, try)
		if err != nil || len(again) == 0 {
			return err
		}
		if try == itemTries {
			return &errs.Error{Java: errs.RetriableException, Msg: fmt.Sprintf("the cluster is too busy for %d items", len(again)), Retriable: true}
		}
		s.log.Debug("the cluster is busy, sending items again", "items", len(again), "delay", delay)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(delay):
		}
		delay = min(2*delay, 10*time.Second)
		items = again
	}
}

func total(items []item) int {
	n := 0
	for _, it := range items {
		n += it.to - it.from
	}
	return n
}

var malformedTypes = []string{"mapper_parsing_exception", "document_parsing_exception", "strict_dynamic_mapping_exception", "illegal_argument_exception", "action_request_validation_exception", "parsing_exception"}

var errItem = errors.New("Bulk request failed")

// results sorts the answers: items to send again, bad records, and what the
// policies say about the rest.
func (s *Sink) results(l *lane, items []item, answer *bulkAnswer, try int) (again []item, err error) {
	for i, ops := range answer.Items {
		for op, res := range ops {
			if res.Error == nil { // a delete of nothing is 404 without error
				continue
			}
			reason := res.Error.Type + ": " + res.Error.Reason
			if res.Error.CausedBy != nil {
				reason += " (" + res.Error.CausedBy.Reason + ")"
			}
			cause := &errs.Error{Java: errs.ConnectException, Msg: errItem.Error(), Cause: errors.New(reason)}
			what := onFail
			switch {
			case busy(res.Status):
				again = append(again, items[i])
				continue
			case op == "create" && res.Status == http.StatusConflict:
				what = onIgnore
			case res.Error.Type == "version_conflict_engine_exception" && try > 1:
				what = onIgnore // a later action of the document was faster
			case res.Error.Type == "version_conflict_engine_exception":
				what = s.cfg.conflicts
			case isMalformed(res.Error.Type):
				what = s.cfg.malformed
			}
			switch what {
			case onIgnore:
			case onWarn:
				s.log.Warn("document left as it is", "op", op, "reason", reason)
			default:
				l.bad = append(l.bad, errs.BadRecord{Index: items[i].index, Err: cause})
			}
		}
	}
	return again, nil
}

func isMalformed(typ string) bool {
	for _, m := range malformedTypes {
		if strings.EqualFold(typ, m) {
			return true
		}
	}
	return false
}
