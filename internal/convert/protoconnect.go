package convert

import (
	"slices"
	"strconv"
	"strings"

	"millrace/internal/record"
)

// protoToConnect makes Connect schemas and reading plans of .proto files.
type protoToConnect struct {
	protoOptions
	file  *protoFile
	open  map[string]bool
	nodes int
}

// message compiles a message into a struct schema.
func (tc *protoToConnect) message(m *protoMessage) (*record.Schema, *protoReadMessage, error) {
	if tc.nodes++; tc.open[m.full] || tc.nodes > maxSchemaNodes {
		return nil, nil, valueErrorf("the message %s holds itself, which millrace cannot read", m.full)
	}
	tc.open[m.full] = true
	defer delete(tc.open, m.full)
	s := &record.Schema{Type: record.Struct, Name: tc.name(m.full)}
	plan := &protoReadMessage{fields: map[int]*protoReadField{}}
	if err := tc.oneofs(m, s, plan); err != nil {
		return nil, nil, err
	}
	for i := range m.fields {
		f := &m.fields[i]
		if f.oneof >= 0 {
			continue
		}
		fs, node, err := tc.field(f, m)
		if err != nil {
			return nil, nil, within(f.name, err)
		}
		if plan.fields[f.number] != nil {
			return nil, nil, valueErrorf("the message %s has two fields of number %d", m.full, f.number)
		}
		slot := &protoReadSlot{name: f.name}
		switch {
		case fs.Type == record.Array || fs.Type == record.Map:
			slot.kind = fs.Type
		case node.message != nil:
			if tc.nullStructs {
				slot.message = node.message
			}
		case node.special == "" && node.wrapper == nil && !f.optional && !tc.file.proto2:
			slot.zero = protoZero(node)
		}
		s.Fields = append(s.Fields, record.Field{Name: f.name, Schema: fs})
		plan.fields[f.number] = &protoReadField{node: node, slot: len(plan.slots), in: -1}
		plan.slots = append(plan.slots, slot)
	}
	return s, plan, nil
}

// name is what the schema of a message or enum is called.
func (tc *protoToConnect) name(full string) string {
	if tc.fullNames {
		return full
	}
	return full[strings.LastIndexByte(full, '.')+1:]
}

// oneofs compiles the unions of a message, which come before its other fields.
func (tc *protoToConnect) oneofs(m *protoMessage, s *record.Schema, plan *protoReadMessage) error {
	for o, name := range m.oneofs {
		at := len(plan.slots)
		union := &record.Schema{Type: record.Struct, Optional: true, Name: "io.confluent.connect.protobuf.Union." + tc.name(m.full+"."+name)}
		if !tc.flatUnions {
			plan.slots = append(plan.slots, &protoReadSlot{name: name, kind: record.Struct})
			label := name
			if tc.unionIndex {
				label += "_" + strconv.Itoa(o)
			}
			s.Fields = append(s.Fields, record.Field{Name: label, Schema: union})
		}
		for i := range m.fields {
			f := &m.fields[i]
			if f.oneof != o {
				continue
			}
			fs, node, err := tc.field(f, m)
			if err != nil {
				return within(f.name, err)
			}
			if plan.fields[f.number] != nil {
				return valueErrorf("the message %s has two fields of number %d", m.full, f.number)
			}
			if tc.flatUnions {
				s.Fields = append(s.Fields, record.Field{Name: f.name, Schema: fs.AsOptional(true)})
				plan.fields[f.number] = &protoReadField{node: node, slot: len(plan.slots), in: -1}
				plan.slots = append(plan.slots, &protoReadSlot{name: f.name})
				continue
			}
			plan.fields[f.number] = &protoReadField{node: node, slot: at, in: len(union.Fields)}
			union.Fields = append(union.Fields, record.Field{Name: f.name, Schema: fs.AsOptional(true)})
			plan.slots[at].width++
		}
	}
	return nil
}

// protoZero is the value of a proto3 scalar that is not there. Texts get theirs
// when they are read, since a cell of no bytes belongs to no batch.
func protoZero(n *protoReadNode) record.Cell {
	switch n.target {
	case record.Float32:
		return record.Float32Cell(0)
	case record.Float64:
		return record.Float64Cell(0)
	case record.Boolean:
		return record.BoolCell(false)
	case record.String, record.Bytes:
		var b record.Batch
		return b.SpanCell(n.target, 0, 0)
	}
	return record.IntCell(n.target, 0)
}

// field compiles a field. As in Confluent's converter every field is optional but
// those that proto2 requires, and carries its number as a parameter.
func (tc *protoToConnect) field(f *protoField, m *protoMessage) (*record.Schema, *protoReadNode, error) {
	tag := record.Param{Key: paramProtoTag, Value: strconv.Itoa(f.number)}
	if f.key != "" {
		if _, ok := protoScalars[f.key]; !ok {
			return nil, nil, valueErrorf("a map cannot have keys of type %s", f.key)
		}
		name := protoCamel(f.name) + "Entry" // as protoc makes of a map
		entry := &protoMessage{name: name, full: m.full + "." + name, fields: []protoField{{name: "key", number: 1, typ: f.key, oneof: -1}, {name: "value", number: 2, typ: f.typ, oneof: -1}}}
		s, plan, err := tc.message(entry)
		if err != nil {
			return nil, nil, err
		}
		return protoMap(s, tag), &protoReadNode{message: plan, target: record.Map}, nil
	}
	s, n, err := tc.typed(f.typ, f, m)
	if err != nil {
		return nil, nil, err
	}
	s = s.Copy()
	if f.repeated && n.message != nil && isProtoEntry(s) {
		return protoMap(s, tag), &protoReadNode{message: n.message, target: record.Map}, nil
	}
	if f.repeated {
		return &record.Schema{Type: record.Array, Optional: true, Elem: s.AsOptional(true), Params: []record.Param{tag}}, n, nil
	}
	switch {
	case n.message != nil || n.special != "" || n.wrapper != nil || n.enum != nil:
		s.Optional = true
	case tc.optionalLabel:
		s.Optional = f.optional || tc.file.proto2 && !f.required
	default:
		s.Optional = !tc.wrappers
	}
	s.Params = append(append([]record.Param{}, s.Params...), tag)
	return s, n, nil
}

// isProtoEntry reports whether a list of these messages is read as a map.
func isProtoEntry(s *record.Schema) bool {
	return strings.HasSuffix(s.Name, "Entry") && len(s.Fields) == 2 && s.Fields[0].Name == "key" && s.Fields[1].Name == "value" &&
		!isList(s.Fields[0].Schema) && !isList(s.Fields[1].Schema)
}

func isList(s *record.Schema) bool { return s.Type == record.Array || s.Type == record.Map }

// protoMap is the map that a list of entries is read as.
func protoMap(entry *record.Schema, tag record.Param) *record.Schema {
	return &record.Schema{Type: record.Map, Optional: true, Name: protoMapName(entry.Name), Key: entry.Fields[0].Schema, Elem: entry.Fields[1].Schema, Params: []record.Param{tag}}
}

// protoMapName is the name of the map that entries of a message make.
func protoMapName(entry string) string {
	head, name := "", strings.TrimSuffix(entry, "Entry")
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		head, name = name[:i+1], name[i+1:]
	}
	var sb strings.Builder
	for i := 0; i < len(name); i++ {
		c := name[i]
		if c >= 'A' && c <= 'Z' {
			if i > 0 {
				sb.WriteByte('_')
			}
			c += 'a' - 'A'
		}
		sb.WriteByte(c)
	}
	return head + sb.String()
}

// typed compiles the type that a field names.
func (tc *protoToConnect) typed(name string, f *protoField, m *protoMessage) (*record.Schema, *protoReadNode, error) {
	if k, ok := protoScalars[name]; ok {
		n := &protoReadNode{scalar: k, target: k.target}
		if name == "int32" {
			n.target = intType(f.params["connect.type"])
		}
		s := &record.Schema{Type: n.target}
		switch name {
		case "int32", "int64", "double", "float", "bool", "string", "bytes":
		default: // more than one number of Protobuf is this type of Connect
			s.Params = []record.Param{{Key: paramProtoType, Value: name}}
		}
		return s, n, nil
	}
	if s, n, err := tc.known(strings.TrimPrefix(name, "."), f); n != nil {
		return s, n, err
	}
	switch t := tc.file.resolve(name, m.full).(type) {
	case *protoMessage:
		s, plan, err := tc.message(t)
		return s, &protoReadNode{message: plan, target: record.Struct}, err
	case *protoEnum:
		n := &protoReadNode{enum: map[int64]string{}, target: record.String}
		for _, v := range t.values {
			if _, have := n.enum[v.number]; !have {
				n.enum[v.number] = v.name
			}
		}
		return tc.enum(t, n)
	}
	return nil, nil, valueErrorf("the .proto file names the type %s, which it does not define", name)
}

// enum makes the schema of an enum: a text, or its number.
func (tc *protoToConnect) enum(t *protoEnum, n *protoReadNode) (*record.Schema, *protoReadNode, error) {
	s := &record.Schema{Type: record.String, Name: tc.name(t.full), Params: []record.Param{{Key: paramProtoEnum, Value: t.full[strings.LastIndexByte(t.full, '.')+1:]}}}
	for _, v := range t.values {
		s.Params = append(s.Params, record.Param{Key: paramProtoEnum + "." + v.name, Value: strconv.FormatInt(v.number, 10)})
	}
	if tc.intEnums {
		s.Type, n.target = record.Int32, record.Int32
	}
	return s, n, nil
}

// known compiles the well-known messages.
func (tc *protoToConnect) known(name string, f *protoField) (*record.Schema, *protoReadNode, error) {
	switch name {
	case protoTimestamp:
		return &record.Schema{Type: record.Int64, Name: nameTimestamp, Version: 1}, &protoReadNode{special: name, target: record.Int64}, nil
	case protoDate:
		return &record.Schema{Type: record.Int32, Name: nameDate, Version: 1}, &protoReadNode{special: name, target: record.Int32}, nil
	case protoTimeOfDay:
		return &record.Schema{Type: record.Int32, Name: nameTime, Version: 1}, &protoReadNode{special: name, target: record.Int32}, nil
	case protoDecimal:
		scale, _ := strconv.Atoi(f.params["scale"])
		params := []record.Param{{Key: "scale", Value: strconv.Itoa(scale)}}
		if p := f.params["precision"]; p != "" {
			params = append(params, record.Param{Key: paramDecimalPrecision, Value: p})
		}
		return &record.Schema{Type: record.Bytes, Name: nameDecimal, Version: 1, Params: params}, &protoReadNode{special: name, target: record.Bytes, scale: scale}, nil
	}
	w, ok := strings.CutPrefix(name, "google.protobuf.")
	if !ok || !slices.Contains(protoWrappers, w) {
		return nil, nil, nil
	}
	inner := strings.ToLower(strings.TrimSuffix(w, "Value"))
	if !tc.wrappers {
		s, plan, err := tc.message(&protoMessage{name: w, full: name, fields: []protoField{{name: "value", number: 1, typ: inner, oneof: -1}}})
		return s, &protoReadNode{message: plan, target: record.Struct}, err
	}
	k := protoScalars[inner]
	return &record.Schema{Type: k.target}, &protoReadNode{wrapper: &protoReadNode{scalar: k, target: k.target}, target: k.target}, nil
}
