package transform

import (
	"bytes"
	"math"
	"math/big"
	"strconv"
	"strings"

	"millrace/internal/record"
)

// appendJavaFloat appends a number as Java's Float.toString and Double.toString
// write it; bits is 32 or 64.
func appendJavaFloat(dst []byte, f float64, bits int) []byte {
	switch {
	case math.IsNaN(f):
		return append(dst, "NaN"...)
	case math.IsInf(f, 1):
		return append(dst, "Infinity"...)
	case math.IsInf(f, -1):
		return append(dst, "-Infinity"...)
	case f == 0:
		if math.Signbit(f) {
			return append(dst, "-0.0"...)
		}
		return append(dst, "0.0"...)
	}
	if a := math.Abs(f); a >= 1e-3 && a < 1e7 {
		n := len(dst)
		dst = strconv.AppendFloat(dst, f, 'f', -1, bits)
		if bytes.IndexByte(dst[n:], '.') < 0 {
			dst = append(dst, ".0"...)
		}
		return dst
	}
	s := strconv.FormatFloat(f, 'e', -1, bits)
	mant, exp, _ := strings.Cut(s, "e")
	if !strings.Contains(mant, ".") {
		mant += ".0"
	}
	exp = strings.TrimPrefix(exp, "+")
	neg := strings.HasPrefix(exp, "-")
	exp = strings.TrimLeft(strings.TrimPrefix(exp, "-"), "0")
	dst = append(append(dst, mant...), 'E')
	if neg {
		dst = append(dst, '-')
	}
	return append(dst, exp...)
}

// decimalOf reads the unscaled value of a Connect decimal.
func decimalOf(p []byte) *big.Int {
	n := new(big.Int).SetBytes(p)
	if len(p) > 0 && p[0]&0x80 != 0 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(p))))
	}
	return n
}

// decimalScale is the scale of a Connect decimal's schema.
func decimalScale(s *record.Schema) int {
	text, _ := s.Param("scale")
	n, _ := strconv.Atoi(text)
	return n
}

// appendDecimal appends a decimal as Java's BigDecimal.toString writes it.
func appendDecimal(dst []byte, n *big.Int, scale int) []byte {
	digits := new(big.Int).Abs(n).String()
	if n.Sign() < 0 {
		dst = append(dst, '-')
	}
	if scale == 0 {
		return append(dst, digits...)
	}
	adjusted := len(digits) - 1 - scale
	if scale > 0 && adjusted >= -6 {
		if pad := scale - len(digits) + 1; pad > 0 {
			digits = strings.Repeat("0", pad) + digits
		}
		at := len(digits) - scale
		return append(append(append(dst, digits[:at]...), '.'), digits[at:]...)
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
		dst = strconv.AppendInt(dst, int64(adjusted), 10)
	}
	return dst
}

// The forms Connect writes dates in as text.
var (
	isoDate      = mustDateFormat("yyyy-MM-dd")
	isoTime      = mustDateFormat("HH:mm:ss.SSS'Z'")
	isoTimestamp = mustDateFormat("yyyy-MM-dd'T'HH:mm:ss.SSS'Z'")
)

func mustDateFormat(p string) *dateFormat {
	f, err := compileDateFormat(p)
	if err != nil {
		panic(err)
	}
	return f
}

// dateFormatFor is how Connect writes a java.util.Date: below one day as a time,
// on a whole day as a date, else as a timestamp.
func dateFormatFor(ms int64) *dateFormat {
	switch {
	case ms < dayMs:
		return isoTime
	case ms%dayMs == 0:
		return isoDate
	}
	return isoTimestamp
}
