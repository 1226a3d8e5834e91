package oracle

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Value is JSON that keeps what comparison needs: the order of an object's fields,
// integers exactly, and the spelling of other numbers. It is nil, bool, Int,
// string, []Value or *Object. A number with a fraction or exponent, NaN and
// Infinity are strings that begin with "~". Half of a surrogate pair in a string
// is kept as its three bytes.
type Value = any

// Int is an integer of any size in decimal digits.
type Int string

// Object is a JSON object; Keys and Vals have the same length.
type Object struct {
	Keys []string
	Vals []Value
}

// Get returns the value of a field and whether there is one.
func (o *Object) Get(key string) (Value, bool) {
	for i, k := range o.Keys {
		if k == key {
			return o.Vals[i], true
		}
	}
	return nil, false
}

// Set replaces a field's value or appends a field.
func (o *Object) Set(key string, v Value) {
	for i, k := range o.Keys {
		if k == key {
			o.Vals[i] = v
			return
		}
	}
	o.Keys, o.Vals = append(o.Keys, key), append(o.Vals, v)
}

// has reports whether the object has exactly these fields, in any order.
func (o *Object) has(keys ...string) bool {
	if len(o.Keys) != len(keys) {
		return false
	}
	for _, k := range keys {
		if _, ok := o.Get(k); !ok {
			return false
		}
	}
	return true
}

func object(kv ...Value) *Object {
	o := &Object{}
	for i := 0; i < len(kv); i += 2 {
		o.Set(kv[i].(string), kv[i+1])
	}
	return o
}

// ParseJSON reads one JSON text, and NaN, Infinity and -Infinity as numbers.
func ParseJSON(b []byte) (Value, error) {
	p := &parser{b: b}
	v, err := p.value()
	if err != nil {
		return nil, err
	}
	if p.space(); p.i != len(b) {
		return nil, fmt.Errorf("text after the value at byte %d", p.i)
	}
	return v, nil
}

type parser struct {
	b []byte
	i int
}

var (
	errSyntax    = errors.New("not JSON")
	numberSyntax = regexp.MustCompile(`^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$`)
)

func (p *parser) space() {
	for p.i < len(p.b) && strings.IndexByte(" \t\r\n", p.b[p.i]) >= 0 {
		p.i++
	}
}

func (p *parser) word(w string) bool {
	if strings.HasPrefix(string(p.b[p.i:min(len(p.b), p.i+len(w))]), w) {
		p.i += len(w)
		return true
	}
	return false
}

func (p *parser) value() (Value, error) {
	p.space()
	if p.i >= len(p.b) {
		return nil, errSyntax
	}
	switch p.b[p.i] {
	case '{':
		return p.object()
	case '[':
		return p.list()
	case '"':
		return p.str()
	}
	for w, v := range map[string]Value{"null": nil, "true": true, "false": false, "NaN": "~NaN", "Infinity": "~Infinity", "-Infinity": "~-Infinity"} {
		if p.word(w) {
			return v, nil
		}
	}
	return p.number()
}

func (p *parser) number() (Value, error) {
	from := p.i
	for p.i < len(p.b) && strings.IndexByte("+-0123456789.eE", p.b[p.i]) >= 0 {
		p.i++
	}
	s := string(p.b[from:p.i])
	if !numberSyntax.MatchString(s) {
		return nil, errSyntax
	}
	if strings.ContainsAny(s, ".eE") {
		return "~" + s, nil
	}
	if s == "-0" {
		s = "0"
	}
	return Int(s), nil
}

func (p *parser) object() (Value, error) {
	o := &Object{}
	p.i++
	if p.space(); p.word("}") {
		return o, nil
	}
	for {
		p.space()
		k, err := p.str()
		if err != nil {
			return nil, err
		}
		if p.space(); !p.word(":") {
			return nil, errSyntax
		}
		v, err := p.value()
		if err != nil {
			return nil, err
		}
		o.Set(k, v)
		p.space()
		if p.word("}") {
			return o, nil
		}
		if !p.word(",") {
			return nil, errSyntax
		}
	}
}

func (p *parser) list() (Value, error) {
	l := []Value{}
	p.i++
	if p.space(); p.word("]") {
		return l, nil
	}
	for {
		v, err := p.value()
		if err != nil {
			return nil, err
		}
		l = append(l, v)
		p.space()
		if p.word("]") {
			return l, nil
		}
		if !p.word(",") {
			return nil, errSyntax
		}
	}
}

func (p *parser) str() (string, error) {
	if !p.word(`"`) {
		return "", errSyntax
	}
	var out []byte
	for p.i < len(p.b) {
		c := p.b[p.i]
		p.i++
		switch {
		case c == '"':
			return string(out), nil
		case c < ' ':
			return "", errSyntax
		case c != '\\':
			out = append(out, c)
		default:
			var err error
			if out, err = p.escape(out); err != nil {
				return "", err
			}
		}
	}
	return "", errSyntax
}

func (p *parser) escape(out []byte) ([]byte, error) {
	if p.i >= len(p.b) {
		return nil, errSyntax
	}
	c := p.b[p.i]
	p.i++
	if i := strings.IndexByte(`"\/bfnrt`, c); i >= 0 {
		return append(out, "\"\\/\b\f\n\r\t"[i]), nil
	}
	if c != 'u' {
		return nil, errSyntax
	}
	r, err := p.hex4()
	if err != nil {
		return nil, err
	}
	if r >= 0xd800 && r < 0xdc00 {
		at := p.i
		if p.word(`\u`) {
			if lo, err := p.hex4(); err == nil && lo >= 0xdc00 && lo < 0xe000 {
				return utf8.AppendRune(out, 0x10000+(r-0xd800)<<10+(lo-0xdc00)), nil
			}
		}
		p.i = at
	}
	if r >= 0xd800 && r < 0xe000 {
		return append(out, 0xe0|byte(r>>12), 0x80|byte(r>>6)&0x3f, 0x80|byte(r)&0x3f), nil
	}
	return utf8.AppendRune(out, r), nil
}

func (p *parser) hex4() (rune, error) {
	if p.i+4 > len(p.b) {
		return 0, errSyntax
	}
	n, err := strconv.ParseUint(string(p.b[p.i:p.i+4]), 16, 16)
	if err != nil {
		return 0, errSyntax
	}
	p.i += 4
	return rune(n), nil
}

// Print writes a value as JSON, for messages.
func Print(v Value) string {
	var sb strings.Builder
	printTo(&sb, v)
	return sb.String()
}

func printTo(sb *strings.Builder, v Value) {
	switch x := v.(type) {
	case nil:
		sb.WriteString("null")
	case bool:
		fmt.Fprint(sb, x)
	case Int:
		sb.WriteString(string(x))
	case string:
		sb.WriteString(strconv.Quote(x))
	case []Value:
		sb.WriteByte('[')
		for i, e := range x {
			if i > 0 {
				sb.WriteString(", ")
			}
			printTo(sb, e)
		}
		sb.WriteByte(']')
	case *Object:
		sb.WriteByte('{')
		for i, k := range x.Keys {
			if i > 0 {
				sb.WriteString(", ")
			}
			sb.WriteString(strconv.Quote(k) + ": ")
			printTo(sb, x.Vals[i])
		}
		sb.WriteByte('}')
	}
}
