package objectstore

import (
	"strconv"
	"strings"
	"time"

	"millrace/internal/record"
)

// partitioner gives records the directory below their topic.
type partitioner interface {
	// path appends the encoded partition of a record; at is its time for partitioners
	// that go by time, in ms.
	path(dst []byte, b *record.Batch, r *record.Record, at int64) ([]byte, error)
}

// byPartition is the DefaultPartitioner: partition=<Kafka partition>.
type byPartition struct{}

func (byPartition) path(dst []byte, _ *record.Batch, r *record.Record, _ int64) ([]byte, error) {
	return strconv.AppendInt(append(dst, "partition="...), int64(r.Origin.Partition), 10), nil
}

// byField is the FieldPartitioner: name=value of each field.
type byField struct {
	names []string
	delim string
}

func (p *byField) path(dst []byte, b *record.Batch, r *record.Record, _ int64) ([]byte, error) {
	for i, name := range p.names {
		if i > 0 {
			dst = append(dst, p.delim...)
		}
		_, c, ok := fieldOf(b, r.ValueSchema, r.Value, name)
		if !ok {
			return dst, dataError("The field named '%s' does not exist (topic %s, partition.field.name). It must be a field of the record's value", name, r.Topic.Name)
		}
		dst = append(append(dst, name...), '=')
		if c.IsNull() {
			dst = append(dst, "null"...)
			continue
		}
		if dst, ok = appendScalar(dst, b, c); !ok {
			return dst, dataError("Error encoding partition. The field %s is a %s (topic %s); numbers, text and booleans can be partitions", name, c.Kind(), r.Topic.Name)
		}
	}
	return dst, nil
}

// appendScalar appends a number, text or boolean as text.
func appendScalar(dst []byte, b *record.Batch, c record.Cell) ([]byte, bool) {
	switch c.Kind() {
	case record.Int8, record.Int16, record.Int32, record.Int64:
		return strconv.AppendInt(dst, c.Int(), 10), true
	case record.String:
		return append(dst, b.Raw(c)...), true
	case record.Boolean:
		return strconv.AppendBool(dst, c.Bool()), true
	case record.Float64:
		return record.AppendJavaDouble(dst, c.Float()), true
	case record.Float32:
		return record.AppendJavaFloat(dst, float32(c.Float())), true
	}
	return dst, false
}

// fieldOf finds a field by its dotted path in a struct or map.
func fieldOf(b *record.Batch, s *record.Schema, c record.Cell, path string) (*record.Schema, record.Cell, bool) {
	for path != "" {
		name, rest, _ := strings.Cut(path, ".")
		next := false
		switch {
		case c.Kind() == record.Struct && s != nil:
			if i, fs := s.Field(name); i >= 0 && i < c.Len() {
				s, c, next = fs, b.Child(c, i), true
			}
		case c.Kind() == record.Map:
			for i := 0; i < c.Len(); i += 2 {
				if k := b.Child(c, i); k.Kind() == record.String && b.Str(k) == name {
					if c, next = b.Child(c, i+1), true; s != nil {
						s = s.Elem
					}
					break
				}
			}
		}
		if !next {
			return nil, record.Cell{}, false
		}
		if path = rest; path != "" && c.IsNull() {
			return nil, record.Cell{}, true
		}
	}
	return s, c, true
}

// byTime is the TimeBasedPartitioner and its daily and hourly forms.
type byTime struct {
	pattern  joda
	duration int64 // ms; paths are those of multiples of it
	zone     *time.Location
}

func (p *byTime) path(dst []byte, _ *record.Batch, _ *record.Record, at int64) ([]byte, error) {
	t := time.UnixMilli(at).In(p.zone)
	if p.duration > 1 {
		// The multiple is of local time, so that a day begins at midnight there.
		_, offset := t.Zone()
		local := at + int64(offset)*1000
		floor := local - ((local%p.duration)+p.duration)%p.duration
		utc := time.UnixMilli(floor).UTC()
		t = time.Date(utc.Year(), utc.Month(), utc.Day(), utc.Hour(), utc.Minute(), utc.Second(), utc.Nanosecond(), p.zone)
	}
	return p.pattern.format(dst, t), nil
}

// extractor tells a record's time.
type extractor struct {
	kind  string // Wallclock, Record or RecordField; "" without time
	field string
}

// at returns the time in ms.
func (x *extractor) at(b *record.Batch, r *record.Record, now time.Time) (int64, error) {
	switch x.kind {
	case "Record":
		if r.Timestamp == record.NoTimestamp {
			return 0, dataError("The record has no timestamp (topic %s); use timestamp.extractor=RecordField or Wallclock", r.Topic.Name)
		}
		return r.Timestamp, nil
	case "RecordField":
		s, c, ok := fieldOf(b, r.ValueSchema, r.Value, x.field)
		if !ok || c.IsNull() {
			return 0, dataError("The field named '%s' does not exist or is null (topic %s, timestamp.field)", x.field, r.Topic.Name)
		}
		switch c.Kind() {
		case record.Int8, record.Int16, record.Int32, record.Int64:
			return millis(s, c.Int()), nil
		case record.Float32, record.Float64:
			return int64(c.Float()), nil
		case record.String:
			for _, layout := range isoLayouts {
				if t, err := time.Parse(layout, b.Str(c)); err == nil {
					return t.UnixMilli(), nil
				}
			}
			return 0, dataError("Unable to parse the timestamp %q of the field %s (topic %s)", b.Str(c), x.field, r.Topic.Name)
		}
		return 0, dataError("Unsupported type '%s' for user-defined timestamp field (topic %s, field %s)", c.Kind(), r.Topic.Name, x.field)
	}
	return now.UnixMilli(), nil
}

// isoLayouts are the forms of ISO 8601 that texts may have; without a zone they are UTC.
var isoLayouts = []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02T15:04:05.999999999Z0700", "2006-01-02T15:04:05.999999999Z07", "2006-01-02T15:04Z07:00", "2006-01-02T15:04",
	"2006-01-02T15Z07:00", "2006-01-02T15", "2006-01-02", "2006-01", "2006"}

// millis is a number of a schema as milliseconds since 1970: what the schema counts in
// otherwise is converted, anything else is milliseconds already.
func millis(s *record.Schema, v int64) int64 {
	if s == nil {
		return v
	}
	floor := func(per int64) int64 {
		if v%per < 0 {
			return v/per - 1
		}
		return v / per
	}
	switch s.Name {
	case "io.debezium.time.MicroTimestamp":
		return floor(1000)
	case "io.debezium.time.NanoTimestamp":
		return floor(1_000_000)
	case "io.debezium.time.Date", record.DateName:
		return v * 24 * 3600 * 1000
	}
	return v
}
