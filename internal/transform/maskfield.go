package transform

import (
	"math"
	"math/big"
	"strconv"
	"strings"

	"millrace/internal/configdef"
	"millrace/internal/record"
)

// maskField puts a null value of the type, or a replacement, in place of fields.
type maskField struct {
	side        side
	names       []string
	fields      map[string]bool
	replacement string
	replace     bool
	fill        bool
	plans       planCache[*maskPlan]
}

type maskPlan struct {
	copy *copyPlan
	mask []int
	// value is what a non-null value of the field becomes; nil: err says why it cannot.
	value []*record.Datum
	err   []error
}

func maskFieldDef() *configdef.Def {
	return &configdef.Def{Options: []configdef.Option{
		someList("fields", "Fields to mask."),
		opt("replacement", configdef.String, noDefault, configdef.Low, "What to put there instead of 0, false or empty text, for numbers and text.", nonEmpty),
		fillOption(),
	}}
}

func newMaskField(s side, v configdef.Values) (Step, error) {
	return &maskField{side: s, names: v.List("fields"), fields: set(v.List("fields")), replacement: v.String("replacement"), replace: v.IsSet("replacement"), fill: v.Bool("replace.null.with.default")}, nil
}

func (t *maskField) Apply(b *record.Batch, r *record.Record) (bool, error) {
	s, c := t.side.get(r)
	if s == nil {
		return t.schemaless(b, r, c)
	}
	if err := requireStruct(c, s, "mask fields"); err != nil {
		return true, err
	}
	p, ok := t.plans.lookup(s)
	if !ok {
		p = t.plans.store(s, t.compile(s))
	}
	out := p.copy.apply(b, c)
	for i, f := range p.mask {
		if b.Child(out, f).IsNull() {
			continue
		}
		if p.err[i] != nil {
			return true, p.err[i]
		}
		b.SetChild(out, f, b.Put(p.value[i]))
	}
	t.side.set(r, s, out)
	return true, nil
}

func (t *maskField) compile(s *record.Schema) *maskPlan {
	p := &maskPlan{copy: &copyPlan{out: &record.Schema{}}}
	for i, f := range s.Fields {
		p.copy.add(f.Name, f.Schema, i, t.fill)
		if t.fields[f.Name] {
			d, err := t.masked(f.Schema)
			p.mask, p.value, p.err = append(p.mask, i), append(p.value, d), append(p.err, err)
		}
	}
	return p
}

// masked makes what stands for every value of a schema. A decimal keeps its scale,
// so that it can be converted (the real step puts scale 0 there, and the record
// fails).
func (t *maskField) masked(s *record.Schema) (*record.Datum, error) {
	logical := s.Name == nameDate || s.Name == nameTime || s.Name == nameTimestamp
	if t.replace && !logical {
		return t.replaced(s)
	}
	switch {
	case t.replace:
		return nil, dataErr("Cannot mask value of type class java.util.Date with custom replacement.")
	case s.Name == nameDecimal:
		return record.MustDatum(s, []byte{0}), nil
	}
	switch s.Type {
	case record.Boolean:
		return record.MustDatum(s, false), nil
	case record.Int8, record.Int16, record.Int32, record.Int64:
		return record.MustDatum(s, 0), nil
	case record.Float32, record.Float64:
		return record.MustDatum(s, float64(0)), nil
	case record.String:
		return record.MustDatum(s, ""), nil
	case record.Array:
		return record.MustDatum(s, []any{}), nil
	case record.Map:
		return record.MustDatum(s, map[string]any{}), nil
	case record.Struct:
		return nil, dataErr("Cannot mask value of type: class org.apache.kafka.connect.data.Struct")
	}
	return nil, dataErr("Cannot mask value of type: class java.nio.HeapByteBuffer")
}

func (t *maskField) replaced(s *record.Schema) (*record.Datum, error) {
	text := t.replacement
	bad := func() (*record.Datum, error) {
		return nil, dataErr("Unable to convert %s (class java.lang.String) to number", text)
	}
	switch {
	case s.Name == nameDecimal:
		scale, _ := s.Param("scale")
		n, err := strconv.Atoi(scale)
		u, ok := unscaled(text, n)
		if err != nil || !ok {
			return bad()
		}
		return record.MustDatum(s, twosComplement(u)), nil
	case s.Type == record.String:
		return record.MustDatum(s, text), nil
	case s.Type >= record.Int8 && s.Type <= record.Float64:
		r, ok := javaDecimal(text)
		if !ok {
			return nil, dataErr("Unable to convert %s (class java.lang.String) to a number", text)
		}
		if s.Type >= record.Float32 {
			f, _ := r.Float64()
			if s.Type == record.Float32 {
				f = float64(float32(f))
			}
			return record.MustDatum(s, f), nil
		}
		return record.MustDatum(s, narrowed(r, s.Type)), nil
	}
	return nil, dataErr("Cannot mask value of type class %s with custom replacement.", javaClass(zeroOf(s), s))
}

// zeroOf is any non-null cell of the schema's type, for its Java class.
func zeroOf(s *record.Schema) record.Cell {
	var b record.Batch
	switch s.Type {
	case record.Boolean:
		return record.BoolCell(false)
	case record.Array, record.Map, record.Struct:
		return b.Alloc(s.Type, 0)
	}
	return b.BytesCell(record.Bytes, nil)
}

// narrowed is the integer that Java makes of a number: the fraction is cut off, and
// what is too large loses its upper bits.
func narrowed(r *big.Rat, t record.Type) int64 {
	n := new(big.Int).Quo(r.Num(), r.Denom())
	v := int64(new(big.Int).And(n, new(big.Int).SetUint64(math.MaxUint64)).Uint64())
	switch t {
	case record.Int8:
		return int64(int8(v))
	case record.Int16:
		return int64(int16(v))
	case record.Int32:
		return int64(int32(v))
	}
	return v
}

// unscaled is a decimal text as an integer of the scale, when it fits exactly.
func unscaled(text string, scale int) (*big.Int, bool) {
	r, ok := new(big.Rat).SetString(strings.TrimSpace(text))
	if !ok || strings.Contains(text, "/") {
		return nil, false
	}
	f := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(scale, -scale))), nil)
	if scale < 0 {
		r.Quo(r, new(big.Rat).SetInt(f))
	} else {
		r.Mul(r, new(big.Rat).SetInt(f))
	}
	if !r.IsInt() {
		return nil, false
	}
	return r.Num(), true
}

// twosComplement is the shortest big-endian form of Java's BigInteger.toByteArray.
func twosComplement(n *big.Int) []byte {
	if n.Sign() >= 0 {
		b := n.Bytes()
		if len(b) == 0 || b[0]&0x80 != 0 {
			b = append([]byte{0}, b...)
		}
		return b
	}
	size := n.BitLen()/8 + 1
	if n.BitLen()%8 == 0 && n.TrailingZeroBits() == uint(n.BitLen()-1) {
		size = n.BitLen() / 8 // -128, -32768, …
	}
	m := new(big.Int).Lsh(big.NewInt(1), uint(8*size))
	b := m.Add(m, n).Bytes()
	for len(b) < size {
		b = append([]byte{0}, b...)
	}
	return b
}

func (t *maskField) schemaless(b *record.Batch, r *record.Record, c record.Cell) (bool, error) {
	if err := requireMap(c, "mask fields"); err != nil {
		return true, err
	}
	out := b.CloneChildren(c, 0)
	for i := 0; i < out.Len(); i += 2 {
		v := b.Child(out, i+1)
		if v.IsNull() || !t.fields[b.Str(b.Child(out, i))] {
			continue
		}
		d, err := t.masked(&record.Schema{Type: v.Kind()})
		if err != nil {
			return true, err
		}
		b.SetChild(out, i+1, b.Put(d))
	}
	for _, f := range t.names { // a field that is not there becomes one that is null
		if mapIndex(b, out, f) < 0 {
			out = mapPut(b, out, f, record.Cell{})
		}
	}
	t.side.set(r, nil, out)
	return true, nil
}
