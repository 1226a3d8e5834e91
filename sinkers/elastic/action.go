package elastic

import (
	"bytes"
	"context"
	"hash/maphash"
	"slices"
	"strconv"

	"millrace/internal/record"
)

var seed = maphash.MakeSeed()

// add appends the action of a record to its lane.
func (s *Sink) add(ctx context.Context, b *record.Batch, i int) error {
	r := &b.Records[i]
	if r.Value.IsNull() {
		if s.cfg.places.aiven && s.schemaIgnored(r) {
			if _, err := s.resource(ctx, r); err != nil { // a tombstone makes an index, too
				return err
			}
		}
		switch {
		case s.cfg.nulls == onFail:
			return refusal("Sink record with null value encountered for topic/partition/offset %s/%d/%d (to ignore future records like this change the configuration property 'behavior.on.null.values' from 'fail' to 'ignore')", r.Origin.Topic.Name, r.Origin.Partition, r.Origin.Offset)
		case s.cfg.nulls == onIgnore, r.Key.IsNull():
			return nil
		}
	}
	to, err := s.resource(ctx, r)
	if err != nil || to == nil { // nil: there is no index to delete from
		return err
	}
	id, versioned, err := s.documentID(b, r)
	if err != nil {
		return err
	}
	version := int64(0)
	if versioned && !to.stream {
		if version, err = s.version(ctx, b, r, to); err != nil {
			return err
		}
	}
	if s.route, err = s.cfg.routing.value(s.route[:0], b, r, to.plain); err != nil {
		return err
	}
	var l *lane
	hash := uint64(0)
	if len(id) > 0 {
		hash = maphash.Bytes(seed, id) | 1
		l = &s.lanes[hash>>8%uint64(s.use)]
	} else {
		l = &s.lanes[i%s.use]
	}
	from := len(l.body)
	if err := s.action(l, b, r, to, id, versioned, version); err != nil {
		l.body = l.body[:from]
		return err
	}
	if len(l.body) > from {
		l.items = append(l.items, item{from: from, to: len(l.body), index: i, id: hash})
		l.left = l.items
	}
	return nil
}

// version returns the version of a document: the header's, or the offset in the
// era of its index.
func (s *Sink) version(ctx context.Context, b *record.Batch, r *record.Record, to *resource) (int64, error) {
	if s.cfg.versionHeader != "" {
		return headerVersion(b, r, s.cfg.versionHeader)
	}
	if len(s.anew) > 0 && s.cfg.eras && !s.cfg.upsert {
		from := partition{r.Origin.Topic.Name, r.Origin.Partition}
		if at, ok := s.anew[from]; ok {
			if err := s.renew(ctx, to, at); err != nil {
				return 0, err
			}
			delete(s.anew, from)
		}
	}
	return to.era<<eraShift | r.Origin.Offset, nil
}

func headerVersion(b *record.Batch, r *record.Record, name string) (int64, error) {
	for _, h := range slices.Backward(b.Headers(r)) { // the last one counts
		if h.Key != name {
			continue
		}
		switch h.Value.Kind() {
		case record.Int8, record.Int16, record.Int32, record.Int64:
			return h.Value.Int(), nil
		case record.String, record.Bytes:
			if v, err := strconv.ParseInt(string(b.Raw(h.Value)), 10, 64); err == nil {
				return v, nil
			}
		}
		return 0, refusal("The header %s does not hold a whole number", name)
	}
	return 0, refusal("A record of topic %s has no header %s to take the version from", r.Origin.Topic.Name, name)
}

// action writes the action and the document.
func (s *Sink) action(l *lane, b *record.Batch, r *record.Record, to *resource, id []byte, versioned bool, version int64) error {
	null, start := r.Value.IsNull(), len(l.body)
	op := "index"
	switch {
	case null && len(id) == 0:
		return nil // ids that the cluster made are not known
	case null:
		op = "delete" // of which a data stream says that it takes none
	case to.stream:
		op = "create"
	case s.cfg.upsert && len(id) > 0:
		op, versioned = "update", false
	}
	l.body = append(append(append(l.body, `{"`...), op...), `":{"_index":`...)
	l.body = appendText(l.body, []byte(to.name))
	if len(id) > 0 {
		l.body = appendText(append(l.body, `,"_id":`...), id)
	}
	if len(s.route) > 0 {
		l.body = appendText(append(l.body, `,"routing":`...), s.route)
	}
	if versioned && !to.stream && !(s.cfg.upsert && null) {
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
	s.absent.met = false
	var err error
	if l.body, err = s.node(r, to).append(l.body, b, r.Value); err != nil {
		return refusal("The value of a record of topic %s cannot become a document: %v", r.Topic.Name, err)
	}
	if l.body[from] != '{' {
		return malformedf("The value of a record of topic %s is a %s; a document must be a struct or a map", r.Topic.Name, r.Value.Kind())
	}
	if to.stream && !s.cfg.stamps.off {
		if err := s.stamp(l, b, r, from); err != nil {
			return err
		}
	}
	if op == "update" {
		l.body = append(l.body, '}')
	}
	l.body = append(l.body, '\n')
	if op == "index" && s.absent.met && len(id) > 0 {
		s.merge(l, to, id, start, from)
	}
	return nil
}

// merge turns an action that would replace a document into one that keeps what it
// does not name: a member that was left out stays as it is stored. Updates carry no
// version; the lane sends the next action of the document when this one is answered.
func (s *Sink) merge(l *lane, to *resource, id []byte, start, from int) {
	doc := append([]byte{}, l.body[from:len(l.body)-1]...)
	l.body = append(l.body[:start], `{"update":{"_index":`...)
	l.body = appendText(l.body, []byte(to.name))
	l.body = appendText(append(l.body, `,"_id":`...), id)
	if len(s.route) > 0 {
		l.body = appendText(append(l.body, `,"routing":`...), s.route)
	}
	l.body = append(append(append(l.body, `,"retry_on_conflict":5}}`+"\n"+`{"doc_as_upsert":true,"doc":`...), doc...), "}\n"...)
	l.merges = true
}

// planKey is what a plan depends on: topics that have their schemas ignored may
// share schemas with others.
type planKey struct {
	schema        *record.Schema
	plain, stream bool
}

// node is the plan of a record's value.
func (s *Sink) node(r *record.Record, to *resource) *node {
	key := planKey{r.ValueSchema, to.plain, to.stream}
	n := s.nodes[key]
	if n == nil {
		if r.ValueSchema == nil {
			n = &node{typ: anyType, absent: &s.absent}
		} else {
			n = compile(r.ValueSchema, style{s.cfg.compactMaps || to.plain, !to.plain && !(to.stream && s.cfg.places.aiven), !to.plain, &s.absent})
		}
		s.nodes[key] = n
	}
	return n
}

// timestampName is the field that a data stream goes by.
const timestampName = "@timestamp"

// stamp gives a data stream's document its @timestamp: a field of the value, or the
// record's time.
func (s *Sink) stamp(l *lane, b *record.Batch, r *record.Record, from int) error {
	at := []byte(nil)
	for _, name := range s.cfg.stamps.fields {
		f, c := child(b, r.ValueSchema, r.Value, name)
		if c.IsNull() {
			continue
		}
		var n *node
		if f != nil {
			n = compile(f, style{compact: true, mapped: true, double: true})
		}
		if out, err := n.append(nil, b, c); err == nil {
			if at = out; out[0] != '"' { // Java's sink makes it text
				at = append(append([]byte{'"'}, out...), '"')
			}
			break
		}
	}
	own := bytes.Contains(l.body[from:], []byte(`"@timestamp":`))
	if own && at == nil && (s.cfg.stamps.keep || s.cfg.stamps.fields != nil) {
		if _, c := child(b, r.ValueSchema, r.Value, timestampName); !c.IsNull() {
			return nil
		}
	}
	if at == nil {
		if r.Timestamp == record.NoTimestamp {
			return refusal("A record of topic %s has no timestamp for the %s of its data stream", r.Topic.Name, timestampName)
		}
		at = strconv.AppendInt(nil, r.Timestamp, 10)
	}
	if own {
		if doc, ok := replaceMember(l.body[from:], timestampName, at); ok {
			l.body = append(l.body[:from], doc...)
			return nil
		}
	}
	l.body = l.body[:len(l.body)-1]
	if len(l.body) > from+1 {
		l.body = append(l.body, ',')
	}
	l.body = append(append(l.body, `"@timestamp":`...), at...)
	l.body = append(l.body, '}')
	return nil
}
