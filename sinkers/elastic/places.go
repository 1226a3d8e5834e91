package elastic

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"millrace/internal/errs"
	"millrace/internal/record"
)

// resource is what a topic is written into, as far as this task knows it.
type resource struct {
	name    string
	stream  bool
	foreign bool // named by the user: nothing is made
	plain   bool // the mapping is left to the cluster
	ready   bool
	there   bool      // found, and not ready for a record with a schema yet
	missing stamp     // the batch that found it missing
	era     int64     // see Sink.Anew
	made    time.Time // when the index was made, as far as known
	began   time.Time // of the last era
}

func (s *Sink) schemaIgnored(r *record.Record) bool {
	return s.cfg.ignoreSchema || s.cfg.ignoreSchemaFor[r.Topic.Name]
}

// resource returns what a topic goes to, made and mapped. Nil: there is no index,
// and r is a tombstone, which has no schema to make one of.
func (s *Sink) resource(ctx context.Context, r *record.Record) (*resource, error) {
	topic := r.Topic.Name
	x := s.topics[topic]
	if x == nil {
		name, mapped := s.cfg.places.of[topic]
		stream := s.cfg.places.ofStream
		if !mapped {
			if s.cfg.places.only {
				return nil, &errs.Error{Java: errs.ConnectException, Msg: fmt.Sprintf("Topic `%s` is not mapped to resource", topic), Hint: "Name every topic in the list of topics and resources"}
			}
			name, stream = s.cfg.places.name(topic), s.cfg.places.streams
		}
		if x = s.resources[name]; x == nil {
			x = &resource{name: name, stream: stream, foreign: mapped}
			s.resources[name] = x
		}
		x.plain = s.schemaIgnored(r)
		s.topics[topic] = x
	}
	if x.ready {
		return x, nil
	}
	if r.Value.IsNull() && !x.plain && !x.stream && !x.foreign {
		return s.present(ctx, x)
	}
	if err := s.prepare(ctx, x, r.ValueSchema); err != nil {
		return nil, err
	}
	x.ready = true
	return x, nil
}

// present returns an index that is there, and nil when it is not; it is asked once
// for each batch. A record with a schema makes it ready.
func (s *Sink) present(ctx context.Context, x *resource) (*resource, error) {
	switch {
	case x.there:
		return x, nil
	case x.missing == s.gathering:
		return nil, nil
	}
	if found, err := s.client.exists(ctx, x.path(""), "index "+x.name); err != nil {
		return nil, err
	} else if !found {
		x.missing = s.gathering
		return nil, nil
	}
	if s.cfg.eras {
		if err := s.readEra(ctx, x); err != nil {
			return nil, err
		}
	}
	x.there = true
	return x, nil
}

func (x *resource) path(more string) string { return "/" + url.PathEscape(x.name) + more }

// prepare makes the index or data stream and its mapping when they are missing.
func (s *Sink) prepare(ctx context.Context, x *resource, schema *record.Schema) error {
	switch {
	case x.foreign:
	case x.stream:
		if err := s.makeStream(ctx, x); err != nil {
			return err
		}
	default:
		made, err := s.makeIndex(ctx, x, schema)
		if err != nil || made {
			return err
		}
	}
	if !x.stream && s.cfg.eras {
		if err := s.readEra(ctx, x); err != nil {
			return err
		}
	}
	if x.plain || schema == nil || s.cfg.places.aiven {
		return nil
	}
	// An index without mapping gets that of the first record.
	have, err := s.mappings(ctx, x)
	if err != nil {
		return err
	}
	for _, m := range have {
		if len(m) > 0 {
			return nil
		}
	}
	return s.putMapping(ctx, x, schema)
}

// makeIndex makes an index with its mapping unless it is there; made tells which.
func (s *Sink) makeIndex(ctx context.Context, x *resource, schema *record.Schema) (made bool, err error) {
	if found, err := s.client.exists(ctx, x.path(""), "index "+x.name); err != nil || found {
		return false, err
	}
	var settings []byte
	switch {
	case !x.plain && schema != nil && (schema.Type == record.Struct || schema.Type == record.Map):
		settings = append(appendMapping([]byte(`{"mappings":`), schema), '}')
	case s.cfg.places.aiven && (x.plain || schema == nil):
		settings = []byte(`{"mappings":{"dynamic":true}}`)
	}
	if _, err = s.client.call(ctx, http.MethodPut, x.path(""), settings); err != nil {
		if strings.Contains(err.Error(), "resource_already_exists_exception") {
			return false, nil
		}
		return false, err
	}
	x.made = time.Now()
	return true, nil
}

// makeStream makes a data stream, with a template where the front end has one.
func (s *Sink) makeStream(ctx context.Context, x *resource) error {
	status, body, err := s.client.do(ctx, http.MethodGet, "/_data_stream/"+url.PathEscape(x.name), "", nil)
	if err != nil {
		return err
	}
	if busy(status) {
		return statusError(status, "look for data stream "+x.name, body)
	}
	if status != http.StatusNotFound {
		return nil // it is there, or we may not look: the first document makes it where a template says so
	}
	if s.cfg.places.template != nil {
		if err := s.makeTemplate(ctx, x); err != nil {
			return err
		}
	}
	if _, err = s.client.call(ctx, http.MethodPut, "/_data_stream/"+url.PathEscape(x.name), nil); err != nil && !strings.Contains(err.Error(), "resource_already_exists_exception") {
		return fmt.Errorf("make the data stream %s; it needs an index template with data_stream that matches its name: %w", x.name, err)
	}
	return nil
}

func (s *Sink) makeTemplate(ctx context.Context, x *resource) error {
	name := s.cfg.places.template(x.name)
	path := "/_index_template/" + url.PathEscape(name)
	if found, err := s.client.exists(ctx, path, "index template "+name); err != nil || found {
		return err
	}
	text := appendText([]byte(`{"priority":200,"index_patterns":[`), []byte(x.name))
	text = appendText(append(text, `],"data_stream":{"timestamp_field":{"name":`...), []byte(s.cfg.places.timeField))
	_, err := s.client.call(ctx, http.MethodPut, path, append(text, `}}}`...))
	return err
}

func (s *Sink) putMapping(ctx context.Context, x *resource, schema *record.Schema) error {
	if schema.Type != record.Struct && schema.Type != record.Map {
		return nil
	}
	_, err := s.client.call(ctx, http.MethodPut, x.path("/_mapping"), appendMapping(nil, schema))
	return err
}

// mappings are those of an index, or of all that an alias stands for.
func (s *Sink) mappings(ctx context.Context, x *resource) (map[string]map[string]json.RawMessage, error) {
	status, out, err := s.client.do(ctx, http.MethodGet, x.path("/_mapping"), "", nil)
	switch {
	case err != nil:
		return nil, err
	case status == http.StatusNotFound && x.foreign: // the first document makes it, unless the cluster forbids that
		return nil, nil
	case status >= 300:
		return nil, statusError(status, "GET "+x.path("/_mapping"), out)
	}
	var have map[string]struct{ Mappings map[string]json.RawMessage }
	if err := json.Unmarshal(out, &have); err != nil {
		return nil, fmt.Errorf("read the mapping of %s: %w", x.name, err)
	}
	all := map[string]map[string]json.RawMessage{}
	for name, m := range have {
		all[name] = m.Mappings
	}
	return all, nil
}

// eraKey is the place of the era in the _meta of a mapping.
const eraKey = "millrace_version_era"

// eraShift: a version is the era and, below it, the offset.
const eraShift = 40

// readEra reads the era of an index that was there before.
func (s *Sink) readEra(ctx context.Context, x *resource) error {
	have, err := s.mappings(ctx, x)
	if err != nil {
		return err
	}
	for _, m := range have {
		var meta map[string]json.RawMessage
		if json.Unmarshal(m["_meta"], &meta) == nil {
			if n, err := strconv.ParseInt(string(meta[eraKey]), 10, 64); err == nil {
				x.era = max(x.era, n)
			}
		}
	}
	return nil
}

// renew begins a new era of an index when documents may be there whose versions
// have nothing to do with the offsets that come now: those of a partition that is
// read from its beginning since at, while the index is older and not empty.
func (s *Sink) renew(ctx context.Context, x *resource, at time.Time) error {
	if x.stream || x.made.After(at) || x.began.After(at) {
		return nil
	}
	if x.made.IsZero() {
		if made, err := s.madeAt(ctx, x); err != nil {
			return err
		} else if made.After(at) {
			x.made = made
			return nil
		}
	}
	status, out, err := s.client.do(ctx, http.MethodGet, x.path("/_count?ignore_unavailable=true&terminate_after=1"), "", nil)
	if err == nil && busy(status) {
		err = statusError(status, "look whether "+x.name+" holds documents", out)
	}
	if err != nil {
		return err
	}
	var n struct{ Count int64 }
	if err := json.Unmarshal(out, &n); status >= 300 || err != nil {
		s.log.Warn("may not look whether the index holds documents; should its topic have been made anew, delete the index or give it a new name, else updates whose offset is below a document's version are left out",
			"index", x.name, "status", status)
		x.began = time.Now()
		return nil
	}
	if n.Count > 0 {
		if err := s.writeEra(ctx, x); err != nil {
			return err
		}
		s.log.Info("a topic is read from its beginning into an index that has documents: their versions are outranked from now on", "index", x.name, "era", x.era)
	}
	x.began = time.Now()
	return nil
}

// madeAt is when an index was made by the cluster's clock; of an alias, the oldest.
func (s *Sink) madeAt(ctx context.Context, x *resource) (first time.Time, err error) {
	out, err := s.client.call(ctx, http.MethodGet, x.path("/_settings/index.creation_date"), nil)
	if err != nil {
		if errs.Retriable(err) {
			return first, err
		}
		return first, nil // may not look: taken as old
	}
	var have map[string]struct {
		Settings struct {
			Index struct {
				At string `json:"creation_date"`
			}
		}
	}
	if err := json.Unmarshal(out, &have); err != nil {
		return first, fmt.Errorf("read the settings of %s: %w", x.name, err)
	}
	for _, h := range have {
		if ms, err := strconv.ParseInt(h.Settings.Index.At, 10, 64); err == nil && (first.IsZero() || time.UnixMilli(ms).Before(first)) {
			first = time.UnixMilli(ms)
		}
	}
	return first, nil
}

// writeEra raises the era and stores it in the mapping, beside what else is in its
// _meta, before any version of it is used: the next start must know it.
func (s *Sink) writeEra(ctx context.Context, x *resource) error {
	have, err := s.mappings(ctx, x)
	if err != nil {
		return err
	}
	meta := map[string]json.RawMessage{}
	for _, m := range have {
		var one map[string]json.RawMessage
		if json.Unmarshal(m["_meta"], &one) != nil {
			continue
		}
		for k, v := range one {
			meta[k] = v
		}
		if n, err := strconv.ParseInt(string(one[eraKey]), 10, 64); err == nil {
			x.era = max(x.era, n)
		}
	}
	meta[eraKey] = strconv.AppendInt(nil, x.era+1, 10)
	body, err := json.Marshal(map[string]any{"_meta": meta})
	if err != nil {
		return fmt.Errorf("write the mapping of %s: %w", x.name, err)
	}
	if _, err = s.client.call(ctx, http.MethodPut, x.path("/_mapping"), body); err != nil {
		if errs.Retriable(err) {
			return err
		}
		return &errs.Error{Java: errs.ConnectException, Msg: fmt.Sprintf("The index %s holds documents of another life of its topic, whose versions are above the offsets that come now, and its mapping cannot be changed to note that", x.name),
			Hint: "Delete the index, give its topic another one, or let the user manage it", Cause: err}
	}
	x.era++
	return nil
}
