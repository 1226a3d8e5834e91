package capture

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
)

// Debezium stores the keys of an incremental snapshot as the hex text of a Java
// serialised Object[]. The same is written and read here, so that either side can
// go on where the other stopped.

// JavaDecimal is the text of a java.math.BigDecimal without an exponent.
type JavaDecimal string

// JavaTimestamp is a java.sql.Timestamp: seconds since 1970 and nanoseconds.
type JavaTimestamp struct {
	Sec  int64
	Nano int32
}

// JavaDuration is a java.time.Duration; the nanoseconds count forwards.
type JavaDuration struct {
	Sec  int64
	Nano int32
}

// JavaLocalDate is a java.time.LocalDate.
type JavaLocalDate struct{ Year, Month, Day int }

// JavaSQLDate is a java.sql.Date: seconds since 1970.
type JavaSQLDate int64

// JavaUUID is a java.util.UUID.
type JavaUUID [16]byte

const (
	javaHeader = "\xac\xed\x00\x05"
	javaArray  = "[Ljava.lang.Object;"
	javaFirst  = 0x7e0000 // the number of the first thing that can be referred to
)

// EncodeJavaKey writes an Object[] of nil, bool, int16, int32, int64, float32, float64,
// string, []byte, *big.Int and the types above, byte for byte as
// java.io.ObjectOutputStream does. Values of other types are written as their text.
func EncodeJavaKey(values []any) string {
	w := &javaWriter{b: []byte(javaHeader), seen: map[any]int{}}
	w.array(javaArray, "\x90\xce\x58\x9f\x10\x73\x29\x6c", len(values))
	for _, v := range values {
		w.value(v)
	}
	return hex.EncodeToString(w.b)
}

// javaWriter numbers what it writes, since Java refers to a class, and to an object
// that comes twice, by its number.
type javaWriter struct {
	b    []byte
	next int
	seen map[any]int // by *javaForm, by name of a type, by small number
}

// javaForm is a class as the stream describes it.
type javaForm struct {
	name, uid string
	flags     byte
	fields    []javaField // the type of an object in its name, behind a blank
	parent    *javaForm
}

var (
	formNumber  = &javaForm{"java.lang.Number", "\x86\xac\x95\x1d\x0b\x94\xe0\x8b", 2, nil, nil}
	formShort   = &javaForm{"java.lang.Short", "\x68\x4d\x37\x13\x34\x60\xda\x52", 2, []javaField{{'S', "value"}}, formNumber}
	formInteger = &javaForm{"java.lang.Integer", "\x12\xe2\xa0\xa4\xf7\x81\x87\x38", 2, []javaField{{'I', "value"}}, formNumber}
	formLong    = &javaForm{"java.lang.Long", "\x3b\x8b\xe4\x90\xcc\x8f\x23\xdf", 2, []javaField{{'J', "value"}}, formNumber}
	formFloat   = &javaForm{"java.lang.Float", "\xda\xed\xc9\xa2\xdb\x3c\xf0\xec", 2, []javaField{{'F', "value"}}, formNumber}
	formDouble  = &javaForm{"java.lang.Double", "\x80\xb3\xc2\x4a\x29\x6b\xfb\x04", 2, []javaField{{'D', "value"}}, formNumber}
	formBigInt  = &javaForm{"java.math.BigInteger", "\x8c\xfc\x9f\x1f\xa9\x3b\xfb\x1d", 3, []javaField{{'I', "bitCount"}, {'I', "bitLength"},
		{'I', "firstNonzeroByteNum"}, {'I', "lowestSetBit"}, {'I', "signum"}, {'[', "magnitude [B"}}, formNumber}
	formDecimal   = &javaForm{"java.math.BigDecimal", "\x54\xc7\x15\x57\xf9\x81\x28\x4f", 3, []javaField{{'I', "scale"}, {'L', "intVal Ljava/math/BigInteger;"}}, formNumber}
	formDate      = &javaForm{"java.util.Date", "\x68\x6a\x81\x01\x4b\x59\x74\x19", 3, nil, nil}
	formTimestamp = &javaForm{"java.sql.Timestamp", "\x26\x18\xd5\xc8\x01\x53\xbf\x65", 2, []javaField{{'I', "nanos"}}, formDate}
	formSQLDate   = &javaForm{"java.sql.Date", "\x14\xfa\x46\x68\x3f\x35\x66\x97", 2, nil, formDate}
	formBool      = &javaForm{"java.lang.Boolean", "\xcd\x20\x72\x80\xd5\x9c\xfa\xee", 2, []javaField{{'Z', "value"}}, nil}
	formUUID      = &javaForm{"java.util.UUID", "\xbc\x99\x03\xf7\x98\x6d\x85\x2f", 2, []javaField{{'J', "leastSigBits"}, {'J', "mostSigBits"}}, nil}
	formTime      = &javaForm{"java.time.Ser", "\x95\x5d\x84\xba\x1b\x22\x48\xb2", 12, nil, nil}
)

func (w *javaWriter) u16(n int) { w.b = binary.BigEndian.AppendUint16(w.b, uint16(n)) }
func (w *javaWriter) u32(n int64) {
	w.b = binary.BigEndian.AppendUint32(w.b, uint32(n))
}
func (w *javaWriter) u64(n int64) { w.b = binary.BigEndian.AppendUint64(w.b, uint64(n)) }

// again writes a reference to what has been written; false: it was not.
func (w *javaWriter) again(key any) bool {
	n, ok := w.seen[key]
	if ok {
		w.b = append(w.b, 'q')
		w.u32(int64(javaFirst + n))
	}
	return ok
}

// number gives the next thing its number.
func (w *javaWriter) number(key any) {
	if key != nil {
		w.seen[key] = w.next
	}
	w.next++
}

func (w *javaWriter) name(s string) {
	w.u16(len(s))
	w.b = append(w.b, s...)
}

func (w *javaWriter) class(f *javaForm) {
	if f == nil {
		w.b = append(w.b, 'p')
		return
	}
	if w.again(f) {
		return
	}
	w.b = append(w.b, 'r')
	w.number(f)
	w.name(f.name)
	w.b = append(append(w.b, f.uid...), f.flags)
	w.u16(len(f.fields))
	for _, x := range f.fields {
		name, typ, _ := strings.Cut(x.name, " ")
		w.b = append(w.b, x.kind)
		if w.name(name); typ != "" && !w.again(typ) {
			w.text(typ)
			w.seen[typ] = w.next - 1
		}
	}
	w.b = append(w.b, 'x')
	w.class(f.parent)
}

// object begins an object. key, if not nil, lets it be referred to.
func (w *javaWriter) object(f *javaForm, key any) {
	w.b = append(w.b, 's')
	w.class(f)
	w.number(key)
}

func (w *javaWriter) array(name, uid string, n int) {
	w.b = append(w.b, 'u')
	if !w.again("array " + name) {
		w.b = append(w.b, 'r')
		w.number("array " + name)
		w.name(name)
		w.b = append(append(w.b, uid...), "\x02\x00\x00xp"...)
	}
	w.number(nil)
	w.u32(int64(n))
}

// small numbers are one object each in Java.
func smallJava(f *javaForm, v int64) any {
	if v < -128 || v > 127 {
		return nil
	}
	return struct {
		f *javaForm
		v int64
	}{f, v}
}

func (w *javaWriter) whole(f *javaForm, v int64, size int) {
	key := smallJava(f, v)
	if key != nil && w.again(key) {
		return
	}
	w.object(f, key)
	var p [8]byte
	binary.BigEndian.PutUint64(p[:], uint64(v))
	w.b = append(w.b, p[8-size:]...)
}

func (w *javaWriter) value(v any) {
	switch x := v.(type) {
	case nil:
		w.b = append(w.b, 'p')
	case bool:
		if n := map[bool]int64{true: 1}[x]; !w.again(smallJava(formBool, n)) { // there are two of them
			w.object(formBool, smallJava(formBool, n))
			w.b = append(w.b, byte(n))
		}
	case JavaUUID:
		w.object(formUUID, nil)
		w.b = append(append(w.b, x[8:]...), x[:8]...)
	case int16:
		w.whole(formShort, int64(x), 2)
	case int32:
		w.whole(formInteger, int64(x), 4)
	case int64:
		w.whole(formLong, x, 8)
	case float32:
		w.object(formFloat, nil)
		w.u32(int64(math.Float32bits(x)))
	case float64:
		w.object(formDouble, nil)
		w.u64(int64(math.Float64bits(x)))
	case *big.Int:
		w.bigInt(x)
	case JavaDecimal:
		w.decimal(string(x))
	case []byte:
		w.bytes(x)
	case JavaTimestamp:
		w.object(formTimestamp, nil)
		w.blocks(binary.BigEndian.AppendUint64(nil, uint64(x.Sec*1000)))
		w.u32(int64(x.Nano))
	case JavaSQLDate:
		w.object(formSQLDate, nil)
		w.blocks(binary.BigEndian.AppendUint64(nil, uint64(x*1000)))
	case JavaLocalDate:
		w.object(formTime, nil)
		w.blocks(append(binary.BigEndian.AppendUint32([]byte{3}, uint32(int32(x.Year))), byte(x.Month), byte(x.Day)))
	case JavaDuration:
		w.object(formTime, nil)
		w.blocks(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64([]byte{1}, uint64(x.Sec)), uint32(x.Nano)))
	case string:
		w.text(x)
	default:
		w.text(fmt.Sprint(v))
	}
}

// blocks are bytes that a class writes itself.
func (w *javaWriter) blocks(p []byte) {
	w.b = append(append(append(w.b, 'w', byte(len(p))), p...), 'x')
}

func (w *javaWriter) bytes(p []byte) {
	w.array("[B", "\xac\xf3\x17\xf8\x06\x08\x54\xe0", len(p))
	w.b = append(w.b, p...)
}

func (w *javaWriter) bigInt(v *big.Int) {
	w.object(formBigInt, nil)
	for _, n := range []int64{-1, -1, -2, -2, int64(v.Sign())} { // not computed yet, as the class itself writes them
		w.u32(n)
	}
	w.bytes(v.Bytes())
	w.b = append(w.b, 'x')
}

func (w *javaWriter) decimal(text string) {
	whole, frac, _ := strings.Cut(text, ".")
	v, ok := new(big.Int).SetString(whole+frac, 10)
	if !ok {
		w.text(text)
		return
	}
	w.object(formDecimal, nil)
	w.u32(int64(len(frac)))
	w.bigInt(v)
	w.b = append(w.b, 'x')
}

// text writes a String: UTF-16 units in one to three bytes each, zero in two.
func (w *javaWriter) text(s string) {
	var enc []byte
	unit := func(u rune) {
		switch {
		case u != 0 && u < 0x80:
			enc = append(enc, byte(u))
		case u < 0x800:
			enc = append(enc, 0xc0|byte(u>>6), 0x80|byte(u&0x3f))
		default:
			enc = append(enc, 0xe0|byte(u>>12), 0x80|byte(u>>6&0x3f), 0x80|byte(u&0x3f))
		}
	}
	for _, r := range s {
		if r >= 0x10000 {
			unit(0xd800 + (r-0x10000)>>10)
			unit(0xdc00 + (r-0x10000)&0x3ff)
		} else {
			unit(r)
		}
	}
	if len(enc) > math.MaxUint16 {
		w.b = append(w.b, '|')
		w.u64(int64(len(enc)))
	} else {
		w.b = append(w.b, 't')
		w.u16(len(enc))
	}
	w.number(nil)
	w.b = append(w.b, enc...)
}

// DecodeJavaKey reads such a key: nil, int64 (of every whole number), *big.Int,
// JavaDecimal, float64, bool, []byte and string. Dates, times and UUIDs are texts
// as SQL writes them, java.sql.Timestamp and the like in UTC.
func DecodeJavaKey(text string) ([]any, error) {
	raw, err := hex.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("the key %q is not hex: %w", text, err)
	}
	r := &javaReader{p: raw}
	if string(r.take(4)) == javaHeader {
		if list, ok := r.value(0).([]any); ok && r.bad == nil {
			return list, nil
		}
	}
	if r.bad == nil {
		r.bad = errJavaKey
	}
	return nil, fmt.Errorf("read the key %q: %w", text, r.bad)
}

// javaTemporal gives the text of a java.time object from what it wrote of itself.
func javaTemporal(p []byte) (string, bool) {
	r := &javaReader{p: p}
	var out string
	switch kind := r.byte(); kind {
	case 1, 2: // Duration, Instant
		sec, nano := int64(r.num(8)), int64(r.num(4))
		if out = javaInstant(sec, nano); kind == 1 {
			out = javaDuration(sec, nano)
		}
	case 3:
		out = r.date()
	case 4:
		out = r.time()
	case 5:
		out = r.date() + " " + r.time()
	case 10: // OffsetDateTime: the offset in quarters of an hour, or 127 and seconds
		out = r.date() + " " + r.time()
		off := int64(int8(r.byte())) * 900
		if off == 127*900 {
			off = int64(int32(r.num(4)))
		}
		out = javaShift(out, -off)
	default:
		return "", false
	}
	return out, r.bad == nil
}

func (r *javaReader) date() string {
	y := int32(r.num(4))
	return fmt.Sprintf("%04d-%02d-%02d", y, r.byte(), r.byte())
}

// time reads a LocalTime: the last part that is not zero is followed by nothing,
// which is told by its complement.
func (r *javaReader) time() string {
	var part [3]int
	for i := range part {
		v := int(int8(r.byte()))
		if v < 0 {
			part[i] = ^v
			return fmt.Sprintf("%02d:%02d:%02d", part[0], part[1], part[2])
		}
		part[i] = v
	}
	return strings.TrimRight(fmt.Sprintf("%02d:%02d:%02d.%09d", part[0], part[1], part[2], r.num(4)), "0")
}

func javaDuration(sec, nano int64) string {
	sign := ""
	if sec < 0 {
		if sign = "-"; nano > 0 {
			sec, nano = sec+1, 1e9-nano
		}
		sec = -sec
	}
	out := fmt.Sprintf("%s%02d:%02d:%02d", sign, sec/3600, sec/60%60, sec%60)
	if nano != 0 {
		out += strings.TrimRight(fmt.Sprintf(".%09d", nano), "0")
	}
	return out
}

// javaLiteral prints a BigDecimal.
func javaLiteral(v *big.Int, scale int) JavaDecimal {
	s := new(big.Int).Abs(v).String()
	switch {
	case scale < 0:
		s += strings.Repeat("0", min(-scale, 400))
	case scale > 0:
		if len(s) <= scale {
			s = strings.Repeat("0", scale-len(s)+1) + s
		}
		s = s[:len(s)-scale] + "." + s[len(s)-scale:]
	}
	if v.Sign() < 0 {
		s = "-" + s
	}
	return JavaDecimal(s)
}

// JavaText is the text of a decoded value, "" for nil.
func JavaText(v any) string {
	switch x := v.(type) {
	case nil:
		return ""
	case string:
		return x
	case []byte:
		return string(x)
	case float64:
		return strconv.FormatFloat(x, 'g', -1, 64)
	}
	return fmt.Sprint(v)
}
