package convert

import (
	"bytes"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"millrace/internal/errs"
	"millrace/internal/record"
)

// wellKnown are the files that generated texts import.
const wellKnown = `syntax = "proto3"; package google.type; message Date { int32 year = 1; int32 month = 2; int32 day = 3; } message TimeOfDay { int32 hours = 1; int32 minutes = 2; int32 seconds = 3; int32 nanos = 4; }`
const wellKnownDecimal = `syntax = "proto3"; package confluent.type; message Decimal { bytes value = 1; uint32 precision = 2; int32 scale = 3; }`
const wellKnownGoogle = `syntax = "proto3"; package google.protobuf; message Timestamp { int64 seconds = 1; int32 nanos = 2; } message Int32Value { int32 value = 1; } message Int64Value { int64 value = 1; } message DoubleValue { double value = 1; } message StringValue { string value = 1; }`

// descriptor makes Google's descriptor of the first message of a .proto text.
func descriptor(t testing.TB, text string) protoreflect.MessageDescriptor {
	t.Helper()
	types := map[string]any{}
	files := &protoregistry.Files{}
	var last protoreflect.FileDescriptor
	var names []string
	for i, src := range []string{wellKnown, wellKnownDecimal, wellKnownGoogle, text} {
		f, err := parseProto(src, types)
		if err != nil {
			t.Fatalf("%v\n%s", err, src)
		}
		name := string(rune('a'+i)) + ".proto"
		fd := &descriptorpb.FileDescriptorProto{Name: proto.String(name), Syntax: proto.String("proto3")}
		if f.pkg != "" {
			fd.Package = proto.String(f.pkg)
		}
		if i == 3 {
			fd.Dependency = names
		}
		for _, m := range f.messages {
			fd.MessageType = append(fd.MessageType, descriptorOf(t, f, m))
		}
		d, err := protodesc.NewFile(fd, files)
		if err != nil {
			t.Fatalf("%v\n%s", err, src)
		}
		if err := files.RegisterFile(d); err != nil {
			t.Fatal(err)
		}
		names, last = append(names, name), d
	}
	return last.Messages().Get(0)
}

func descriptorOf(t testing.TB, f *protoFile, m *protoMessage) *descriptorpb.DescriptorProto {
	d := &descriptorpb.DescriptorProto{Name: proto.String(m.name)}
	for i := range m.fields {
		pf := &m.fields[i]
		fd := &descriptorpb.FieldDescriptorProto{Name: proto.String(pf.name), Number: proto.Int32(int32(pf.number)), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()}
		if pf.repeated {
			fd.Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
		}
		if pf.optional {
			fd.Proto3Optional = proto.Bool(true)
			fd.OneofIndex = proto.Int32(int32(len(d.OneofDecl)))
			d.OneofDecl = append(d.OneofDecl, &descriptorpb.OneofDescriptorProto{Name: proto.String("_" + pf.name)})
		}
		if n, ok := descriptorpb.FieldDescriptorProto_Type_value["TYPE_"+strings.ToUpper(pf.typ)]; ok {
			fd.Type = descriptorpb.FieldDescriptorProto_Type(n).Enum()
		} else {
			r, ok := f.resolve(pf.typ, m.full).(*protoMessage)
			if !ok {
				t.Fatalf("no type %s", pf.typ)
			}
			fd.Type, fd.TypeName = descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum(), proto.String("."+r.full)
		}
		d.Field = append(d.Field, fd)
	}
	for _, n := range m.nested {
		d.NestedType = append(d.NestedType, descriptorOf(t, f, n))
	}
	return d
}

// protoSample holds every kind of field.
func protoSample(t *testing.T) (*record.Schema, []map[string]any) {
	t.Helper()
	inner := &record.Schema{Type: record.Struct, Optional: true, Name: "s.t.Inner", Fields: []record.Field{{Name: "x", Schema: record.PlainInt64}}}
	s := &record.Schema{Type: record.Struct, Name: "s.t.Sample", Fields: []record.Field{
		{Name: "i8", Schema: record.OptionalInt8}, {Name: "i16", Schema: record.PlainInt16}, {Name: "i32", Schema: record.OptionalInt32}, {Name: "i64", Schema: record.PlainInt64},
		{Name: "f32", Schema: record.OptionalFloat32}, {Name: "f64", Schema: record.PlainFloat64}, {Name: "b", Schema: record.PlainBoolean}, {Name: "s", Schema: record.OptionalString}, {Name: "by", Schema: record.OptionalBytes},
		{Name: "dec", Schema: &record.Schema{Type: record.Bytes, Optional: true, Name: nameDecimal, Version: 1, Params: []record.Param{{Key: "scale", Value: "2"}, {Key: "connect.decimal.precision", Value: "10"}}}},
		{Name: "d", Schema: &record.Schema{Type: record.Int32, Optional: true, Name: nameDate, Version: 1}},
		{Name: "tm", Schema: &record.Schema{Type: record.Int32, Optional: true, Name: nameTime, Version: 1}},
		{Name: "ts", Schema: &record.Schema{Type: record.Int64, Optional: true, Name: nameTimestamp, Version: 1}},
		{Name: "in", Schema: inner}, {Name: "in2", Schema: inner},
		{Name: "li", Schema: &record.Schema{Type: record.Array, Elem: record.PlainInt32}}, {Name: "ls", Schema: &record.Schema{Type: record.Array, Optional: true, Elem: record.PlainString}},
		{Name: "lm", Schema: &record.Schema{Type: record.Array, Optional: true, Elem: inner}},
		{Name: "my_map", Schema: &record.Schema{Type: record.Map, Optional: true, Key: record.PlainString, Elem: record.PlainInt32}}}}
	long := strings.Repeat("long ", 100)
	return s, []map[string]any{
		{"i8": int8(-3), "i16": int16(300), "i32": -1, "i64": int64(1) << 40, "f32": float32(1.5), "f64": -2.25, "b": true, "s": long, "by": []byte{0, 1},
			"dec": []byte{0x01, 0xE2, 0x40}, "d": 18262, "tm": 3723456, "ts": int64(1577840523456), "in": map[string]any{"x": int64(7)}, "in2": map[string]any{"x": int64(0)},
			"li": []any{1, 0, -5, 300}, "ls": []any{"a", "", long}, "lm": []any{map[string]any{"x": int64(1)}, map[string]any{"x": int64(0)}}, "my_map": map[string]any{"k": 1, "l": 0}},
		{"i16": int16(0), "i64": int64(0), "f64": 0.0, "b": false, "li": []any{}},
		{"i8": int8(0), "i16": int16(1), "i32": 0, "i64": int64(0), "f32": float32(0), "f64": 0.0, "b": false, "s": "", "by": []byte{}, "li": []any{},
			"d": -719468, "ts": int64(-1), "tm": 0, "dec": []byte{0}},
	}
}

// TestProtobufBytes reads what is written with Google's implementation, which must
// give the same bytes again, and with our own reader.
func TestProtobufBytes(t *testing.T) {
	s, values := protoSample(t)
	for _, opts := range []protoOptions{{}, {optionalLabel: true}, {wrappers: true}} {
		built, err := opts.build(s)
		if err != nil {
			t.Fatal(err)
		}
		text, plan := built.text, built.plan
		var d protoreflect.MessageDescriptor
		if !opts.wrappers {
			d = descriptor(t, text)
		}
		read, err := compileProtoRead(text, map[string]any{}, []byte{0}, protoOptions{rawWrappers: true, wrappers: opts.wrappers})
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		for i, v := range values {
			var b record.Batch
			c, err := record.FromGo(&b, s, v)
			if err != nil {
				t.Fatal(err)
			}
			got, err := plan.append(nil, &b, c)
			if err != nil {
				t.Fatal(err)
			}
			if d != nil {
				m := dynamicpb.NewMessage(d)
				if err := proto.Unmarshal(got, m); err != nil {
					t.Fatalf("%v\n%s", err, text)
				}
				want, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
				if err != nil || !bytes.Equal(got, want) || len(m.GetUnknown()) > 0 {
					t.Fatalf("value %d: %v\n got %x\nwant %x\n%s", i, err, got, want, text)
				}
			}
			var back record.Batch
			rc, err := read.message.read(got, 0, &back)
			if err != nil {
				t.Fatal(err)
			}
			if opts.optionalLabel {
				want := strings.NewReplacer("ls", "").Replace(dump(&b, c))
				if i == 0 && dump(&back, rc) != want {
					t.Errorf("read back\n got %s\nwant %s", dump(&back, rc), want)
				}
				if f, _ := read.schema.Field("i32"); i == 1 && !back.Child(rc, f).IsNull() || i == 2 && back.Child(rc, f).IsNull() {
					t.Errorf("value %d: null and zero are mixed up", i)
				}
			}
		}
	}
}

const sampleProto = `syntax = "proto3";
package s.t;

import "confluent/meta.proto";

message Value {
  int32 id = 1;
  int32 qty = 2 [(confluent.field_meta) = {
    params: [
      {
        value: "int16",
        key: "connect.type"
      }
    ]
  }];
  ValueMessage inner = 5;

  message ValueMessage {
    string s = 1;
  }
}
`

// TestProtobufNames: a message that would hold another one of its name is refused,
// since Protobuf would take one for the other.
func TestProtobufNames(t *testing.T) {
	s := &record.Schema{Type: record.Struct, Name: "s.t.Value", Fields: []record.Field{{Name: "inner", Schema: &record.Schema{Type: record.Struct, Name: "other.Value", Fields: []record.Field{{Name: "s", Schema: record.PlainString}}}}}}
	if built, err := (protoOptions{}).build(s); err == nil {
		t.Error(built.text)
	}
}

func TestProtobufConverter(t *testing.T) {
	p := newTap(t)
	conv, err := NewProtobuf(map[string]string{"schema.registry.url": p.url}, false)
	if err != nil {
		t.Fatal(err)
	}
	s, values := protoSample(t)
	topic := &record.Topic{Name: "t"}
	for _, c := range []struct {
		s *record.Schema
		v any
	}{{s, values[0]}, {record.PlainInt64, int64(5)}, {record.PlainString, "key"}} {
		var b, back record.Batch
		cell, err := record.FromGo(&b, c.s, c.v)
		if err != nil {
			t.Fatal(err)
		}
		e, err := conv.Encoder(t.Context(), topic, c.s)
		if err != nil {
			t.Fatal(errs.Trace(err))
		}
		data, _, err := e.Append(nil, &b, cell)
		if err != nil {
			t.Fatalf("%v %x", err, data)
		}
		rs, rc, err := conv.Decode(t.Context(), topic, data, &back)
		if err != nil {
			t.Fatal(errs.Trace(err))
		}
		if got, want := dump(&back, rc), dump(&b, cell); got != want || rs.Type != c.s.Type {
			t.Errorf("read back\n got %s\nwant %s", got, want)
		}
	}
	if _, err := write(t, conv, &record.Schema{Type: record.Array, Elem: record.PlainInt32}, []any{1}); err == nil {
		t.Error("a list at the top was written")
	}
}

// TestProtobufForeign reads a file as people write them.
func TestProtobufForeign(t *testing.T) {
	const text = `// a comment
syntax = "proto3"; package shop; option java_package = "com.shop";
import "google/protobuf/timestamp.proto";
message Unused { reserved 2, 15; }
/* the order */
message Order {
  string id = 1; Status status = 2; repeated double prices = 3 [packed = true]; map<string, Item> items = 4;
  oneof payment { string card = 5; Cash cash = 6; }
  google.protobuf.Timestamp at = 7; optional sint32 delta = 8; fixed32 crc = 9; .shop.Order.Item first = 10;
  enum Status { UNKNOWN = 0; PAID = 1; }
  message Item { uint32 n = 1; }
}
message Cash { bool change = 1; }
service S { rpc Get (Order) returns (Order) { option deprecated = true; } }
`
	plan, err := compileProtoRead(text, map[string]any{}, []byte{2, 2}, protoOptions{rawWrappers: true, fullNames: true, unionIndex: true}) // [1]
	if err != nil {
		t.Fatal(err)
	}
	if plan.schema.Name != "shop.Order" || len(plan.schema.Fields) != 9 {
		t.Fatalf("%s with %d fields", plan.schema.Name, len(plan.schema.Fields))
	}
	data := []byte{0x0a, 1, 'x', 0x10, 1, 0x1a, 8, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f, 0x22, 7, 0x0a, 1, 'k', 0x12, 2, 8, 9, 0x32, 2, 8, 1, 0x3a, 2, 8, 5, 0x40, 3, 0x4d, 1, 0, 0, 0, 0x98, 6, 1}
	var b record.Batch
	c, err := plan.message.read(data, 0, &b)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := dump(&b, c), `struct(struct(null struct(true)) "x" "PAID" array(float64:3ff8000000000000) map("k" struct(int64:9)) int64:5000 int32:-2 int64:1 null)`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

var readOpts = protoOptions{rawWrappers: true, unionIndex: true, nullStructs: true}

// FuzzProtobuf reads arbitrary files and data.
func FuzzProtobuf(f *testing.F) {
	f.Add(sampleProto, []byte{8, 1, 16, 2, 42, 3, 10, 1, 'x'})
	f.Add(`message A { oneof o { int32 a = 1; string b = 2; } map<int32, A> m = 3; repeated bool r = 4; enum E { X = 0; } E e = 5; }`, []byte{8, 1, 18, 1, 'x', 34, 2, 0, 1, 40, 0})
	f.Fuzz(func(t *testing.T, text string, data []byte) {
		plan, err := compileProtoRead(text, map[string]any{}, []byte{0}, readOpts)
		if err != nil {
			return
		}
		var b record.Batch
		if c, err := plan.message.read(data, 0, &b); err == nil {
			_ = dump(&b, c)
		}
		_, _, _ = splitIndexes(data)
	})
}
