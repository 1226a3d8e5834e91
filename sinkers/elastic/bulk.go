package elastic

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"millrace/internal/errs"
)

// lane is the actions of a batch that are sent one request after the other; all
// actions of a document are in one lane.
type lane struct {
	body  []byte
	items []item
	left  []item           // of items: not answered yet
	bad   []errs.BadRecord // to report
	fails []errs.BadRecord // that end the task unless there is a queue
	err   error
	seen  map[uint64]bool // ids of the request being filled
	again []byte          // body of items that do not lie together
	kept  int             // documents left as they are, and why the first one was
	why   string

	merges bool // there are updates although documents are replaced; see Sink.merge
}

// item is one action: its bytes in the lane's body and its record.
type item struct {
	from, to int
	index    int
	id       uint64 // hash of the id, 0: none
}

func (l *lane) reset() {
	l.body, l.items, l.left, l.bad, l.fails, l.err = l.body[:0], l.items[:0], nil, nil, nil, nil
	l.merges, l.kept = false, 0
}

// send sends all lanes at once and joins them. What it returns of records is
// complete once there is no error.
func (s *Sink) send(ctx context.Context) (reported, failed []errs.BadRecord, err error) {
	var wg sync.WaitGroup
	for i := range s.lanes {
		if l := &s.lanes[i]; len(l.left) > 0 {
			wg.Go(func() { l.err = s.sendLane(ctx, l) })
		}
	}
	wg.Wait()
	kept, why := 0, ""
	for i := range s.lanes {
		l := &s.lanes[i]
		reported, failed = merge(reported, l.bad), merge(failed, l.fails)
		if l.err != nil && (err == nil || errs.Retriable(err)) {
			err = l.err
		}
		l.err = nil
		if l.kept > 0 {
			kept, why = kept+l.kept, l.why
		}
	}
	if err != nil {
		return nil, nil, err
	}
	if kept > 0 {
		s.log.Warn("documents that are newer, or there already, were left as they are", "documents", kept, "one", why)
	}
	return reported, failed, nil
}

// sendLane sends a lane's actions in requests of bounded size, in order. What was
// answered is taken off l.left, so that a batch that is put again goes on behind it.
func (s *Sink) sendLane(ctx context.Context, l *lane) error {
	requests := (len(l.left) + s.cfg.batch - 1) / s.cfg.batch
	most := (len(l.left) + requests - 1) / max(1, requests) // requests of like size
	for len(l.left) > 0 {
		left := l.left
		n, size := 0, 0
		clear(l.seen)
		for n < len(left) && n < most && (n == 0 || size+left[n].to-left[n].from <= s.cfg.bulkBytes) {
			if l.merges && left[n].id != 0 {
				// An update changes the version that an action sent again would be
				// compared with: what follows for a document waits for its answer.
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
		l.left = left[n:]
	}
	return nil
}

type bulkAnswer struct {
	Errors bool
	Items  []map[string]struct {
		Index  string `json:"_index"`
		Status int
		Error  *struct {
			Type, Reason string
			CausedBy     *struct{ Type, Reason string } `json:"caused_by"`
		}
	}
}

// itemTries is how often items are sent again before the runner is told, which says
// so in the log and lets the group rebalance while it waits.
const itemTries = 5

// bulk sends items, the first of l.left, and sends those again that the cluster was
// too busy for. Versions keep a late one from going over a newer one. On an error
// l.left begins with those that were not taken.
func (s *Sink) bulk(ctx context.Context, l *lane, items []item) error {
	delay, rest := max(s.cfg.backoff, 10*time.Millisecond), l.left[len(items):]
	for try := 1; ; try++ {
		var body []byte
		if n := len(items); items[n-1].to-items[0].from == total(items) {
			body = l.body[items[0].from:items[n-1].to]
		} else {
			l.again = l.again[:0]
			for _, it := range items {
				l.again = append(l.again, l.body[it.from:it.to]...)
			}
			body = l.again
		}
		status, out, err := s.post(ctx, body)
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
		again, why, err := s.results(l, items, &answer, try)
		if err != nil || len(again) == 0 {
			return err
		}
		l.left = slices.Concat(again, rest)
		s.crowd.Store(oneByOne)
		if try == itemTries {
			e := &errs.Error{Java: errs.RetriableException, Msg: fmt.Sprintf("the cluster does not take %d items now: %s", len(again), why), Retriable: true}
			if strings.HasPrefix(why, blockedType) {
				e.Hint = blockedHint
			}
			return e
		}
		s.log.Debug("the cluster is busy, sending items again", "items", len(again), "delay", delay, "reason", why)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(delay):
		}
		delay = min(2*delay, 10*time.Second)
		items = again
	}
}

// oneByOne is how many requests the lanes send one after the other behind an answer
// that the cluster has too much to do: more of them at once only fill its queues.
const oneByOne = 16

// post sends a bulk request.
func (s *Sink) post(ctx context.Context, body []byte) (int, []byte, error) {
	if s.crowd.Load() > 0 {
		select {
		case s.turn <- struct{}{}:
			defer func() { <-s.turn }()
		case <-ctx.Done():
			return 0, nil, ctx.Err()
		}
		s.crowd.Add(-1)
	}
	status, out, err := s.client.do(ctx, http.MethodPost, "/_bulk", "application/x-ndjson", body)
	if err == nil && status == http.StatusTooManyRequests {
		s.crowd.Store(oneByOne)
	}
	return status, out, err
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

// results sorts the answers: items to send again and why, bad records, and what the
// policies say about the rest. An error is one of the index and no record's fault.
//
// Updates carry no version: with one that is sent again go the later ones of its
// document in the same request, done or not, so that the last one stays the last.
func (s *Sink) results(l *lane, items []item, answer *bulkAnswer, try int) (again []item, why string, err error) {
	behind := map[uint64]bool{}
	for i, ops := range answer.Items {
		for op, res := range ops {
			if res.Error == nil { // a delete of nothing is 404 without error
				if behind[items[i].id] {
					again = append(again, items[i])
				}
				continue
			}
			reason := res.Error.Type + ": " + res.Error.Reason
			if res.Error.CausedBy != nil {
				reason += " (" + res.Error.CausedBy.Reason + ")"
			}
			bad := errs.BadRecord{Index: items[i].index, Err: &errs.Error{Java: errs.ConnectException, Msg: errItem.Error(), Cause: errors.New(reason)}}
			what, told, conflict := onFail, false, res.Error.Type == "version_conflict_engine_exception"
			switch {
			case busy(res.Status) || res.Error.Type == blockedType || conflict && op == "update": // the last: somebody else wrote the document meanwhile
				again, why = append(again, items[i]), reason
				if s.cfg.upsert && items[i].id != 0 {
					behind[items[i].id] = true
				}
				continue
			case ofIndex(res.Status, res.Error.Type):
				return nil, "", &errs.Error{Java: errs.ConnectException, Msg: fmt.Sprintf("The index %s takes no documents", res.Index), Cause: errors.New(reason)}
			case conflict && try > 1:
				what = onIgnore // a later action of the document was faster, or this one was done without an answer
			case op == "create" && res.Status == http.StatusConflict:
				what = s.cfg.taken
			case conflict:
				what = s.cfg.conflicts
			case isMalformed(res.Error.Type):
				what, told = s.cfg.malformed, s.cfg.reported
			}
			switch {
			case what == onFail:
				l.fails = append(l.fails, bad)
				continue
			case what == onReport:
				bad.Err = &errs.Error{Java: "java.lang.Exception", Msg: reason} // as Aiven's sink reports them
				told = true
			case what == onWarn && conflict:
				if l.kept++; l.kept == 1 {
					l.why = reason
				}
			case what == onWarn:
				s.log.Warn("document left out", "op", op, "reason", reason)
			}
			if told {
				l.bad = append(l.bad, bad)
			}
		}
	}
	return again, why, nil
}

// ofIndex tells whether an item was refused for what the index or the user's rights
// are: every other record would be refused as well, so none goes to a dead letter queue.
func ofIndex(status int, typ string) bool {
	switch typ {
	case "index_closed_exception", "invalid_index_name_exception", "validation_exception":
		return true
	}
	return status == http.StatusUnauthorized || status == http.StatusForbidden || status == http.StatusNotFound
}

func isMalformed(typ string) bool {
	for _, m := range malformedTypes {
		if strings.EqualFold(typ, m) {
			return true
		}
	}
	return false
}
