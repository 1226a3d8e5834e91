package pgvalue

import "math"

// moment is a point in UTC: seconds since 1970 and nanoseconds within the second.
// PostgreSQL's range does not fit 64-bit microseconds, hence two fields.
type moment struct {
	sec  int64
	nano int32
}

// clock is a time of day as the server prints it; hour may be 24.
type clock struct {
	sec  int32
	nano int32
}

const (
	secPerDay  = 86400
	nanoPerSec = 1_000_000_000
)

// daysOf counts days since 1970-01-01 in the proleptic Gregorian calendar; year 0
// is 1 BC.
func daysOf(year int64, month, day int) int64 {
	if month <= 2 {
		year--
	}
	era := year / 400
	if year < 0 {
		era = (year - 399) / 400
	}
	yoe := year - era*400
	m := int64(month+9) % 12
	doy := (153*m+2)/5 + int64(day) - 1
	doe := yoe*365 + yoe/4 - yoe/100 + doy
	return era*146097 + doe - 719468
}

// dateOf is the inverse of daysOf.
func dateOf(days int64) (year int64, month, day int) {
	days += 719468
	era := days / 146097
	if days < 0 {
		era = (days - 146096) / 146097
	}
	doe := days - era*146097
	yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153
	day = int(doy - (153*mp+2)/5 + 1)
	month = int(mp + 3)
	if month > 12 {
		month -= 12
	}
	year = yoe + era*400
	if month <= 2 {
		year++
	}
	return year, month, day
}

// julianDaysOf counts days since 1970-01-01 for a date of the Julian calendar.
func julianDaysOf(year int64, month, day int) int64 {
	if month <= 2 {
		year--
	}
	cycle := year / 4
	if year < 0 {
		cycle = (year - 3) / 4
	}
	yoc := year - cycle*4
	m := int64(month+9) % 12
	doy := (153*m+2)/5 + int64(day) - 1
	return cycle*1461 + yoc*365 + doy - 719470
}

func isLeap(year int64) bool { return year%4 == 0 && (year%100 != 0 || year%400 == 0) }

func daysIn(year int64, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if isLeap(year) {
			return 29
		}
		return 28
	}
	return 31
}

func two(t []byte) (int, bool) {
	if len(t) < 2 || t[0]-'0' > 9 || t[1]-'0' > 9 {
		return 0, false
	}
	return int(t[0]-'0')*10 + int(t[1]-'0'), true
}

// scanDate reads y..y-mm-dd and returns what follows. The era is not applied.
func scanDate(t []byte) (year int64, month, day int, rest []byte, ok bool) {
	i := 0
	for i < len(t) && i < 9 && t[i]-'0' <= 9 {
		year = year*10 + int64(t[i]-'0')
		i++
	}
	if i < 4 || len(t) < i+6 || t[i] != '-' || t[i+3] != '-' {
		return 0, 0, 0, nil, false
	}
	month, ok1 := two(t[i+1:])
	day, ok2 := two(t[i+4:])
	if !ok1 || !ok2 || month < 1 || month > 12 || day < 1 || day > 31 {
		return 0, 0, 0, nil, false
	}
	return year, month, day, t[i+6:], true
}

// scanClock reads hh:mm[:ss[.f…]] and returns what follows.
func scanClock(t []byte) (c clock, rest []byte, ok bool) {
	h, ok1 := two(t)
	if !ok1 || len(t) < 5 || t[2] != ':' {
		return c, nil, false
	}
	m, ok2 := two(t[3:])
	if !ok2 || h > 24 || m > 59 {
		return c, nil, false
	}
	c.sec = int32(h*3600 + m*60)
	t = t[5:]
	if len(t) == 0 || t[0] != ':' {
		return c, t, true
	}
	s, ok3 := two(t[1:])
	if !ok3 || s > 60 {
		return c, nil, false
	}
	c.sec += int32(s)
	t = t[3:]
	if len(t) > 1 && t[0] == '.' {
		i, scale := 1, int32(nanoPerSec/10)
		for ; i < len(t) && t[i]-'0' <= 9; i++ {
			c.nano += int32(t[i]-'0') * scale
			scale /= 10
		}
		t = t[i:]
	}
	return c, t, true
}

// scanOffset reads ±hh[:mm[:ss]] or Z, in seconds east of UTC.
func scanOffset(t []byte) (sec int64, rest []byte, ok bool) {
	if len(t) > 0 && (t[0] == 'Z' || t[0] == 'z') {
		return 0, t[1:], true
	}
	if len(t) < 3 || t[0] != '+' && t[0] != '-' {
		return 0, nil, false
	}
	neg := t[0] == '-'
	h, ok := two(t[1:])
	if !ok {
		return 0, nil, false
	}
	sec = int64(h) * 3600
	t = t[3:]
	for unit := int64(60); unit >= 1 && len(t) >= 3 && t[0] == ':'; unit /= 60 {
		v, ok := two(t[1:])
		if !ok || v > 59 {
			return 0, nil, false
		}
		sec += int64(v) * unit
		t = t[3:]
	}
	if neg {
		sec = -sec
	}
	return sec, t, true
}

func isBC(t []byte) bool { return string(t) == " BC" }

// scanTimestamp reads a date, a time and an era; zoned says whether an offset is
// expected, in which case the result is in UTC. A zone that is missing is UTC.
func scanTimestamp(t []byte, zoned bool) (m moment, ok bool) {
	year, month, day, rest, ok := scanDate(t)
	if !ok {
		return m, false
	}
	var c clock
	if len(rest) > 0 && (rest[0] == ' ' || rest[0] == 'T') && !isBC(rest) {
		if c, rest, ok = scanClock(rest[1:]); !ok {
			return m, false
		}
	}
	var off int64
	if zoned && len(rest) > 0 && rest[0] != ' ' {
		if off, rest, ok = scanOffset(rest); !ok {
			return m, false
		}
	}
	if len(rest) > 0 {
		if !isBC(rest) {
			return m, false
		}
		year = 1 - year
	}
	m.sec = daysOf(year, month, day)*secPerDay + int64(c.sec) - off
	m.nano = c.nano
	return m, true
}

// millis is Java's Instant.toEpochMilli; ok is false where that overflows.
func (m moment) millis() (int64, bool) {
	if m.sec > math.MaxInt64/1000-1 || m.sec < math.MinInt64/1000+1 {
		return 0, false
	}
	return m.sec*1000 + int64(m.nano/1_000_000), true
}

// micros is Debezium's Conversions.toEpochMicros: seconds that do not fit are
// capped, and the fraction is then added with wrap-around.
func (m moment) micros() int64 {
	s := m.sec
	switch {
	case s > math.MaxInt64/1_000_000:
		s = math.MaxInt64
	case s < math.MinInt64/1_000_000:
		s = math.MinInt64
	default:
		s *= 1_000_000
	}
	return s + int64(m.nano/1000)
}

// nanos is Debezium's NanoTimestamp; ok is false outside its range, which is
// checked by whole days first.
func (m moment) nanos() (int64, bool) {
	day := floorDiv(m.sec, secPerDay)
	const perDay = secPerDay * nanoPerSec
	if day > math.MaxInt64/perDay || day < math.MinInt64/perDay {
		return 0, false
	}
	rest := (m.sec-day*secPerDay)*nanoPerSec + int64(m.nano)
	v := day*perDay + rest
	return v, v >= day*perDay
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// appendDate prints as Java's ISO_LOCAL_DATE: four digits, a sign before more, and
// negative years before year 0.
func appendDate(dst []byte, year int64, month, day int) []byte {
	switch {
	case year > 9999:
		dst = append(dst, '+')
	case year < 0:
		dst = append(dst, '-')
		year = -year
	}
	dst = appendPadded(dst, year, 4)
	return append(dst, '-', byte('0'+month/10), byte('0'+month%10), '-', byte('0'+day/10), byte('0'+day%10))
}

func appendPadded(dst []byte, v int64, width int) []byte {
	var buf [20]byte
	i := len(buf)
	for v > 0 || width > 0 {
		i--
		buf[i] = byte('0' + v%10)
		v /= 10
		width--
	}
	return append(dst, buf[i:]...)
}

// appendClock prints hh:mm:ss and the fraction: digits of them, or with digits < 0
// as many as needed (Java's ISO_LOCAL_TIME).
func appendClock(dst []byte, sec, nano int64, digits int) []byte {
	h, m, s := sec/3600, sec/60%60, sec%60
	dst = append(dst, byte('0'+h/10), byte('0'+h%10), ':', byte('0'+m/10), byte('0'+m%10), ':', byte('0'+s/10), byte('0'+s%10))
	if digits == 0 || digits < 0 && nano == 0 {
		return dst
	}
	var buf [9]byte
	for i := 8; i >= 0; i-- {
		buf[i] = byte('0' + nano%10)
		nano /= 10
	}
	n := digits
	if n < 0 {
		n = 9
		for buf[n-1] == '0' {
			n--
		}
	}
	dst = append(dst, '.')
	return append(dst, buf[:n]...)
}

// appendMoment prints a UTC timestamp with T and Z.
func appendMoment(dst []byte, m moment, digits int) []byte {
	day := floorDiv(m.sec, secPerDay)
	y, mo, d := dateOf(day)
	dst = appendDate(dst, y, mo, d)
	dst = append(dst, 'T')
	dst = appendClock(dst, m.sec-day*secPerDay, int64(m.nano), digits)
	return append(dst, 'Z')
}
