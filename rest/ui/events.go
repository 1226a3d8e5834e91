package ui

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"millrace/internal/remote"
)

// eventRow is one record of a topic.
type eventRow struct {
	Partition int32
	Offset    int64
	At        string
	Op        string // create, update, delete, read, truncate, tombstone, record
	Key       string
	Changes   []change // what an update changed; of others, what is there
	Raw       string
	Headers   string
	Problem   string
	Place     string // partition:offset, the permalink
	// KeySchema and ValueSchema are empty when they were not asked for.
	KeySchema, ValueSchema string
	Highlighted            bool
}

type eventsData struct {
	Name, Tab, Topic, Key string
	Topics                []string
	Rows                  []eventRow
	Place                 string
	Schema                bool // of each key and value, beside it
}

// records as the API gives them.
type recordBody struct {
	Partition int32             `json:"partition"`
	Offset    int64             `json:"offset"`
	Timestamp int64             `json:"timestamp"`
	Key       json.RawMessage   `json:"key"`
	Value     json.RawMessage   `json:"value"`
	Headers   map[string]string `json:"headers"`
	Problem   string            `json:"problem"`
}

// events shows the newest records of a topic, or those around ?at=partition:offset.
func (s *Server) events(r *http.Request) (string, any, error) {
	name := r.PathValue("name")
	d := eventsData{Name: name, Tab: "events", Topic: r.URL.Query().Get("topic"), Key: r.URL.Query().Get("key"), Place: r.URL.Query().Get("at"), Schema: r.URL.Query().Has("schema")}
	var topics map[string]struct {
		Topics []string `json:"topics"`
	}
	if err := s.get(r, remote.Path(name, "/topics"), &topics); err != nil {
		return "", nil, err
	}
	d.Topics = topics[name].Topics
	slices.Sort(d.Topics)
	if d.Topic == "" && len(d.Topics) > 0 {
		d.Topic = d.Topics[0]
	}
	if d.Topic == "" {
		return name + " · events", d, nil
	}
	q := url.Values{"limit": {"50"}}
	if d.Key != "" {
		q.Set("key", d.Key)
		q.Set("limit", "500")
	}
	if d.Schema {
		q.Set("schema", "true")
	}
	if d.Place != "" {
		q.Set("at", d.Place)
		q.Set("limit", "30")
	}
	var found []recordBody
	if err := s.get(r, remote.Path(name, "/topics/"+url.PathEscape(d.Topic)+"/records?"+q.Encode()), &found); err != nil {
		return "", nil, err
	}
	d.show(found)
	return name + " · events", d, nil
}

// tailing makes a model that keeps the newest events and asks only for what came since.
func (s *Server) tailing() model {
	var after string
	var kept []recordBody
	return func(r *http.Request) (string, any, error) {
		d := eventsData{Name: r.PathValue("name"), Topic: r.URL.Query().Get("topic"), Key: r.URL.Query().Get("key")}
		q := url.Values{"limit": {strconv.Itoa(eventsShown)}, "positions": {"true"}}
		if d.Key != "" {
			q.Set("key", d.Key)
			if after == "" {
				q.Set("limit", "500")
			}
		}
		if after != "" {
			q.Set("after", after)
		}
		var found struct {
			After   string       `json:"after"`
			Records []recordBody `json:"records"`
		}
		if err := s.get(r, remote.Path(d.Name, "/topics/"+url.PathEscape(d.Topic)+"/records?"+q.Encode()), &found); err != nil {
			return "", nil, err
		}
		after = found.After
		kept = append(kept, found.Records...)
		kept = kept[max(0, len(kept)-eventsShown):]
		d.show(kept)
		return "", d, nil
	}
}

// payload divides a value and its schema.
func payload(v json.RawMessage) (plain, schema json.RawMessage) {
	var x struct{ Schema, Payload json.RawMessage }
	if json.Unmarshal(v, &x) != nil || x.Payload == nil {
		return v, nil
	}
	return x.Payload, x.Schema
}

// eventsShown is how many events a page shows.
const eventsShown = 50

// show makes rows of records, the newest first.
func (d *eventsData) show(found []recordBody) {
	for i := len(found) - 1; i >= 0; i-- {
		b := found[i]
		var key, value json.RawMessage
		if d.Schema {
			b.Key, key = payload(b.Key)
			b.Value, value = payload(b.Value)
		}
		row := eventOf(&b)
		row.KeySchema, row.ValueSchema = pretty(string(key)), pretty(string(value))
		row.Highlighted = row.Place == d.Place
		d.Rows = append(d.Rows, row)
	}
}

var opNames = map[string]string{"c": "create", "u": "update", "d": "delete", "r": "read", "t": "truncate", "m": "message"}

func eventOf(b *recordBody) eventRow {
	row := eventRow{Partition: b.Partition, Offset: b.Offset, At: time.UnixMilli(b.Timestamp).UTC().Format("2006-01-02 15:04:05.000"), Op: "record",
		Key: string(b.Key), Raw: pretty(string(b.Value)), Problem: b.Problem, Place: fmt.Sprintf("%d:%d", b.Partition, b.Offset)}
	if len(b.Headers) > 0 {
		if out, err := json.MarshalIndent(b.Headers, "", "  "); err == nil {
			row.Headers = string(out)
		}
	}
	if bytes.Equal(b.Value, []byte("null")) {
		row.Op = "tombstone"
		return row
	}
	var env struct {
		Op            string
		Before, After json.RawMessage
	}
	if json.Unmarshal(b.Value, &env) != nil || opNames[env.Op] == "" {
		row.Changes = changes(nil, members(b.Value))
		return row
	}
	row.Op = opNames[env.Op]
	before, after := members(env.Before), members(env.After)
	switch {
	case after == nil:
		row.Changes = changes(nil, before)
	case env.Op == "u" && before != nil:
		row.Changes = changes(before, after)
	default:
		row.Changes = changes(nil, after)
	}
	return row
}

// member is a field of an object, in its order.
type member struct{ name, value string }

func members(raw json.RawMessage) (out []member) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil
	}
	out = []member{}
	for dec.More() {
		t, err := dec.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return out
		}
		var v json.RawMessage
		if dec.Decode(&v) != nil {
			return out
		}
		out = append(out, member{name, short(string(v))})
	}
	return out
}

// short cuts a long value.
func short(s string) string {
	if r := []rune(s); len(r) > 160 {
		return string(r[:160]) + "…"
	}
	return s
}

// changes pairs two rows; before nil: the fields of after alone.
func changes(before, after []member) (out []change) {
	was := map[string]string{}
	for _, m := range before {
		was[m.name] = m.value
	}
	for _, m := range after {
		c := change{Property: m.name, Old: was[m.name], New: m.value}
		if before != nil && c.Old != c.New {
			c.Kind = "changed"
		}
		out = append(out, c)
	}
	return out
}
