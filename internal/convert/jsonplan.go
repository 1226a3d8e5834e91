package convert

import (
	"strconv"

	"millrace/internal/record"
)

// jsonOp is how a node writes its value.
type jsonOp uint8

const (
	jsonAny jsonOp = iota // schemaless: the kind of the cell decides
	jsonInt
	jsonBool
	jsonFloat32
	jsonFloat64
	jsonString
	jsonBase64
	jsonDecimal
	jsonArray
	jsonObject  // map with string keys
	jsonEntries // map with other keys: [[k,v],…]
	jsonPairs   // the same as [{"key":k,"value":v},…]
	jsonStruct
)

// jsonNode is the compiled form of one schema node.
type jsonNode struct {
	op     jsonOp
	kind   record.Type // kind a cell must have
	scale  int         // of jsonDecimal
	null   []byte      // text of a null; nil when null is an error
	key    *jsonNode
	elem   *jsonNode
	fields []jsonField
	memo   *memoSlot // of a struct that is much as the one before
}

// jsonField is a member of a struct with all that precedes its value.
type jsonField struct {
	prefix []byte // `{"name":` or `,"name":`
	node   *jsonNode
	name   string

	// A short prefix once more, so that it is copied by two moves of fixed size.
	short [shortPrefix]byte
	n     uint8 // its length; 0: the prefix is longer
}

const shortPrefix = 32

// jsonAnyNode writes schemaless values.
var jsonAnyNode = &jsonNode{op: jsonAny, null: []byte("null")}

// jsonCompiler holds the options that plans depend on.
type jsonCompiler struct {
	numericDecimals bool
	replaceNull     bool // write the default in place of null …
	ignoreDefaults  bool // … unless the field is optional
	pairs           bool // write maps with other keys as jsonPairs
}

// compile makes the plan of a schema; nil is the schemaless plan.
func (jc *jsonCompiler) compile(s *record.Schema) (*jsonNode, error) {
	if s == nil {
		return jsonAnyNode, nil
	}
	n := &jsonNode{kind: s.Type}
	switch s.Type {
	case record.Int8, record.Int16, record.Int32, record.Int64:
		n.op = jsonInt
	case record.Boolean:
		n.op = jsonBool
	case record.Float32:
		n.op = jsonFloat32
	case record.Float64:
		n.op = jsonFloat64
	case record.String:
		n.op = jsonString
	case record.Bytes:
		n.op = jsonBase64
		if jc.numericDecimals && s.Name == nameDecimal {
			scale, err := decimalScale(s)
			if err != nil {
				return nil, err
			}
			n.op, n.scale = jsonDecimal, scale
		}
	case record.Array, record.Map, record.Struct:
		if err := jc.compileNested(n, s); err != nil {
			return nil, err
		}
	default:
		return nil, valueErrorf("Unknown schema type: %s", s.Type)
	}
	switch {
	case hasDefault(s) && jc.replaceNull && !(s.Optional && jc.ignoreDefaults):
		text, err := n.append(nil, s.Default.Batch(), s.Default.Root)
		if err != nil {
			return nil, err
		}
		n.null = text
	case s.Optional:
		n.null = jsonAnyNode.null
	}
	return n, nil
}

func (jc *jsonCompiler) compileNested(n *jsonNode, s *record.Schema) (err error) {
	switch s.Type {
	case record.Array:
		n.op = jsonArray
		n.elem, err = jc.compile(s.Elem)
		return err
	case record.Map:
		n.op = jsonEntries
		if s.Key != nil && s.Key.Type == record.String && !(jc.pairs && s.Key.Optional) {
			n.op = jsonObject
		} else if jc.pairs {
			n.op = jsonPairs
		}
		if n.key, err = jc.compile(s.Key); err != nil {
			return err
		}
		n.elem, err = jc.compile(s.Elem)
		return err
	}
	n.op = jsonStruct
	n.fields = make([]jsonField, len(s.Fields))
	for i, f := range s.Fields {
		p := []byte{','}
		if i == 0 {
			p[0] = '{'
		}
		p = append(appendJSONString(p, []byte(f.Name)), ':')
		c, err := jc.compile(f.Schema)
		if err != nil {
			return within(f.Name, err)
		}
		n.fields[i] = jsonField{prefix: p, node: c, name: f.Name}
		if len(p) <= shortPrefix {
			n.fields[i].n = uint8(copy(n.fields[i].short[:], p))
		}
	}
	if repeats(s) {
		n.memo = &memoSlot{}
	}
	return nil
}

// append writes the value of c; the error is a *valueError.
func (n *jsonNode) append(dst []byte, b *record.Batch, c record.Cell) ([]byte, error) {
	if c.IsNull() {
		if n.null == nil {
			return dst, errNullRequired()
		}
		return append(dst, n.null...), nil
	}
	if n.op == jsonAny {
		return appendJSONAny(dst, b, c)
	}
	if c.Kind() != n.kind {
		return dst, errKind(n.kind, c.Kind())
	}
	switch n.op {
	case jsonInt:
		return appendJSONInt(dst, c.Int()), nil
	case jsonBool:
		return strconv.AppendBool(dst, c.Bool()), nil
	case jsonFloat32:
		return appendJSONFloat(dst, c.Float(), 32), nil
	case jsonFloat64:
		return appendJSONFloat(dst, c.Float(), 64), nil
	case jsonString:
		return appendJSONString(dst, b.Raw(c)), nil
	case jsonBase64:
		return appendJSONBase64(dst, b.Raw(c)), nil
	case jsonDecimal:
		return appendDecimal(dst, b.Raw(c), n.scale), nil
	case jsonArray:
		return n.appendArray(dst, b, c)
	case jsonObject, jsonEntries:
		return n.appendMap(dst, b, c)
	case jsonPairs:
		return n.appendPairs(dst, b, c)
	}
	return n.appendStruct(dst, b, c)
}

func (n *jsonNode) appendStruct(dst []byte, b *record.Batch, c record.Cell) ([]byte, error) {
	cells := b.Children(c)
	if len(cells) != len(n.fields) {
		return dst, valueErrorf("Mismatching schema: the struct has %d fields, its schema %d", len(cells), len(n.fields))
	}
	if len(cells) == 0 {
		return append(dst, '{', '}'), nil
	}
	if n.memo != nil {
		return n.appendRepeated(dst, b, cells)
	}
	for i := range n.fields {
		var err error
		if dst, err = n.fields[i].append(dst, b, cells[i]); err != nil {
			return dst, err
		}
	}
	return append(dst, '}'), nil
}

// append writes the name and the value of a field.
func (f *jsonField) append(dst []byte, b *record.Batch, c record.Cell) (_ []byte, err error) {
	if at := len(dst); f.n > 0 && cap(dst)-at >= shortPrefix {
		dst = dst[:at+shortPrefix]
		*(*[shortPrefix]byte)(dst[at:]) = f.short
		dst = dst[:at+int(f.n)]
	} else {
		dst = append(dst, f.prefix...)
	}
	if c.Kind() == f.node.kind {
		switch f.node.op {
		case jsonInt:
			return appendJSONInt(dst, c.Int()), nil
		case jsonString:
			return appendJSONString(dst, b.Raw(c)), nil
		}
	}
	if dst, err = f.node.append(dst, b, c); err != nil {
		return dst, within(f.name, err)
	}
	return dst, nil
}

// appendRepeated is appendStruct with a memo: fields that are as in the struct
// before are copied.
func (n *jsonNode) appendRepeated(dst []byte, b *record.Batch, cells []record.Cell) (_ []byte, err error) {
	m, from := n.memo.take(b, len(cells)), len(dst)
	if m.run(cells, 0) == len(cells) {
		dst = append(append(dst, m.text...), '}')
		n.memo.p.Store(m)
		return dst, nil
	}
	for i := 0; i < len(cells); {
		if j := m.run(cells, i); j > i {
			dst = m.copy(dst, from, i, j)
			i = j
			continue
		}
		if dst, err = n.fields[i].append(dst, b, cells[i]); err != nil {
			return dst, err
		}
		m.next = append(m.next, len(dst)-from)
		i++
	}
	n.memo.keep(m, cells, dst[from:])
	return append(dst, '}'), nil
}

func (n *jsonNode) appendArray(dst []byte, b *record.Batch, c record.Cell) (_ []byte, err error) {
	dst = append(dst, '[')
	for i, e := range b.Children(c) {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = n.elem.append(dst, b, e); err != nil {
			return dst, within(strconv.Itoa(i), err)
		}
	}
	return append(dst, ']'), nil
}

func (n *jsonNode) appendMap(dst []byte, b *record.Batch, c record.Cell) (_ []byte, err error) {
	open, closing := byte('['), byte(']')
	if n.op == jsonObject {
		open, closing = '{', '}'
	}
	dst = append(dst, open)
	kv := b.Children(c)
	for i := 0; i+1 < len(kv); i += 2 {
		if i > 0 {
			dst = append(dst, ',')
		}
		if n.op == jsonObject {
			dst, err = n.appendMapKey(dst, b, kv[i])
		} else {
			dst, err = n.key.append(append(dst, '['), b, kv[i])
		}
		if err != nil {
			return dst, within("key", err)
		}
		if n.op == jsonObject {
			dst = append(dst, ':')
		} else {
			dst = append(dst, ',')
		}
		if dst, err = n.elem.append(dst, b, kv[i+1]); err != nil {
			return dst, within("value", err)
		}
		if n.op == jsonEntries {
			dst = append(dst, ']')
		}
	}
	return append(dst, closing), nil
}

func (n *jsonNode) appendPairs(dst []byte, b *record.Batch, c record.Cell) (_ []byte, err error) {
	dst = append(dst, '[')
	kv := b.Children(c)
	for i := 0; i+1 < len(kv); i += 2 {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = n.key.append(append(dst, `{"key":`...), b, kv[i]); err != nil {
			return dst, within("key", err)
		}
		if dst, err = n.elem.append(append(dst, `,"value":`...), b, kv[i+1]); err != nil {
			return dst, within("value", err)
		}
		dst = append(dst, '}')
	}
	return append(dst, ']'), nil
}

// appendMapKey writes the name of an object's member; Java's asText makes "null"
// of a null key.
func (n *jsonNode) appendMapKey(dst []byte, b *record.Batch, k record.Cell) ([]byte, error) {
	if !k.IsNull() {
		return n.key.append(dst, b, k)
	}
	if n.key.null == nil {
		return dst, errNullRequired()
	}
	if n.key.null[0] == '"' {
		return append(dst, n.key.null...), nil
	}
	return append(dst, `"null"`...), nil
}

// appendJSONAny writes a schemaless value. A map all of whose keys are text
// becomes an object, any other a list of pairs.
func appendJSONAny(dst []byte, b *record.Batch, c record.Cell) ([]byte, error) {
	switch c.Kind() {
	case record.Int8, record.Int16, record.Int32, record.Int64:
		return appendJSONInt(dst, c.Int()), nil
	case record.Boolean:
		return strconv.AppendBool(dst, c.Bool()), nil
	case record.Float32:
		return appendJSONFloat(dst, c.Float(), 32), nil
	case record.Float64:
		return appendJSONFloat(dst, c.Float(), 64), nil
	case record.String:
		return appendJSONString(dst, b.Raw(c)), nil
	case record.Bytes:
		return appendJSONBase64(dst, b.Raw(c)), nil
	case record.Array:
		return jsonAnyArray.appendArray(dst, b, c)
	case record.Map:
		kv := b.Children(c)
		for i := 0; i < len(kv); i += 2 {
			if kv[i].Kind() != record.String {
				return jsonAnyEntries.appendMap(dst, b, c)
			}
		}
		return jsonAnyObject.appendMap(dst, b, c)
	case record.Struct:
		return dst, valueErrorf("a struct without schema has no field names and cannot be written as JSON")
	}
	return dst, valueErrorf("a value of type %s cannot be written as JSON", c.Kind())
}

// The nested forms of schemaless values.
var (
	jsonAnyArray   = &jsonNode{op: jsonArray, elem: jsonAnyNode}
	jsonAnyObject  = &jsonNode{op: jsonObject, key: jsonAnyNode, elem: jsonAnyNode}
	jsonAnyEntries = &jsonNode{op: jsonEntries, key: jsonAnyNode, elem: jsonAnyNode}
)
