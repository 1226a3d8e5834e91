package capture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/big"
	"time"
)

// errJavaKey: the key is none, or holds objects that are not read here.
var errJavaKey = errors.New("it is not a Java array of numbers, texts, bytes and times")

// Limits of what a key may hold.
const (
	maxJavaDepth = 12
	maxJavaItems = 1 << 16
)

// Flags of a class in the stream.
const (
	javaWriteMethod = 1
	javaExternal    = 4
	javaBlocks      = 8
)

type javaClass struct {
	name   string
	flags  byte
	fields []javaField
	parent *javaClass
}

type javaField struct {
	kind byte
	name string
}

// javaReader reads the object serialization stream protocol of Java, as much of it
// as keys need. The first fault stays in bad, and everything read after is zero.
type javaReader struct {
	p       []byte
	bad     error
	handles []any // *javaClass, string, or nil for what is not referred to
}

func (r *javaReader) take(n int) []byte {
	if n < 0 || len(r.p) < n || r.bad != nil {
		if r.bad == nil {
			r.bad = errJavaKey
		}
		r.p = nil
		return nil
	}
	v := r.p[:n:n]
	r.p = r.p[n:]
	return v
}

func (r *javaReader) byte() byte { return byte(r.num(1)) }

// num reads a big-endian number of n bytes, n up to 8.
func (r *javaReader) num(n int) uint64 {
	var v uint64
	for _, x := range r.take(n) {
		v = v<<8 | uint64(x)
	}
	return v
}

func (r *javaReader) handle(v any) int {
	r.handles = append(r.handles, v)
	return len(r.handles) - 1
}

func (r *javaReader) reference() any {
	if i := int64(r.num(4)) - 0x7e0000; i >= 0 && i < int64(len(r.handles)) {
		return r.handles[i]
	}
	r.bad = errJavaKey
	return nil
}

// value reads one object.
func (r *javaReader) value(depth int) any {
	if depth > maxJavaDepth {
		r.bad = errJavaKey
	}
	switch r.byte() {
	case 'p':
		return nil
	case 'q':
		return r.reference()
	case 't':
		s := r.text(int(r.num(2)))
		r.handle(s)
		return s
	case '|':
		s := r.text(int(min(r.num(8), math.MaxInt32)))
		r.handle(s)
		return s
	case 'u':
		return r.array(depth)
	case 's':
		return r.object(depth)
	}
	if r.bad == nil {
		r.bad = errJavaKey
	}
	return nil
}

// text decodes a String of n bytes.
func (r *javaReader) text(n int) string {
	p := r.take(n)
	units := make([]rune, 0, len(p))
	for i := 0; i < len(p); {
		switch c := p[i]; {
		case c < 0x80:
			units = append(units, rune(c))
			i++
		case c>>5 == 6 && i+1 < len(p):
			units = append(units, rune(c&0x1f)<<6|rune(p[i+1]&0x3f))
			i += 2
		case c>>4 == 14 && i+2 < len(p):
			units = append(units, rune(c&0x0f)<<12|rune(p[i+1]&0x3f)<<6|rune(p[i+2]&0x3f))
			i += 3
		default:
			r.bad = errJavaKey
			return ""
		}
	}
	out := units[:0]
	for i := 0; i < len(units); i++ {
		u := units[i]
		if u>>10 == 0xd800>>10 && i+1 < len(units) && units[i+1]>>10 == 0xdc00>>10 {
			u = 0x10000 + (u&0x3ff)<<10 + units[i+1]&0x3ff
			i++
		}
		out = append(out, u)
	}
	return string(out)
}

func (r *javaReader) class(depth int) *javaClass {
	switch r.byte() {
	case 'q':
		if c, ok := r.reference().(*javaClass); ok {
			return c
		}
	case 'p':
		return nil
	case 'r':
		if depth > maxJavaDepth {
			break
		}
		c := &javaClass{name: string(r.take(int(r.num(2))))}
		r.take(8) // serialVersionUID
		r.handle(c)
		c.flags = r.byte()
		for n := r.num(2); n > 0 && r.bad == nil; n-- {
			f := javaField{kind: r.byte()}
			f.name = string(r.take(int(r.num(2))))
			if f.kind == 'L' || f.kind == '[' {
				r.value(depth + 1) // the name of its type
			}
			c.fields = append(c.fields, f)
		}
		if r.byte() == 'x' {
			c.parent = r.class(depth + 1)
			return c
		}
	}
	if r.bad == nil {
		r.bad = errJavaKey
	}
	return nil
}

func (r *javaReader) array(depth int) any {
	c := r.class(depth)
	r.handle(nil)
	n := int(r.num(4))
	if r.bad != nil || c == nil || n > maxJavaItems {
		r.bad = errJavaKey
		return nil
	}
	switch c.name {
	case "[B":
		return r.take(n)
	case javaArray:
		out := make([]any, 0, min(n, len(r.p)))
		for i := 0; i < n && r.bad == nil; i++ {
			out = append(out, r.value(depth+1))
		}
		return out
	}
	r.bad = errJavaKey
	return nil
}

// javaObject is an object's fields by name, and the bytes that it wrote itself.
type javaObject struct {
	fields map[string]any
	blocks []byte
}

func (r *javaReader) object(depth int) any {
	c := r.class(depth)
	at := r.handle(nil)
	if r.bad != nil || c == nil {
		return nil
	}
	o := javaObject{fields: map[string]any{}}
	r.fill(c, &o, depth)
	if r.bad != nil {
		return nil
	}
	v, ok := o.plain(c.name)
	if !ok {
		r.bad = fmt.Errorf("it holds a %s: %w", c.name, errJavaKey)
	}
	r.handles[at] = v
	return v
}

// fill reads the fields of a class, those of its parent first.
func (r *javaReader) fill(c *javaClass, o *javaObject, depth int) {
	if c == nil || r.bad != nil {
		return
	}
	if depth > maxJavaDepth { // a class may say that it is its own parent
		r.bad = errJavaKey
		return
	}
	r.fill(c.parent, o, depth+1)
	if c.flags&javaExternal == 0 {
		for _, f := range c.fields {
			o.fields[f.name] = r.field(f.kind, depth)
		}
	}
	if c.flags&javaWriteMethod == 0 && c.flags&(javaExternal|javaBlocks) != javaExternal|javaBlocks {
		return
	}
	for r.bad == nil {
		switch r.byte() {
		case 'x':
			return
		case 'w':
			o.blocks = append(o.blocks, r.take(int(r.byte()))...)
		default:
			r.bad = errJavaKey
		}
	}
}

func (r *javaReader) field(kind byte, depth int) any {
	switch kind {
	case 'B':
		return int64(int8(r.num(1)))
	case 'C':
		return int64(r.num(2))
	case 'S':
		return int64(int16(r.num(2)))
	case 'I':
		return int64(int32(r.num(4)))
	case 'J':
		return int64(r.num(8))
	case 'F':
		return float64(math.Float32frombits(uint32(r.num(4))))
	case 'D':
		return math.Float64frombits(r.num(8))
	case 'Z':
		return r.num(1) != 0
	case 'L', '[':
		return r.value(depth + 1)
	}
	r.bad = errJavaKey
	return nil
}

// plain turns an object into a value of ours.
func (o *javaObject) plain(class string) (any, bool) {
	switch class {
	case "java.lang.Integer", "java.lang.Long", "java.lang.Short", "java.lang.Byte", "java.lang.Float", "java.lang.Double", "java.lang.Boolean":
		v, ok := o.fields["value"]
		return v, ok
	case "java.math.BigInteger":
		mag, ok := o.fields["magnitude"].([]byte)
		sign, ok2 := o.fields["signum"].(int64)
		v := new(big.Int).SetBytes(mag)
		if sign < 0 {
			v.Neg(v)
		}
		return v, ok && ok2
	case "java.math.BigDecimal":
		v, ok := o.fields["intVal"].(*big.Int)
		scale, ok2 := o.fields["scale"].(int64)
		if !ok || !ok2 || scale > 400 || scale < -400 {
			return nil, false
		}
		return javaLiteral(v, int(scale)), true
	case "java.time.Ser":
		return javaTemporal(o.blocks)
	case "java.util.Date", "java.sql.Timestamp", "java.sql.Date", "java.sql.Time":
		if len(o.blocks) != 8 {
			return nil, false
		}
		ms := int64(binary.BigEndian.Uint64(o.blocks))
		nano, _ := o.fields["nanos"].(int64)
		text := javaInstant(floorDiv(ms, 1000), nano)
		switch {
		case class == "java.sql.Date":
			text = text[:max(len(text)-len(" 00:00:00"), 0)]
		case class == "java.sql.Time":
			text = text[max(len(text)-len("00:00:00"), 0):]
		}
		return text, true
	case "java.util.UUID":
		hi, ok := o.fields["mostSigBits"].(int64)
		lo, ok2 := o.fields["leastSigBits"].(int64)
		h, l := uint64(hi), uint64(lo)
		return fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", h>>32, h>>16&0xffff, h&0xffff, l>>48, l&0xffffffffffff), ok && ok2
	}
	return nil, false
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

const sqlTime = "2006-01-02 15:04:05.999999999"

func javaInstant(sec, nano int64) string { return time.Unix(sec, nano).UTC().Format(sqlTime) }

// javaShift moves a date and time by seconds.
func javaShift(text string, sec int64) string {
	t, err := time.Parse(sqlTime, text)
	if err != nil {
		return text
	}
	return t.Add(time.Duration(sec) * time.Second).Format(sqlTime)
}
