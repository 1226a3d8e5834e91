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

const (
	javaHeader = "\xac\xed\x00\x05"
	javaArray  = "[Ljava.lang.Object;"
)

// EncodeJavaKey writes an Object[] of nil, int16, int32, int64, *big.Int,
// JavaDecimal, []byte and string (Short, Integer, Long, BigInteger, BigDecimal,
// byte[], String). Other types are written as their text.
func EncodeJavaKey(values []any) string {
	b := []byte(javaHeader + "ur")
	b = javaName(b, javaArray)
	b = append(b, "\x90\xce\x58\x9f\x10\x73\x29\x6c\x02\x00\x00xp"...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(values)))
	for _, v := range values {
		b = appendJava(b, v)
	}
	return hex.EncodeToString(b)
}

func appendJava(b []byte, v any) []byte {
	switch x := v.(type) {
	case nil:
		return append(b, 'p')
	case int16:
		return binary.BigEndian.AppendUint16(javaNumber(b, "java.lang.Short", "\x68\x4d\x37\x13\x34\x60\xda\x52", 'S'), uint16(x))
	case int32:
		return binary.BigEndian.AppendUint32(javaNumber(b, "java.lang.Integer", "\x12\xe2\xa0\xa4\xf7\x81\x87\x38", 'I'), uint32(x))
	case int64:
		return binary.BigEndian.AppendUint64(javaNumber(b, "java.lang.Long", "\x3b\x8b\xe4\x90\xcc\x8f\x23\xdf", 'J'), uint64(x))
	case *big.Int:
		return javaBigInt(b, x)
	case JavaDecimal:
		return javaBigDecimal(b, string(x))
	case []byte:
		return javaBytes(b, x)
	case string:
		return javaString(b, x)
	}
	return javaString(b, fmt.Sprint(v))
}

// javaNumber begins an object of a class with one number field.
func javaNumber(b []byte, class, uid string, field byte) []byte {
	b = javaName(append(b, "sr"...), class)
	b = append(b, uid+"\x02\x00\x01"+string(field)...)
	b = javaName(b, "value")
	return javaNumberClass(b)
}

// javaNumberClass ends a class whose parent is java.lang.Number, which has none.
func javaNumberClass(b []byte) []byte {
	b = javaName(append(b, "xr"...), "java.lang.Number")
	return append(b, "\x86\xac\x95\x1d\x0b\x94\xe0\x8b\x02\x00\x00xp"...)
}

func javaBytes(b, p []byte) []byte {
	b = javaName(append(b, "ur"...), "[B")
	b = append(b, "\xac\xf3\x17\xf8\x06\x08\x54\xe0\x02\x00\x00xp"...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(p)))
	return append(b, p...)
}

func javaBigInt(b []byte, v *big.Int) []byte {
	b = javaName(append(b, "sr"...), "java.math.BigInteger")
	b = append(b, "\x8c\xfc\x9f\x1f\xa9\x3b\xfb\x1d\x03\x00\x06"...)
	for _, f := range []string{"bitCount", "bitLength", "firstNonzeroByteNum", "lowestSetBit", "signum"} {
		b = javaName(append(b, 'I'), f)
	}
	b = javaName(append(b, '['), "magnitude")
	b = javaString(b, "[B")
	b = javaNumberClass(b)
	b = append(b, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff\xfe"...) // not computed yet, as the class itself writes them
	b = binary.BigEndian.AppendUint32(b, uint32(int32(v.Sign())))
	b = javaBytes(b, v.Bytes())
	return append(b, 'x')
}

func javaBigDecimal(b []byte, text string) []byte {
	whole, frac, _ := strings.Cut(text, ".")
	v, ok := new(big.Int).SetString(whole+frac, 10)
	if !ok {
		return javaString(b, text)
	}
	b = javaName(append(b, "sr"...), "java.math.BigDecimal")
	b = append(b, "\x54\xc7\x15\x57\xf9\x81\x28\x4f\x03\x00\x02"...)
	b = javaName(append(b, 'I'), "scale")
	b = javaName(append(b, 'L'), "intVal")
	b = javaString(b, "Ljava/math/BigInteger;")
	b = javaNumberClass(b)
	b = binary.BigEndian.AppendUint32(b, uint32(len(frac)))
	return append(javaBigInt(b, v), 'x')
}

// javaName writes an ASCII name with its length.
func javaName(b []byte, s string) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(s)))
	return append(b, s...)
}

// javaString writes a String: UTF-16 units in one to three bytes each, zero in two.
func javaString(b []byte, s string) []byte {
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
		b = binary.BigEndian.AppendUint64(append(b, '|'), uint64(len(enc)))
	} else {
		b = binary.BigEndian.AppendUint16(append(b, 't'), uint16(len(enc)))
	}
	return append(b, enc...)
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
