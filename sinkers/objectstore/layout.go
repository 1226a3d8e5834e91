package objectstore

import (
	"fmt"
	"strings"
	"time"

	"millrace/internal/record"
)

// layout decides which file a record belongs to and when files are complete.
type layout interface {
	// place says where a record goes; an error refuses it. It changes p only when it
	// returns none.
	place(p *part, b *record.Batch, r *record.Record, now time.Time) (place, error)
	// name is the name of a new file whose first record is r.
	name(p *part, key string, r *record.Record, now time.Time) string
	// full reports whether a written record completes the open files of its partition.
	full(p *part, f *file) bool
	// due reports whether the open files must be completed although no record came.
	due(p *part, now time.Time) bool
	// evolve returns the schema under which a record is written into a file of schema
	// have, and whether the file must end first.
	evolve(have, got *record.Schema) (as *record.Schema, end bool)
}

// place is where a record goes.
type place struct {
	key  string // of the open file
	cut  bool   // the open files of the partition must be completed before
	skip bool   // into no file at all
}

// confluent is the layout of Confluent's storage sinks:
// topics.dir/topic/encoded partition/topic+partition+offset.
type confluent struct {
	dir, delim, fileDelim string
	pad                   int
	ext                   string
	parts                 partitioner
	times                 *extractor // nil: the partitioner does not go by time
	flushSize             int
	interval, schedule    int64 // ms, <= 0: none
	cutOnPath             bool
	zone                  *time.Location
	compat                string // NONE, BACKWARD, FORWARD, FULL
	nulls                 string // fail, ignore, write
	reported              bool   // what is ignored is reported
	keys                  bool   // there are files of keys or headers
	tombstones            string // directory of tombstones' keys
	maxOpen               int    // files, <= 0: any number
	affix                 string // none, prefix, suffix: of the schema's name
	scratch               []byte
}

func (l *confluent) place(p *part, b *record.Batch, r *record.Record, now time.Time) (place, error) {
	null := r.Value.IsNull()
	switch {
	case !null || l.nulls == "write":
	case l.nulls == "ignore" && l.reported:
		return place{}, dataError("Skipping null value record (topic %s, partition %d, offset %d)", r.Topic.Name, r.Origin.Partition, r.Origin.Offset)
	case l.nulls == "ignore":
		return place{skip: true}, nil
	default:
		return place{}, dataError("Null valued records are not writeable with current behavior.on.null.values 'fail'. (topic %s, partition %d, offset %d). Set it to ignore, or errors.tolerance=all with a dead letter queue",
			r.Topic.Name, r.Origin.Partition, r.Origin.Offset)
	}
	var at int64
	var err error
	if l.times != nil && !null {
		if at, err = l.times.at(b, r, now); err != nil {
			return place{}, err
		}
	}
	path := l.tombstones
	if !null {
		if l.scratch, err = l.parts.path(l.scratch[:0], b, r, at); err != nil {
			return place{}, err
		}
		path = l.affixed(string(l.scratch), r.ValueSchema)
	}
	cut := p.count > 0 && (l.byInterval(p, at, path) || l.scheduled(p, now) || null != p.clock.tombstones ||
		l.keys && p.keys != r.KeySchema || l.maxOpen > 0 && p.open[path] == nil && len(p.open) >= l.maxOpen)
	p.keys, p.clock.tombstones = r.KeySchema, null
	if p.count == 0 || cut {
		p.clock.first = at
		p.clock.due = l.nextSchedule(now)
	}
	p.clock.path = path
	return place{key: path, cut: cut}, nil
}

// affixed is the path with the schema's name before or below it.
func (l *confluent) affixed(path string, s *record.Schema) string {
	if l.affix == "none" || s == nil {
		return path
	}
	name := "schema_name=" + s.Name
	if l.affix == "prefix" {
		return name + l.delim + path
	}
	return path + l.delim + name
}

// byInterval is rotate.interval.ms, in the records' own time.
func (l *confluent) byInterval(p *part, at int64, path string) bool {
	return l.interval > 0 && l.times != nil && (at-p.clock.first >= l.interval || l.cutOnPath && path != p.clock.path)
}

func (l *confluent) scheduled(p *part, now time.Time) bool {
	return p.clock.due > 0 && now.UnixMilli() >= p.clock.due
}

// nextSchedule is the next multiple of rotate.schedule.interval.ms since midnight.
func (l *confluent) nextSchedule(now time.Time) int64 {
	if l.schedule <= 0 {
		return 0
	}
	t := now.In(l.zone)
	midnight := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, l.zone).UnixMilli()
	return midnight + ((now.UnixMilli()-midnight)/l.schedule+1)*l.schedule
}

func (l *confluent) due(p *part, now time.Time) bool {
	if p.count == 0 {
		return false
	}
	if l.scheduled(p, now) {
		return true
	}
	// Only wall-clock time passes without records.
	return l.interval > 0 && l.times != nil && l.times.kind == "Wallclock" && now.UnixMilli()-p.clock.first >= l.interval
}

func (l *confluent) name(p *part, key string, r *record.Record, _ time.Time) string {
	var s strings.Builder
	for _, x := range []string{l.dir, p.topic.Name, key} {
		if x != "" {
			s.WriteString(x)
			s.WriteString(l.delim)
		}
	}
	fmt.Fprintf(&s, "%s%s%d%s%0*d%s", p.topic.Name, l.fileDelim, p.id, l.fileDelim, l.pad, r.Origin.Offset, l.ext)
	return s.String()
}

func (l *confluent) full(p *part, _ *file) bool { return p.count >= l.flushSize }

func (l *confluent) evolve(have, got *record.Schema) (as *record.Schema, end bool) {
	if have == got {
		return have, false
	}
	if l.compat == "NONE" {
		return got, true
	}
	if have == nil || got == nil || have.Version == 0 || got.Version == 0 {
		return got, true
	}
	newer := got.Version > have.Version
	if l.compat == "FORWARD" {
		newer = got.Version < have.Version
	}
	if newer {
		return got, true
	}
	return have, false
}
