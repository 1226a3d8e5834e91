package transform

import (
	"encoding/binary"
	"math"
	"math/bits"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"millrace/internal/configdef"
	"millrace/internal/errs"
	"millrace/internal/record"
)

// partitionRouting chooses the Kafka partition by hashing fields of the envelope.
type partitionRouting struct {
	paths  [][]string
	count  int32
	murmur bool
	plans  planCache[*partitionPlan]
}

type partitionPlan struct {
	op, before, after int
	paths             []partitionPath
}

// partitionPath is the way to a field; "change" is the before of deletes, else the
// after. missing: the schema has no such field.
type partitionPath struct {
	change  bool
	index   []int
	schema  []*record.Schema
	missing bool
	text    string
}

func partitionDef() *configdef.Def {
	d := &configdef.Def{Options: []configdef.Option{
		dopt("partition.payload.fields", configdef.List, noDefault, configdef.High, configdef.WidthNone, "List of payload fields to use for compute partition.", "Fields to hash, such as change.city; change is before for deletes, else after.", needed, func(in configdef.Input) []string {
			for _, f := range configdef.SplitList(in.Value) {
				if f == "" {
					return invalid(in, "Empty string element(s) not permitted")
				}
			}
			return nil
		}),
		dopt("partition.topic.num", configdef.Int, noDefault, configdef.High, configdef.WidthNone, "Number of partition configured for topic", "Number of partitions of the topic.", needed, func(in configdef.Input) []string {
			if strings.HasPrefix(in.Value, "-") || strings.Trim(in.Value, "0") == "" {
				return invalid(in, "A positive, non-zero integer value is expected")
			}
			return nil
		}),
		dopt("partition.hash.function", configdef.String, "java", configdef.Low, configdef.WidthNone, "Hash function", "java (hashCode) or murmur; anything else counts as java."),
	}}
	for i := range d.Options {
		d.Options[i].Group, d.Options[i].Order = "partitions", i+1
	}
	return d
}

func newPartition(v configdef.Values) (Step, error) {
	t := &partitionRouting{count: int32(v.Int("partition.topic.num")), murmur: v.Enum("partition.hash.function") == "murmur"}
	for _, f := range v.List("partition.payload.fields") {
		path := strings.Split(f, ".")
		for i := range path {
			path[i] = strings.TrimSpace(path[i])
		}
		t.paths = append(t.paths, path)
	}
	return t, nil
}

func (t *partitionRouting) Apply(b *record.Batch, r *record.Record) (bool, error) {
	if r.Value.IsNull() {
		return true, nil
	}
	p, ok := t.plans.lookup(r.ValueSchema)
	if !ok {
		if !isEnvelope(r.ValueSchema) {
			return true, nil
		}
		p = t.plans.store(r.ValueSchema, t.compile(r.ValueSchema))
	}
	if p.op < 0 {
		return true, nil
	}
	op := b.Str(b.Child(r.Value, p.op))
	if op == "t" || op == "m" {
		return true, nil
	}
	var sum int32
	found := false
	for i := range p.paths {
		c, s, err := p.value(b, r.Value, &p.paths[i], op == "d")
		if err != nil {
			return true, err
		}
		if c.IsNull() {
			continue
		}
		found = true
		if t.murmur {
			sum += murmurHash(b, s, c)
		} else {
			sum += javaHash(b, s, c)
		}
	}
	if !found {
		return true, nil
	}
	h := sum & math.MaxInt32
	if h == math.MaxInt32 {
		h = 0
	}
	r.Partition = h % t.count
	return true, nil
}

func (t *partitionRouting) compile(s *record.Schema) *partitionPlan {
	p := &partitionPlan{}
	p.op, _ = s.Field("op")
	p.before, _ = s.Field("before")
	p.after, _ = s.Field("after")
	for _, path := range t.paths {
		pp := partitionPath{text: strings.Join(path, ".")}
		at := s
		for i, step := range path {
			if i == 0 && step == "change" && len(path) > 1 {
				pp.change, step = true, "after"
			}
			x, fs := at.Field(step)
			if x < 0 || fs.Type != record.Struct && i < len(path)-1 {
				pp.missing = true
				break
			}
			pp.index, pp.schema, at = append(pp.index, x), append(pp.schema, fs), fs
		}
		p.paths = append(p.paths, pp)
	}
	return p
}

func (p *partitionPlan) value(b *record.Batch, env record.Cell, path *partitionPath, deleted bool) (record.Cell, *record.Schema, error) {
	if path.missing {
		return record.Cell{}, nil, nil
	}
	c := env
	last := len(path.index) - 1
	for i, x := range path.index {
		if i == 0 && path.change && deleted {
			x = p.before
		}
		c = fieldValue(b, c, x, path.schema[i], true)
		if c.IsNull() && i < last {
			return c, nil, &errs.Error{Java: errs.DebeziumException, Msg: "Unprocessable message: the struct above " + path.text + " is null", Hint: "Use change. instead of before. or after., which one of inserts and deletes lacks"}
		}
	}
	return c, path.schema[last], nil
}

// javaHash is Object.hashCode of the Java value.
func javaHash(b *record.Batch, s *record.Schema, c record.Cell) int32 {
	fold := func(v int64) int32 { return int32(v) ^ int32(uint64(v)>>32) }
	logical := ""
	if s != nil {
		logical = s.Name
	}
	switch c.Kind() {
	case record.Boolean:
		if c.Bool() {
			return 1231
		}
		return 1237
	case record.Int8, record.Int16, record.Int32:
		switch logical {
		case nameDate:
			return fold(c.Int() * dayMs)
		case nameTime:
			return fold(c.Int())
		}
		return int32(c.Int())
	case record.Int64:
		return fold(c.Int())
	case record.Float32:
		return int32(math.Float32bits(float32(c.Float())))
	case record.Float64:
		return fold(int64(math.Float64bits(c.Float())))
	case record.String:
		return javaStringHash(b.Str(c))
	case record.Bytes:
		if logical == nameDecimal {
			return javaDecimalHash(b.Raw(c), decimalScale(s))
		}
		return javaBufferHash(b.Raw(c))
	case record.Array:
		h := int32(1)
		for i := 0; i < c.Len(); i++ {
			h = 31*h + javaHash(b, s.Elem, b.Child(c, i))
		}
		return h
	}
	return 0
}

func javaStringHash(s string) int32 {
	var h int32
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		i += n
		if r >= 0x10000 {
			hi, lo := utf16.EncodeRune(r)
			h = 31*(31*h+int32(hi)) + int32(lo)
			continue
		}
		h = 31*h + int32(r)
	}
	return h
}

// javaBufferHash is ByteBuffer.hashCode: from the last byte to the first.
func javaBufferHash(p []byte) int32 {
	h := int32(1)
	for i := len(p) - 1; i >= 0; i-- {
		h = 31*h + int32(int8(p[i]))
	}
	return h
}

// javaDecimalHash is BigDecimal.hashCode.
func javaDecimalHash(p []byte, scale int) int32 {
	n := decimalOf(p)
	if n.IsInt64() && n.Int64() != math.MinInt64 {
		v := n.Int64()
		a := v
		if a < 0 {
			a = -a
		}
		h := int32(uint64(a)>>32)*31 + int32(uint32(a))
		if v < 0 {
			h = -h
		}
		return 31*h + int32(scale)
	}
	var h int32
	mag := n.Bytes()
	for len(mag)%4 != 0 {
		mag = append([]byte{0}, mag...)
	}
	for i := 0; i < len(mag); i += 4 {
		h = 31*h + int32(binary.BigEndian.Uint32(mag[i:]))
	}
	return 31*(h*int32(n.Sign())) + int32(scale)
}

// murmurHash is the upper half of Debezium's MurmurHash3 (x64, seed 9001): of the
// UTF-8 bytes of a text, of the four bytes of hashCode for all else.
func murmurHash(b *record.Batch, s *record.Schema, c record.Cell) int32 {
	if c.Kind() == record.String {
		return int32(uint64(murmur3(b.Raw(c))) >> 32)
	}
	var p [4]byte
	binary.LittleEndian.PutUint32(p[:], uint32(javaHash(b, s, c)))
	return int32(uint64(murmur3(p[:])) >> 32)
}

// murmurState is MurmurHash3's state; the multipliers change with every block in
// this variant.
type murmurState struct{ h1, h2, k1, k2, c1, c2 uint64 }

func (m *murmurState) mix() {
	m.k1 = bits.RotateLeft64(m.k1*m.c1, 23) * m.c2
	m.h1 = (m.h1 ^ m.k1) + m.h2
	m.h2 = bits.RotateLeft64(m.h2, 41)
	m.k2 = bits.RotateLeft64(m.k2*m.c2, 23) * m.c1
	m.h2 = (m.h2 ^ m.k2) + m.h1
	m.h1 = m.h1*3 + 0x52dce729
	m.h2 = m.h2*3 + 0x38495ab5
	m.c1 = m.c1*5 + 0x7b7d159c
	m.c2 = m.c2*5 + 0x6bce6396
}

func murmur3(p []byte) int64 {
	const seed = 9001
	m := murmurState{h1: 0x9368e53c2f6af274 ^ seed, h2: 0x586dcd208f7cd3fd ^ seed, c1: 0x87c37b91114253d5, c2: 0x4cf5ad432745937f}
	n := len(p)
	for ; len(p) >= 16; p = p[16:] {
		m.k1, m.k2 = binary.LittleEndian.Uint64(p), binary.LittleEndian.Uint64(p[8:])
		m.mix()
	}
	if len(p) > 0 {
		m.k1, m.k2 = 0, 0
		for i := len(p) - 1; i >= 0; i-- {
			v := uint64(int64(int8(p[i]))) << (8 * (i & 7)) // Java's bytes have a sign
			if i >= 8 {
				m.k2 ^= v
			} else {
				m.k1 ^= v
			}
		}
		m.mix()
	}
	m.h2 ^= uint64(n)
	m.h1 += m.h2
	m.h2 += m.h1
	m.h1, m.h2 = murmurFinal(m.h1), murmurFinal(m.h2)
	return int64(m.h1 + m.h2)
}

func murmurFinal(k uint64) uint64 {
	k = (k ^ k>>33) * 0xff51afd7ed558ccd
	k = (k ^ k>>33) * 0xc4ceb9fe1a85ec53
	return k ^ k>>33
}
