package convert

import (
	"strconv"

	"millrace/internal/record"
)

// jsonTypeName is the spelling of a type in JsonConverter's schemas.
func jsonTypeName(t record.Type) string {
	switch t {
	case record.Float32:
		return "float"
	case record.Float64:
		return "double"
	}
	return t.String()
}

// appendSchema appends a schema as JsonConverter writes it. Keys come in the
// order type; items, or keys and values, or fields; optional; name; version; doc;
// parameters; default; field.
func (jc *jsonCompiler) appendSchema(dst []byte, s *record.Schema, field string, isField bool) (_ []byte, err error) {
	if s == nil {
		return append(dst, "null"...), nil
	}
	dst = append(append(append(dst, `{"type":"`...), jsonTypeName(s.Type)...), '"')
	switch s.Type {
	case record.Array:
		if dst, err = jc.appendSchema(append(dst, `,"items":`...), s.Elem, "", false); err != nil {
			return dst, err
		}
	case record.Map:
		if dst, err = jc.appendSchema(append(dst, `,"keys":`...), s.Key, "", false); err != nil {
			return dst, err
		}
		if dst, err = jc.appendSchema(append(dst, `,"values":`...), s.Elem, "", false); err != nil {
			return dst, err
		}
	case record.Struct:
		dst = append(dst, `,"fields":[`...)
		for i, f := range s.Fields {
			if i > 0 {
				dst = append(dst, ',')
			}
			if dst, err = jc.appendSchema(dst, f.Schema, f.Name, true); err != nil {
				return dst, err
			}
		}
		dst = append(dst, ']')
	}
	dst = strconv.AppendBool(append(dst, `,"optional":`...), s.Optional)
	if s.Name != "" {
		dst = appendJSONString(append(dst, `,"name":`...), []byte(s.Name))
	}
	if s.Version != 0 {
		dst = strconv.AppendInt(append(dst, `,"version":`...), int64(s.Version), 10)
	}
	if s.Doc != "" || s.EmptyDoc {
		dst = appendJSONString(append(dst, `,"doc":`...), []byte(s.Doc))
	}
	if len(s.Params) > 0 {
		dst = append(dst, `,"parameters":{`...)
		for i, p := range s.Params {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendJSONString(dst, []byte(p.Key)), ':')
			dst = appendJSONString(dst, []byte(p.Value))
		}
		dst = append(dst, '}')
	}
	if s.Default != nil && !s.Default.Root.IsNull() {
		n, err := jc.compile(s)
		if err != nil {
			return dst, err
		}
		if dst, err = n.append(append(dst, `,"default":`...), s.Default.Batch(), s.Default.Root); err != nil {
			return dst, err
		}
	}
	if isField {
		dst = appendJSONString(append(dst, `,"field":`...), []byte(field))
	}
	return append(dst, '}'), nil
}
