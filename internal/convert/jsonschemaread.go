package convert

import (
	"sort"
	"strconv"
	"strings"

	"millrace/internal/record"
)

// jsonSchemaReader makes Connect schemas of JSON Schemas.
type jsonSchemaReader struct {
	jsonSchemaOptions
	defs  map[string][]byte // by "#/definitions/Name"
	depth int
	nodes int
}

// maxSchemaNodes bounds the size of a schema whose named types are spelled out: a
// short text can name a type that names another twice, and so on.
const maxSchemaNodes = 100_000

// jsonSchemaMembers are the members of a JSON Schema object.
type jsonSchemaMembers struct {
	typ, title, description, def, index, version, connect, params, properties, items, additional, required, enum, constant, ref []byte
	branches                                                                                                                    []byte // of oneOf or anyOf
}

func (p *jsonSchemaMembers) slot(name string) *[]byte {
	switch name {
	case "type":
		return &p.typ
	case "title":
		return &p.title
	case "description":
		return &p.description
	case "default":
		return &p.def
	case "connect.index":
		return &p.index
	case propConnectVersion:
		return &p.version
	case propConnectType:
		return &p.connect
	case propConnectParams:
		return &p.params
	case "properties":
		return &p.properties
	case "items":
		return &p.items
	case "additionalProperties":
		return &p.additional
	case "required":
		return &p.required
	case "enum":
		return &p.enum
	case "const":
		return &p.constant
	case "$ref":
		return &p.ref
	case "oneOf", "anyOf":
		return &p.branches
	}
	return nil
}

// parse returns the Connect schema of a JSON Schema text.
func (r *jsonSchemaReader) parse(text []byte) (*record.Schema, error) {
	s := jsonScanner{data: text}
	raw, err := s.skip()
	if err == nil {
		err = s.end()
	}
	if err != nil {
		return nil, err
	}
	if r.defs == nil {
		r.defs = map[string][]byte{}
	}
	r.collect(raw)
	out, _, err := r.value(raw, false)
	return out, err
}

// collect finds the definitions that $ref may name.
func (r *jsonSchemaReader) collect(raw []byte) {
	if len(raw) == 0 || raw[0] != '{' {
		return
	}
	s := jsonScanner{data: raw}
	_ = s.members('{', func(name []byte) error {
		where := string(name)
		part, err := s.skip()
		if err != nil || where != "definitions" && where != "$defs" || part[0] != '{' {
			return err
		}
		d := jsonScanner{data: part}
		return d.members('{', func(name []byte) error {
			key := "#/" + where + "/" + string(name)
			def, err := d.skip()
			r.defs[key] = def
			return err
		})
	})
	r.defs["#"] = raw
}

// value reads one schema and its place among the fields, -1 when it names none.
func (r *jsonSchemaReader) value(raw []byte, optional bool) (*record.Schema, int, error) {
	r.nodes++
	if r.depth++; r.depth > 200 || r.nodes > maxSchemaNodes {
		return nil, -1, valueErrorf("the JSON Schema is nested too deeply or holds itself")
	}
	defer func() { r.depth-- }()
	if len(raw) == 0 || raw[0] != '{' {
		return nil, -1, valueErrorf("a JSON Schema without a type cannot be read: %.40s", raw)
	}
	var p jsonSchemaMembers
	s := jsonScanner{data: raw}
	err := s.members('{', func(name []byte) error {
		slot := p.slot(string(name))
		part, err := s.skip()
		if slot != nil {
			*slot = part
		}
		return err
	})
	if err != nil {
		return nil, -1, err
	}
	index := -1
	if n, err := strconv.Atoi(string(p.index)); err == nil {
		index = n
	}
	if name, ok := jsonTextOf(p.ref); ok {
		def := r.defs[name]
		if def == nil {
			return nil, -1, valueErrorf("the JSON Schema refers to %s, which it does not define", name)
		}
		out, _, err := r.value(def, optional)
		return out, index, err
	}
	var out *record.Schema
	if p.branches != nil {
		out, err = r.union(p.branches, optional)
	} else {
		out, err = r.typed(&p, optional)
	}
	return out, index, err
}

func (r *jsonSchemaReader) union(raw []byte, optional bool) (*record.Schema, error) {
	var branches [][]byte
	s := jsonScanner{data: raw}
	if raw[0] != '[' {
		return nil, valueErrorf("oneOf is no list")
	}
	err := s.members('[', func([]byte) error {
		part, err := s.skip()
		if strings.ReplaceAll(string(part), " ", "") == `{"type":"null"}` {
			optional = true
		} else {
			branches = append(branches, part)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(branches) == 1 {
		out, _, err := r.value(branches[0], optional)
		return out, err
	}
	return nil, valueErrorf("a JSON Schema whose oneOf has %d types beside null cannot be read", len(branches))
}

// typed reads a schema that says its type.
func (r *jsonSchemaReader) typed(p *jsonSchemaMembers, optional bool) (*record.Schema, error) {
	typ, ok := jsonTextOf(p.typ)
	if !ok && len(p.typ) > 0 && p.typ[0] == '[' { // ["null", T]
		types, err := jsonTexts(p.typ)
		if err != nil {
			return nil, err
		}
		for _, t := range types {
			if t == "null" {
				optional = true
			} else if typ == "" {
				typ = t
			} else {
				return nil, valueErrorf("a JSON Schema of several types cannot be read: %s", p.typ)
			}
		}
	}
	if typ == "" && (p.enum != nil || p.constant != nil) {
		typ = "string"
	}
	if typ == "" && p.properties != nil {
		typ = "object"
	}
	out := &record.Schema{Optional: optional}
	connect, _ := jsonTextOf(p.connect)
	var err error
	switch typ {
	case "boolean":
		out.Type = record.Boolean
	case "integer", "number":
		out.Type = numberType(typ, connect)
	case "string":
		out.Type = record.String
		if connect == "bytes" {
			out.Type = record.Bytes
		}
	case "array":
		err = r.array(out, p, connect)
	case "object":
		err = r.object(out, p, connect)
	default:
		err = valueErrorf("a JSON Schema of type %q cannot be read", typ)
	}
	if err != nil {
		return nil, err
	}
	return out, r.attributes(out, p)
}

// numberType is the Connect type of a number; without connect.type whole numbers
// are int64 and others float64.
func numberType(typ, connect string) record.Type {
	switch connect {
	case "int8":
		return record.Int8
	case "int16":
		return record.Int16
	case "int32":
		return record.Int32
	case "int64":
		return record.Int64
	case "float32":
		return record.Float32
	case "bytes":
		return record.Bytes
	}
	if typ == "integer" {
		return record.Int64
	}
	return record.Float64
}

func (r *jsonSchemaReader) array(out *record.Schema, p *jsonSchemaMembers, connect string) error {
	if p.items == nil {
		return valueErrorf("Array schema did not specify the items type")
	}
	elem, _, err := r.value(p.items, false)
	if err != nil {
		return err
	}
	if connect != "map" {
		out.Type, out.Elem = record.Array, elem
		return nil
	}
	_, k := elem.Field("key")
	_, v := elem.Field("value")
	if k == nil || v == nil {
		return valueErrorf("the items of a map have no key and value")
	}
	out.Type, out.Key, out.Elem = record.Map, k, v
	return nil
}

func (r *jsonSchemaReader) object(out *record.Schema, p *jsonSchemaMembers, connect string) (err error) {
	if connect == "map" || p.properties == nil && len(p.additional) > 0 && p.additional[0] == '{' {
		out.Type, out.Key = record.Map, record.PlainString
		out.Elem, _, err = r.value(p.additional, false)
		return err
	}
	out.Type = record.Struct
	if len(p.properties) == 0 || p.properties[0] != '{' {
		return nil
	}
	required := map[string]bool{}
	names, _ := jsonTexts(p.required)
	for _, n := range names {
		required[n] = true
	}
	type field struct {
		record.Field
		index int
	}
	var fields []field
	s := jsonScanner{data: p.properties}
	err = s.members('{', func(name []byte) error {
		key := string(name)
		part, err := s.skip()
		if err != nil {
			return err
		}
		fs, index, err := r.value(part, r.nonRequired && !required[key])
		if index < 0 {
			index = len(fields)
		}
		fields = append(fields, field{record.Field{Name: key, Schema: fs}, index})
		return within(key, err)
	})
	sort.SliceStable(fields, func(i, j int) bool { return fields[i].index < fields[j].index })
	seen := map[string]bool{}
	for _, f := range fields {
		if !seen[f.Name] {
			seen[f.Name] = true
			out.Fields = append(out.Fields, f.Field)
		}
	}
	return err
}

func (r *jsonSchemaReader) attributes(out *record.Schema, p *jsonSchemaMembers) error {
	out.Name, _ = jsonTextOf(p.title)
	out.Doc, _ = jsonTextOf(p.description)
	if v, err := strconv.Atoi(string(p.version)); err == nil {
		out.Version = v
	}
	if len(p.params) > 0 && p.params[0] == '{' {
		if err := connectParams(out, p.params); err != nil {
			return err
		}
	}
	if out.Type == record.Bytes && out.Name == nameDecimal {
		if _, err := decimalScale(out); err != nil {
			return err
		}
	}
	if p.def == nil || string(p.def) == "null" {
		return nil
	}
	n, err := compileJSONRead(out, true)
	if err != nil {
		return err
	}
	var b record.Batch
	c, err := n.read(&jsonScanner{data: p.def}, &b)
	if err != nil {
		return within("default", err)
	}
	out.Default = record.NewDatum(&b, c)
	return nil
}
