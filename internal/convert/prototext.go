package convert

import (
	"sort"
	"strconv"
	"strings"

	"millrace/internal/record"
)

// Well-known message types.
const (
	protoTimestamp = "google.protobuf.Timestamp"
	protoDate      = "google.type.Date"
	protoTimeOfDay = "google.type.TimeOfDay"
	protoDecimal   = "confluent.type.Decimal"

	paramProtoTag = "io.confluent.connect.protobuf.Tag"
)

// protoOptions are the data options of the ProtobufConverter.
type protoOptions struct {
	scrub          bool // scrub.invalid.names
	optionalLabel  bool // optional.for.nullables
	wrappers       bool // wrapper.for.nullables
	rawWrappers    bool // wrapper.for.raw.primitives
	ignoreDefaults bool // ignore.default.for.nullables
}

// protoBuilder makes the .proto text of a Connect schema together with the plan
// that writes its values.
type protoBuilder struct {
	protoOptions
	imports  map[string]bool
	unnamed  int
	messages map[string]*protoDraft // nested messages by name
	order    []string
	depth    int
}

// protoDraft is a message that is being made.
type protoDraft struct {
	name   string
	schema *record.Schema
	lines  []string
	plan   *protoPlan
}

// build returns the text and the plan of a schema.
func (o protoOptions) build(s *record.Schema) (text string, plan *protoPlan, err error) {
	b := protoBuilder{protoOptions: o, imports: map[string]bool{}, messages: map[string]*protoDraft{}}
	pkg := ""
	var top *protoDraft
	if s.Type == record.Struct {
		full := s.Name
		if full == "" {
			full = b.defaultName()
		}
		name := full
		if i := strings.LastIndexByte(full, '.'); i >= 0 {
			pkg, name = full[:i], full[i+1:]
		}
		if b.scrub {
			parts := strings.Split(pkg, ".")
			for i := range parts {
				parts[i] = scrubName(parts[i])
			}
			pkg = strings.Join(parts, ".")
		}
		top = &protoDraft{name: b.identifier(name), schema: s, plan: &protoPlan{}}
		b.messages[top.name] = top
		if err := b.message(top); err != nil {
			return "", nil, err
		}
	} else if top, err = b.wrapTop(s); err != nil {
		return "", nil, err
	}
	return b.text(pkg, top), top.plan, nil
}

func (b *protoBuilder) defaultName() string {
	b.unnamed++
	return "ConnectDefault" + strconv.Itoa(b.unnamed)
}

func (b *protoBuilder) identifier(name string) string {
	if b.scrub {
		return scrubName(name)
	}
	return name
}

// wrapTop makes a message of one field for a value that is no struct.
func (b *protoBuilder) wrapTop(s *record.Schema) (*protoDraft, error) {
	scalar, ok := protoScalar(s.Type)
	if !ok || !b.rawWrappers || s.Name == nameDecimal {
		return nil, valueErrorf("a %s that is no struct cannot be written as Protobuf", s.Type)
	}
	f := protoPlanField{name: "value", plan: &protoValuePlan{kind: s.Type, op: protoOps[s.Type]}, from: -1, tag: protoTag(1, protoOps[s.Type].wire())}
	return &protoDraft{name: wrapperNames[s.Type], lines: []string{"  " + scalar + " value = 1;\n"}, plan: &protoPlan{fields: []protoPlanField{f}}}, nil
}

// wrapperNames are the wrapper messages by type.
var wrapperNames = map[record.Type]string{record.Int8: "Int32Value", record.Int16: "Int32Value", record.Int32: "Int32Value", record.Int64: "Int64Value",
	record.Float32: "FloatValue", record.Float64: "DoubleValue", record.Boolean: "BoolValue", record.String: "StringValue", record.Bytes: "BytesValue"}

// protoScalar is the Protobuf type of a Connect scalar.
func protoScalar(t record.Type) (string, bool) {
	switch t {
	case record.Int8, record.Int16, record.Int32:
		return "int32", true
	case record.Int64:
		return "int64", true
	case record.Float32:
		return "float", true
	case record.Float64:
		return "double", true
	case record.Boolean:
		return "bool", true
	case record.String:
		return "string", true
	case record.Bytes:
		return "bytes", true
	}
	return "", false
}

// message fills a draft with the fields of its struct.
func (b *protoBuilder) message(d *protoDraft) error {
	if b.depth++; b.depth > 100 {
		return valueErrorf("the schema is nested too deeply")
	}
	defer func() { b.depth-- }()
	d.plan.width = len(d.schema.Fields)
	type numbered struct {
		line  string
		field protoPlanField
		tag   int
	}
	var all []numbered
	used := map[int]bool{}
	next := 1
	for i, f := range d.schema.Fields {
		tag := next
		if text, ok := f.Schema.Param(paramProtoTag); ok {
			if n, err := strconv.Atoi(text); err == nil && n > 0 {
				tag = n
			}
		}
		for used[tag] {
			tag++
		}
		used[tag] = true
		next = max(next, tag+1)
		line, pf, err := b.field(f, tag)
		if err != nil {
			return within(f.Name, err)
		}
		pf.from, pf.name = i, f.Name
		all = append(all, numbered{line, pf, tag})
	}
	for _, n := range all {
		d.lines = append(d.lines, n.line)
	}
	sort.SliceStable(all, func(i, j int) bool { return all[i].tag < all[j].tag }) // as messages are written
	for _, n := range all {
		d.plan.fields = append(d.plan.fields, n.field)
	}
	return nil
}

// field makes the line and plan of one field.
func (b *protoBuilder) field(f record.Field, tag int) (string, protoPlanField, error) {
	s := f.Schema
	label, elem := "", s
	switch s.Type {
	case record.Array:
		label, elem = "repeated ", s.Elem
		if elem == nil || elem.Type == record.Array || elem.Type == record.Map {
			return "", protoPlanField{}, valueErrorf("Protobuf has no lists of lists or maps")
		}
	case record.Map:
		label = "repeated "
	}
	typ, params, vp, err := b.value(f.Name, elem)
	if err != nil {
		return "", protoPlanField{}, err
	}
	pf := protoPlanField{plan: vp, tag: protoTag(tag, vp.op.wire())}
	if s.Type == record.Array {
		pf.repeated = true
		if vp.op.wire() != wireBytes {
			pf.packed, pf.tag = true, protoTag(tag, wireBytes)
		}
	} else if s.Type == record.Map {
		pf.repeated = true
	} else {
		if s.Optional && vp.op < protoMessageOp {
			switch {
			case b.optionalLabel:
				label, pf.presence = "optional ", true
			case b.wrappers:
				b.imports["google/protobuf/wrappers.proto"] = true
				typ = "google.protobuf." + wrapperNames[s.Type]
				inner := &protoPlan{fields: []protoPlanField{{name: f.Name, plan: vp, from: -1, tag: protoTag(1, vp.op.wire())}}}
				pf.plan, pf.tag = &protoValuePlan{kind: s.Type, op: protoWrapOp, message: inner}, protoTag(tag, wireBytes)
			}
		}
		if hasDefault(s) && !(s.Optional && b.ignoreDefaults) {
			pf.def = s.Default
		}
		pf.required = !s.Optional && pf.def == nil
	}
	line := "  " + label + typ + " " + b.identifier(f.Name) + " = " + strconv.Itoa(tag)
	if len(params) > 0 {
		b.imports["confluent/meta.proto"] = true
		line += " [(confluent.field_meta) = {\n    params: [\n"
		for i, p := range params {
			line += "      {\n        value: " + strconv.Quote(p.Value) + ",\n        key: " + strconv.Quote(p.Key) + "\n      }"
			if i < len(params)-1 {
				line += ","
			}
			line += "\n"
		}
		line += "    ]\n  }]"
	}
	return line + ";\n", pf, nil
}

// value makes the type name and plan of a value.
func (b *protoBuilder) value(field string, s *record.Schema) (typ string, params []record.Param, vp *protoValuePlan, err error) {
	vp = &protoValuePlan{kind: s.Type}
	switch {
	case s.Name == nameDecimal && s.Type == record.Bytes:
		scale, err := decimalScale(s)
		if err != nil {
			return "", nil, nil, err
		}
		precision := 0
		if text, ok := s.Param(paramDecimalPrecision); ok {
			precision, _ = strconv.Atoi(text)
			params = append(params, record.Param{Key: "precision", Value: text})
		}
		params = append(params, record.Param{Key: "scale", Value: strconv.Itoa(scale)})
		vp.op, vp.scale, vp.precision = protoDecimalOp, scale, precision
		b.imports["confluent/type/decimal.proto"] = true
		return protoDecimal, params, vp, nil
	case s.Name == nameDate && s.Type == record.Int32:
		vp.op = protoDateOp
		b.imports["google/type/date.proto"] = true
		return protoDate, nil, vp, nil
	case s.Name == nameTime && s.Type == record.Int32:
		vp.op = protoTimeOp
		b.imports["google/type/timeofday.proto"] = true
		return protoTimeOfDay, nil, vp, nil
	case s.Name == nameTimestamp && s.Type == record.Int64:
		vp.op = protoTimestampOp
		b.imports["google/protobuf/timestamp.proto"] = true
		return protoTimestamp, nil, vp, nil
	}
	if scalar, ok := protoScalar(s.Type); ok {
		if s.Type == record.Int8 || s.Type == record.Int16 {
			params = []record.Param{{Key: "connect.type", Value: s.Type.String()}}
		}
		vp.op = protoOps[s.Type]
		return scalar, params, vp, nil
	}
	if s.Type == record.Map {
		return b.mapEntry(field, s)
	}
	if s.Type != record.Struct {
		return "", nil, nil, valueErrorf("Unknown schema type: %s", s.Type)
	}
	d, err := b.nested(s)
	if err != nil {
		return "", nil, nil, err
	}
	vp.op, vp.message = protoMessageOp, d.plan
	return d.name, nil, vp, nil
}

// nested returns the message of a struct, made once per name.
func (b *protoBuilder) nested(s *record.Schema) (*protoDraft, error) {
	name := s.Name[strings.LastIndexByte(s.Name, '.')+1:]
	if name == "" {
		name = b.defaultName()
	}
	name = b.identifier(name)
	for {
		have := b.messages[name]
		if have == nil {
			break
		}
		if have.schema != nil && record.Equal(have.schema.AsOptional(false), s.AsOptional(false)) {
			return have, nil
		}
		name += "Message"
	}
	d := &protoDraft{name: name, schema: s, plan: &protoPlan{}}
	b.messages[name] = d
	b.order = append(b.order, name)
	return d, b.message(d)
}

// mapEntry makes the message of a map's entries.
func (b *protoBuilder) mapEntry(field string, s *record.Schema) (string, []record.Param, *protoValuePlan, error) {
	if s.Key == nil || s.Elem == nil {
		return "", nil, nil, valueErrorf("a map without key or value schema cannot be written as Protobuf")
	}
	entry := &record.Schema{Type: record.Struct, Name: protoCamel(field) + "Entry", Fields: []record.Field{{Name: "key", Schema: s.Key}, {Name: "value", Schema: s.Elem}}}
	d, err := b.nested(entry)
	if err != nil {
		return "", nil, nil, err
	}
	return d.name, nil, &protoValuePlan{kind: record.Map, op: protoMapOp, message: d.plan}, nil
}

// protoCamel makes MyField of my_field.
func protoCamel(s string) string {
	out := make([]byte, 0, len(s))
	upper := true
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '_' {
			upper = true
			continue
		}
		if upper && c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
		}
		upper = false
		out = append(out, c)
	}
	return string(out)
}

// text prints the file: the message with all others nested in it.
func (b *protoBuilder) text(pkg string, top *protoDraft) string {
	var sb strings.Builder
	sb.WriteString("syntax = \"proto3\";\n")
	if pkg != "" {
		sb.WriteString("package " + pkg + ";\n")
	}
	sb.WriteByte('\n')
	imports := make([]string, 0, len(b.imports))
	for i := range b.imports {
		imports = append(imports, i)
	}
	sort.Strings(imports)
	for _, i := range imports {
		sb.WriteString("import \"" + i + "\";\n")
	}
	if len(imports) > 0 {
		sb.WriteByte('\n')
	}
	sb.WriteString("message " + top.name + " {\n" + strings.Join(top.lines, ""))
	for _, name := range b.order {
		d := b.messages[name]
		body := "message " + d.name + " {\n" + strings.Join(d.lines, "") + "}\n"
		sb.WriteString("\n  " + strings.TrimSuffix(strings.ReplaceAll(body, "\n", "\n  "), "  "))
	}
	sb.WriteString("}\n")
	return sb.String()
}
