package elastic

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"strconv"
	"unicode/utf8"

	"millrace/internal/record"
)

// node is the plan of a schema as JSON. nil fields mean: by the value's own kind.
type node struct {
	typ      record.Type
	name     string
	scale    int
	prefixes [][]byte // `{"a":`, `,"b":` of a struct
	children []*node
	elem     *node
	key      *node         // of a map
	fill     *record.Datum // stands for null
	compact  bool          // a map becomes an object
	mapped   bool          // the mapping is made of the schema
	double   bool          // a Decimal without fraction is a floating point number all the same
	absent   *absent       // may be nil
}

// style is what plans of one sink share.
type style struct {
	compact bool // maps with text keys become objects
	mapped  bool // the index has the mapping of the schema, in which dates are counted in milliseconds
	double  bool // schemas count, so that Decimals are of the type double
	absent  *absent
}

// absent is the value that stands for one which the source could not read, such as
// an unchanged TOAST value: members that hold it are left out. The zero absent
// leaves out nothing.
type absent struct {
	text []byte
	met  bool // one was left out
}

func (a *absent) is(b *record.Batch, c record.Cell) bool {
	if a != nil && c.Kind() == record.Array && c.Len() == 1 { // of an array of texts
		c = b.Child(c, 0)
	}
	if a == nil || len(a.text) == 0 || c.Kind() != record.String && c.Kind() != record.Bytes || !bytes.Equal(b.Raw(c), a.text) {
		return false
	}
	a.met = true
	return true
}

// compile makes the plan of a schema.
func compile(s *record.Schema, st style) *node {
	n := &node{typ: s.Type, name: s.Name, fill: s.Default, mapped: st.mapped, double: st.double, absent: st.absent, compact: st.compact && s.Key != nil && s.Key.Type == record.String}
	if s.Name == record.DecimalName {
		n.scale = scaleOf(s)
	}
	for i, f := range s.Fields {
		sep := byte(',')
		if i == 0 {
			sep = '{'
		}
		n.prefixes = append(n.prefixes, append(appendText([]byte{sep}, []byte(f.Name)), ':'))
		n.children = append(n.children, compile(f.Schema, st))
	}
	if s.Elem != nil {
		n.elem = compile(s.Elem, st)
		if s.Key != nil {
			n.key = compile(s.Key, st)
		}
	}
	return n
}

// scaleOf is the scale of a Decimal's schema.
func scaleOf(s *record.Schema) int {
	v, _ := s.Param("scale")
	n, _ := strconv.Atoi(v)
	return n
}

var errBytes = errors.New("the value cannot be part of a JSON document")

// append appends a value as JSON. n nil: a schemaless value.
func (n *node) append(dst []byte, b *record.Batch, c record.Cell) (_ []byte, err error) {
	if c.IsNull() {
		if n != nil && n.fill != nil {
			return n.append(dst, n.fill.Batch(), n.fill.Root)
		}
		return append(dst, "null"...), nil
	}
	switch c.Kind() {
	case record.Boolean:
		return strconv.AppendBool(dst, c.Bool()), nil
	case record.Int8, record.Int16, record.Int32, record.Int64:
		v := c.Int()
		if n != nil && n.mapped && n.name == record.DateName {
			v *= 86400000 // the mapping's type date takes milliseconds
		}
		return strconv.AppendInt(dst, v, 10), nil
	case record.Float32, record.Float64:
		return appendFloat(dst, c), nil
	case record.String:
		return appendText(dst, b.Raw(c)), nil
	case record.Bytes:
		if n != nil && n.name == record.DecimalName {
			if dst = appendDecimal(dst, b.Raw(c), n.scale); n.double && n.scale <= 0 {
				dst = append(dst, ".0"...)
			}
			return dst, nil
		}
		return append(base64.StdEncoding.AppendEncode(append(dst, '"'), b.Raw(c)), '"'), nil
	case record.Array:
		dst = append(dst, '[')
		for i := 0; i < c.Len(); i++ {
			if i > 0 {
				dst = append(dst, ',')
			}
			if dst, err = n.element().append(dst, b, b.Child(c, i)); err != nil {
				return dst, err
			}
		}
		return append(dst, ']'), nil
	case record.Map:
		return n.appendMap(dst, b, c)
	case record.Struct:
		if n == nil || len(n.children) != c.Len() {
			return dst, errBytes
		}
		if c.Len() == 0 {
			return append(dst, "{}"...), nil
		}
		return n.appendStruct(dst, b, c)
	}
	return dst, errBytes
}

func (n *node) appendStruct(dst []byte, b *record.Batch, c record.Cell) (_ []byte, err error) {
	dst = append(dst, '{')
	from := len(dst)
	for i, child := range n.children {
		v := b.Child(c, i)
		if n.absent.is(b, v) {
			continue
		}
		prefix := n.prefixes[i][1:]
		if len(dst) > from {
			dst = append(dst, ',')
		}
		if dst, err = child.append(append(dst, prefix...), b, v); err != nil {
			return dst, err
		}
	}
	return append(dst, '}'), nil
}

func (n *node) element() *node {
	if n == nil || n.typ == anyType {
		return n
	}
	return n.elem
}

// anyType is the type of the plan of values without a schema.
const anyType record.Type = 255

// appendMap writes a map as an object, or as a list of key/value objects when its
// keys are no text or compact.map.entries is false. Schemaless maps are always objects.
func (n *node) appendMap(dst []byte, b *record.Batch, c record.Cell) (_ []byte, err error) {
	var gone *absent
	if n != nil {
		gone = n.absent
	}
	object := n == nil || n.compact || n.typ == anyType
	open, end := byte('{'), byte('}')
	if !object {
		open, end = '[', ']'
	}
	dst = append(dst, open)
	from := len(dst)
	for i := 0; i < c.Len(); i += 2 {
		if object && gone.is(b, b.Child(c, i+1)) {
			continue
		}
		if len(dst) > from {
			dst = append(dst, ',')
		}
		key := b.Child(c, i)
		if object {
			text, ok := scalar(nil, b, key)
			if !ok {
				return dst, errBytes
			}
			dst = append(appendText(dst, text), ':')
		} else {
			if dst, err = n.key.append(append(dst, `{"key":`...), b, key); err != nil {
				return dst, err
			}
			dst = append(dst, `,"value":`...)
		}
		if dst, err = n.element().append(dst, b, b.Child(c, i+1)); err != nil {
			return dst, err
		}
		if !object {
			dst = append(dst, '}')
		}
	}
	return append(dst, end), nil
}

// scalar returns the text of a value that can be an id or a map key.
func scalar(dst []byte, b *record.Batch, c record.Cell) ([]byte, bool) {
	switch c.Kind() {
	case record.Int8, record.Int16, record.Int32, record.Int64:
		return strconv.AppendInt(dst, c.Int(), 10), true
	case record.String:
		return append(dst, b.Raw(c)...), true
	}
	return dst, false
}

// appendFloat writes a number as Java does, with a fraction or an exponent always:
// the first value of a field that the mapping does not name decides its type, and a
// 1 would make it one of whole numbers. What is no number is a text.
func appendFloat(dst []byte, c record.Cell) []byte {
	v := c.Float()
	special := math.IsNaN(v) || math.IsInf(v, 0)
	if special {
		dst = append(dst, '"')
	}
	if c.Kind() == record.Float32 {
		dst = record.AppendJavaFloat(dst, float32(v))
	} else {
		dst = record.AppendJavaDouble(dst, v)
	}
	if special {
		dst = append(dst, '"')
	}
	return dst
}

// appendDecimal writes a Decimal as a JSON number with all its digits.
func appendDecimal(dst, unscaled []byte, scale int) []byte {
	v := new(big.Int).SetBytes(unscaled)
	if len(unscaled) > 0 && unscaled[0]&0x80 != 0 {
		v.Sub(v, new(big.Int).Lsh(big.NewInt(1), uint(8*len(unscaled))))
	}
	if scale <= 0 {
		v.Mul(v, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(-scale)), nil))
		return v.Append(dst, 10)
	}
	r := new(big.Rat).SetFrac(v, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil))
	return append(dst, r.FloatString(scale)...)
}

// appendText writes a JSON string; bytes that are no UTF-8 become U+FFFD.
func appendText(dst, s []byte) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < 0x20:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		case c < utf8.RuneSelf:
			dst = append(dst, c)
		default:
			r, n := utf8.DecodeRune(s[i:])
			dst = utf8.AppendRune(dst, r)
			i += n
			continue
		}
		i++
	}
	return append(dst, '"')
}

// appendMapping writes the mapping of a schema: what an index without mapping gets
// from the first record.
func appendMapping(dst []byte, s *record.Schema) []byte {
	plain := func(t string) []byte {
		dst = append(append(append(dst, `{"type":"`...), t...), '"')
		if s.Default != nil && !s.Default.Root.IsNull() && s.Type != record.String && s.Type != record.Bytes {
			if out, err := compile(s, style{compact: true, mapped: true, double: true}).append(append(dst, `,"null_value":`...), s.Default.Batch(), s.Default.Root); err == nil {
				dst = out
			}
		}
		return append(dst, '}')
	}
	switch s.Name {
	case record.DecimalName:
		return plain("double")
	case record.DateName, record.TimeName, record.TimestampName:
		return plain("date")
	}
	switch s.Type {
	case record.Int8:
		return plain("byte")
	case record.Int16:
		return plain("short")
	case record.Int32:
		return plain("integer")
	case record.Int64:
		return plain("long")
	case record.Float32:
		return plain("float")
	case record.Float64:
		return plain("double")
	case record.Boolean:
		return plain("boolean")
	case record.Bytes:
		return plain("binary")
	case record.Array:
		return appendMapping(dst, s.Elem)
	case record.Map:
		dst = appendMapping(append(dst, `{"properties":{"key":`...), s.Key)
		dst = appendMapping(append(dst, `,"value":`...), s.Elem)
		return append(dst, "}}"...)
	case record.Struct:
		dst = append(dst, `{"properties":{`...)
		for i, f := range s.Fields {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendMapping(append(appendText(dst, []byte(f.Name)), ':'), f.Schema)
		}
		return append(dst, "}}"...)
	}
	return append(dst, `{"type":"text","fields":{"keyword":{"type":"keyword","ignore_above":256}}}`...)
}

// replaceMember returns a JSON object with another value in a member of its first
// level; ok is false when it has none of that name.
func replaceMember(object []byte, name string, value []byte) (_ []byte, ok bool) {
	dec := json.NewDecoder(bytes.NewReader(object))
	if _, err := dec.Token(); err != nil {
		return nil, false
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, false
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return nil, false
		}
		if key == name {
			end := int(dec.InputOffset())
			out := append([]byte{}, object[:end-len(raw)]...)
			return append(append(out, value...), object[end:]...), true
		}
	}
	return nil, false
}
