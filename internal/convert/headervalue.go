package convert

import (
	"math"
	"strconv"
	"sync"
	"time"

	"millrace/internal/record"
)

// headerSchemas makes the schemas of lists, maps and decimals that were read one
// pointer each. It forgets them when there are too many.
type headerSchemas struct {
	mu    sync.Mutex
	in    *record.Interner
	count int
}

func (h *headerSchemas) intern(s *record.Schema) *record.Schema {
	if s == nil || s.Type != record.Array && s.Type != record.Map && s.Name != nameDecimal {
		return s
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.in == nil || h.count > 10_000 {
		h.in, h.count = &record.Interner{}, 0
	}
	h.count++
	return h.in.Intern(s)
}

// The schemas of dates in headers.
var (
	headerDate      = &record.Schema{Type: record.Int32, Name: nameDate, Version: 1}
	headerTime      = &record.Schema{Type: record.Int32, Name: nameTime, Version: 1}
	headerTimestamp = &record.Schema{Type: record.Int64, Name: nameTimestamp, Version: 1}
)

// valueParser guesses values from text by the rules of Connect's Values class.
type valueParser struct {
	text    []byte
	pos     int
	depth   int
	b       *record.Batch
	schemas *headerSchemas
}

// typed is a value with its schema; null has none.
type typed struct {
	s *record.Schema
	c record.Cell
}

// whole reads the text as one value; ok is false when it is none, or more.
func (p *valueParser) whole() (*record.Schema, record.Cell, bool) {
	p.space()
	if p.pos == len(p.text) || p.text[p.pos] == '"' {
		return nil, record.Cell{}, false
	}
	v, ok := p.value()
	p.space()
	return withoutNoItems(v.s), v.c, ok && p.pos == len(p.text)
}

func (p *valueParser) space() {
	for p.pos < len(p.text) {
		switch p.text[p.pos] {
		case ' ', '\t', '\n', '\r', '\f':
			p.pos++
		default:
			return
		}
	}
}

func (p *valueParser) at(c byte) bool {
	p.space()
	if p.pos < len(p.text) && p.text[p.pos] == c {
		p.pos++
		return true
	}
	return false
}

func (p *valueParser) value() (typed, bool) {
	p.space()
	if p.pos == len(p.text) {
		return typed{}, false
	}
	switch p.text[p.pos] {
	case '"':
		return p.quoted()
	case '[':
		return p.list()
	case '{':
		return p.dict()
	}
	if v, n := isoValue(p.text[p.pos:]); n > 0 {
		p.pos += n
		return v, true
	}
	from := p.pos
	for p.pos < len(p.text) && !isDelimiter(p.text[p.pos]) {
		p.pos++
	}
	return p.word(string(p.text[from:p.pos]))
}

func isDelimiter(c byte) bool {
	switch c {
	case ',', ':', '[', ']', '{', '}', '"', ' ', '\t', '\n', '\r', '\f':
		return true
	}
	return false
}

func (p *valueParser) word(w string) (typed, bool) {
	switch w {
	case "":
		return typed{}, false
	case "null":
		return typed{}, true
	case "true", "false":
		return typed{record.PlainBoolean, record.BoolCell(w == "true")}, true
	}
	if c := w[0]; c != '+' && c != '-' && (c < '0' || c > '9') {
		return typed{}, false
	}
	if v, err := strconv.ParseInt(w, 10, 64); err == nil {
		return smallestInt(v), true
	}
	return p.decimal(w)
}

func smallestInt(v int64) typed {
	switch {
	case v == int64(int8(v)):
		return typed{record.PlainInt8, record.IntCell(record.Int8, v)}
	case v == int64(int16(v)):
		return typed{record.PlainInt16, record.IntCell(record.Int16, v)}
	case v == int64(int32(v)):
		return typed{record.PlainInt32, record.IntCell(record.Int32, v)}
	}
	return typed{record.PlainInt64, record.Int64Cell(v)}
}

// decimal reads what Java's BigDecimal reads: a whole value becomes the smallest
// integer that holds it; a number with a scale the smallest float whose range
// holds it, even if digits are lost; anything else a Decimal.
func (p *valueParser) decimal(w string) (typed, bool) {
	scale, ok := decimalTextScale(w)
	if !ok {
		return typed{}, false
	}
	u, ok := parseUnscaled(w, scale)
	if !ok {
		return typed{}, false
	}
	if whole, ok := parseUnscaled(w, 0); ok && whole.IsInt64() {
		return smallestInt(whole.Int64()), true
	}
	if scale != 0 {
		if f, err := strconv.ParseFloat(w, 32); err == nil && !math.IsInf(f, 0) {
			return typed{record.PlainFloat32, record.Float32Cell(float32(f))}, true
		}
		if f, err := strconv.ParseFloat(w, 64); err == nil && !math.IsInf(f, 0) {
			return typed{record.PlainFloat64, record.Float64Cell(f)}, true
		}
	}
	s := &record.Schema{Type: record.Bytes, Name: nameDecimal, Version: 1, Params: []record.Param{{Key: "scale", Value: strconv.Itoa(scale)}}}
	return typed{s, p.b.BytesCell(record.Bytes, appendTwosComplement(nil, u))}, true
}

// decimalTextScale checks that a text is a decimal number and returns the scale
// that Java's BigDecimal gives it. Exponents beyond a thousand are no numbers here:
// a few bytes of them would take megabytes to write out.
func decimalTextScale(w string) (scale int, ok bool) {
	i, digits, point := 0, 0, -1
	if w[0] == '+' || w[0] == '-' {
		i++
	}
	for ; i < len(w); i++ {
		switch c := w[i]; {
		case c >= '0' && c <= '9':
			digits++
		case c == '.' && point < 0:
			point = digits
		case (c == 'e' || c == 'E') && digits > 0:
			exp, err := strconv.ParseInt(w[i+1:], 10, 32)
			if err != nil || exp > 1000 || exp < -1000 {
				return 0, false
			}
			if point < 0 {
				point = digits
			}
			return digits - point - int(exp), true
		default:
			return 0, false
		}
	}
	if point < 0 {
		point = digits
	}
	return digits - point, digits > 0
}

// isoValue reads a date, time or timestamp by the exact length of its form; n is
// 0 when there is none. Months, days and hours beyond their range carry over, as
// in Java's lenient SimpleDateFormat.
func isoValue(p []byte) (v typed, n int) {
	for _, f := range [...]string{"0000-00-00T00:00:00.000Z", "0000-00-00", "00:00:00.000Z"} {
		if !hasForm(p, f) || len(p) > len(f) && !isDelimiter(p[len(f)]) {
			continue
		}
		num := func(from, to int) int {
			n := 0
			for _, c := range p[from:to] {
				n = n*10 + int(c-'0')
			}
			return n
		}
		switch len(f) {
		case 13:
			ms := ((num(0, 2)*60+num(3, 5))*60+num(6, 8))*1000 + num(9, 12)
			return typed{headerTime, record.Int32Cell(int32(ms))}, len(f)
		case 10:
			t := time.Date(num(0, 4), time.Month(num(5, 7)), num(8, 10), 0, 0, 0, 0, time.UTC)
			return typed{headerDate, record.Int32Cell(int32(t.Unix() / 86400))}, len(f)
		}
		t := time.Date(num(0, 4), time.Month(num(5, 7)), num(8, 10), num(11, 13), num(14, 16), num(17, 19), num(20, 23)*1e6, time.UTC)
		return typed{headerTimestamp, record.Int64Cell(t.UnixMilli())}, len(f)
	}
	return typed{}, 0
}

// hasForm reports whether p starts like form, where 0 stands for any digit.
func hasForm(p []byte, form string) bool {
	if len(p) < len(form) {
		return false
	}
	for i := 0; i < len(form); i++ {
		if form[i] == '0' && p[i] >= '0' && p[i] <= '9' || form[i] != '0' && p[i] == form[i] {
			continue
		}
		return false
	}
	return true
}

// quoted reads a text within a list or map; a date in quotes is a date.
func (p *valueParser) quoted() (typed, bool) {
	p.pos++
	var out []byte
	for p.pos < len(p.text) {
		c := p.text[p.pos]
		p.pos++
		if c == '"' {
			if v, n := isoValue(out); n > 0 && n == len(out) {
				return v, true
			}
			return typed{record.PlainString, p.b.BytesCell(record.String, out)}, true
		}
		if c == '\\' && p.pos < len(p.text) && (p.text[p.pos] == '"' || p.text[p.pos] == '\\') {
			c = p.text[p.pos]
			p.pos++
		}
		out = append(out, c)
	}
	return typed{}, false
}

func (p *valueParser) list() (typed, bool) {
	p.pos++
	if p.depth++; p.depth > 100 {
		return typed{}, false
	}
	var items []typed
	if !p.at(']') {
		for {
			v, ok := p.value()
			if !ok {
				return typed{}, false
			}
			items = append(items, v)
			if p.at(']') {
				break
			}
			if !p.at(',') {
				return typed{}, false
			}
		}
	}
	p.depth--
	elem, ok := p.align(items)
	if !ok {
		return typed{}, false
	}
	c := p.b.Alloc(record.Array, len(items))
	for i, v := range items {
		p.b.SetChild(c, i, v.c)
	}
	return typed{&record.Schema{Type: record.Array, Elem: elem}, c}, true
}

func (p *valueParser) dict() (typed, bool) {
	p.pos++
	if p.depth++; p.depth > 100 {
		return typed{}, false
	}
	var keys, values []typed
	if !p.at('}') {
		for {
			k, ok := p.value()
			if !ok || k.c.IsNull() || !p.at(':') {
				return typed{}, false
			}
			v, ok := p.value()
			if !ok {
				return typed{}, false
			}
			if i := p.find(keys, k.c); i >= 0 {
				values[i] = v
			} else {
				keys, values = append(keys, k), append(values, v)
			}
			if p.at('}') {
				break
			}
			if !p.at(',') {
				return typed{}, false
			}
		}
	}
	p.depth--
	ks, ok := p.align(keys)
	vs, ok2 := p.align(values)
	if !ok || !ok2 {
		return typed{}, false
	}
	c := p.b.Alloc(record.Map, 2*len(keys))
	for i := range keys {
		p.b.SetChild(c, 2*i, keys[i].c)
		p.b.SetChild(c, 2*i+1, values[i].c)
	}
	return typed{&record.Schema{Type: record.Map, Key: ks, Elem: vs}, c}, true
}

// find returns the index of an equal key, so that the last of several wins.
func (p *valueParser) find(keys []typed, k record.Cell) int {
	for i := range keys[:min(len(keys), 256)] { // beyond, a search per key costs too much
		c := keys[i].c
		if c == k || c.Kind() == record.String && k.Kind() == record.String && p.b.Str(c) == p.b.Str(k) {
			return i
		}
	}
	return -1
}

// align finds the schema that fits all items and widens their numbers to it. It is
// nil when there is none (mixed types, or only nulls). ok is false for a mix of
// null and other values, which Connect leaves as text.
func (p *valueParser) align(items []typed) (s *record.Schema, ok bool) {
	if len(items) == 0 {
		return noItems, true
	}
	nulls := 0
	for i, v := range items {
		switch {
		case v.c.IsNull():
			nulls++
		case s == nil && i == nulls:
			s = v.s
		default:
			if s = common(s, v.s); s == nil {
				p.spellOut(items)
				return nil, nulls == 0
			}
		}
	}
	if nulls > 0 {
		return nil, nulls == len(items)
	}
	if s != nil {
		for i := range items {
			items[i].c = p.widen(s, items[i].c)
		}
	}
	return s, true
}

// spellOut turns the dates and decimals of a mixed list into text: without their
// schema they could not be told from plain numbers and bytes.
func (p *valueParser) spellOut(items []typed) {
	for i, v := range items {
		if v.s == nil || v.s.Name == "" {
			continue
		}
		if text, err := appendHeaderValue(nil, p.b, v.s, v.c, false); err == nil {
			items[i].c = p.b.BytesCell(record.String, text)
		}
	}
}

// common returns the schema that holds values of both, nil if none does.
func common(a, b *record.Schema) *record.Schema {
	switch {
	case a == nil || b == nil:
		return nil
	case a == noItems:
		return b
	case b == noItems:
		return a
	case a == b || record.Equal(a, b):
		return a
	case a.Name == "" && b.Name == "" && isNumber(a.Type) && isNumber(b.Type):
		if a.Type > b.Type { // the types are ordered int8 … int64, float32, float64
			return a
		}
		return b
	case a.Type != b.Type:
		return nil
	case a.Type == record.Array:
		return &record.Schema{Type: record.Array, Elem: common(a.Elem, b.Elem)}
	case a.Type == record.Map:
		return &record.Schema{Type: record.Map, Key: common(a.Key, b.Key), Elem: common(a.Elem, b.Elem)}
	}
	return nil
}

// noItems is the element schema of an empty list or map while values are being
// aligned; it fits any other.
var noItems = &record.Schema{Type: record.Invalid}

// withoutNoItems puts no schema where noItems stands.
func withoutNoItems(s *record.Schema) *record.Schema {
	if s == nil || s == noItems {
		return nil
	}
	if s.Key != nil {
		s.Key = withoutNoItems(s.Key)
	}
	if s.Elem != nil {
		s.Elem = withoutNoItems(s.Elem)
	}
	return s
}

func isNumber(t record.Type) bool { return t >= record.Int8 && t <= record.Float64 }

// widen turns the numbers of a value into the type that the schema says.
func (p *valueParser) widen(s *record.Schema, c record.Cell) record.Cell {
	if s == nil || c.IsNull() {
		return c
	}
	switch s.Type {
	case record.Int16, record.Int32, record.Int64:
		return record.IntCell(s.Type, c.Int())
	case record.Float32, record.Float64:
		v := c.Float()
		if c.Kind() < record.Float32 {
			v = float64(c.Int())
		}
		if s.Type == record.Float32 {
			return record.Float32Cell(float32(v))
		}
		return record.Float64Cell(v)
	case record.Array:
		for i := 0; i < c.Len(); i++ {
			p.b.SetChild(c, i, p.widen(s.Elem, p.b.Child(c, i)))
		}
	case record.Map:
		for i := 0; i+1 < c.Len(); i += 2 {
			p.b.SetChild(c, i, p.widen(s.Key, p.b.Child(c, i)))
			p.b.SetChild(c, i+1, p.widen(s.Elem, p.b.Child(c, i+1)))
		}
	}
	return c
}
