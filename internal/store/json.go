package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

const upperHex = "0123456789ABCDEF"

// AppendJSONString appends s as Jackson writes it: only quotes, backslashes and
// control characters are escaped, letters outside the BMP as surrogate pairs.
func AppendJSONString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			i++
			switch {
			case c == '"' || c == '\\':
				dst = append(dst, '\\', c)
			case c >= 0x20:
				dst = append(dst, c)
			case c == '\b':
				dst = append(dst, '\\', 'b')
			case c == '\t':
				dst = append(dst, '\\', 't')
			case c == '\n':
				dst = append(dst, '\\', 'n')
			case c == '\f':
				dst = append(dst, '\\', 'f')
			case c == '\r':
				dst = append(dst, '\\', 'r')
			default:
				dst = append(dst, '\\', 'u', '0', '0', upperHex[c>>4], upperHex[c&15])
			}
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r < 0x10000 {
			dst = append(dst, s[i:i+n]...)
		} else {
			a, b := utf16.EncodeRune(r)
			for _, u := range []rune{a, b} {
				dst = append(dst, '\\', 'u', upperHex[u>>12&15], upperHex[u>>8&15], upperHex[u>>4&15], upperHex[u&15])
			}
		}
		i += n
	}
	return append(dst, '"')
}

// AppendMap appends the map as a JSON object in its iteration order.
func AppendMap(dst []byte, m *Map) []byte {
	dst = append(dst, '{')
	for i, e := range m.Entries() {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendJSONString(dst, e.Key)
		dst = append(dst, ':')
		if m.IsNull(e.Key) {
			dst = append(dst, "null"...)
		} else {
			dst = AppendJSONString(dst, e.Value)
		}
	}
	return append(dst, '}')
}

// AppendJSON appends a value of the kinds ParseJSON returns, without spaces.
func AppendJSON(dst []byte, v any) []byte {
	switch x := v.(type) {
	case nil:
		return append(dst, "null"...)
	case bool:
		if x {
			return append(dst, "true"...)
		}
		return append(dst, "false"...)
	case json.Number:
		return append(dst, x...)
	case string:
		return AppendJSONString(dst, x)
	case []any:
		dst = append(dst, '[')
		for i, e := range x {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = AppendJSON(dst, e)
		}
		return append(dst, ']')
	case *Object:
		dst = append(dst, '{')
		for i, f := range x.Fields {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = AppendJSONString(dst, f.Key)
			dst = append(dst, ':')
			dst = AppendJSON(dst, f.Value)
		}
		return append(dst, '}')
	}
	panic(fmt.Sprintf("store: no JSON form for %T", v))
}

// Object is a JSON object with its fields in order.
type Object struct{ Fields []Field }

// Field is one member of an Object.
type Field struct {
	Key   string
	Value any // nil, bool, json.Number, string, []any or *Object
}

// Get returns a member's value; the last one of that name wins.
func (o *Object) Get(key string) (any, bool) {
	if o == nil {
		return nil, false
	}
	for i := len(o.Fields) - 1; i >= 0; i-- {
		if o.Fields[i].Key == key {
			return o.Fields[i].Value, true
		}
	}
	return nil, false
}

// ParseJSON reads one JSON document and keeps the order of members and the text
// of numbers. What follows the document is an error.
func ParseJSON(data []byte) (any, error) {
	v, rest, err := ParseJSONPrefix(data)
	if err != nil {
		return nil, err
	}
	if strings.TrimSpace(string(rest)) != "" {
		return nil, errors.New("something follows the JSON document")
	}
	return v, nil
}

// ParseJSONPrefix reads one JSON document and returns what follows it, as
// Jackson's readValue does for request bodies.
func ParseJSONPrefix(data []byte) (v any, rest []byte, err error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	v, err = parseValue(dec, 0)
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, nil, err
	}
	return v, data[dec.InputOffset():], nil
}

// maxDepth bounds the nesting of documents that come from outside.
const maxDepth = 500

func parseValue(dec *json.Decoder, depth int) (any, error) {
	if depth > maxDepth {
		return nil, errors.New("JSON is nested too deeply")
	}
	t, err := dec.Token()
	if err != nil {
		return nil, err
	}
	d, ok := t.(json.Delim)
	if !ok {
		return t, nil
	}
	if d == '[' {
		out := []any{}
		for dec.More() {
			v, err := parseValue(dec, depth+1)
			if err != nil {
				return nil, err
			}
			out = append(out, v)
		}
		_, err = dec.Token()
		return out, err
	}
	o := &Object{}
	for dec.More() {
		k, err := dec.Token()
		if err != nil {
			return nil, err
		}
		v, err := parseValue(dec, depth+1)
		if err != nil {
			return nil, err
		}
		o.Fields = append(o.Fields, Field{k.(string), v})
	}
	_, err = dec.Token()
	return o, err
}

// Scalar returns the text of a scalar as Jackson coerces it to a String.
func Scalar(v any) (text string, null, ok bool) {
	switch x := v.(type) {
	case nil:
		return "", true, true
	case string:
		return x, false, true
	case json.Number:
		return x.String(), false, true
	case bool:
		if x {
			return "true", false, true
		}
		return "false", false, true
	}
	return "", false, false
}

// StringMap turns an object into a map in insertion order; values must be scalars.
func StringMap(o *Object) (*Map, error) {
	m := NewOrdered()
	for _, f := range o.Fields {
		s, null, ok := Scalar(f.Value)
		switch {
		case !ok:
			return nil, fmt.Errorf("the value of %q is neither text, number nor boolean", f.Key)
		case null:
			m.PutNull(f.Key)
		default:
			m.Put(f.Key, s)
		}
	}
	return m, nil
}

// MarshalJSON writes the map as a JSON object in its iteration order.
func (m *Map) MarshalJSON() ([]byte, error) { return AppendMap(nil, m), nil }
