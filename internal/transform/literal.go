package transform

import (
	"math"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"time"

	"millrace/internal/record"
)

// parseLiteral guesses the type of a text as Connect's Values.parseString does:
// null, true, false, whole numbers of the smallest width, fractions as float32
// even where that loses digits, dates, lists and maps; else text.
func parseLiteral(text string) (*record.Schema, *record.Datum) {
	p := literalParser{s: text}
	if s, v, ok := p.value(); ok && strings.TrimSpace(p.s[p.pos:]) == "" {
		if v == nil {
			return nil, nil
		}
		return s, record.MustDatum(s, v)
	}
	return record.PlainString, record.MustDatum(record.PlainString, text)
}

// literalParser reads JSON-like text; values are those of record.FromGo.
type literalParser struct {
	s   string
	pos int
	in  int // depth of lists and maps
}

func (p *literalParser) blank() {
	for p.pos < len(p.s) && strings.IndexByte(" \t\r\n", p.s[p.pos]) >= 0 {
		p.pos++
	}
}

func (p *literalParser) eat(c byte) bool {
	p.blank()
	if p.pos < len(p.s) && p.s[p.pos] == c {
		p.pos++
		return true
	}
	return false
}

func (p *literalParser) value() (*record.Schema, any, bool) {
	switch {
	case p.eat('['):
		return p.list()
	case p.eat('{'):
		return p.object()
	case p.in > 0 && p.eat('"'):
		return p.text()
	}
	start := p.pos
	if p.in > 0 {
		for p.pos < len(p.s) && strings.IndexByte(",:]}", p.s[p.pos]) < 0 {
			p.pos++
		}
	} else {
		p.pos = len(p.s)
	}
	return scalar(strings.TrimSpace(p.s[start:p.pos]), p.in > 0)
}

// text reads a quoted text inside a list or map.
func (p *literalParser) text() (*record.Schema, any, bool) {
	var sb strings.Builder
	for ; p.pos < len(p.s); p.pos++ {
		switch c := p.s[p.pos]; c {
		case '"':
			p.pos++
			return record.PlainString, sb.String(), true
		case '\\':
			if p.pos+1 < len(p.s) {
				p.pos++
				sb.WriteByte(p.s[p.pos])
			}
		default:
			sb.WriteByte(c)
		}
	}
	return nil, nil, false
}

func (p *literalParser) list() (*record.Schema, any, bool) {
	p.in++
	defer func() { p.in-- }()
	var elem *record.Schema
	mixed := false
	out := []any{}
	var schemas []*record.Schema
	for first := true; !p.eat(']'); first = false {
		if !first && !p.eat(',') {
			return nil, nil, false
		}
		s, v, ok := p.value()
		if !ok {
			return nil, nil, false
		}
		elem, mixed = common(elem, s, mixed)
		out, schemas = append(out, v), append(schemas, s)
	}
	if mixed {
		elem = nil
		for i, s := range schemas {
			out[i] = own(s, out[i])
		}
	}
	return &record.Schema{Type: record.Array, Elem: elem}, out, true
}

func (p *literalParser) object() (*record.Schema, any, bool) {
	p.in++
	defer func() { p.in-- }()
	var elem *record.Schema
	mixed := false
	out, schemas := map[string]any{}, map[string]*record.Schema{}
	for first := true; !p.eat('}'); first = false {
		if !first && !p.eat(',') {
			return nil, nil, false
		}
		ks, k, ok := p.value()
		if !ok || ks == nil || ks.Type != record.String || !p.eat(':') {
			return nil, nil, false
		}
		s, v, ok := p.value()
		if !ok {
			return nil, nil, false
		}
		elem, mixed = common(elem, s, mixed)
		out[k.(string)], schemas[k.(string)] = v, s
	}
	if mixed {
		elem = nil
		for k, s := range schemas {
			out[k] = own(s, out[k])
		}
	}
	return &record.Schema{Type: record.Map, Key: record.PlainString, Elem: elem}, out, true
}

// own keeps the type of a value among values of other types.
func own(s *record.Schema, v any) any {
	if v == nil {
		return nil
	}
	return record.MustDatum(s, v)
}

// common is the schema that holds both: numbers widen, other mixtures have none.
func common(a, b *record.Schema, mixed bool) (*record.Schema, bool) {
	switch {
	case mixed || b == nil:
		return a, mixed
	case a == nil || record.Equal(a, b):
		return b, false
	case a.Type <= record.Float64 && b.Type <= record.Float64 && a.Name == "" && b.Name == "":
		if b.Type > a.Type {
			return b, false
		}
		return a, false
	}
	return nil, true
}

var (
	dateText      = regexp.MustCompile(`^\d{4}-\d\d-\d\d$`)
	timeText      = regexp.MustCompile(`^\d\d:\d\d:\d\d\.\d{3}Z$`)
	timestampText = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`)
	numberText    = regexp.MustCompile(`^[+-]?\d+\.?\d*([eE][+-]?\d+)?$`)
)

func scalar(t string, nested bool) (*record.Schema, any, bool) {
	switch t {
	case "null":
		return nil, nil, true
	case "true", "false":
		return record.PlainBoolean, t == "true", true
	case "":
		return nil, nil, false
	}
	for _, d := range []struct {
		re     *regexp.Regexp
		f      *dateFormat
		schema *record.Schema
		unit   int64
	}{
		{dateText, isoDate, &record.Schema{Type: record.Int32, Name: nameDate, Version: 1}, dayMs},
		{timeText, isoTime, &record.Schema{Type: record.Int32, Name: nameTime, Version: 1}, 1},
		{timestampText, isoTimestamp, &record.Schema{Type: record.Int64, Name: nameTimestamp, Version: 1}, 1},
	} {
		if d.re.MatchString(t) {
			if ms, ok := d.f.parse(t, time.Time{}); ok {
				return d.schema, ms / d.unit, true
			}
		}
	}
	if numberText.MatchString(t) {
		s, v := numberLiteral(t)
		return s, v, true
	}
	return record.PlainString, t, !nested
}

// wholeNumber reads a decimal text whose value is an int64.
func wholeNumber(t string) (int64, bool) {
	r, ok := javaDecimal(t)
	if !ok || !r.IsInt() || !r.Num().IsInt64() {
		return 0, false
	}
	return r.Num().Int64(), true
}

// javaDecimal reads a number as BigDecimal does. Exponents that no type of Connect
// reaches are no numbers here.
func javaDecimal(t string) (*big.Rat, bool) {
	if strings.Trim(t, "+-.eE0123456789") != "" {
		return nil, false
	}
	if i := strings.IndexAny(t, "eE"); i >= 0 {
		if e, err := strconv.Atoi(strings.TrimPrefix(t[i+1:], "+")); err != nil || e > 400 || e < -400 {
			return nil, false
		}
	}
	return new(big.Rat).SetString(t)
}

// numberLiteral is the narrowest type that Connect chooses for a number.
// A whole number is one however it is written: 1.0 is an int8.
func numberLiteral(t string) (*record.Schema, any) {
	if n, ok := wholeNumber(t); ok {
		switch {
		case n == int64(int8(n)):
			return record.PlainInt8, n
		case n == int64(int16(n)):
			return record.PlainInt16, n
		case n == int64(int32(n)):
			return record.PlainInt32, n
		}
		return record.PlainInt64, n
	}
	f, _ := strconv.ParseFloat(t, 64)
	whole := !strings.ContainsAny(t, ".eE")
	if !whole && !math.IsInf(f, 0) {
		if math.Abs(f) <= math.MaxFloat32 {
			return record.PlainFloat32, float32(f)
		}
		return record.PlainFloat64, f
	}
	// Beyond every width: a decimal of the text's own scale.
	mant, exp, _ := strings.Cut(strings.ToLower(t), "e")
	e, _ := strconv.Atoi(exp)
	_, frac, _ := strings.Cut(mant, ".")
	n, _ := new(big.Int).SetString(strings.TrimPrefix(strings.Replace(mant, ".", "", 1), "+"), 10)
	scale := len(frac) - e
	s := &record.Schema{Type: record.Bytes, Name: nameDecimal, Version: 1, Params: []record.Param{{Key: "scale", Value: strconv.Itoa(scale)}}}
	return s, twosComplement(n)
}
