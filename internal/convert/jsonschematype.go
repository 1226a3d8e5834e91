package convert

import (
	"bytes"
	"strconv"

	"millrace/internal/record"
)

// jsonSchemaOptions are the data options of the JsonSchemaConverter.
type jsonSchemaOptions struct {
	closed      bool // object.additional.properties=false
	nonRequired bool // use.optional.for.nonrequired
	jc          jsonCompiler
}

// fromConnect returns the JSON Schema that Confluent's converter registers for a
// Connect schema. Members stand in the order of its library: type first (of
// booleans last), title, description, default, the connect.* ones, then what the
// type needs; properties stand in Java's hash order, which connect.index undoes.
func (o *jsonSchemaOptions) fromConnect(s *record.Schema) ([]byte, error) {
	return o.append(nil, s, -1)
}

// append appends a schema; index is the place of a field in its struct, or -1.
func (o *jsonSchemaOptions) append(dst []byte, s *record.Schema, index int) (_ []byte, err error) {
	if s == nil {
		return dst, valueErrorf("a value without schema cannot be described by a JSON Schema")
	}
	if !s.Optional {
		return o.appendType(dst, s, index)
	}
	dst = append(dst, '{')
	if index >= 0 {
		dst = append(strconv.AppendInt(append(dst, `"connect.index":`...), int64(index), 10), ',')
	}
	dst = append(dst, `"oneOf":[{"type":"null"},`...)
	if dst, err = o.appendType(dst, s, -1); err != nil {
		return dst, err
	}
	return append(dst, `]}`...), nil
}

// jsonSchemaKind is the JSON type of a schema and its connect.type.
func (o *jsonSchemaOptions) kind(s *record.Schema) (typ, connect string) {
	switch s.Type {
	case record.Int8, record.Int16, record.Int32, record.Int64:
		return "integer", s.Type.String()
	case record.Float32, record.Float64:
		return "number", s.Type.String()
	case record.Boolean:
		return "boolean", ""
	case record.String:
		return "string", ""
	case record.Bytes:
		if o.jc.numericDecimals && s.Name == nameDecimal {
			return "number", "bytes"
		}
		return "string", "bytes"
	case record.Array:
		return "array", ""
	case record.Map:
		if textKeys(s) {
			return "object", "map"
		}
		return "array", "map"
	}
	return "object", ""
}

// textKeys reports whether a map is written as an object: its keys are required texts.
func textKeys(s *record.Schema) bool {
	return s.Key != nil && s.Key.Type == record.String && !s.Key.Optional
}

func (o *jsonSchemaOptions) appendType(dst []byte, s *record.Schema, index int) (_ []byte, err error) {
	typ, connect := o.kind(s)
	dst = append(dst, '{')
	if typ != "boolean" {
		dst = append(append(append(dst, `"type":"`...), typ...), '"', ',')
	}
	if s.Type == record.Struct && o.closed {
		dst = append(dst, `"additionalProperties":false,`...)
	}
	if s.Name != "" {
		dst = append(appendAvroText(append(dst, `"title":`...), s.Name), ',')
	}
	if s.Doc != "" || s.EmptyDoc {
		dst = append(appendAvroText(append(dst, `"description":`...), s.Doc), ',')
	}
	if hasDefault(s) {
		if dst, err = o.appendDefault(append(dst, `"default":`...), s); err != nil {
			return dst, err
		}
		dst = append(dst, ',')
	}
	if index >= 0 {
		dst = append(strconv.AppendInt(append(dst, `"connect.index":`...), int64(index), 10), ',')
	}
	if s.Version != 0 {
		dst = append(strconv.AppendInt(append(dst, `"connect.version":`...), int64(s.Version), 10), ',')
	}
	if connect != "" {
		dst = append(append(append(dst, `"connect.type":"`...), connect...), '"', ',')
	}
	if len(s.Params) > 0 {
		dst = append(dst, `"connect.parameters":{`...)
		dst = appendJSONParams(dst, s.Params)
		dst = append(dst, '}', ',')
	}
	if typ == "boolean" {
		dst = append(dst, `"type":"boolean",`...)
	}
	if dst, err = o.appendNested(dst, s); err != nil {
		return dst, err
	}
	dst[len(dst)-1] = '}' // in place of the last comma
	return dst, nil
}

// appendJSONParams appends the parameters of a schema. They went through two hash
// tables, the second one made for just as many.
func appendJSONParams(dst []byte, params []record.Param) []byte {
	keys := make([]string, len(params))
	for i, p := range params {
		keys[i] = p.Key
	}
	sorted := make([]record.Param, 0, len(params))
	for _, at := range JavaHashOrder(keys) {
		sorted = append(sorted, params[at])
	}
	for i, p := range sorted {
		keys[i] = p.Key
	}
	size := 1
	for size < len(keys) {
		size *= 2
	}
	for i, at := range javaHashOrderFrom(keys, size) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendAvroText(dst, sorted[at].Key), ':')
		dst = appendAvroText(dst, sorted[at].Value)
	}
	return dst
}

// appendNested appends what arrays, maps and structs need, each with a comma.
func (o *jsonSchemaOptions) appendNested(dst []byte, s *record.Schema) (_ []byte, err error) {
	switch s.Type {
	case record.Array:
		if dst, err = o.append(append(dst, `"items":`...), s.Elem, -1); err != nil {
			return dst, err
		}
		return append(dst, ','), nil
	case record.Map:
		if textKeys(s) {
			dst, err = o.append(append(dst, `"additionalProperties":`...), s.Elem, -1)
		} else {
			dst = append(dst, `"items":{"type":"object","properties":{"value":`...)
			if dst, err = o.append(dst, s.Elem, 1); err == nil {
				dst, err = o.append(append(dst, `,"key":`...), s.Key, 0)
			}
			dst = append(dst, `}}`...)
		}
		return append(dst, ','), err
	case record.Struct:
		names := make([]string, len(s.Fields))
		for i, f := range s.Fields {
			names[i] = f.Name
		}
		if len(names) > 0 {
			dst = append(dst, `"properties":{`...)
		}
		for i, at := range JavaHashOrder(names) {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendAvroText(dst, names[at]), ':')
			if dst, err = o.append(dst, s.Fields[at].Schema, at); err != nil {
				return dst, within(names[at], err)
			}
		}
		if len(names) > 0 {
			dst = append(dst, '}', ',')
		}
	}
	return dst, nil
}

// appendDefault appends a default as the registry keeps it: numbers lose trailing
// zeros, and an exponent gets its sign.
func (o *jsonSchemaOptions) appendDefault(dst []byte, s *record.Schema) ([]byte, error) {
	n, err := o.jc.compile(s)
	if err != nil {
		return dst, err
	}
	from := len(dst)
	if dst, err = n.append(dst, s.Default.Batch(), s.Default.Root); err != nil {
		return dst, err
	}
	text := dst[from:]
	if c := text[0]; c != '-' && (c < '0' || c > '9') || bytes.IndexByte(text, '.') < 0 {
		return dst, nil
	}
	if bytes.IndexByte(text, 'E') < 0 {
		dst = bytes.TrimRight(dst, "0")
		return bytes.TrimSuffix(dst, []byte{'.'}), nil
	}
	scale, ok := decimalTextScale(string(text))
	u, ok2 := parseUnscaled(string(text), scale)
	if !ok || !ok2 {
		return dst, nil
	}
	return appendDecimal(dst[:from], appendTwosComplement(nil, u), scale), nil
}
