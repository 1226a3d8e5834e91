package myvalue

import (
	"fmt"
	"math"
	"strconv"

	"millrace/internal/record"
)

// civil is a date and time as it stands in a column, without a zone.
type civil struct {
	year, month, day, hour, minute, second, micro int
}

const (
	microsPerDay    = 86400 * 1e6
	microsPerSecond = int64(1e6)
)

// daysOf counts the days since 1970-01-01 of a proleptic Gregorian date.
func daysOf(y, m, d int) int64 {
	yy := int64(y)
	if m <= 2 {
		yy--
	}
	era := yy / 400
	if yy < 0 {
		era = (yy - 399) / 400
	}
	yoe := yy - era*400
	mm := int64(m+9) % 12
	doy := (153*mm+2)/5 + int64(d) - 1
	doe := yoe*365 + yoe/4 - yoe/100 + doy
	return era*146097 + doe - 719468
}

var monthDays = [...]int{0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}

func (c *civil) zero() bool { return c.month == 0 || c.day == 0 }

func (c *civil) valid() bool {
	if c.month < 1 || c.month > 12 || c.day < 1 || c.day > monthDays[c.month] || c.hour > 23 || c.minute > 59 || c.second > 59 {
		return false
	}
	if c.month == 2 && c.day == 29 {
		return c.year%4 == 0 && (c.year%100 != 0 || c.year%400 == 0)
	}
	return true
}

func (c *civil) micros() int64 {
	return daysOf(c.year, c.month, c.day)*microsPerDay + (int64(c.hour)*3600+int64(c.minute)*60+int64(c.second))*microsPerSecond + int64(c.micro)
}

func (c *civil) String() string {
	return fmt.Sprintf("%04d-%02d-%02d %02d:%02d:%02d.%06d", c.year, c.month, c.day, c.hour, c.minute, c.second, c.micro)
}

// adjust applies enable.time.adjuster: two-digit years get their century.
func (c *civil) adjust(on bool) {
	if !on || c.year < 0 || c.year > 99 {
		return
	}
	if c.year < 70 {
		c.year += 2000
	} else {
		c.year += 1900
	}
}

// parseCivil reads "YYYY-MM-DD[ HH:MM:SS[.ffffff]]".
func parseCivil(p []byte) (c civil, ok bool) {
	parts := [7]*int{&c.year, &c.month, &c.day, &c.hour, &c.minute, &c.second, &c.micro}
	i, field := 0, 0
	for field < 7 && i < len(p) {
		from, n := i, 0
		for i < len(p) && p[i] >= '0' && p[i] <= '9' && i-from < 9 {
			n = n*10 + int(p[i]-'0')
			i++
		}
		if i == from {
			return c, false
		}
		if field == 6 {
			for k := i - from; k < 6; k++ {
				n *= 10
			}
			for k := i - from; k > 6; k-- {
				n /= 10
			}
		}
		*parts[field] = n
		field++
		if i < len(p) {
			switch p[i] {
			case '-', ' ', ':', '.', 'T':
				i++
			default:
				return c, false
			}
		}
	}
	return c, field == 3 || field >= 5
}

// parseTime reads "[-]H…H:MM:SS[.ffffff]" as microseconds.
func parseTime(p []byte) (int64, bool) {
	negative := len(p) > 0 && p[0] == '-'
	if negative {
		p = p[1:]
	}
	var parts [4]int64
	i, field := 0, 0
	for field < 4 && i < len(p) {
		from := i
		var n int64
		for i < len(p) && p[i] >= '0' && p[i] <= '9' && i-from < 9 {
			n = n*10 + int64(p[i]-'0')
			i++
		}
		if i == from {
			return 0, false
		}
		if field == 3 {
			for k := i - from; k < 6; k++ {
				n *= 10
			}
		}
		parts[field] = n
		field++
		if i < len(p) {
			if p[i] != ':' && p[i] != '.' {
				return 0, false
			}
			i++
		}
	}
	us := (parts[0]*3600+parts[1]*60+parts[2])*microsPerSecond + parts[3]
	if negative {
		us = -us
	}
	return us, field >= 3
}

// be reads a big-endian number.
func be(p []byte) uint64 {
	var v uint64
	for _, c := range p {
		v = v<<8 | uint64(c)
	}
	return v
}

// fractionOf reads the fraction bytes of a TIMESTAMP2 or DATETIME2 as microseconds.
func fractionOf(p []byte) int {
	n := int(be(p))
	switch len(p) {
	case 1:
		return n * 10000
	case 2:
		return n * 100
	}
	return n
}

// wireDateTime2 reads DATETIME2: 1 sign, 17 year*13+month, 5 day, 5 hour, 6 minute, 6 second bits.
func wireDateTime2(p []byte) (civil, error) {
	if len(p) < 5 {
		return civil{}, errShort
	}
	v := be(p[:5]) - 0x8000000000
	ym := v >> 22 & 0x1ffff
	return civil{int(ym / 13), int(ym % 13), int(v >> 17 & 31), int(v >> 12 & 31), int(v >> 6 & 63), int(v & 63), fractionOf(p[5:])}, nil
}

// wireDateTime reads the DATETIME of before MySQL 5.6: YYYYMMDDhhmmss as a number.
func wireDateTime(p []byte) (civil, error) {
	if len(p) < 8 {
		return civil{}, errShort
	}
	v := le64(p)
	d, t := v/1000000, v%1000000
	return civil{int(d / 10000), int(d / 100 % 100), int(d % 100), int(t / 10000), int(t / 100 % 100), int(t % 100), 0}, nil
}

func wireDate(p []byte) (civil, error) {
	if len(p) < 3 {
		return civil{}, errShort
	}
	v := int(p[0]) | int(p[1])<<8 | int(p[2])<<16
	return civil{year: v >> 9, month: v >> 5 & 15, day: v & 31}, nil
}

// wireTime2 reads TIME2: the value is offset by half its range, so that negative
// times sort right; the fraction of a negative time counts down (my_time.cc).
func wireTime2(p []byte) (int64, error) {
	if len(p) < 3 {
		return 0, errShort
	}
	frac := len(p) - 3
	packed := int64(be(p)) - int64(0x800000)<<(8*frac)
	negative := packed < 0
	if negative {
		packed = -packed
	}
	micro := packed & (1<<(8*frac) - 1)
	switch frac {
	case 1:
		micro *= 10000
	case 2:
		micro *= 100
	}
	hms := packed >> (8 * frac)
	us := ((hms>>12&0x3ff)*3600+(hms>>6&63)*60+hms&63)*microsPerSecond + micro
	if negative {
		us = -us
	}
	return us, nil
}

// wireTime reads the TIME of before MySQL 5.6: [-]hhmmss as a number.
func wireTime(p []byte) (int64, error) {
	if len(p) < 3 {
		return 0, errShort
	}
	v := int64(int32(uint32(p[0])<<8|uint32(p[1])<<16|uint32(p[2])<<24) >> 8)
	sign := int64(1)
	if v < 0 {
		sign, v = -1, -v
	}
	return sign * ((v/10000)*3600 + (v/100%100)*60 + v%100) * microsPerSecond, nil
}

func wireTimestamp(p []byte) (sec int64, micro int, err error) {
	if len(p) < 4 {
		return 0, 0, errShort
	}
	return int64(be(p[:4])), fractionOf(p[4:]), nil
}

// dateCell makes the value of a DATE by time.precision.mode.
func dateCell(b *record.Batch, mode string, c civil) record.Cell {
	if mode == "isostring" {
		a := b.Arena()
		from := len(a)
		a = appendDate(a, c)
		a = append(a, 'Z')
		b.SetArena(a)
		return b.SpanCell(record.String, from, len(a))
	}
	return record.Int32Cell(int32(daysOf(c.year, c.month, c.day)))
}

func appendDate(a []byte, c civil) []byte {
	y, m, d := uint(c.year)%10000, uint(c.month)%100, uint(c.day)%100
	return append(a, '0'+byte(y/1000), '0'+byte(y/100%10), '0'+byte(y/10%10), '0'+byte(y%10), '-', '0'+byte(m/10), '0'+byte(m%10), '-', '0'+byte(d/10), '0'+byte(d%10))
}

// appendISOTime appends HH:MM, then seconds and fraction as Java's ISO formatters
// print them: the seconds always, the fraction without trailing zeros.
func appendISOTime(a []byte, hour, minute, second, micro int) []byte {
	h, m, s := uint(hour)%100, uint(minute)%100, uint(second)%100
	a = append(a, '0'+byte(h/10), '0'+byte(h%10), ':', '0'+byte(m/10), '0'+byte(m%10), ':', '0'+byte(s/10), '0'+byte(s%10))
	if micro != 0 {
		a = append(a, '.')
		a = appendPadded(a, uint64(micro), 6)
		for a[len(a)-1] == '0' {
			a = a[:len(a)-1]
		}
	}
	return a
}

// errRange is a value that the chosen mode cannot hold.
type errRange string

func (e errRange) Error() string { return string(e) }

// dateTimeCell makes the value of a DATETIME of precision fsp by time.precision.mode.
func dateTimeCell(b *record.Batch, mode string, fsp int, c civil) (record.Cell, error) {
	if !c.valid() {
		return record.Cell{}, errRange("impossible date " + c.String())
	}
	us := c.micros()
	switch mode {
	case "isostring":
		a := b.Arena()
		from := len(a)
		a = append(appendDate(a, c), 'T')
		a = append(appendISOTime(a, c.hour, c.minute, c.second, c.micro), 'Z')
		b.SetArena(a)
		return b.SpanCell(record.String, from, len(a)), nil
	case "connect":
		return record.Int64Cell(floorDiv(us, 1000)), nil
	case "microseconds":
		return record.Int64Cell(us), nil
	case "nanoseconds":
		if us >= math.MaxInt64/1000 || us <= math.MinInt64/1000 {
			return record.Cell{}, errRange(c.String() + " does not fit nanoseconds since 1970")
		}
		return record.Int64Cell(us * 1000), nil
	}
	if fsp <= 3 {
		return record.Int64Cell(floorDiv(us, 1000)), nil
	}
	return record.Int64Cell(us), nil
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// timeCell makes the value of a TIME by time.precision.mode.
func timeCell(b *record.Batch, mode string, us int64) (record.Cell, error) {
	switch mode {
	case "connect":
		if us < 0 || us > microsPerDay {
			return record.Cell{}, errRange("time " + strconv.FormatInt(us, 10) + " µs is not within a day")
		}
		return record.Int32Cell(int32(us / 1000)), nil
	case "nanoseconds":
		return record.Int64Cell(us * 1000), nil
	case "isostring":
		if us < 0 || us > microsPerDay {
			return record.Cell{}, errRange("time " + strconv.FormatInt(us, 10) + " µs is not within a day")
		}
		us %= microsPerDay
		a := b.Arena()
		from := len(a)
		s := us / microsPerSecond
		a = append(appendISOTime(a, int(s/3600), int(s/60%60), int(s%60), int(us%microsPerSecond)), 'Z')
		b.SetArena(a)
		return b.SpanCell(record.String, from, len(a)), nil
	}
	return record.Int64Cell(us), nil
}

// zonedCell makes the ZonedTimestamp text of a TIMESTAMP. The stream pads the
// fraction to the column's digits; the snapshot (fsp -1) drops trailing zeros.
func zonedCell(b *record.Batch, sec int64, micro, fsp int) record.Cell {
	days := floorDiv(sec, 86400)
	rest := int(sec - days*86400)
	c := dateOf(days)
	a := b.Arena()
	from := len(a)
	a = append(appendDate(a, c), 'T')
	if fsp <= 0 {
		if fsp == 0 {
			micro = 0
		}
		a = appendISOTime(a, rest/3600, rest/60%60, rest%60, micro)
	} else {
		a = appendISOTime(a, rest/3600, rest/60%60, rest%60, 0)
		a = append(a, '.')
		at := len(a)
		a = appendPadded(a, uint64(micro), 6)
		a = a[:at+fsp]
	}
	a = append(a, 'Z')
	b.SetArena(a)
	return b.SpanCell(record.String, from, len(a))
}

// dateOf is the inverse of daysOf.
func dateOf(days int64) civil {
	z := days + 719468
	era := floorDiv(z, 146097)
	doe := z - era*146097
	yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153
	m := mp + 3
	y := yoe + era*400
	if m > 12 {
		m -= 12
		y++
	}
	return civil{year: int(y), month: int(m), day: int(doy - (153*mp+2)/5 + 1)}
}
