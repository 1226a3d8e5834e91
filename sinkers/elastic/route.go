package elastic

import (
	"encoding/base64"
	"strconv"
	"strings"

	"millrace/internal/configdef"
	"millrace/internal/record"
)

// router makes the routing value of a document; the zero router makes none.
type router struct {
	key  bool
	path []string // of the value; nil: none
	text string   // of path
}

func routing(v configdef.Values) (router, error) {
	path := v.String("routing.type.record.value.path")
	switch v.Enum("routing.type") {
	case "key":
		return router{key: true}, nil
	case "value":
		if path == "" {
			return router{}, configError("The 'routing.type.record.value.path' setting must be configured when using the 'value' routing type")
		}
		if v.Enum("behavior.on.null.values") == "delete" {
			return router{}, configError("The 'routing.type.record.value.path' can't be used together with 'behavior.on.null.values' set to 'delete': a tombstone has no value to take it from")
		}
		r := router{text: path}
		for _, step := range strings.Split(path[1:], "/") {
			r.path = append(r.path, strings.NewReplacer("~1", "/", "~0", "~").Replace(step))
		}
		return r, nil
	}
	return router{}, nil
}

// value appends the routing value of a record; nothing without routing. It is the
// text that the value has in the document of Aiven's sink; plain: schemas are ignored.
func (x *router) value(dst []byte, b *record.Batch, r *record.Record, plain bool) ([]byte, error) {
	switch {
	case x.key:
		out, ok := scalar(dst, b, keyOf(b, r))
		if !ok {
			return dst, refusal("%s type is not supported for routing. Supported are: int8, int16, int32, int64, string (routing.type=key, topic %s)", strings.ToUpper(r.Key.Kind().String()), r.Topic.Name)
		}
		return out, nil
	case x.path == nil:
		return dst, nil
	}
	s, c := r.ValueSchema, r.Value
	for _, step := range x.path {
		s, c = child(b, s, c, step)
		if c.IsNull() && s != nil && s.Default != nil {
			b, c = s.Default.Batch(), s.Default.Root
		}
		if c.IsNull() {
			break
		}
	}
	from := len(dst)
	switch c.Kind() {
	case record.Int8, record.Int16, record.Int32, record.Int64:
		dst = strconv.AppendInt(dst, c.Int(), 10)
	case record.Float32:
		dst = record.AppendJavaFloat(dst, float32(c.Float()))
	case record.Float64:
		dst = record.AppendJavaDouble(dst, c.Float())
	case record.String:
		dst = append(dst, b.Raw(c)...)
	case record.Bytes:
		if s == nil || s.Name != record.DecimalName || plain {
			dst = base64.StdEncoding.AppendEncode(dst, b.Raw(c))
			break
		}
		if v, err := strconv.ParseFloat(string(appendDecimal(nil, b.Raw(c), scaleOf(s))), 64); err == nil {
			dst = record.AppendJavaDouble(dst, v) // what Java routes by
		}
	}
	if len(dst) == from {
		return dst, refusal("Couldn't determine value for path: %s (topic %s): it must be a text that is not empty, or a number", x.text, r.Topic.Name)
	}
	return dst, nil
}

// child is one step of a JSON pointer: a field, a map's value or an element. The
// zero cell: there is none.
func child(b *record.Batch, s *record.Schema, c record.Cell, step string) (*record.Schema, record.Cell) {
	switch c.Kind() {
	case record.Struct:
		if s != nil {
			if i, f := s.Field(step); i >= 0 && i < c.Len() {
				return f, b.Child(c, i)
			}
		}
	case record.Map:
		for i := 0; i < c.Len(); i += 2 {
			if k := b.Child(c, i); k.Kind() == record.String && b.Str(k) == step {
				return elem(s), b.Child(c, i+1)
			}
		}
	case record.Array:
		if i, err := strconv.Atoi(step); err == nil && i >= 0 && i < c.Len() {
			return elem(s), b.Child(c, i)
		}
	}
	return nil, record.Cell{}
}

func elem(s *record.Schema) *record.Schema {
	if s == nil {
		return nil
	}
	return s.Elem
}
