package pgvalue

import (
	"bytes"
	"math"
	"strconv"

	"millrace/internal/record"
)

// interval is PostgreSQL's three-part duration; the time part is split as the
// server prints it, all parts with their own sign.
type interval struct {
	years, months, days   int64
	hours, minutes, whole int64 // whole seconds
	micro                 int64 // microseconds of the second, sign as whole
}

// parseInterval reads IntervalStyle postgres: "1 year 2 mons -3 days 04:05:06.78".
func parseInterval(t []byte) (iv interval, ok bool) {
	seen := false
	for len(t) > 0 {
		if t[0] == ' ' {
			t = t[1:]
			continue
		}
		n := 0
		for n < len(t) && t[n] != ' ' {
			n++
		}
		word := t[:n]
		t = t[n:]
		seen = true
		if hasColon(word) {
			if !iv.clock(word) {
				return iv, false
			}
			continue
		}
		v, good := parseInt(word)
		if !good || len(t) == 0 {
			return iv, false
		}
		t = t[1:]
		n = 0
		for n < len(t) && t[n] != ' ' {
			n++
		}
		switch string(t[:n]) {
		case "year", "years":
			iv.years = v
		case "mon", "mons", "month", "months":
			iv.months = v
		case "day", "days":
			iv.days = v
		default:
			return iv, false
		}
		t = t[n:]
	}
	return iv, seen
}

func hasColon(t []byte) bool {
	for _, c := range t {
		if c == ':' {
			return true
		}
	}
	return false
}

// clock reads [±]h…h:mm:ss[.ffffff].
func (iv *interval) clock(t []byte) bool {
	neg := t[0] == '-'
	if neg || t[0] == '+' {
		t = t[1:]
	}
	i := 0
	for i < len(t) && t[i] != ':' {
		i++
	}
	h, ok := parseInt(t[:i])
	if !ok || h < 0 || len(t) < i+6 || t[i+3] != ':' {
		return false
	}
	m, ok1 := two(t[i+1:])
	s, ok2 := two(t[i+4:])
	if !ok1 || !ok2 {
		return false
	}
	rest := t[i+6:]
	var micro int64
	if len(rest) > 0 {
		if rest[0] != '.' || len(rest) > 7 {
			return false
		}
		scale := int64(100_000)
		for _, c := range rest[1:] {
			if c-'0' > 9 {
				return false
			}
			micro += int64(c-'0') * scale
			scale /= 10
		}
	}
	iv.hours, iv.minutes, iv.whole, iv.micro = h, int64(m), int64(s), micro
	if neg {
		iv.hours, iv.minutes, iv.whole, iv.micro = -h, -int64(m), -int64(s), -micro
	}
	return true
}

// daysPerMonth is Debezium's average month.
const daysPerMonth = 365.25 / 12.0

// microDuration is Debezium's MicroDuration: floating point throughout, cut to an
// integer at the end, capped at the ends of the range as Java's cast does. The
// float64 conversions keep the compiler from fusing operations.
func (iv *interval) microDuration() int64 {
	seconds := float64(iv.whole) + float64(iv.micro)/1e6
	days := float64(float64(iv.years*12+iv.months)*daysPerMonth) + float64(iv.days)
	hours := float64(days*24) + float64(iv.hours)
	minutes := float64(hours*60) + float64(iv.minutes)
	v := float64(float64(float64(minutes*60)+seconds) * 1e6)
	switch {
	case v >= math.MaxInt64:
		return math.MaxInt64
	case v <= math.MinInt64:
		return math.MinInt64
	}
	return int64(v)
}

// appendISO prints all parts, seconds without trailing zeros. Debezium adds whole and
// fraction up in floating point and cuts that behind the ninth digit, so 1.235 is
// 1.234999999.
func (iv *interval) appendISO(dst []byte) []byte {
	part := func(v int64, c byte) {
		dst = strconv.AppendInt(dst, v, 10)
		dst = append(dst, c)
	}
	dst = append(dst, 'P')
	part(iv.years, 'Y')
	part(iv.months, 'M')
	part(iv.days, 'D')
	dst = append(dst, 'T')
	part(iv.hours, 'H')
	part(iv.minutes, 'M')
	const digits = 9
	from := len(dst)
	dst = strconv.AppendFloat(dst, float64(iv.whole)+float64(iv.micro)/1e6, 'f', -1, 64)
	if dot := bytes.IndexByte(dst[from:], '.'); dot >= 0 {
		dst = dst[:min(len(dst), from+dot+1+digits)]
		dst = bytes.TrimSuffix(bytes.TrimRight(dst, "0"), []byte("."))
	}
	return append(dst, 'S')
}

func (iv *interval) cell(b *record.Batch, text bool) record.Cell {
	if !text {
		return record.Int64Cell(iv.microDuration())
	}
	a := b.Arena()
	from := len(a)
	a = iv.appendISO(a)
	b.SetArena(a)
	return b.SpanCell(record.String, from, len(a))
}

func codecInterval(mode string) *codec {
	text := mode == "string"
	c := &codec{schema: logical(record.Int64, nameMicroDuration)}
	if text {
		c.schema = logical(record.String, nameInterval)
	}
	c.decode = func(b *record.Batch, t []byte) (record.Cell, error) {
		iv, ok := parseInterval(t)
		switch {
		case ok:
		case text:
			return record.Cell{}, errInterval
		case string(t) == "infinity": // PostgreSQL 17; capped like other long ones
			return record.Int64Cell(math.MaxInt64), nil
		case string(t) == "-infinity":
			return record.Int64Cell(math.MinInt64), nil
		default:
			return record.Cell{}, errInterval
		}
		return iv.cell(b, text), nil
	}
	c.fallback = func(b *record.Batch) record.Cell { return (&interval{}).cell(b, text) }
	return c
}
