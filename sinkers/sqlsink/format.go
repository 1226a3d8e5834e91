package sqlsink

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"

	"millrace/internal/record"
)

// The texts in this file are ISO forms that all dialects read; what differs
// between them is in the dialect's own file.

// Debezium's microseconds for PostgreSQL's infinite timestamps.
const (
	infinityMicros      = 9223372036825200000
	minusInfinityMicros = -9223372036832400000
)

// infiniteTimestamp tells whether a timestamp in units of so many nanoseconds stands
// for PostgreSQL's infinity: its sign, 0 for an ordinary one. Debezium divides its
// microseconds for milliseconds, and takes the ends of int64 for nanoseconds.
func infiniteTimestamp(v, unit int64) int {
	plus, minus := int64(infinityMicros), int64(minusInfinityMicros)
	switch unit {
	case 1e6:
		plus, minus = infinityMicros/1e3, minusInfinityMicros/1e3
	case 1:
		plus, minus = math.MaxInt64, math.MinInt64
	}
	switch v {
	case plus:
		return 1
	case minus:
		return -1
	}
	return 0
}

// infiniteDate is the same for a date. The numbers are those of Debezium's two ways,
// the log's and the snapshot's; no database has such dates.
func infiniteDate(days int64) int {
	switch days {
	case -2147472692, -622191234:
		return 1
	case -2147472691, -625821272:
		return -1
	}
	return 0
}

// appendDate appends yyyy-mm-dd; years outside 0001–9999 as digits with at least
// four places and, before year 1, negative (the caller spells BC).
func appendDate(dst []byte, days int64) []byte {
	y, m, d := civil(days)
	return appendYMD(dst, y, m, d)
}

func appendYMD(dst []byte, y int64, m, d int) []byte {
	dst = appendYear(dst, y)
	dst = append(dst, '-', byte('0'+m/10), byte('0'+m%10), '-', byte('0'+d/10), byte('0'+d%10))
	return dst
}

func appendYear(dst []byte, y int64) []byte {
	if y < 0 {
		dst = append(dst, '-')
		y = -y
	}
	for p := int64(1000); p > y && p > 1; p /= 10 {
		dst = append(dst, '0')
	}
	return strconv.AppendInt(dst, y, 10)
}

// civil turns days since 1970 into a proleptic Gregorian date (Howard Hinnant's
// public algorithm); year 0 is 1 BC.
func civil(days int64) (y int64, m, d int) {
	z := days + 719468
	era := z / 146097
	if z < 0 {
		era = (z - 146096) / 146097
	}
	doe := z - era*146097
	yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153
	d = int(doy - (153*mp+2)/5 + 1)
	m = int(mp) + 3
	if m > 12 {
		m -= 12
	}
	y = yoe + era*400
	if m <= 2 {
		y++
	}
	return y, m, d
}

// appendClock appends hh:mm:ss with up to nine digits of fraction, trailing zeros
// left out. Hours may have more than two digits (MySQL's TIME), nanos may be
// negative.
func appendClock(dst []byte, nanos int64) []byte {
	if nanos < 0 {
		dst = append(dst, '-')
		nanos = -nanos
	}
	return appendHours(dst, nanos/3600e9, nanos%3600e9)
}

// appendDuration appends a count of units of so many nanoseconds, which may be more
// than an int64 holds of nanoseconds (292 years), as hours, minutes and seconds.
func appendDuration(dst []byte, v, unit int64) []byte {
	hour := int64(3600e9) / unit
	if v < 0 {
		dst, v = append(dst, '-'), -v
	}
	return appendHours(dst, v/hour, v%hour*unit)
}

// appendHours appends hours and the nanoseconds behind them.
func appendHours(dst []byte, hours, nanos int64) []byte {
	if hours < 10 {
		dst = append(dst, '0')
	}
	dst = strconv.AppendInt(dst, hours, 10)
	sec := nanos / 1e9
	m, s := sec/60, sec%60
	dst = append(dst, ':', byte('0'+m/10), byte('0'+m%10), ':', byte('0'+s/10), byte('0'+s%10))
	return appendFraction(dst, nanos%1e9)
}

func appendFraction(dst []byte, nanos int64) []byte {
	if nanos == 0 {
		return dst
	}
	var buf [9]byte
	for i := 8; i >= 0; i-- {
		buf[i] = byte('0' + nanos%10)
		nanos /= 10
	}
	n := 9
	for buf[n-1] == '0' {
		n--
	}
	dst = append(dst, '.')
	return append(dst, buf[:n]...)
}

// splitUnits divides a count of units into whole days and nanoseconds of the day.
func splitUnits(v, unit int64) (days, nanos int64) {
	perDay := int64(86400e9) / unit
	days = v / perDay
	rest := v % perDay
	if rest < 0 {
		rest += perDay
		days--
	}
	return days, rest * unit
}

// appendTimestamp appends "yyyy-mm-dd hh:mm:ss[.fraction]".
func appendTimestamp(dst []byte, v, unit int64) []byte {
	days, nanos := splitUnits(v, unit)
	dst = appendDate(dst, days)
	dst = append(dst, ' ')
	return appendClock(dst, nanos)
}

// parseZoned reads Debezium's ZonedTimestamp (ISO 8601 with an offset; a year beyond
// 9999 or before 0 has its sign). ok is false for texts of another form ("infinity").
func parseZoned(s string) (days, nanos int64, ok bool) {
	eras := int64(0) // of 400 years, after which the calendar repeats
	if s != "" && (s[0] == '-' || s[0] == '+') {
		i := strings.IndexByte(s[1:], '-') + 1
		year, err := strconv.ParseInt(s[:max(i, 0)], 10, 32)
		if err != nil {
			return 0, 0, false
		}
		if eras = year / 400; year < 0 {
			eras = (year - 399) / 400
		}
		s = fmt.Sprintf("%04d", year-eras*400) + s[i:]
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return 0, 0, false
	}
	sec := t.Unix()
	days = sec / 86400
	rest := sec % 86400
	if rest < 0 {
		rest += 86400
		days--
	}
	return days + eras*146097, rest*1e9 + int64(t.Nanosecond()), true
}

// parseZonedTime reads Debezium's ZonedTime and returns the time of day in UTC.
func parseZonedTime(s string) (nanos int64, ok bool) {
	t, err := time.Parse("15:04:05.999999999Z07:00", s)
	if err != nil {
		return 0, false
	}
	t = t.UTC()
	return int64(t.Hour())*3600e9 + int64(t.Minute())*60e9 + int64(t.Second())*1e9 + int64(t.Nanosecond()), true
}

// appendDecimal appends the plain decimal text of unscaled×10^-scale.
func appendDecimal(dst, unscaled []byte, scale int) []byte {
	start := len(dst)
	negative := false
	switch {
	case len(unscaled) == 0:
		dst = append(dst, '0')
	case len(unscaled) <= 8:
		v := int64(int8(unscaled[0]))
		for _, x := range unscaled[1:] {
			v = v<<8 | int64(x)
		}
		if negative = v < 0; negative {
			dst = strconv.AppendUint(dst, uint64(-v), 10)
		} else {
			dst = strconv.AppendUint(dst, uint64(v), 10)
		}
	default:
		v := new(big.Int).SetBytes(unscaled)
		if unscaled[0]&0x80 != 0 {
			v.Sub(v, new(big.Int).Lsh(big.NewInt(1), uint(8*len(unscaled))))
		}
		negative = v.Sign() < 0
		dst = v.Abs(v).Append(dst, 10)
	}
	if scale < 0 {
		if len(dst)-start != 1 || dst[start] != '0' {
			for ; scale < 0; scale++ {
				dst = append(dst, '0')
			}
		}
	} else if scale > 0 {
		for len(dst)-start <= scale { // 5, 3 → 0005
			dst = append(dst, 0)
			copy(dst[start+1:], dst[start:])
			dst[start] = '0'
		}
		dst = append(dst, 0)
		point := len(dst) - 1 - scale
		copy(dst[point+1:], dst[point:])
		dst[point] = '.'
	}
	if negative {
		dst = append(dst, 0)
		copy(dst[start+1:], dst[start:])
		dst[start] = '-'
	}
	return dst
}

// appendVarDecimal appends a VariableScaleDecimal struct{scale int32, value bytes}.
func appendVarDecimal(dst []byte, b *record.Batch, c record.Cell) ([]byte, error) {
	if c.Kind() != record.Struct || c.Len() != 2 || b.Child(c, 1).Kind() != record.Bytes {
		return dst, errors.New("a VariableScaleDecimal needs the fields scale and value")
	}
	scale := b.Child(c, 0).Int()
	if scale > 1<<15 || scale < -1<<15 {
		return dst, errors.New("the scale " + strconv.FormatInt(scale, 10) + " of a VariableScaleDecimal is out of range")
	}
	return appendDecimal(dst, b.Raw(b.Child(c, 1)), int(scale)), nil
}

// appendBits appends a bit string, most significant bit first, of Debezium's
// little-endian bytes: n bits, or as many as the highest one set when n is 0.
func appendBits(dst, p []byte, n int) []byte {
	if n == 0 {
		for i := len(p) - 1; i >= 0; i-- {
			if p[i] != 0 {
				n = 8*i + bitLen(p[i])
				break
			}
		}
	}
	for i := n - 1; i >= 0; i-- {
		bit := byte('0')
		if i/8 < len(p) && p[i/8]>>(i%8)&1 == 1 {
			bit = '1'
		}
		dst = append(dst, bit)
	}
	return dst
}

func bitLen(x byte) int {
	n := 0
	for ; x != 0; x >>= 1 {
		n++
	}
	return n
}

// appendFloat appends the shortest text that reads back equal.
func appendFloat(dst []byte, v float64, bits int) []byte {
	switch {
	case math.IsNaN(v):
		return append(dst, "NaN"...)
	case math.IsInf(v, 1):
		return append(dst, "Infinity"...)
	case math.IsInf(v, -1):
		return append(dst, "-Infinity"...)
	}
	return strconv.AppendFloat(dst, v, 'g', -1, bits)
}

func appendHex(dst, p []byte) []byte { return hex.AppendEncode(dst, p) }

// pointXY reads a Debezium Point or the coordinates of a little-endian WKB point.
func pointXY(b *record.Batch, s *record.Schema, c record.Cell) (x, y float64, ok bool) {
	xi, _ := s.Field("x")
	yi, _ := s.Field("y")
	if xi < 0 || yi < 0 {
		return 0, 0, false
	}
	xc, yc := b.Child(c, xi), b.Child(c, yi)
	if xc.Kind() != record.Float64 || yc.Kind() != record.Float64 {
		return 0, 0, false
	}
	return xc.Float(), yc.Float(), true
}

// geometryParts returns the WKB and SRID of a Debezium geometry.
func geometryParts(b *record.Batch, s *record.Schema, c record.Cell) (wkb []byte, srid int64, ok bool) {
	wi, _ := s.Field("wkb")
	if wi < 0 || b.Child(c, wi).Kind() != record.Bytes {
		return nil, 0, false
	}
	if si, _ := s.Field("srid"); si >= 0 && !b.Child(c, si).IsNull() {
		srid = b.Child(c, si).Int()
	}
	return b.Raw(b.Child(c, wi)), srid, true
}

// plainTime tells whether a text can be a time at all. PostgreSQL reads words as well:
// "now" and "yesterday" would be values that nobody sent.
func plainTime(s string) bool { return s != "" && s[0] >= '0' && s[0] <= '9' }

// isoInfinity recognises the texts of infinite timestamps.
func isoInfinity(s string) int {
	switch {
	case strings.EqualFold(s, "infinity"):
		return 1
	case strings.EqualFold(s, "-infinity"):
		return -1
	}
	return 0
}
