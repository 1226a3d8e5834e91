package registry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// object is a JSON object in the order of its text; arrays are []any, numbers
// json.Number.
type object struct {
	keys []string
	vals map[string]any
}

func (o *object) set(k string, v any) {
	if _, ok := o.vals[k]; !ok {
		o.keys = append(o.keys, k)
	}
	o.vals[k] = v
}

func (o *object) text(k string) string {
	s, _ := o.vals[k].(string)
	return s
}

// parseJSON reads one JSON text.
func parseJSON(text string) (any, error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	v, err := readValue(d)
	if err != nil {
		return nil, err
	}
	if d.More() {
		return nil, errors.New("text after the value")
	}
	return v, nil
}

func readValue(d *json.Decoder) (any, error) {
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t {
	case json.Delim('{'):
		o := &object{vals: map[string]any{}}
		for d.More() {
			k, err := d.Token()
			if err != nil {
				return nil, err
			}
			v, err := readValue(d)
			if err != nil {
				return nil, err
			}
			o.set(k.(string), v)
		}
		_, err = d.Token()
		return o, err
	case json.Delim('['):
		l := []any{}
		for d.More() {
			v, err := readValue(d)
			if err != nil {
				return nil, err
			}
			l = append(l, v)
		}
		_, err = d.Token()
		return l, err
	}
	return t, nil
}

// printJSON writes a value without blanks.
func printJSON(w *bytes.Buffer, v any) {
	switch x := v.(type) {
	case *object:
		w.WriteByte('{')
		for i, k := range x.keys {
			if i > 0 {
				w.WriteByte(',')
			}
			printText(w, k)
			w.WriteByte(':')
			printJSON(w, x.vals[k])
		}
		w.WriteByte('}')
	case []any:
		w.WriteByte('[')
		for i, e := range x {
			if i > 0 {
				w.WriteByte(',')
			}
			printJSON(w, e)
		}
		w.WriteByte(']')
	case string:
		printText(w, x)
	case json.Number:
		w.WriteString(x.String())
	case nil:
		w.WriteString("null")
	default:
		fmt.Fprint(w, x)
	}
}

// printText escapes what Jackson escapes and no more.
func printText(w *bytes.Buffer, s string) {
	const short = "\b\t\n\f\r\"\\"
	w.WriteByte('"')
	for _, c := range s {
		switch i := strings.IndexRune(short, c); {
		case i >= 0:
			w.WriteByte('\\')
			w.WriteByte(`btnfr"\`[i])
		case c < ' ':
			fmt.Fprintf(w, `\u%04X`, c)
		default:
			w.WriteRune(c)
		}
	}
	w.WriteByte('"')
}

// canonical is the text as Avro's Schema.toString prints it: reserved words first,
// then the other properties, those sorted when normalize is set.
func canonical(v any, normalize bool) string {
	var w bytes.Buffer
	printJSON(&w, arranged(v, normalize))
	return w.String()
}

// Words of an Avro schema and of a field in the order in which they are printed.
var (
	schemaWords = []string{"type", "name", "namespace", "doc", "items", "values", "symbols", "size", "fields"}
	fieldWords  = []string{"name", "type", "doc", "default"}
)

func arranged(v any, normalize bool) any {
	switch x := v.(type) {
	case []any:
		out := make([]any, len(x))
		for i, e := range x {
			out[i] = arranged(e, normalize)
		}
		return out
	case *object:
		if len(x.keys) == 1 && x.text("type") != "" {
			return x.text("type")
		}
		out := inOrder(x, schemaWords, normalize)
		for _, k := range []string{"type", "items", "values"} {
			if y, ok := out.vals[k]; ok {
				out.vals[k] = arranged(y, normalize)
			}
		}
		if fields, ok := out.vals["fields"].([]any); ok {
			list := make([]any, len(fields))
			for i, f := range fields {
				list[i] = f
				if o, ok := f.(*object); ok {
					g := inOrder(o, fieldWords, normalize)
					g.vals["type"] = arranged(g.vals["type"], normalize)
					list[i] = g
				}
			}
			out.vals["fields"] = list
		}
		return out
	}
	return v
}

func inOrder(o *object, first []string, normalize bool) *object {
	out := &object{vals: map[string]any{}}
	for _, k := range first {
		if v, ok := o.vals[k]; ok {
			out.set(k, v)
		}
	}
	rest := slices.Clone(o.keys)
	if normalize {
		slices.Sort(rest)
	}
	for _, k := range rest {
		if !slices.Contains(first, k) {
			out.set(k, o.vals[k])
		}
	}
	return out
}
