package convert

import (
	"math"
	"math/big"
	"math/bits"
	"strconv"

	"millrace/internal/record"
)

// appendJavaDouble appends v as the recordings' Java prints a double.
func appendJavaDouble(dst []byte, v float64) []byte { return record.AppendJavaDouble(dst, v) }

// appendJavaFloat is appendJavaDouble for a float.
func appendJavaFloat(dst []byte, v float64) []byte { return record.AppendJavaFloat(dst, float32(v)) }

// appendJavaNumber is one of the two by the size in bits.
func appendJavaNumber(dst []byte, v float64, size int) []byte {
	if size == 32 {
		return appendJavaFloat(dst, v)
	}
	return appendJavaDouble(dst, v)
}

// appendUnscaled appends the digits of a big-endian two's complement number
// without sign and reports whether it is negative. Empty bytes are 0.
func appendUnscaled(dst, p []byte) (out []byte, negative bool) {
	negative = len(p) > 0 && p[0] >= 0x80
	if len(p) <= 8 {
		var u uint64
		if negative {
			u = math.MaxUint64
		}
		for _, c := range p {
			u = u<<8 | uint64(c)
		}
		if negative {
			u = -u
		}
		return strconv.AppendUint(dst, u, 10), negative
	}
	if len(p) <= 16 {
		return appendUnscaled128(dst, p, negative), negative
	}
	n := bigOf(p)
	return n.Abs(n).Append(dst, 10), negative
}

func appendUnscaled128(dst, p []byte, negative bool) []byte {
	var hi, lo uint64
	if negative {
		hi, lo = math.MaxUint64, math.MaxUint64
	}
	for _, c := range p {
		hi = hi<<8 | lo>>56
		lo = lo<<8 | uint64(c)
	}
	if negative {
		var carry uint64
		lo, carry = bits.Add64(^lo, 1, 0)
		hi = ^hi + carry
	}
	if hi == 0 {
		return strconv.AppendUint(dst, lo, 10)
	}
	const chunk = 1e19
	var tail [2]uint64
	n := 0
	for hi != 0 {
		q := hi / chunk
		var r uint64
		lo, r = bits.Div64(hi%chunk, lo, chunk)
		hi = q
		tail[n] = r
		n++
	}
	dst = strconv.AppendUint(dst, lo, 10)
	for n--; n >= 0; n-- {
		dst = appendPadded(dst, tail[n], 19)
	}
	return dst
}

// appendPadded appends v with leading zeros up to the width.
func appendPadded(dst []byte, v uint64, width int) []byte {
	var buf [20]byte
	s := strconv.AppendUint(buf[:0], v, 10)
	for i := len(s); i < width; i++ {
		dst = append(dst, '0')
	}
	return append(dst, s...)
}

// bigOf reads a big-endian two's complement number.
func bigOf(p []byte) *big.Int {
	n := new(big.Int).SetBytes(p)
	if len(p) > 0 && p[0] >= 0x80 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(len(p))*8))
	}
	return n
}

// appendTwosComplement appends the shortest big-endian two's complement form, as
// BigInteger.toByteArray gives it (0 is one zero byte).
func appendTwosComplement(dst []byte, n *big.Int) []byte {
	switch n.Sign() {
	case 0:
		return append(dst, 0)
	case 1:
		p := n.Bytes()
		if p[0] >= 0x80 {
			dst = append(dst, 0)
		}
		return append(dst, p...)
	}
	size := new(big.Int).Not(n).BitLen()/8 + 1
	p := new(big.Int).Add(n, new(big.Int).Lsh(big.NewInt(1), uint(size)*8)).Bytes()
	for i := len(p); i < size; i++ {
		dst = append(dst, 0)
	}
	return append(dst, p...)
}

// appendDecimal appends unscaled×10^-scale as Java's BigDecimal.toString does:
// plain while scale ≥ 0 and the first digit is not further right than 10^-6,
// else in scientific form.
func appendDecimal(dst, unscaled []byte, scale int) []byte {
	var buf [64]byte
	digits, negative := appendUnscaled(buf[:0], unscaled)
	if negative {
		dst = append(dst, '-')
	}
	if scale == 0 {
		return append(dst, digits...)
	}
	adjusted := -int64(scale) + int64(len(digits)) - 1
	if scale > 0 && adjusted >= -6 {
		if pad := scale - len(digits); pad >= 0 {
			dst = append(dst, '0', '.')
			for ; pad > 0; pad-- {
				dst = append(dst, '0')
			}
			return append(dst, digits...)
		}
		point := len(digits) - scale
		return append(append(append(dst, digits[:point]...), '.'), digits[point:]...)
	}
	dst = append(dst, digits[0])
	if len(digits) > 1 {
		dst = append(append(dst, '.'), digits[1:]...)
	}
	if adjusted != 0 {
		dst = append(dst, 'E')
		if adjusted > 0 {
			dst = append(dst, '+')
		}
		dst = strconv.AppendInt(dst, adjusted, 10)
	}
	return dst
}

// parseUnscaled reads a decimal number, exponent allowed, as an unscaled number of
// the given scale. ok is false when it is no number, does not fit without loss of
// a digit, or is absurdly large.
func parseUnscaled(text string, scale int) (u *big.Int, ok bool) {
	mantissa, exp := text, 0
	for i := 0; i < len(text); i++ {
		if text[i]|0x20 == 'e' {
			n, err := strconv.Atoi(text[i+1:])
			if err != nil {
				return nil, false
			}
			mantissa, exp = text[:i], n
			break
		}
	}
	digits := make([]byte, 0, len(mantissa))
	for i := 0; i < len(mantissa); i++ {
		if mantissa[i] == '.' {
			exp -= len(mantissa) - i - 1
			continue
		}
		digits = append(digits, mantissa[i])
	}
	u, ok = new(big.Int).SetString(string(digits), 10)
	if !ok {
		return nil, false
	}
	shift := exp + scale
	if u.Sign() == 0 || shift == 0 {
		return u, true
	}
	if shift > 20_000 || shift < -20_000 {
		return nil, false
	}
	pow := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(shift, -shift))), nil)
	if shift > 0 {
		return u.Mul(u, pow), true
	}
	rest := new(big.Int)
	u.QuoRem(u, pow, rest)
	return u, rest.Sign() == 0
}
