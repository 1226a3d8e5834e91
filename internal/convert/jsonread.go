package convert

import (
	"bytes"
	"encoding/base64"
	"errors"
	"math"
	"math/big"
	"strconv"
	"strings"
	"unsafe"

	"millrace/internal/record"
)

// jsonReadNode is the compiled form of one schema node for reading.
type jsonReadNode struct {
	schema  *record.Schema
	null    *record.Datum // what stands for null; nil: null itself
	bad     bool          // null is an error
	decimal bool
	scale   int
	key     *jsonReadNode
	elem    *jsonReadNode
	fields  []jsonReadField
}

type jsonReadField struct {
	name string
	node *jsonReadNode
}

// compileJSONRead makes the reading plan of a schema.
func compileJSONRead(s *record.Schema, replaceNull bool) (*jsonReadNode, error) {
	n := &jsonReadNode{schema: s, bad: !s.Optional}
	if s.Default != nil && replaceNull {
		n.null, n.bad = s.Default, false
	}
	var err error
	switch s.Type {
	case record.Bytes:
		if isDecimal(s) {
			n.decimal = true
			n.scale, err = decimalScale(s)
		}
	case record.Array:
		n.elem, err = compileJSONRead(s.Elem, replaceNull)
	case record.Map:
		if n.key, err = compileJSONRead(s.Key, replaceNull); err == nil {
			n.elem, err = compileJSONRead(s.Elem, replaceNull)
		}
	case record.Struct:
		n.fields = make([]jsonReadField, len(s.Fields))
		for i, f := range s.Fields {
			c, err := compileJSONRead(f.Schema, replaceNull)
			if err != nil {
				return nil, within(f.Name, err)
			}
			n.fields[i] = jsonReadField{f.Name, c}
		}
	}
	return n, err
}

func (n *jsonReadNode) nullValue(b *record.Batch) (record.Cell, error) {
	if n.null != nil {
		return b.Put(n.null), nil
	}
	if n.bad {
		return record.Cell{}, javaError("Invalid null value for required " + strings.ToUpper(n.schema.Type.String()) + " field")
	}
	return record.Cell{}, nil
}

// read takes the next value of s.
func (n *jsonReadNode) read(s *jsonScanner, b *record.Batch) (record.Cell, error) {
	c := s.peek()
	if c == 'n' {
		if err := s.literal("null"); err != nil {
			return record.Cell{}, err
		}
		return n.nullValue(b)
	}
	switch n.schema.Type {
	case record.Int8, record.Int16, record.Int32, record.Int64:
		return n.readInt(s)
	case record.Float32, record.Float64:
		return n.readFloat(s)
	case record.Boolean:
		if c == 't' {
			return record.BoolCell(true), s.literal("true")
		}
		if c == 'f' {
			return record.BoolCell(false), s.literal("false")
		}
	case record.String:
		if c == '"' {
			return readJSONText(s, b)
		}
	case record.Bytes:
		if c == '"' {
			return readJSONBytes(s, b)
		}
		if n.decimal {
			return n.readDecimal(s, b)
		}
	case record.Array:
		if c == '[' {
			return n.readArray(s, b)
		}
	case record.Map:
		return n.readMap(s, b, c)
	case record.Struct:
		if c != '{' {
			return record.Cell{}, valueErrorf("Structs should be encoded as JSON objects, but found %s", jsonKindName(c))
		}
		return n.readStruct(s, b)
	}
	return record.Cell{}, valueErrorf("the schema says %s, the value is a JSON %s", n.schema.Type, jsonKindName(c))
}

// jsonKindName names the JSON type that starts with c, as Jackson does.
func jsonKindName(c byte) string {
	switch c {
	case '{':
		return "OBJECT"
	case '[':
		return "ARRAY"
	case '"':
		return "STRING"
	case 't', 'f':
		return "BOOLEAN"
	case 'n':
		return "NULL"
	}
	return "NUMBER"
}

func intRange(t record.Type) (lo, hi int64) {
	switch t {
	case record.Int8:
		return math.MinInt8, math.MaxInt8
	case record.Int16:
		return math.MinInt16, math.MaxInt16
	case record.Int32:
		return math.MinInt32, math.MaxInt32
	}
	return math.MinInt64, math.MaxInt64
}

func (n *jsonReadNode) readInt(s *jsonScanner) (record.Cell, error) {
	if k := jsonKindName(s.peek()); k != "NUMBER" {
		return record.Cell{}, valueErrorf("the schema says %s, the value is a JSON %s", n.schema.Type, k)
	}
	text, whole, err := s.number()
	if err != nil {
		return record.Cell{}, err
	}
	var v int64
	if whole {
		v, err = strconv.ParseInt(string(text), 10, 64)
	} else if err = errNotWhole; len(text) < 64 {
		// 1.0 or 1e3 is a whole number too
		if r, ok := new(big.Rat).SetString(string(text)); ok && r.IsInt() && r.Num().IsInt64() {
			v, err = r.Num().Int64(), nil
		}
	}
	lo, hi := intRange(n.schema.Type)
	if err != nil || v < lo || v > hi {
		return record.Cell{}, valueErrorf("the number %s is no %s", text, n.schema.Type)
	}
	return record.IntCell(n.schema.Type, v), nil
}

var errNotWhole = valueErrorf("not a whole number")

// readFloat takes a number, or a text of one: the words that stand for NaN and the
// infinities, which JSON cannot write as numbers, and digits, which some writers quote
// (Connect reads 0 for each of them).
func (n *jsonReadNode) readFloat(s *jsonScanner) (record.Cell, error) {
	var v float64
	if s.peek() == '"' {
		raw, _, err := s.str()
		if err != nil {
			return record.Cell{}, err
		}
		switch string(raw) {
		case "NaN":
			v = math.NaN()
		case "Infinity":
			v = math.Inf(1)
		case "-Infinity":
			v = math.Inf(-1)
		default:
			if len(bytes.Trim(raw, "+-.0123456789eE")) > 0 {
				return record.Cell{}, valueErrorf("the schema says %s, the value is a text", n.schema.Type)
			}
			if v, err = n.parseFloat(raw); err != nil {
				return record.Cell{}, err
			}
		}
	} else if k := jsonKindName(s.peek()); k != "NUMBER" {
		return record.Cell{}, valueErrorf("the schema says %s, the value is a JSON %s", n.schema.Type, k)
	} else {
		text, _, err := s.number()
		if err != nil {
			return record.Cell{}, err
		}
		if v, err = n.parseFloat(text); err != nil {
			return record.Cell{}, err
		}
	}
	if n.schema.Type == record.Float32 {
		return record.Float32Cell(float32(v)), nil
	}
	return record.Float64Cell(v), nil
}

// parseFloat rounds once, to the type of the schema.
func (n *jsonReadNode) parseFloat(text []byte) (float64, error) {
	size := 64
	if n.schema.Type == record.Float32 {
		size = 32
	}
	v, err := strconv.ParseFloat(string(text), size)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return 0, valueErrorf("the number %s is too large for a %s", text, n.schema.Type)
	case err != nil:
		return 0, valueErrorf("the schema says %s, the value is a text", n.schema.Type)
	}
	return v, nil
}

// readJSONText takes a string into the arena.
func readJSONText(s *jsonScanner, b *record.Batch) (record.Cell, error) {
	raw, escaped, err := s.str()
	if err != nil {
		return record.Cell{}, err
	}
	if !escaped {
		return b.BytesCell(record.String, raw), nil
	}
	a := b.Arena()
	from := len(a)
	a = appendUnescaped(a, raw)
	b.SetArena(a)
	return b.SpanCell(record.String, from, len(a)), nil
}

// readJSONBytes takes a base64 text into the arena.
func readJSONBytes(s *jsonScanner, b *record.Batch) (record.Cell, error) {
	raw, escaped, err := s.str()
	if err != nil {
		return record.Cell{}, err
	}
	if escaped { // \/ is the only escape that base64 can hold
		raw = appendUnescaped(nil, raw)
	}
	enc := base64.StdEncoding
	if len(raw)%4 != 0 {
		enc = base64.RawStdEncoding
	}
	a := b.Arena()
	from := len(a)
	a, err = enc.AppendDecode(a, raw)
	if err != nil {
		return record.Cell{}, valueErrorf("Invalid bytes field: the text is no base64")
	}
	b.SetArena(a)
	return b.SpanCell(record.Bytes, from, len(a)), nil
}

// readDecimal takes a number into unscaled bytes of the schema's scale. A number
// that does not fit the scale is an error: a digit would be lost.
func (n *jsonReadNode) readDecimal(s *jsonScanner, b *record.Batch) (record.Cell, error) {
	if k := jsonKindName(s.peek()); k != "NUMBER" {
		return record.Cell{}, valueErrorf("Invalid type for Decimal, underlying representation should be numeric or bytes but was %s", k)
	}
	text, _, err := s.number()
	if err != nil {
		return record.Cell{}, err
	}
	u, ok := parseUnscaled(string(text), n.scale)
	if !ok {
		return record.Cell{}, valueErrorf("the number %s does not fit a decimal of scale %d", text, n.scale)
	}
	a := b.Arena()
	from := len(a)
	a = appendTwosComplement(a, u)
	b.SetArena(a)
	return b.SpanCell(record.Bytes, from, len(a)), nil
}

func (n *jsonReadNode) readArray(s *jsonScanner, b *record.Batch) (record.Cell, error) {
	base := len(s.stack)
	err := s.members('[', func([]byte) error {
		v, err := n.elem.read(s, b)
		s.stack = append(s.stack, v)
		return err
	})
	return s.collect(record.Array, base, b), err
}

// collect makes a cell of what lies on the stack above base.
func (s *jsonScanner) collect(kind record.Type, base int, b *record.Batch) record.Cell {
	c := b.Alloc(kind, len(s.stack)-base)
	copy(b.Children(c), s.stack[base:])
	s.stack = s.stack[:base]
	return c
}

func (n *jsonReadNode) readMap(s *jsonScanner, b *record.Batch, c byte) (record.Cell, error) {
	base := len(s.stack)
	if n.key.schema.Type == record.String {
		if c != '{' {
			return record.Cell{}, valueErrorf("Maps with string fields should be encoded as JSON objects, but found %s", jsonKindName(c))
		}
		err := s.members('{', func(name []byte) error {
			k := b.BytesCell(record.String, name)
			v, err := n.elem.read(s, b)
			s.setEntry(b, base, k, v)
			return err
		})
		return s.collect(record.Map, base, b), err
	}
	if c != '[' {
		return record.Cell{}, valueErrorf("Maps with non-string fields should be encoded as JSON arrays of tuples, but found %s", jsonKindName(c))
	}
	err := s.members('[', func([]byte) error {
		if s.peek() == '{' {
			return n.readPair(s, b)
		}
		if s.peek() != '[' {
			return valueErrorf("Found invalid map entry instead of array tuple: %s", jsonKindName(s.peek()))
		}
		i := 0
		err := s.members('[', func([]byte) error {
			node := n.key
			if i == 1 {
				node = n.elem
			}
			if i++; i > 2 {
				return valueErrorf("Found invalid map entry, expected length 2 but found more")
			}
			v, err := node.read(s, b)
			s.stack = append(s.stack, v)
			return err
		})
		if err == nil && i != 2 {
			err = valueErrorf("Found invalid map entry, expected length 2 but found :%d", i)
		}
		return err
	})
	return s.collect(record.Map, base, b), err
}

// readPair takes an entry written as {"key":…,"value":…}.
func (n *jsonReadNode) readPair(s *jsonScanner, b *record.Batch) error {
	var pair [2]record.Cell
	seen := 0
	err := s.members('{', func(name []byte) error {
		node, i := n.key, 0
		switch string(name) {
		case "key":
		case "value":
			node, i = n.elem, 1
		default:
			_, err := s.skip()
			return err
		}
		v, err := node.read(s, b)
		pair[i], seen = v, seen|1<<i
		return err
	})
	for i, node := range []*jsonReadNode{n.key, n.elem} {
		if err == nil && seen&(1<<i) == 0 {
			pair[i], err = node.nullValue(b)
		}
	}
	s.stack = append(s.stack, pair[0], pair[1])
	return err
}

// setEntry puts an entry with a text key on the stack; the last of several equal
// keys wins, at the place of the first.
func (s *jsonScanner) setEntry(b *record.Batch, base int, k, v record.Cell) {
	if len(s.stack)-base <= 64 { // beyond, duplicates are kept: a quadratic search is worse
		for i := base; i+1 < len(s.stack); i += 2 {
			if b.Str(s.stack[i]) == b.Str(k) {
				s.stack[i+1] = v
				return
			}
		}
	}
	s.stack = append(s.stack, k, v)
}

func (n *jsonReadNode) readStruct(s *jsonScanner, b *record.Batch) (record.Cell, error) {
	base := len(s.stack)
	for range n.fields {
		s.stack = append(s.stack, unsetCell)
	}
	next := 0
	err := s.members('{', func(name []byte) error {
		i := n.find(name, next)
		if i < 0 {
			_, err := s.skip()
			return err
		}
		next = i + 1
		v, err := n.fields[i].node.read(s, b)
		s.stack[base+i] = v
		return within(n.fields[i].name, err)
	})
	for i := range n.fields {
		if err == nil && s.stack[base+i] == unsetCell {
			v, e := n.fields[i].node.nullValue(b)
			s.stack[base+i], err = v, within(n.fields[i].name, e)
		}
	}
	return s.collect(record.Struct, base, b), err
}

// unsetCell marks a field that the object has not named; no value is equal to it.
var unsetCell = record.IntCell(record.Boolean, math.MinInt64)

// find returns the field of that name; members mostly come in the schema's order.
func (n *jsonReadNode) find(name []byte, next int) int {
	if next < len(n.fields) && n.fields[next].name == string(name) {
		return next
	}
	i, _ := n.schema.Field(unsafe.String(unsafe.SliceData(name), len(name)))
	return i
}
