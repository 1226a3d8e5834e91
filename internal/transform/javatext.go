package transform

import (
	"math/big"
	"strconv"
	"strings"

	"millrace/internal/record"
)

// appendJavaFloat appends a number as Java's Float.toString and Double.toString
// write it; bits is 32 or 64.
func appendJavaFloat(dst []byte, f float64, bits int) []byte {
	if bits == 32 {
		return record.AppendJavaFloat(dst, float32(f))
	}
	return record.AppendJavaDouble(dst, f)
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
