package convert

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"millrace/internal/record"
)

// avroToConnect makes Connect schemas of Avro schemas, together with the plans
// that read them.
type avroToConnect struct {
	avroOptions
	open  map[*avroSchema]bool // records being compiled, to find recursion
	nodes int
}

// compile returns the Connect schema and reading plan of a writer's schema.
// optional is set within a union with null; def is the default of the field that
// the schema belongs to (nil: none).
func (tc *avroToConnect) compile(a *avroSchema, optional bool, field *avroField) (*record.Schema, *avroReadNode, error) {
	if tc.nodes++; tc.nodes > maxSchemaNodes {
		return nil, nil, valueErrorf("the Avro schema has more than %d types when its names are spelled out", maxSchemaNodes)
	}
	if a.kind == avroUnion {
		return tc.union(a, field)
	}
	if a.kind == avroNull {
		return nil, nil, valueErrorf("Standalone null schemas are not supported by this converter")
	}
	if tc.open == nil {
		tc.open = map[*avroSchema]bool{}
	}
	if tc.open[a] {
		return nil, nil, valueErrorf("the Avro record %s holds itself, which millrace cannot read", a.fullName())
	}
	tc.open[a] = true
	defer delete(tc.open, a)

	s := &record.Schema{Optional: optional}
	n := &avroReadNode{kind: a.kind}
	if err := tc.base(s, n, a); err != nil {
		return nil, nil, err
	}
	n.target = s.Type
	if err := tc.attributes(s, n, a, field); err != nil {
		return nil, nil, err
	}
	return s, n, nil
}

func (tc *avroToConnect) base(s *record.Schema, n *avroReadNode, a *avroSchema) (err error) {
	switch a.kind {
	case avroBoolean:
		s.Type = record.Boolean
	case avroInt:
		s.Type = intType(a.textProp(propConnectType))
	case avroLong:
		s.Type = record.Int64
	case avroFloat:
		s.Type = record.Float32
	case avroDouble:
		s.Type = record.Float64
	case avroString:
		s.Type = record.String
	case avroBytes:
		s.Type = record.Bytes
	case avroFixed:
		s.Type, n.size = record.Bytes, a.size
		if tc.metaData {
			s.Params = append(s.Params, record.Param{Key: "connect.fixed.size", Value: strconv.Itoa(a.size)})
		}
	case avroEnum:
		s.Type, n.symbols = record.String, a.symbols
		if tc.metaData {
			s.Params = append(s.Params, record.Param{Key: paramEnum, Value: a.fullName()})
			for _, sym := range a.symbols {
				s.Params = append(s.Params, record.Param{Key: paramEnum + "." + sym, Value: sym})
			}
		}
	case avroArray:
		if isMapEntry(a.elem) {
			s.Type = record.Map
			entry := a.elem
			// Defaults of the entry's fields are none of the map's.
			if s.Key, n.key, err = tc.compile(entry.fields[0].typ, false, nil); err != nil {
				return within("key", err)
			}
			s.Elem, n.elem, err = tc.compile(entry.fields[1].typ, false, nil)
			return within("value", err)
		}
		s.Type = record.Array
		s.Elem, n.elem, err = tc.compile(a.elem, false, nil)
	case avroMap:
		s.Type = record.Map
		s.Key, n.key = record.PlainString, &avroReadNode{kind: avroString, target: record.String}
		s.Elem, n.elem, err = tc.compile(a.elem, false, nil)
	case avroRecord:
		s.Type, s.Name = record.Struct, a.fullName()
		for i := range a.fields {
			f := &a.fields[i]
			fs, fn, err := tc.compile(f.typ, false, f)
			if err != nil {
				return within(f.name, err)
			}
			s.Fields = append(s.Fields, record.Field{Name: f.name, Schema: fs})
			n.fields = append(n.fields, fn)
			n.names = append(n.names, f.name)
		}
	}
	return err
}

func intType(connect string) record.Type {
	switch connect {
	case "int8":
		return record.Int8
	case "int16":
		return record.Int16
	}
	return record.Int32
}

// attributes puts name, version, doc, parameters and default on the schema.
func (tc *avroToConnect) attributes(s *record.Schema, n *avroReadNode, a *avroSchema, field *avroField) error {
	switch a.textProp(propLogicalType) {
	case "decimal":
		if a.kind == avroBytes || a.kind == avroFixed {
			scale, _ := a.intProp("scale")
			s.Name, s.Version = nameDecimal, 1
			s.Params = append(s.Params, record.Param{Key: "scale", Value: strconv.Itoa(scale)})
			if p, ok := a.intProp("precision"); ok && p != defaultPrecision {
				s.Params = append(s.Params, record.Param{Key: paramDecimalPrecision, Value: strconv.Itoa(p)})
			}
		}
	case "date":
		if a.kind == avroInt {
			s.Name, s.Version = nameDate, 1
		}
	case "time-millis":
		if a.kind == avroInt {
			s.Name, s.Version = nameTime, 1
		}
	case "timestamp-millis":
		if a.kind == avroLong {
			s.Name, s.Version = nameTimestamp, 1
		}
	}
	if name := a.textProp(propConnectName); name != "" {
		s.Name = name
	}
	if strings.HasPrefix(s.Name, avroDefaultFull) { // what a struct without name is called
		s.Name = ""
	}
	if v, ok := a.intProp(propConnectVersion); ok {
		s.Version = v
	}
	if doc := a.textProp(propConnectDoc); doc != "" && (!tc.docDefault || field == nil) {
		s.Doc = doc
	}
	if field != nil && tc.docDefault {
		s.Doc = field.doc
	}
	if params := a.prop(propConnectParams); len(params) > 0 && params[0] == '{' {
		if err := connectParams(s, params); err != nil {
			return err
		}
	}
	return tc.defaultOf(s, n, a, field)
}

func connectParams(s *record.Schema, text []byte) error {
	sc := jsonScanner{data: text}
	return sc.members('{', func(name []byte) error {
		key := string(name)
		part, err := sc.skip()
		if err != nil {
			return err
		}
		v, ok := jsonTextOf(part)
		if !ok {
			return valueErrorf("Expected schema parameter values to be strings but found %s", part)
		}
		if _, have := s.Param(key); !have {
			s.Params = append(s.Params, record.Param{Key: key, Value: v})
		}
		return nil
	})
}

// defaultOf sets the default: that of the field, or the one Connect left in the
// type. A default that does not fit the type is none.
func (tc *avroToConnect) defaultOf(s *record.Schema, n *avroReadNode, a *avroSchema, field *avroField) error {
	var text []byte
	if field != nil && field.def != nil {
		text = field.def
	}
	if text == nil || string(text) == "null" {
		text = a.prop(propConnectDefault)
	}
	if text == nil || string(text) == "null" {
		return nil
	}
	data, err := appendAvroJSON(nil, a, text)
	if err != nil {
		return within("default", err)
	}
	var b record.Batch
	r := avroReader{data: data}
	c, err := n.read(&r, &b)
	if err != nil {
		return within("default", err)
	}
	s.Default = record.NewDatum(&b, c)
	return nil
}

// union reads [null, T] as an optional T and any other union as a struct with one
// optional field per branch, as Confluent's converter does.
func (tc *avroToConnect) union(a *avroSchema, field *avroField) (*record.Schema, *avroReadNode, error) {
	n := &avroReadNode{kind: avroUnion}
	nullable := false
	var values []*avroSchema
	for _, b := range a.branches {
		if b.kind == avroNull {
			nullable = true
		} else {
			values = append(values, b)
		}
	}
	if len(values) == 1 && (nullable || tc.flattenUnions) {
		if field != nil { // the default of a union is that of its type, which is in connect.default
			field = &avroField{name: field.name, doc: field.doc}
		}
		s, v, err := tc.compile(values[0], nullable, field)
		if err != nil {
			return nil, nil, err
		}
		for _, b := range a.branches {
			if b.kind == avroNull {
				n.branches = append(n.branches, &avroReadNode{kind: avroNull})
			} else {
				n.branches = append(n.branches, v)
			}
		}
		n.target = v.target
		return s, n, nil
	}
	if len(values) == 0 {
		return nil, nil, valueErrorf("a union of nothing but null cannot be read")
	}
	s := &record.Schema{Type: record.Struct, Optional: nullable, Name: avroNamespace + ".Union"}
	n.target = record.Struct
	for i, b := range a.branches {
		if b.kind == avroNull {
			n.branches, n.slots = append(n.branches, &avroReadNode{kind: avroNull}), append(n.slots, -1)
			continue
		}
		fs, fn, err := tc.compile(b, true, nil)
		if err != nil {
			return nil, nil, err
		}
		n.branches, n.slots = append(n.branches, fn), append(n.slots, len(s.Fields))
		n.fields = append(n.fields, fn)
		s.Fields = append(s.Fields, record.Field{Name: tc.branchName(b, i), Schema: fs})
	}
	return s, n, nil
}

// branchName names the field of a union's branch.
func (tc *avroToConnect) branchName(b *avroSchema, i int) string {
	switch {
	case tc.sumTypes:
		return "connect_union_field_" + strconv.Itoa(i)
	case b.kind != avroRecord && b.kind != avroEnum && b.kind != avroFixed:
		return b.kind.String()
	case tc.enhanced:
		return b.fullName()
	}
	return b.name
}

// appendAvroJSON appends a default, which is JSON, as Avro binary. A default of a
// union may be of any of its branches.
func appendAvroJSON(dst []byte, a *avroSchema, text []byte) ([]byte, error) {
	bad := func() ([]byte, error) {
		return dst, valueErrorf("the default %.80s is no %s", text, a.kind)
	}
	switch a.kind {
	case avroUnion:
		for i, b := range a.branches {
			if out, err := appendAvroJSON(appendVarint(dst, int64(i)), b, text); err == nil {
				return out, nil
			}
		}
		return bad()
	case avroNull:
		if string(text) != "null" {
			return bad()
		}
		return dst, nil
	case avroBoolean:
		if string(text) != "true" && string(text) != "false" {
			return bad()
		}
		if text[0] == 't' {
			return append(dst, 1), nil
		}
		return append(dst, 0), nil
	case avroInt, avroLong:
		v, err := strconv.ParseInt(string(text), 10, 64)
		if err != nil || a.kind == avroInt && v != int64(int32(v)) {
			return bad()
		}
		return appendVarint(dst, v), nil
	case avroFloat, avroDouble:
		v, ok := jsonFloatOf(text)
		if !ok {
			return bad()
		}
		if a.kind == avroFloat {
			return appendAvroFloat(dst, float32(v)), nil
		}
		return appendAvroDouble(dst, v), nil
	}
	return appendAvroJSONValue(dst, a, text)
}

// jsonFloatOf reads a number, or a text that names one that JSON cannot write.
func jsonFloatOf(text []byte) (float64, bool) {
	if v, ok := jsonTextOf(text); ok {
		switch v {
		case "NaN":
			return math.NaN(), true
		case "Infinity":
			return math.Inf(1), true
		case "-Infinity":
			return math.Inf(-1), true
		}
		return 0, false
	}
	s := jsonScanner{data: text}
	if _, _, err := s.number(); err != nil || s.pos != len(text) {
		return 0, false
	}
	v, err := strconv.ParseFloat(string(text), 64)
	return v, err == nil
}

func appendAvroJSONValue(dst []byte, a *avroSchema, text []byte) ([]byte, error) {
	bad := func() ([]byte, error) {
		return dst, valueErrorf("the default %.80s is no %s", text, a.kind)
	}
	word, isText := jsonTextOf(text)
	switch a.kind {
	case avroString:
		if !isText {
			return bad()
		}
		return appendAvroString(dst, []byte(word)), nil
	case avroEnum:
		for i, sym := range a.symbols {
			if isText && sym == word {
				return appendVarint(dst, int64(i)), nil
			}
		}
		return bad()
	case avroBytes, avroFixed:
		p, ok := latin1(word)
		if !isText || !ok || a.kind == avroFixed && len(p) != a.size {
			return bad()
		}
		if a.kind == avroBytes {
			dst = appendVarint(dst, int64(len(p)))
		}
		return append(dst, p...), nil
	case avroArray, avroMap:
		return appendAvroJSONItems(dst, a, text)
	}
	if len(text) == 0 || text[0] != '{' {
		return bad()
	}
	parts := map[string][]byte{}
	s := jsonScanner{data: text}
	err := s.members('{', func(name []byte) error {
		key := string(name)
		part, err := s.skip()
		parts[key] = part
		return err
	})
	for i := range a.fields {
		f := &a.fields[i]
		part := parts[f.name]
		if part == nil {
			part = f.def
		}
		if err == nil && part == nil {
			err = valueErrorf("the default lacks the field")
		}
		if err != nil {
			return dst, within(f.name, err)
		}
		dst, err = appendAvroJSON(dst, f.typ, part)
	}
	return dst, err
}

func appendAvroJSONItems(dst []byte, a *avroSchema, text []byte) ([]byte, error) {
	open := byte('[')
	if a.kind == avroMap {
		open = '{'
	}
	if len(text) == 0 || text[0] != open {
		return dst, valueErrorf("the default %.80s is no %s", text, a.kind)
	}
	var items []byte
	count := int64(0)
	s := jsonScanner{data: text}
	err := s.members(open, func(name []byte) error {
		if a.kind == avroMap {
			items = appendAvroString(items, name)
		}
		part, err := s.skip()
		if err != nil {
			return err
		}
		count++
		items, err = appendAvroJSON(items, a.elem, part)
		return err
	})
	if err != nil {
		return dst, err
	}
	if count > 0 {
		dst = append(appendVarint(dst, count), items...)
	}
	return append(dst, 0), nil
}

// latin1 turns a text of characters up to U+00FF into one byte each.
func latin1(text string) ([]byte, bool) {
	out := make([]byte, 0, len(text))
	for _, r := range text {
		if r > 0xFF || r == utf8.RuneError {
			return nil, false
		}
		out = append(out, byte(r))
	}
	return out, true
}
