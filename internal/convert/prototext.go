package convert

import (
	"slices"
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

	paramProtoTag  = "io.confluent.connect.protobuf.Tag"
	paramProtoType = "io.confluent.connect.protobuf.Type"
	paramProtoEnum = "io.confluent.connect.protobuf.Enum"
)

// protoOptions are the data options of the ProtobufConverter.
type protoOptions struct {
	scrub          bool // scrub.invalid.names
	optionalLabel  bool // optional.for.nullables
	wrappers       bool // wrapper.for.nullables
	rawWrappers    bool // wrapper.for.raw.primitives
	fullNames      bool // enhanced.protobuf.schema.support
	intEnums       bool // int.for.enums
	nullStructs    bool // generate.struct.for.nulls
	unionIndex     bool // generate.index.for.unions
	flatUnions     bool // flatten.unions
	ignoreDefaults bool // ignore.default.for.nullables
}

// protoBuilder makes the .proto text of a Connect schema together with the plan
// that writes its values. The text is that which Confluent's converter registers:
// messages lie within the message that uses them first, imports stand in the order
// of their first use.
type protoBuilder struct {
	protoOptions
	imports []string
	unnamed int
	depth   int
}

// protoDraft is a message that is being made.
type protoDraft struct {
	name   string
	schema *record.Schema
	lines  []string
	nested []*protoDraft
	plan   *protoPlan
}

// protoBuilt is a .proto file and the plan for the values of its message.
type protoBuilt struct {
	text  string
	full  string // name of the message
	index int    // place of the message in the file
	plan  *protoPlan
}

// build makes the file and the plan of a schema.
func (o protoOptions) build(s *record.Schema) (protoBuilt, error) {
	if s.Type != record.Struct {
		return o.wrapTop(s)
	}
	b := protoBuilder{protoOptions: o}
	parts := strings.Split(b.nameOr(s.Name), ".")
	for i := range parts {
		parts[i] = b.identifier(parts[i])
	}
	last := len(parts) - 1
	top := &protoDraft{name: parts[last], schema: s, plan: &protoPlan{}}
	if err := b.message(top); err != nil {
		return protoBuilt{}, err
	}
	return protoBuilt{text: b.text(strings.Join(parts[:last], "."), top), full: strings.Join(parts, "."), plan: top.plan}, nil
}

// nameOr numbers what has no name.
func (b *protoBuilder) nameOr(name string) string {
	if name == "" {
		b.unnamed++
		return "ConnectDefault" + strconv.Itoa(b.unnamed)
	}
	return name
}

func (b *protoBuilder) identifier(name string) string {
	if !b.scrub || name == "" {
		return name
	}
	if name[0] == '_' { // unlike with Avro
		return "x" + scrubName(name)
	}
	return scrubName(name)
}

// unqualified is the name of a nested message.
func (b *protoBuilder) unqualified(name string) string {
	name = b.nameOr(name)
	return b.identifier(name[strings.LastIndexByte(name, '.')+1:])
}

func (b *protoBuilder) use(file string) {
	if !slices.Contains(b.imports, file) {
		b.imports = append(b.imports, file)
	}
}

// wrapTop makes the plan for a value that is no struct: a message of one field out
// of Google's wrappers.proto.
func (o protoOptions) wrapTop(s *record.Schema) (protoBuilt, error) {
	_, ok := protoScalar(s.Type)
	if !ok || s.Name == nameDecimal {
		return protoBuilt{}, valueErrorf("a %s that is no struct cannot be written as Protobuf", s.Type)
	}
	f := protoPlanField{name: "value", plan: &protoValuePlan{kind: s.Type, op: protoOps[s.Type]}, from: -1, tag: protoTag(1, protoOps[s.Type].wire())}
	name := wrapperNames[s.Type]
	return protoBuilt{text: protoWrappersFile, full: "google.protobuf." + name, index: slices.Index(protoWrappers, name), plan: &protoPlan{fields: []protoPlanField{f}}}, nil
}

// protoWrappers are the messages of wrappers.proto in their order there.
var protoWrappers = []string{"DoubleValue", "FloatValue", "Int64Value", "UInt64Value", "Int32Value", "UInt32Value", "BoolValue", "StringValue", "BytesValue"}

// protoWrappersFile is the text of wrappers.proto as Confluent's converter registers
// it for keys and values that are no structs.
var protoWrappersFile = func() string {
	var sb strings.Builder
	sb.WriteString(`syntax = "proto3";
package google.protobuf;

option java_package = "com.google.protobuf";
option java_outer_classname = "WrappersProto";
option java_multiple_files = true;
option go_package = "google.golang.org/protobuf/types/known/wrapperspb";
option cc_enable_arenas = true;
option objc_class_prefix = "GPB";
option csharp_namespace = "Google.Protobuf.WellKnownTypes";

`)
	for _, name := range protoWrappers {
		sb.WriteString("message " + name + " {\n  " + strings.ToLower(strings.TrimSuffix(name, "Value")) + " value = 1 [json_name = \"value\"];\n}\n")
	}
	return sb.String()
}()

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
		tag, own := next, false
		if text, ok := f.Schema.Param(paramProtoTag); ok {
			if n, err := strconv.Atoi(text); err == nil && n > 0 {
				tag, own = n, true
			}
		}
		if !own {
			next++
		}
		if used[tag] {
			return within(f.Name, valueErrorf("Field number %d has already been used in the message %s", tag, d.name))
		}
		used[tag] = true
		line, pf, err := b.field(d, f, tag)
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

// field makes the line and plan of one field of d.
func (b *protoBuilder) field(d *protoDraft, f record.Field, tag int) (string, protoPlanField, error) {
	s, name := f.Schema, b.identifier(f.Name)
	if !protoIdentifier(name) {
		return "", protoPlanField{}, valueErrorf("%q is not a valid identifier of Protobuf; scrub.invalid.names=true or field.name.adjustment.mode changes such names", name)
	}
	label, elem := "", s
	switch {
	case s.Type == record.Array:
		label, elem = "repeated ", s.Elem
		if elem == nil || elem.Type == record.Array {
			return "", protoPlanField{}, valueErrorf("Array cannot be nested")
		}
	case s.Type == record.Map:
		label = "repeated "
	case b.optionalLabel && s.Optional && d.plan.entry == 0:
		label = "optional "
	}
	typ, params, vp, err := b.value(d, name, elem)
	if err != nil {
		return "", protoPlanField{}, err
	}
	pf := protoPlanField{plan: vp, tag: protoTag(tag, vp.op.wire())}
	if s.Type == record.Array || s.Type == record.Map {
		pf.repeated = true
		if s.Type == record.Array && vp.op.wire() != wireBytes {
			pf.packed, pf.tag = true, protoTag(tag, wireBytes)
		}
	} else {
		pf.presence = label != ""
		if hasDefault(s) && !(s.Optional && b.ignoreDefaults) {
			pf.def = s.Default
		}
		pf.required = !s.Optional && pf.def == nil
	}
	return "  " + label + typ + " " + name + " = " + strconv.Itoa(tag) + protoMeta(params) + ";\n", pf, nil
}

// protoIdentifier reports whether a name is one of Protobuf.
func protoIdentifier(name string) bool {
	for i := 0; i < len(name); i++ {
		c := name[i]
		if c != '_' && (c|0x20 < 'a' || c|0x20 > 'z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

// protoMeta prints the parameters of a field. The two forms are those of
// Confluent's printer.
func protoMeta(params []record.Param) string {
	if len(params) == 0 {
		return ""
	}
	const in = "\n      {\n        "
	out := " [(confluent.field_meta) = {\n    params: ["
	for i, p := range params {
		key, value := "key: "+strconv.Quote(p.Key), "value: "+strconv.Quote(p.Value)
		if p.Key == "connect.type" {
			out += in + key + ",\n        " + value + "\n      }"
		} else {
			out += in + value + ",\n        " + key + "\n      }"
		}
		if i < len(params)-1 {
			out += ","
		}
	}
	return out + "\n    ]\n  }]"
}

// value makes the type name and plan of a value in a field of d.
func (b *protoBuilder) value(d *protoDraft, field string, s *record.Schema) (typ string, params []record.Param, vp *protoValuePlan, err error) {
	vp = &protoValuePlan{kind: s.Type}
	switch {
	case s.Name == nameDecimal && s.Type == record.Bytes:
		scale, err := decimalScale(s)
		if err != nil {
			return "", nil, nil, err
		}
		if text, ok := s.Param(paramDecimalPrecision); ok {
			params = append(params, record.Param{Key: "precision", Value: text})
		}
		params = append(params, record.Param{Key: "scale", Value: strconv.Itoa(scale)})
		vp.op, vp.scale = protoDecimalOp, scale
		b.use("confluent/type/decimal.proto")
		return protoDecimal, params, vp, nil
	case s.Name == nameDate && s.Type == record.Int32:
		vp.op = protoDateOp
		b.use("google/type/date.proto")
		return protoDate, nil, vp, nil
	case s.Name == nameTime && s.Type == record.Int32:
		vp.op = protoTimeOp
		b.use("google/type/timeofday.proto")
		return protoTimeOfDay, nil, vp, nil
	case s.Name == nameTimestamp && s.Type == record.Int64:
		vp.op = protoTimestampOp
		b.use("google/protobuf/timestamp.proto")
		return protoTimestamp, nil, vp, nil
	}
	if scalar, ok := protoScalar(s.Type); ok {
		if s.Type == record.Int8 || s.Type == record.Int16 {
			params = []record.Param{{Key: "connect.type", Value: s.Type.String()}}
		}
		vp.op = protoOps[s.Type]
		if b.wrappers && s.Optional {
			b.use("google/protobuf/wrappers.proto")
			inner := &protoPlan{fields: []protoPlanField{{plan: vp, from: -1, tag: protoTag(1, vp.op.wire())}}}
			return "google.protobuf." + wrapperNames[s.Type], params, &protoValuePlan{kind: s.Type, op: protoWrapOp, message: inner}, nil
		}
		return scalar, params, vp, nil
	}
	var in *protoDraft
	switch s.Type {
	case record.Map:
		vp.op = protoMapOp
		in, err = b.mapEntry(d, s)
	case record.Struct:
		vp.op = protoMessageOp
		name := b.unqualified(s.Name)
		if name == field {
			name += "Message" // a field and a message cannot have one name
		}
		in, err = b.nested(d, name, s)
	default:
		err = valueErrorf("Unknown schema type: %s", s.Type)
	}
	if err != nil {
		return "", nil, nil, err
	}
	vp.message = in.plan
	return in.name, nil, vp, nil
}

// nested returns the message of a struct within d, made once per name. A second
// struct of a name would be written as the first one, so it must be the same.
func (b *protoBuilder) nested(d *protoDraft, name string, s *record.Schema) (*protoDraft, error) {
	for _, have := range append(slices.Clone(d.nested), d) {
		if have.name != name {
			continue
		}
		if !sameFields(have.schema, s) {
			return nil, valueErrorf("two different structs are called %s, which Protobuf cannot tell apart within the message %s", name, d.name)
		}
		return have, nil
	}
	n := &protoDraft{name: name, schema: s, plan: &protoPlan{}}
	d.nested = append(d.nested, n)
	return n, b.message(n)
}

// sameFields reports whether two structs have equal fields.
func sameFields(a, b *record.Schema) bool {
	return a == b || record.Equal(&record.Schema{Type: record.Struct, Fields: a.Fields}, &record.Schema{Type: record.Struct, Fields: b.Fields})
}

// mapEntry makes the message of a map's entries within d.
func (b *protoBuilder) mapEntry(d *protoDraft, s *record.Schema) (*protoDraft, error) {
	if s.Key == nil || s.Elem == nil {
		return nil, valueErrorf("a map without key or value schema cannot be written as Protobuf")
	}
	name := b.unqualified(s.Name)
	if strings.Contains(name, "_") {
		name = protoCamel(name)
	}
	entry := &protoDraft{name: name + "Entry", plan: &protoPlan{entry: 1},
		schema: &record.Schema{Type: record.Struct, Name: name, Fields: []record.Field{{Name: "key", Schema: s.Key}, {Name: "value", Schema: s.Elem}}}}
	for _, have := range d.nested {
		if have.name == entry.name {
			return nil, valueErrorf("two maps are called %s, which Protobuf cannot tell apart within the message %s", entry.name, d.name)
		}
	}
	d.nested = append(d.nested, entry)
	return entry, b.message(entry)
}

// protoCamel makes MyField of my_field.
func protoCamel(s string) string {
	var sb strings.Builder
	for word := range strings.SplitSeq(strings.ToLower(s), "_") {
		if word != "" {
			sb.WriteString(strings.ToUpper(word[:1]) + word[1:])
		}
	}
	return sb.String()
}

// text prints the file.
func (b *protoBuilder) text(pkg string, top *protoDraft) string {
	var sb strings.Builder
	sb.WriteString("syntax = \"proto3\";\n")
	if pkg != "" {
		sb.WriteString("package " + pkg + ";\n")
	}
	sb.WriteByte('\n')
	for _, i := range b.imports {
		sb.WriteString("import \"" + i + "\";\n")
	}
	if len(b.imports) > 0 {
		sb.WriteByte('\n')
	}
	sb.WriteString(top.text())
	return sb.String()
}

// text prints a message with those within it.
func (d *protoDraft) text() string {
	out := "message " + d.name + " {"
	if len(d.lines) > 0 {
		out += "\n" + strings.Join(d.lines, "")
	}
	if len(d.nested) > 0 {
		out += "\n"
	}
	for _, n := range d.nested {
		body := strings.TrimSuffix(n.text(), "\n")
		out += "  " + strings.ReplaceAll(body, "\n", "\n  ") + "\n"
	}
	return out + "}\n"
}
