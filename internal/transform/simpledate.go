package transform

import (
	"fmt"
	"strconv"
	"strings"
)

// dateFormat is a pattern of java.text.SimpleDateFormat in UTC and English, with
// weeks that begin on Sunday, as Java has it by default.
type dateFormat struct {
	pattern string
	parts   []datePart
}

type datePart struct {
	letter byte // 0: literal
	n      int  // how often the letter stands there
	text   string
	// fixed: digits run into those of the next part, so exactly n are read.
	fixed bool
}

const dateLetters = "GyYMLwWDdFEuaHkKhmsSzZX"

func compileDateFormat(pattern string) (*dateFormat, error) {
	f := &dateFormat{pattern: pattern}
	lit := func(s string) {
		if k := len(f.parts); k > 0 && f.parts[k-1].letter == 0 {
			f.parts[k-1].text += s
			return
		}
		f.parts = append(f.parts, datePart{text: s})
	}
	for i := 0; i < len(pattern); {
		c := pattern[i]
		switch {
		case c == '\'':
			end, text := quotedDate(pattern, i)
			if end < 0 {
				return nil, fmt.Errorf("Unterminated quote")
			}
			lit(text)
			i = end
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
			if strings.IndexByte(dateLetters, c) < 0 {
				return nil, fmt.Errorf("Illegal pattern character '%c'", c)
			}
			n := 1
			for i+n < len(pattern) && pattern[i+n] == c {
				n++
			}
			if c == 'X' && n > 3 {
				return nil, fmt.Errorf("invalid ISO 8601 format: length=%d", n)
			}
			f.parts = append(f.parts, datePart{letter: c, n: n})
			i += n
		default:
			lit(string(c))
			i++
		}
	}
	for i := 0; i+1 < len(f.parts); i++ {
		f.parts[i].fixed = f.parts[i].numeric() && f.parts[i+1].numeric()
	}
	return f, nil
}

// quotedDate reads a quoted text at i and returns where it ends; two quotes are one.
func quotedDate(p string, i int) (end int, text string) {
	if i+1 < len(p) && p[i+1] == '\'' {
		return i + 2, "'"
	}
	var sb strings.Builder
	for k := i + 1; k < len(p); k++ {
		if p[k] != '\'' {
			sb.WriteByte(p[k])
			continue
		}
		if k+1 < len(p) && p[k+1] == '\'' {
			sb.WriteByte('\'')
			k++
			continue
		}
		return k + 1, sb.String()
	}
	return -1, ""
}

func (p *datePart) numeric() bool {
	switch p.letter {
	case 0, 'G', 'E', 'a', 'z', 'Z', 'X':
		return false
	case 'M', 'L':
		return p.n < 3
	}
	return true
}

var (
	monthNames = []string{"January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"}
	dayNames   = []string{"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"}
)

const dayMs = 24 * 60 * 60 * 1000

// gregorianStart is the first day of the Gregorian calendar, 15 October 1582, in
// days since 1970; Java's calendar is Julian before it.
const gregorianStart = -141427

// civil is a date in Java's calendar; year 0 is 1 BC.
func civil(day int64) (year int64, month, dom int) {
	if day < gregorianStart {
		return julian(day)
	}
	z := day + 719468
	era := floorDiv(z, 146097)
	doe := z - era*146097
	yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153
	dom = int(doy - (153*mp+2)/5 + 1)
	month = int(mp+2)%12 + 1
	year = yoe + era*400
	if month <= 2 {
		year++
	}
	return year, month, dom
}

func julian(day int64) (year int64, month, dom int) {
	z := day + 719470 // days since 1 March of year 0, Julian
	era := floorDiv(z, 1461)
	doe := z - era*1461
	yoe := (doe - doe/1460) / 365
	doy := doe - 365*yoe
	mp := (5*doy + 2) / 153
	dom = int(doy - (153*mp+2)/5 + 1)
	month = int(mp+2)%12 + 1
	year = yoe + era*4
	if month <= 2 {
		year++
	}
	return year, month, dom
}

// dayOf is the inverse of civil for a month from 1 to 12 and any day of month.
func dayOf(year int64, month int, dom int64) int64 {
	y, m := year, int64(month)
	if m <= 2 {
		y--
	}
	mp := (m + 9) % 12
	doy := (153*mp+2)/5 + dom - 1
	era := floorDiv(y, 400)
	yoe := y - era*400
	d := era*146097 + yoe*365 + yoe/4 - yoe/100 + doy - 719468
	if d >= gregorianStart {
		return d
	}
	era = floorDiv(y, 4)
	yoe = y - era*4
	return era*1461 + yoe*365 + doy - 719470
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// format appends the text of a time in milliseconds since 1970.
func (f *dateFormat) format(dst []byte, ms int64) []byte {
	day := floorDiv(ms, dayMs)
	tod := int(ms - day*dayMs)
	year, month, dom := civil(day)
	dow := int((day+4)%7+7) % 7
	doy := int(day - dayOf(year, 1, 1) + 1)
	hour := tod / 3600000
	for i := range f.parts {
		p := &f.parts[i]
		switch p.letter {
		case 0:
			dst = append(dst, p.text...)
		case 'G':
			if year > 0 {
				dst = append(dst, "AD"...)
			} else {
				dst = append(dst, "BC"...)
			}
		case 'y':
			dst = appendYear(dst, year, p.n)
		case 'Y':
			y, _ := weekOf(day, year, doy, dow)
			dst = appendYear(dst, y, p.n)
		case 'M', 'L':
			dst = appendName(dst, monthNames[month-1], month, p.n)
		case 'w':
			_, w := weekOf(day, year, doy, dow)
			dst = appendNum(dst, w, p.n)
		case 'W':
			first := (dow - (dom-1)%7 + 7) % 7 // weekday of the first
			dst = appendNum(dst, (dom-1+first)/7+1, p.n)
		case 'D':
			dst = appendNum(dst, doy, p.n)
		case 'd':
			dst = appendNum(dst, dom, p.n)
		case 'F':
			dst = appendNum(dst, (dom-1)/7+1, p.n)
		case 'E':
			n := p.n
			if n < 4 {
				n = 3
			}
			dst = appendName(dst, dayNames[dow], dow, n)
		case 'u':
			dst = appendNum(dst, (dow+6)%7+1, p.n)
		default:
			dst = appendTime(dst, p, hour, tod)
		}
	}
	return dst
}

func appendTime(dst []byte, p *datePart, hour, tod int) []byte {
	switch p.letter {
	case 'a':
		if hour < 12 {
			return append(dst, "AM"...)
		}
		return append(dst, "PM"...)
	case 'H':
		return appendNum(dst, hour, p.n)
	case 'k':
		return appendNum(dst, (hour+23)%24+1, p.n)
	case 'K':
		return appendNum(dst, hour%12, p.n)
	case 'h':
		return appendNum(dst, (hour+11)%12+1, p.n)
	case 'm':
		return appendNum(dst, tod/60000%60, p.n)
	case 's':
		return appendNum(dst, tod/1000%60, p.n)
	case 'S':
		return appendNum(dst, tod%1000, p.n)
	case 'z':
		if p.n >= 4 {
			return append(dst, "Coordinated Universal Time"...)
		}
		return append(dst, "UTC"...)
	case 'Z':
		return append(dst, "+0000"...)
	}
	return append(dst, 'Z') // X
}

func appendYear(dst []byte, year int64, n int) []byte {
	if year <= 0 {
		year = 1 - year
	}
	if n == 2 {
		return appendNum(dst, int(year%100), 2)
	}
	return appendNum(dst, int(year), n)
}

func appendName(dst []byte, name string, num, n int) []byte {
	switch {
	case n >= 4:
		return append(dst, name...)
	case n == 3:
		return append(dst, name[:3]...)
	}
	return appendNum(dst, num, n)
}

func appendNum(dst []byte, v, width int) []byte {
	digits := 1
	for n := v; n >= 10; n /= 10 {
		digits++
	}
	for ; digits < width; digits++ {
		dst = append(dst, '0')
	}
	return strconv.AppendInt(dst, int64(v), 10)
}

// weekOf is the week year and week of a day: weeks begin on Sunday, and the one
// with 1 January is the first.
func weekOf(day, year int64, doy, dow int) (int64, int) {
	nextStart := dayOf(year+1, 1, 1)
	nextDow := int((nextStart+4)%7+7) % 7
	if day >= nextStart-int64(nextDow) {
		return year + 1, 1
	}
	first := ((dow-(doy-1))%7 + 7) % 7 // weekday of 1 January
	return year, (doy-1+first)/7 + 1
}
