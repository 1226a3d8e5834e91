package oracle

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
)

// avroType is a schema with its named types resolved.
type avroType struct {
	kind    string
	logical string
	scale   int
	size    int
	symbols []Value
	names   []string    // of a record's fields
	inner   []*avroType // fields, branches, items or values
}

// avroReader decodes one datum strictly: what Java's BinaryEncoder would have
// written in another way is listed in odd.
type avroReader struct {
	types map[string]*avroType // by full name
	b     []byte
	i     int
	odd   []Value
}

// decodeAvro reads the bytes behind the schema id. Bytes at the top have no length.
func decodeAvro(schema Value, b []byte) (v Value, odd []Value, err error) {
	r := &avroReader{types: map[string]*avroType{}, b: b}
	t, err := r.learn(schema, "")
	if err != nil {
		return nil, nil, err
	}
	if t.kind == "bytes" {
		return t.bytes(b), nil, nil
	}
	if v, err = r.value(t, 0); err != nil {
		return nil, nil, err
	}
	if r.i != len(b) {
		r.note("%d bytes left over", len(b)-r.i)
	}
	return v, r.odd, nil
}

func (r *avroReader) note(format string, args ...any) {
	r.odd = append(r.odd, fmt.Sprintf(format, args...))
}

// learn resolves a schema. Every named type is found before it is used.
func (r *avroReader) learn(v Value, space string) (*avroType, error) {
	switch x := v.(type) {
	case string:
		for _, name := range []string{x, space + "." + x} {
			if t := r.types[name]; t != nil {
				return t, nil
			}
		}
		return &avroType{kind: x}, nil
	case []Value:
		t := &avroType{kind: "union"}
		return t, r.learnAll(t, x, space)
	case *Object:
		return r.learnObject(x, space)
	}
	return nil, fmt.Errorf("no Avro schema: %s", Print(v))
}

func (r *avroReader) learnAll(t *avroType, list []Value, space string) error {
	for _, e := range list {
		in, err := r.learn(e, space)
		if err != nil {
			return err
		}
		t.inner = append(t.inner, in)
	}
	return nil
}

func (r *avroReader) learnObject(o *Object, space string) (*avroType, error) {
	text := func(k string) string {
		v, _ := o.Get(k)
		s, _ := v.(string)
		return s
	}
	number := func(k string) int {
		v, _ := o.Get(k)
		n, _ := v.(Int)
		i, _ := strconv.Atoi(string(n)) // absent is 0
		return i
	}
	of, _ := o.Get("type")
	t := &avroType{kind: text("type"), logical: text("logicalType"), scale: number("scale"), size: number("size")}
	switch t.kind {
	case "":
		return r.learn(of, space)
	case "array", "map":
		in, _ := o.Get(map[string]string{"array": "items", "map": "values"}[t.kind])
		return t, r.learnAll(t, []Value{in}, space)
	case "record", "enum", "fixed":
		name := text("name")
		if i := strings.LastIndexByte(name, '.'); i >= 0 {
			space, name = name[:i], name[i+1:]
		} else if ns := text("namespace"); ns != "" {
			space = ns
		}
		r.types[strings.TrimPrefix(space+"."+name, ".")] = t
	}
	if s, ok := o.Get("symbols"); ok {
		t.symbols, _ = s.([]Value)
	}
	fields, _ := o.Get("fields")
	list, _ := fields.([]Value)
	for _, f := range list {
		field, ok := f.(*Object)
		if !ok {
			return nil, fmt.Errorf("no field: %s", Print(f))
		}
		n, _ := field.Get("name")
		ft, _ := field.Get("type")
		t.names = append(t.names, fmt.Sprint(n))
		if err := r.learnAll(t, []Value{ft}, space); err != nil {
			return nil, err
		}
	}
	return t, nil
}

func (r *avroReader) take(n int) ([]byte, error) {
	if n < 0 || n > len(r.b)-r.i {
		return nil, fmt.Errorf("%d bytes wanted at %d of %d", n, r.i, len(r.b))
	}
	r.i += n
	return r.b[r.i-n : r.i], nil
}

func (r *avroReader) long() (int64, error) {
	u, n := binary.Uvarint(r.b[r.i:])
	if n <= 0 {
		return 0, fmt.Errorf("no number at %d of %d", r.i, len(r.b))
	}
	r.i += n
	if n > 1 && r.b[r.i-1] == 0 {
		r.note("long varint at %d", r.i)
	}
	return int64(u>>1) ^ -int64(u&1), nil
}

func (r *avroReader) run() ([]byte, error) {
	n, err := r.long()
	if err != nil {
		return nil, err
	}
	return r.take(int(n))
}

func (t *avroType) bytes(b []byte) Value {
	if t.logical == "decimal" {
		return object("decimal", plainDecimal(b, t.scale), "bytes", hex.EncodeToString(b))
	}
	return object("bytes", hex.EncodeToString(b))
}

func plainDecimal(b []byte, scale int) string {
	n := new(big.Int).SetBytes(b)
	if len(b) > 0 && b[0] >= 0x80 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(len(b))*8))
	}
	s := new(big.Int).Abs(n).String()
	switch {
	case scale > 0:
		s = strings.Repeat("0", max(0, scale+1-len(s))) + s
		s = s[:len(s)-scale] + "." + s[len(s)-scale:]
	case n.Sign() != 0:
		s += strings.Repeat("0", -scale)
	}
	if n.Sign() < 0 {
		s = "-" + s
	}
	return s
}

// value reads a value of a type.
func (r *avroReader) value(t *avroType, depth int) (Value, error) {
	if depth > 100 {
		return nil, fmt.Errorf("nested too deeply at %d", r.i)
	}
	switch t.kind {
	case "null":
		return nil, nil
	case "boolean":
		b, err := r.take(1)
		if err != nil {
			return nil, err
		}
		if b[0] > 1 {
			r.note("boolean %d", b[0])
		}
		return b[0] != 0, nil
	case "int", "long":
		n, err := r.long()
		return Int(strconv.FormatInt(n, 10)), err
	case "float", "double":
		return r.float(t.kind == "float")
	case "string":
		b, err := r.run()
		return string(b), err
	case "bytes":
		b, err := r.run()
		return t.bytes(b), err
	case "fixed":
		b, err := r.take(t.size)
		return t.bytes(b), err
	case "enum", "union":
		n, err := r.long()
		switch {
		case err != nil:
			return nil, err
		case t.kind == "enum" && uint64(n) < uint64(len(t.symbols)):
			return t.symbols[n], nil
		case t.kind == "union" && uint64(n) < uint64(len(t.inner)):
			return r.value(t.inner[n], depth+1)
		}
		return nil, fmt.Errorf("%s has no branch %d at %d", t.kind, n, r.i)
	case "array", "map":
		return r.blocks(t, depth)
	case "record":
		o := &Object{}
		for i, n := range t.names {
			v, err := r.value(t.inner[i], depth+1)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", n, err)
			}
			o.Set(n, v)
		}
		return o, nil
	}
	return nil, fmt.Errorf("unknown type %q", t.kind)
}

// blocks reads an array, or a map in the order of the bytes.
func (r *avroReader) blocks(t *avroType, depth int) (Value, error) {
	list, m := []Value{}, &Object{}
	for first := true; ; first = false {
		n, err := r.long()
		if err != nil {
			return nil, err
		}
		if n == 0 {
			break
		}
		if !first {
			r.note("second block at %d", r.i)
		}
		if n < 0 {
			r.note("negative block count at %d", r.i)
			n = -n
			if _, err := r.long(); err != nil {
				return nil, err
			}
		}
		for ; n > 0; n-- {
			var k []byte
			if t.kind == "map" {
				if k, err = r.run(); err != nil {
					return nil, err
				}
			}
			v, err := r.value(t.inner[0], depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
			m.Set(string(k), v)
		}
	}
	if t.kind == "map" {
		return object("map", m), nil
	}
	return list, nil
}

func (r *avroReader) float(single bool) (Value, error) {
	size, canonical := 8, uint64(0x7ff8000000000000)
	if single {
		size, canonical = 4, 0x7fc00000
	}
	b, err := r.take(size)
	if err != nil {
		return nil, err
	}
	var x float64
	var raw uint64
	bits := 64
	if single {
		raw, bits = uint64(binary.LittleEndian.Uint32(b)), 32
		x = float64(math.Float32frombits(uint32(raw)))
	} else {
		raw = binary.LittleEndian.Uint64(b)
		x = math.Float64frombits(raw)
	}
	switch {
	case math.IsNaN(x):
		if raw != canonical {
			r.note("NaN %s", hex.EncodeToString(b))
		}
		return "~NaN", nil
	case math.IsInf(x, 0):
		return map[bool]string{true: "~Infinity", false: "~-Infinity"}[x > 0], nil
	}
	return "~" + pythonFloat(x, bits), nil
}

// pythonFloat is the shortest text of a number in the form of Python's repr, in
// which the recordings hold it.
func pythonFloat(x float64, bits int) string {
	s := strconv.FormatFloat(x, 'e', -1, bits)
	digits, exp, _ := strings.Cut(s, "e")
	if e, _ := strconv.Atoi(exp); e < -4 || e >= 16 {
		return digits + "e" + exp
	}
	s = strconv.FormatFloat(x, 'f', -1, bits)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}
