package record

import (
	"bytes"
	"math"
	"math/big"
	"math/bits"
	"strconv"
)

// AppendJavaDouble appends v as Java 17's Double.toString prints it. The recordings
// were made on Java 17, whose digits are not always the shortest that read back:
// 2^60 is 1.15292150460684698E18 there.
func AppendJavaDouble(dst []byte, v float64) []byte {
	return appendJava(dst, v, floatFormat{size: 64, digits: 53, exact: 1 << 53, powers: -20, tiny: -1075})
}

// AppendJavaFloat appends v as Java 17's Float.toString prints it: 123456789 is
// 1.23456792E8 there.
func AppendJavaFloat(dst []byte, v float32) []byte {
	return appendJava(dst, float64(v), floatFormat{size: 32, digits: 24, exact: 1 << 24, powers: -8, tiny: -150})
}

// floatFormat is what the two widths differ in.
type floatFormat struct {
	size   int
	digits int     // significant bits
	exact  float64 // integers below are printed exactly by any rule
	powers int     // powers of two from here on are printed exactly by any rule
	tiny   int     // exponent of half the smallest number
}

func appendJava(dst []byte, v float64, f floatFormat) []byte {
	switch {
	case v != v:
		return append(dst, "NaN"...)
	case math.Signbit(v):
		dst = append(dst, '-')
		v = -v
	}
	if v == 0 {
		return append(dst, "0.0"...)
	}
	if math.IsInf(v, 0) {
		return append(dst, "Infinity"...)
	}
	if v >= 1e-3 && v < 1e7 && v < f.exact {
		// The common case: no exponent, and no power of two that Java prints its own way.
		if frac, e := math.Frexp(v); frac != 0.5 || e-1 >= f.powers {
			from := len(dst)
			dst = strconv.AppendFloat(dst, v, 'f', -1, f.size)
			if bytes.IndexByte(dst[from:], '.') < 0 {
				dst = append(dst, '.', '0')
			}
			return dst
		}
	}
	var buf [32]byte
	digits, exp := javaDigits(buf[:0], v, f)
	return appendJavaDigits(dst, digits, exp)
}

// appendJavaDigits prints 0.DIGITS times 10^exp: plainly from 10^-3 to below 10^7,
// else with an exponent, always with a digit behind the point.
func appendJavaDigits(dst, digits []byte, exp int) []byte {
	n := len(digits)
	switch {
	case exp > 0 && exp < 8:
		for i := range exp {
			if i < n {
				dst = append(dst, digits[i])
			} else {
				dst = append(dst, '0')
			}
		}
		if n <= exp {
			return append(dst, '.', '0')
		}
		return append(append(dst, '.'), digits[exp:]...)
	case exp <= 0 && exp > -3:
		dst = append(dst, '0', '.')
		for ; exp < 0; exp++ {
			dst = append(dst, '0')
		}
		return append(dst, digits...)
	}
	dst = append(dst, digits[0], '.')
	if n == 1 {
		dst = append(dst, '0')
	}
	dst = append(append(dst, digits[1:]...), 'E')
	return strconv.AppendInt(dst, int64(exp-1), 10)
}

// javaDigits returns the digits of a positive number and the exponent of their
// leading point. Mostly they are the shortest; Java's own algorithm differs for
// large integers and for powers of two.
func javaDigits(buf []byte, v float64, f floatFormat) ([]byte, int) {
	frac, e := math.Frexp(v) // v = frac * 2^e, frac in [0.5, 1)
	switch {
	case v >= f.exact && e <= 63:
		return javaInteger(buf, uint64(v), e-1, f)
	case v >= f.exact || frac == 0.5 && e-1 < f.powers:
		return javaSlow(buf, v, e-1, f)
	}
	buf = strconv.AppendFloat(buf, v, 'e', -1, f.size)
	if buf[1] == 'e' && (v < 1e-4 || v >= 1e7) {
		// With an exponent Java makes two digits, and takes the closest two.
		buf = strconv.AppendFloat(buf[:0], v, 'e', 1, f.size)
	}
	end := 1
	for buf[end] != 'e' {
		end++
	}
	exp, _ := strconv.Atoi(string(buf[end+1:]))
	if end > 1 {
		copy(buf[1:], buf[2:end])
		end--
	}
	return trimJava(buf[:end]), exp + 1
}

func trimJava(digits []byte) []byte {
	for len(digits) > 1 && digits[len(digits)-1] == '0' {
		digits = digits[:len(digits)-1]
	}
	return digits
}

// javaInteger is Java's way with integers of up to 63 bits: all digits but those
// that the bits below the precision stand for, rounded half up.
func javaInteger(buf []byte, u uint64, binExp int, f floatFormat) ([]byte, int) {
	drop := 0
	if p := binExp - f.digits - 1; p > 1 {
		drop = p * 30103 / 100000 // digits of 2^p, less one
	}
	pow := uint64(1)
	for range drop {
		pow *= 10
	}
	q, rest := bits.Div64(0, u, pow)
	if drop > 0 && rest >= pow/2 {
		q++
	}
	buf = strconv.AppendUint(buf, q, 10)
	exp := len(buf) + drop
	return trimJava(buf), exp
}

// javaSlow makes digits until what is left is below half a unit in the last place,
// by exact arithmetic. For powers of two Java halves that bound once more.
func javaSlow(buf []byte, v float64, binExp int, f floatFormat) ([]byte, int) {
	half := max(binExp-f.digits, f.tiny)
	mant, e := math.Frexp(v)
	if mant == 0.5 {
		half--
	}
	b, _ := new(big.Float).SetFloat64(mant * (1 << 53)).Int(nil)
	s, m := big.NewInt(1), big.NewInt(1)
	// All three times 2^shift are integers.
	shift := max(0, -half, 53-e)
	b.Lsh(b, uint(e-53+shift))
	m.Lsh(m, uint(half+shift))
	s.Lsh(s, uint(shift))
	exp := int(math.Floor(math.Log2(v)*(math.Ln2/math.Ln10))) + 1
	ten := big.NewInt(10)
	scale := func(x *big.Int, n int) {
		x.Mul(x, new(big.Int).Exp(ten, big.NewInt(int64(n)), nil))
	}
	if exp > 1 {
		scale(s, exp-1)
	} else {
		scale(b, 1-exp)
		scale(m, 1-exp)
	}
	switch { // the logarithm may be one off
	case b.Cmp(s) < 0:
		exp--
		b.Mul(b, ten)
		m.Mul(m, ten)
	case b.Cmp(new(big.Int).Mul(s, ten)) >= 0:
		exp++
		s.Mul(s, ten)
	}
	q, sum := new(big.Int), new(big.Int)
	for {
		q.QuoRem(b, s, b)
		buf = append(buf, byte('0'+q.Int64()))
		low, high := b.Cmp(m) < 0, sum.Add(b, m).Cmp(s) > 0
		if len(buf) == 1 && (exp < -3 || exp >= 8) {
			low, high = false, false // at least two digits before an exponent
		}
		if low || high {
			twice := sum.Lsh(b, 1).Cmp(s)
			odd := (buf[len(buf)-1]-'0')&1 == 1
			if high && (!low || twice > 0 || twice == 0 && odd) {
				return roundUp(buf, exp)
			}
			return buf, exp
		}
		b.Mul(b, ten)
		m.Mul(m, ten)
	}
}

// roundUp adds one to the last digit.
func roundUp(buf []byte, exp int) ([]byte, int) {
	i := len(buf) - 1
	for i > 0 && buf[i] == '9' {
		buf[i] = '0'
		i--
	}
	if buf[i] == '9' {
		buf[i] = '1'
		return buf, exp + 1
	}
	buf[i]++
	return buf, exp
}
