package transform

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"millrace/internal/configdef"
	"millrace/internal/errs"
	"millrace/internal/record"
)

// timezoneConverter moves the times in change events to a zone.
type timezoneConverter struct {
	zone    *time.Location
	include bool // the rules include; else they exclude
	none    bool // no rules: everything
	topics  map[string]map[string]bool
	tables  map[string]map[string]bool
	either  map[string]map[string]bool
	plans   planCache[*zonePlan]
}

type zonePlan struct {
	source, table int
	parts         [3]zonePart // before, after, source
}

// zonePart is a struct of the envelope and the times in it.
type zonePart struct {
	name   string
	index  int
	fields []zoneField
}

type zoneField struct {
	name  string
	index int
	kind  zoneKind
}

type zoneKind uint8

const (
	zoneNone  zoneKind = iota
	zoneMilli          // epoch of a local time: the zone's offset is taken off
	zoneMicro
	zoneNano
	zoneTimestampText // ISO text with an offset
	zoneTimeText
	epochMilli // ts_ms and its like in source: the offset is added
	epochMicro
	epochNano
)

var zoneKinds = map[string]zoneKind{
	"io.debezium.time.Timestamp": zoneMilli, "io.debezium.time.MicroTimestamp": zoneMicro, "io.debezium.time.NanoTimestamp": zoneNano,
	"io.debezium.time.ZonedTimestamp": zoneTimestampText, "io.debezium.time.ZonedTime": zoneTimeText, nameTimestamp: zoneMilli,
}

var epochKinds = map[string]zoneKind{"ts_ms": epochMilli, "ts_us": epochMicro, "ts_ns": epochNano}

func timezoneDef() *configdef.Def {
	const rules = "Rules [source:|topic:]name[:field], comma-separated; the prefix of the first rule counts for those after it, too."
	return &configdef.Def{Options: []configdef.Option{
		dopt("converted.timezone", configdef.String, noDefault, configdef.High, configdef.WidthMedium, "Converted Timezone", "Zone to convert to: a name such as Europe/Berlin or an offset such as +08:00.", needed, knownZone),
		dopt("include.list", configdef.List, noDefault, configdef.High, configdef.WidthMedium, "Include List", "What to convert. "+rules, zoneRules),
		dopt("exclude.list", configdef.List, noDefault, configdef.High, configdef.WidthMedium, "Exclude List", "What not to convert. "+rules, zoneRules, func(in configdef.Input) []string {
			if in.Value != "" && strings.TrimSpace(in.Props["include.list"]) != "" {
				return []string{"Both include and exclude lists are specified. Please specify only one."}
			}
			return nil
		}),
	}}
}

var (
	zoneOffset = regexp.MustCompile(`^([+-])(\d{2}):(\d{2})(?::(\d{2}))?$`)
	zoneList   = regexp.MustCompile(`^\[(source|topic|[".\w\s_]+):([".\w\s_]+(:[".\w\s_]+)?(,|\]$))+$`)
)

func zoneRules(in configdef.Input) []string {
	if !in.Set || zoneList.MatchString(listText(in.Value)) {
		return nil
	}
	kind := strings.TrimSuffix(in.Name, ".list")
	return []string{"Invalid " + kind + ` list format. Please specify a list of rules in the format of "source:<tablename>:<fieldnames>", "topic:<topicname>:<fieldnames>", "<matchname>:<fieldnames>"`}
}

// timezonePlugin is the TimezoneConverter. What it says about zones and rules is a
// DebeziumException, what it lacks a ConfigException.
func timezonePlugin() Plugin {
	p := step(debezium+"TimezoneConverter", timezoneDef(), newTimezone)
	parse := p.NewStep
	p.NewStep = func(props map[string]string) (Step, error) {
		s, err := parse(props)
		var known *errs.Error
		if err != nil && !errors.As(err, &known) && strings.Contains(err.Error(), "Please specify ") {
			return nil, &errs.Error{Java: errs.DebeziumException, Msg: err.Error()}
		}
		return s, err
	}
	return p
}

func knownZone(in configdef.Input) []string {
	if _, err := loadZone(in.Value); err != nil {
		return []string{"Invalid timezone format. Please specify either a geographic timezone (e.g. America/Los_Angeles) or a UTC offset in the format of +/-hh:mm, (e.g. +08:00)."}
	}
	return nil
}

func loadZone(name string) (*time.Location, error) {
	if m := zoneOffset.FindStringSubmatch(name); m != nil {
		h, _ := strconv.Atoi(m[2])
		min, _ := strconv.Atoi(m[3])
		sec, _ := strconv.Atoi(m[4])
		off := h*3600 + min*60 + sec
		if off > 18*3600 || min > 59 || sec > 59 {
			return nil, fmt.Errorf("the offset %s is not between -18:00 and +18:00", name)
		}
		if m[1] == "-" {
			off = -off
		}
		return time.FixedZone(name, off), nil
	}
	return time.LoadLocation(name)
}

func newTimezone(v configdef.Values) (Step, error) {
	z, err := loadZone(v.String("converted.timezone"))
	if err != nil {
		return nil, &errs.Error{Java: errs.ConfigException, Msg: err.Error()}
	}
	t := &timezoneConverter{zone: z, topics: map[string]map[string]bool{}, tables: map[string]map[string]bool{}, either: map[string]map[string]bool{}}
	list := v.List("exclude.list")
	if len(list) == 0 {
		list, t.include = v.List("include.list"), true
	}
	t.none = len(list) == 0
	into := t.either
	for _, rule := range list {
		parts := strings.Split(rule, ":")
		switch {
		case len(parts) > 1 && strings.EqualFold(parts[0], "topic"):
			into, parts = t.topics, parts[1:]
		case len(parts) > 1 && strings.EqualFold(parts[0], "source"):
			into, parts = t.tables, parts[1:]
		}
		if into[parts[0]] == nil {
			into[parts[0]] = map[string]bool{}
		}
		if len(parts) > 1 {
			into[parts[0]][parts[1]] = true
		}
	}
	return t, nil
}

func (t *timezoneConverter) Apply(b *record.Batch, r *record.Record) (bool, error) {
	if r.Value.IsNull() {
		return true, nil
	}
	p, ok := t.plans.lookup(r.ValueSchema)
	if !ok {
		if !isEnvelope(r.ValueSchema) {
			return true, nil
		}
		p = t.plans.store(r.ValueSchema, compileZone(r.ValueSchema))
	}
	table := ""
	if p.table >= 0 {
		if src := b.Child(r.Value, p.source); !src.IsNull() {
			if c := b.Child(src, p.table); c.Kind() == record.String {
				table = b.Str(c)
			}
		}
	}
	fields, matched := t.rules(r.Topic.Name, table)
	switch {
	case t.none:
	case t.include && !matched, !t.include && matched && len(fields) == 0:
		return true, nil
	}
	out := b.CloneChildren(r.Value, 0)
	for i := range p.parts {
		if err := t.part(b, out, &p.parts[i], fields); err != nil {
			return true, err
		}
	}
	r.Value = out
	return true, nil
}

func (t *timezoneConverter) rules(topic, table string) (map[string]bool, bool) {
	for _, x := range []struct {
		m    map[string]map[string]bool
		name string
	}{{t.topics, topic}, {t.tables, table}, {t.either, topic}, {t.either, table}} {
		if f, ok := x.m[x.name]; ok {
			return f, true
		}
	}
	return nil, false
}

// wanted reports whether a field is converted; fields without a prefix mean those
// of before and after.
func (t *timezoneConverter) wanted(part, field string, fields map[string]bool) bool {
	if len(fields) == 0 {
		return part != "source"
	}
	named := fields[part+"."+field] || part != "source" && fields[field]
	if t.include {
		return named
	}
	if part == "source" {
		for f := range fields {
			if strings.HasPrefix(f, "source.") {
				return !named
			}
		}
		return false
	}
	return !named
}

func (t *timezoneConverter) part(b *record.Batch, env record.Cell, p *zonePart, fields map[string]bool) error {
	if p.index < 0 {
		return nil
	}
	c := b.Child(env, p.index)
	if c.IsNull() {
		return nil
	}
	cloned := false
	for i := range p.fields {
		f := &p.fields[i]
		v := b.Child(c, f.index)
		if v.IsNull() || !t.wanted(p.name, f.name, fields) {
			continue
		}
		v, err := t.convert(b, v, f.kind)
		if err != nil {
			return err
		}
		if !cloned {
			c, cloned = b.CloneChildren(c, 0), true
			b.SetChild(env, p.index, c)
		}
		b.SetChild(c, f.index, v)
	}
	return nil
}

func compileZone(s *record.Schema) *zonePlan {
	p := &zonePlan{table: -1}
	var src *record.Schema
	if p.source, src = s.Field("source"); src != nil {
		p.table, _ = src.Field("table")
	}
	for i, name := range []string{"before", "after", "source"} {
		part := zonePart{name: name}
		var ps *record.Schema
		part.index, ps = s.Field(name)
		if ps != nil && ps.Type == record.Struct {
			for k, f := range ps.Fields {
				kind := zoneKinds[f.Schema.Name]
				if name == "source" && f.Schema.Name == "" {
					kind = epochKinds[f.Name]
				}
				if kind != zoneNone {
					part.fields = append(part.fields, zoneField{f.Name, k, kind})
				}
			}
		} else {
			part.index = -1
		}
		p.parts[i] = part
	}
	return p
}

// localOffset is the zone's offset in seconds at a local time, as java.time has
// it: the earlier offset where clocks go back, the one before where they go forward.
func localOffset(z *time.Location, local int64) int64 {
	at := func(t int64) int64 {
		_, off := time.Unix(t, 0).In(z).Zone()
		return int64(off)
	}
	before, after := at(local-86400), at(local+86400)
	if before == after || at(local-before) == before || at(local-after) != after {
		return before
	}
	return after
}

func (t *timezoneConverter) convert(b *record.Batch, c record.Cell, kind zoneKind) (record.Cell, error) {
	units := int64(1000)
	switch kind {
	case zoneMicro, epochMicro:
		units = 1e6
	case zoneNano, epochNano:
		units = 1e9
	case zoneTimestampText, zoneTimeText:
		return t.text(b, c, kind)
	}
	v := c.Int()
	sec := floorDiv(v, units)
	if kind >= epochMilli {
		_, off := time.Unix(sec, 0).In(t.zone).Zone()
		return record.IntCell(c.Kind(), v+int64(off)*units), nil
	}
	return record.IntCell(c.Kind(), v-localOffset(t.zone, sec)*units), nil
}

func (t *timezoneConverter) text(b *record.Batch, c record.Cell, kind zoneKind) (record.Cell, error) {
	s := b.Str(c)
	at, ok := parseZoned(s, kind == zoneTimeText)
	if !ok {
		return c, dataErr("Text '%s' could not be parsed as a time with an offset", s)
	}
	var off int64
	if kind == zoneTimestampText {
		_, own := at.Zone()
		off = localOffset(t.zone, at.Unix()+int64(own))
	} else {
		_, now := time.Now().In(t.zone).Zone()
		off = int64(now)
	}
	a := b.Arena()
	from := len(a)
	at = at.In(time.FixedZone("", int(off)))
	if kind == zoneTimeText {
		a = at.AppendFormat(a, "15:04:05.999999999")
	} else {
		a = appendISOYear(a, at.Year())
		a = at.AppendFormat(a, "-01-02T15:04:05.999999999")
	}
	a = appendOffset(a, off)
	b.SetArena(a)
	return b.SpanCell(record.String, from, len(a)), nil
}

// parseZoned reads a time with an offset; years may have a sign and any digits, as
// Debezium writes those before 1 and after 9999.
func parseZoned(s string, timeOnly bool) (time.Time, bool) {
	if timeOnly {
		at, err := time.Parse("15:04:05.999999999Z07:00", s)
		return at, err == nil
	}
	at, err := time.Parse("2006-01-02T15:04:05.999999999Z07:00", s)
	if err == nil {
		return at, true
	}
	i := strings.IndexByte(s[min(1, len(s)):], '-') + 1
	year, bad := strconv.Atoi(s[:i])
	if bad != nil || i < 5 || year > 999999999 || year < -999999999 {
		return at, false
	}
	// Leap years come again every 400 years.
	like := 2000 + (year%400+400)%400
	if at, err = time.Parse("2006-01-02T15:04:05.999999999Z07:00", strconv.Itoa(like)+s[i:]); err != nil {
		return at, false
	}
	return time.Date(year, at.Month(), at.Day(), at.Hour(), at.Minute(), at.Second(), at.Nanosecond(), at.Location()), true
}

// appendISOYear writes a year as ISO 8601 does.
func appendISOYear(a []byte, year int) []byte {
	if year < 0 {
		return appendNum(append(a, '-'), -year, 4)
	}
	if year > 9999 {
		a = append(a, '+')
	}
	return appendNum(a, year, 4)
}

// appendOffset writes an offset as ISO 8601 does: Z, +hh:mm or +hh:mm:ss.
func appendOffset(a []byte, off int64) []byte {
	if off == 0 {
		return append(a, 'Z')
	}
	if off < 0 {
		a, off = append(a, '-'), -off
	} else {
		a = append(a, '+')
	}
	a = appendNum(a, int(off/3600), 2)
	a = appendNum(append(a, ':'), int(off/60%60), 2)
	if off%60 != 0 {
		a = appendNum(append(a, ':'), int(off%60), 2)
	}
	return a
}
