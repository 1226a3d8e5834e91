package objectstore

import (
	"fmt"
	"time"

	"millrace/internal/record"
)

// aiven is the layout of Aiven's sinks: names are made of a template, and all files
// are complete at each commit.
type aiven struct {
	template   template
	by         grouping
	keys       keyNames
	prefix     template // before topic-partition-offset, the name in place of template's
	old        bool     // prefix is used
	ext        string   // of old names
	times      clockOf  // of the template
	oldTimes   clockOf  // of the prefix
	maxRecords int
	strict     bool    // the records of a file have one schema
	fields     []field // of a file
	bare       bool    // the single field stands alone
}

// clockOf is where {{timestamp}} comes from.
type clockOf struct {
	wallclock bool
	zone      *time.Location
}

func (c clockOf) time(r *record.Record, now time.Time) time.Time {
	if c.wallclock || r.Timestamp == record.NoTimestamp {
		return now.In(c.zone)
	}
	return time.UnixMilli(r.Timestamp).In(c.zone)
}

// head is the record that files of a partition, or of one key in it, are named after.
type head struct {
	offset     int64
	key, value *record.Schema
	shape      string
}

func (l *aiven) due(*part, time.Time) bool                                  { return true }
func (l *aiven) full(*part, *file) bool                                     { return false } // a new head ends files
func (l *aiven) evolve(_, got *record.Schema) (as *record.Schema, end bool) { return got, l.strict }

func (l *aiven) place(p *part, b *record.Batch, r *record.Record, now time.Time) (place, error) {
	if p.count == 0 {
		clear(p.heads)
	}
	key := ""
	if l.by != byStart {
		key = l.keys.name(b, r)
	}
	v := names{topic: p.name(r), partition: p.id, offset: -1, key: key, now: now}
	if l.by == lastOnly {
		return place{key: l.template.render(v)}, nil
	}
	v.at = l.times.time(r, now)
	own := head{offset: r.Origin.Offset}
	if l.strict {
		own.key, own.value, own.shape = r.KeySchema, r.ValueSchema, shape(l.fields, l.bare, b, r)
	}
	h, ok := p.heads[key]
	if !ok {
		h = own
	}
	changed := l.strict && (h.key != own.key || h.value != own.value || own.shape != "" && own.shape != h.shape)
	v.offset = h.offset
	name := l.template.render(v)
	if f := p.open[name]; changed || l.maxRecords > 0 && (f == nil || f.count >= l.maxRecords) {
		h, v.offset = own, own.offset
		name = l.template.render(v)
	}
	if p.heads == nil {
		p.heads = map[string]head{}
	}
	p.heads[key] = h
	// Files that begin with an earlier offset get no more records.
	return place{key: name, cut: l.by == byStart && p.count > 0 && h.offset == own.offset}, nil
}

func (l *aiven) name(p *part, key string, r *record.Record, now time.Time) string {
	if !l.old {
		return key
	}
	topic := p.name(r)
	prefix := l.prefix.render(names{topic: topic, partition: p.id, offset: r.Origin.Offset, at: l.oldTimes.time(r, now), now: now, bare: true})
	return fmt.Sprintf("%s%s-%d-%020d%s", prefix, topic, p.id, r.Origin.Offset, l.ext)
}
