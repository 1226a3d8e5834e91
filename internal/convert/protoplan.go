package convert

import (
	"encoding/binary"
	"math"
	"strconv"
	"time"

	"millrace/internal/record"
)

// The wire types of Protobuf.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

// protoOp is how a value is written.
type protoOp uint8

const (
	protoIntOp protoOp = iota
	protoBoolOp
	protoFloatOp
	protoDoubleOp
	protoStringOp
	protoBytesOp
	protoMessageOp // from here on: messages
	protoWrapOp    // a scalar in a message of its own
	protoMapOp
	protoDecimalOp
	protoDateOp
	protoTimeOp
	protoTimestampOp
)

// protoOps are the ops of the scalars.
var protoOps = map[record.Type]protoOp{record.Int8: protoIntOp, record.Int16: protoIntOp, record.Int32: protoIntOp, record.Int64: protoIntOp, record.Boolean: protoBoolOp,
	record.Float32: protoFloatOp, record.Float64: protoDoubleOp, record.String: protoStringOp, record.Bytes: protoBytesOp}

func (o protoOp) wire() int {
	switch o {
	case protoIntOp, protoBoolOp:
		return wireVarint
	case protoFloatOp:
		return wireFixed32
	case protoDoubleOp:
		return wireFixed64
	}
	return wireBytes
}

func protoTag(number, wire int) []byte {
	return binary.AppendUvarint(nil, uint64(number)<<3|uint64(wire))
}

// protoPlan writes a message.
type protoPlan struct {
	fields []protoPlanField // by number
	width  int              // fields of the struct
	entry  int              // 1: of the entries of a map
}

// protoPlanField writes a field of a message.
type protoPlanField struct {
	name     string
	from     int    // index in the struct; -1: the value itself
	tag      []byte // number and wire type
	plan     *protoValuePlan
	repeated bool
	packed   bool
	presence bool // the zero value is written too
	required bool
	def      *record.Datum // in place of null
}

// protoValuePlan writes a value.
type protoValuePlan struct {
	kind    record.Type
	op      protoOp
	message *protoPlan
	scale   int
}

// append writes the fields of a message from the cells of a struct, or from one
// value for messages that wrap it.
func (p *protoPlan) append(dst []byte, b *record.Batch, c record.Cell) (_ []byte, err error) {
	for i := range p.fields {
		f := &p.fields[i]
		v, vb := c, b
		if f.from >= 0 {
			if c.Len() != p.width {
				return dst, valueErrorf("Mismatching schema: the struct has %d fields, its schema %d", c.Len(), p.width)
			}
			v = b.Child(c, f.from)
		}
		if v.IsNull() && f.def != nil {
			v, vb = f.def.Root, f.def.Batch()
		}
		if dst, err = f.append(dst, vb, v); err != nil {
			return dst, within(f.name, err)
		}
	}
	return dst, nil
}

func (f *protoPlanField) append(dst []byte, b *record.Batch, v record.Cell) (_ []byte, err error) {
	if v.IsNull() {
		if f.required {
			return dst, errNullRequired()
		}
		return dst, nil
	}
	switch {
	case !f.repeated:
		if !f.presence && f.plan.op < protoMessageOp && isZeroCell(v) {
			if v.Kind() != f.plan.kind {
				return dst, errKind(f.plan.kind, v.Kind())
			}
			return dst, nil
		}
		return f.plan.append(append(dst, f.tag...), b, v)
	case f.plan.op == protoMapOp:
		return f.appendMap(dst, b, v)
	case v.Kind() != record.Array:
		return dst, errKind(record.Array, v.Kind())
	case v.Len() == 0:
		return dst, nil
	case !f.packed:
		for i, e := range b.Children(v) {
			if dst, err = f.plan.append(append(dst, f.tag...), b, e); err != nil {
				return dst, within(strconv.Itoa(i), err)
			}
		}
		return dst, nil
	}
	dst = append(dst, f.tag...)
	at := len(dst)
	dst = append(dst, 0)
	for i, e := range b.Children(v) {
		if dst, err = f.plan.append(dst, b, e); err != nil {
			return dst, within(strconv.Itoa(i), err)
		}
	}
	return closeLength(dst, at), nil
}

func (f *protoPlanField) appendMap(dst []byte, b *record.Batch, v record.Cell) (_ []byte, err error) {
	if v.Kind() != record.Map {
		return dst, errKind(record.Map, v.Kind())
	}
	kv := b.Children(v)
	for i := 0; i+1 < len(kv); i += 2 {
		dst = append(dst, f.tag...)
		at := len(dst)
		dst = append(dst, 0)
		for j := range f.plan.message.fields {
			ef := &f.plan.message.fields[j]
			if dst, err = ef.append(dst, b, kv[i+ef.from]); err != nil {
				return dst, within(ef.name, err)
			}
		}
		dst = closeLength(dst, at)
	}
	return dst, nil
}

// isZeroCell reports whether a scalar has the value that proto3 does not write.
func isZeroCell(c record.Cell) bool {
	switch c.Kind() {
	case record.Float32, record.Float64:
		return math.Float64bits(c.Float()) == 0
	case record.String, record.Bytes:
		return c.Len() == 0
	case record.Boolean:
		return !c.Bool()
	}
	return c.Int() == 0
}

// closeLength puts the length of what was written after dst[at] into dst[at],
// making room when it takes more than one byte.
func closeLength(dst []byte, at int) []byte {
	n := len(dst) - at - 1
	if n < 0x80 {
		dst[at] = byte(n)
		return dst
	}
	var head [binary.MaxVarintLen64]byte
	size := binary.PutUvarint(head[:], uint64(n))
	dst = append(dst, head[:size-1]...)
	copy(dst[at+size:], dst[at+1:at+1+n])
	copy(dst[at:], head[:size])
	return dst
}

// append writes one value without its tag.
func (p *protoValuePlan) append(dst []byte, b *record.Batch, c record.Cell) (_ []byte, err error) {
	if c.Kind() != p.kind {
		if c.IsNull() {
			return dst, valueErrorf("a list of Protobuf cannot hold null")
		}
		return dst, errKind(p.kind, c.Kind())
	}
	switch p.op {
	case protoIntOp:
		return binary.AppendUvarint(dst, uint64(c.Int())), nil
	case protoBoolOp:
		if c.Bool() {
			return append(dst, 1), nil
		}
		return append(dst, 0), nil
	case protoFloatOp:
		return appendAvroFloat(dst, float32(c.Float())), nil
	case protoDoubleOp:
		return appendAvroDouble(dst, c.Float()), nil
	case protoStringOp, protoBytesOp:
		p := b.Raw(c)
		return append(binary.AppendUvarint(dst, uint64(len(p))), p...), nil
	}
	at := len(dst)
	dst = append(dst, 0)
	switch p.op {
	case protoMessageOp, protoWrapOp:
		dst, err = p.message.append(dst, b, c)
	case protoDecimalOp:
		if c.Len() > 0 {
			dst = append(binary.AppendUvarint(append(dst, 1<<3|wireBytes), uint64(c.Len())), b.Raw(c)...)
		}
		dst = appendProtoInt(dst, 2, decimalDigits(b.Raw(c)))
		dst = appendProtoInt(dst, 3, int64(p.scale))
	case protoDateOp:
		y, m, d := time.Unix(c.Int()*86400, 0).UTC().Date()
		dst = appendProtoInt(appendProtoInt(appendProtoInt(dst, 1, int64(y)), 2, int64(m)), 3, int64(d))
	case protoTimeOp:
		ms := c.Int()
		dst = appendProtoInt(dst, 1, ms/3600_000)
		dst = appendProtoInt(dst, 2, ms/60_000%60)
		dst = appendProtoInt(dst, 3, ms/1000%60)
		dst = appendProtoInt(dst, 4, ms%1000*1e6)
	case protoTimestampOp:
		t := time.UnixMilli(c.Int())
		dst = appendProtoInt(dst, 1, t.Unix())
		dst = appendProtoInt(dst, 2, int64(t.Nanosecond()))
	}
	return closeLength(dst, at), err
}

// appendProtoInt appends an integer field, nothing for 0.
func appendProtoInt(dst []byte, number int, v int64) []byte {
	if v == 0 {
		return dst
	}
	return binary.AppendUvarint(append(dst, byte(number<<3|wireVarint)), uint64(v))
}

// decimalDigits counts the digits of an unscaled number, as BigDecimal.precision.
func decimalDigits(p []byte) int64 {
	if len(p) > 8 {
		u := bigOf(p)
		return int64(len(u.Abs(u).Append(nil, 10)))
	}
	var v int64
	if len(p) > 0 && p[0]&0x80 != 0 {
		v = -1
	}
	for _, c := range p {
		v = v<<8 | int64(c)
	}
	u := uint64(v)
	if v < 0 {
		u = -u
	}
	n := int64(1)
	for ; u >= 10; u /= 10 {
		n++
	}
	return n
}
