package transform

import (
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

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

// parseJavaFloat reads a text as Java's Float.parseFloat and Double.parseDouble do:
// blanks around it, a type suffix, hexadecimal numbers, NaN and Infinity in this
// spelling only.
func parseJavaFloat(s string, single bool) (f float64, ok bool) {
	t := strings.TrimFunc(s, func(r rune) bool { return r <= ' ' })
	body := strings.TrimLeft(t, "+-")
	if len(t)-len(body) > 1 {
		return 0, false
	}
	switch body {
	case "NaN":
		return math.NaN(), true
	case "Infinity":
		if t[0] == '-' {
			return math.Inf(-1), true
		}
		return math.Inf(1), true
	}
	if n := len(t); n > 1 && strings.IndexByte("fFdD", t[n-1]) >= 0 && (!isHex(body) || strings.ContainsAny(body, "pP")) {
		t = t[:n-1]
	}
	if body == "" || body[0] != '.' && (body[0] < '0' || body[0] > '9') || strings.Contains(t, "_") || isHex(body) && !strings.ContainsAny(body, "pP") {
		return 0, false
	}
	bits := 64
	if single {
		bits = 32
	}
	f, err := strconv.ParseFloat(t, bits)
	return f, err == nil || math.IsInf(f, 0)
}

func isHex(s string) bool { return len(s) > 1 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X') }

// asciiDigits replaces the decimal digits of other scripts, which Java's parseInt reads.
func asciiDigits(s string) string {
	return strings.Map(func(r rune) rune {
		if r < utf8.RuneSelf || r > 0xffff || !unicode.Is(unicode.Nd, r) {
			return r
		}
		zero := r
		for unicode.Is(unicode.Nd, zero-1) && r-zero < 9 {
			zero--
		}
		return '0' + r - zero
	}, s)
}
