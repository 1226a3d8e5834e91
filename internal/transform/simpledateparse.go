package transform

import (
	"strings"
	"time"
)

// dateFields is what a text gave, as Java's lenient calendar takes it: months and
// hours beyond their range roll over.
type dateFields struct {
	year               int64
	month              int64 // 0-based
	dom, doy           int64
	hour, min, sec, ms int64
	pm, half, bc       bool
	hasDoy             bool
	// byWeek: the year is that of a week, so week and dow count and month and day
	// do not. Weeks begin on Sunday, the first one holds 1 January.
	byWeek    bool
	week, dow int64 // dow: Sunday is 1
	offset    int64 // ms to subtract
}

// parse reads a text from its beginning, as SimpleDateFormat.parse does: what
// follows the pattern is not looked at.
func (f *dateFormat) parse(s string, now time.Time) (int64, bool) {
	d := dateFields{year: 1970, dom: 1, week: 1, dow: 1}
	pos := 0
	for i := range f.parts {
		p := &f.parts[i]
		if p.letter == 0 {
			n, ok := literal(s, pos, p.text)
			if !ok {
				return 0, false
			}
			pos = n
			continue
		}
		for pos < len(s) && (s[pos] == ' ' || s[pos] == '\t') {
			pos++
		}
		n, ok := d.part(p, s, pos, now)
		if !ok {
			return 0, false
		}
		pos = n
	}
	return d.millis(), true
}

// literal matches text of the pattern; a blank in it stands for any blanks.
func literal(s string, pos int, text string) (int, bool) {
	for i := 0; i < len(text); i++ {
		if text[i] == ' ' {
			blank := pos
			for pos < len(s) && s[pos] == ' ' {
				pos++
			}
			for i+1 < len(text) && text[i+1] == ' ' {
				i++
			}
			if blank == pos {
				return 0, false
			}
			continue
		}
		if pos >= len(s) || s[pos] != text[i] {
			return 0, false
		}
		pos++
	}
	return pos, true
}

// number reads digits, at most limit of them when limit is positive; a sign is
// read where no digits run on from the field before.
func number(s string, pos, limit int) (v int64, end int, ok bool) {
	neg := false
	if limit == 0 && pos < len(s) && s[pos] == '-' {
		neg = true
		pos++
	}
	start := pos
	for pos < len(s) && s[pos] >= '0' && s[pos] <= '9' && (limit == 0 || pos-start < limit) {
		if v > 1<<55 {
			return 0, 0, false
		}
		v = v*10 + int64(s[pos]-'0')
		pos++
	}
	if neg {
		v = -v
	}
	return v, pos, pos > start
}

func (d *dateFields) part(p *datePart, s string, pos int, now time.Time) (int, bool) {
	if !p.numeric() {
		return d.text(p, s, pos)
	}
	limit := 0
	if p.fixed {
		limit = p.n
	}
	v, end, ok := number(s, pos, limit)
	if !ok {
		return 0, false
	}
	switch p.letter {
	case 'y', 'Y':
		if p.n <= 2 && end-pos == 2 && v >= 0 {
			v = century(v, now)
		}
		d.year, d.byWeek = v, p.letter == 'Y'
	case 'w':
		d.week = v
	case 'u':
		d.dow = v%7 + 1
	case 'M', 'L':
		d.month = v - 1
	case 'D':
		d.doy, d.hasDoy = v, true
	case 'd':
		d.dom = v
	case 'H':
		d.hour = v
	case 'k':
		if v == 24 {
			v = 0
		}
		d.hour = v
	case 'K':
		d.hour, d.half = v, true
	case 'h':
		if v == 12 {
			v = 0
		}
		d.hour, d.half = v, true
	case 'm':
		d.min = v
	case 's':
		d.sec = v
	case 'S':
		d.ms = v
	}
	return end, true
}

// century puts two digits of a year into the hundred years that begin 80 years ago.
func century(v int64, now time.Time) int64 {
	start := int64(now.Year()) - 80
	y := start/100*100 + v
	if y < start {
		y += 100
	}
	return y
}

func (d *dateFields) text(p *datePart, s string, pos int) (int, bool) {
	switch p.letter {
	case 'G':
		i, end := oneName(s, pos, []string{"BC", "AD"})
		d.bc = i == 0
		return end, i >= 0
	case 'M', 'L':
		i, end := longestName(s, pos, monthNames)
		d.month = int64(i)
		return end, i >= 0
	case 'E':
		i, end := longestName(s, pos, dayNames)
		if i >= 0 {
			d.dow = int64(i) + 1
		}
		return end, i >= 0
	case 'a':
		i, end := oneName(s, pos, []string{"AM", "PM"})
		d.pm = i == 1
		return end, i >= 0
	}
	return d.zone(p, s, pos)
}

func oneName(s string, pos int, names []string) (int, int) {
	for i, n := range names {
		if pos+len(n) <= len(s) && strings.EqualFold(s[pos:pos+len(n)], n) {
			return i, pos + len(n)
		}
	}
	return -1, 0
}

// longestName matches full names before their first three letters.
func longestName(s string, pos int, names []string) (int, int) {
	if i, end := oneName(s, pos, names); i >= 0 {
		return i, end
	}
	short := make([]string, len(names))
	for i, n := range names {
		short[i] = n[:3]
	}
	return oneName(s, pos, short)
}

// zone reads a time zone: Z, ±hh, ±hhmm, ±hh:mm, GMT±…, UTC or a name.
func (d *dateFields) zone(p *datePart, s string, pos int) (int, bool) {
	rest := s[min(pos, len(s)):]
	if p.letter == 'X' && strings.HasPrefix(rest, "Z") {
		return pos + 1, true
	}
	for _, n := range []string{"GMT", "UTC"} {
		if p.letter != 'X' && len(rest) >= 3 && strings.EqualFold(rest[:3], n) {
			rest, pos = rest[3:], pos+3
			if rest == "" || rest[0] != '+' && rest[0] != '-' {
				return pos, true
			}
		}
	}
	if rest == "" {
		return 0, false
	}
	if rest[0] != '+' && rest[0] != '-' {
		return d.zoneName(rest, pos)
	}
	h, end, ok := number(rest, 1, 2)
	if !ok {
		return 0, false
	}
	var m int64
	if p.letter != 'X' || p.n > 1 {
		at := end
		if at < len(rest) && rest[at] == ':' {
			at++
		}
		if v, e, ok := number(rest, at, 2); ok {
			m, end = v, e
		}
	}
	d.offset = (h*60 + m) * 60000
	if rest[0] == '-' {
		d.offset = -d.offset
	}
	return pos + end, true
}

func (d *dateFields) zoneName(rest string, pos int) (int, bool) {
	n := 0
	for n < len(rest) && (rest[n] >= 'A' && rest[n] <= 'Z' || rest[n] >= 'a' && rest[n] <= 'z' || rest[n] == '/' || rest[n] == '_') {
		n++
	}
	hours, ok := map[string]int64{"EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7, "CET": 1, "CEST": 2, "Z": 0}[rest[:n]]
	if !ok {
		loc, err := time.LoadLocation(rest[:n])
		if err != nil || n == 0 {
			return 0, false
		}
		day := dayOf(d.year, int(d.month%12)+1, d.dom)
		_, off := time.UnixMilli(day * dayMs).In(loc).Zone()
		d.offset = int64(off) * 1000
		return pos + n, true
	}
	d.offset = hours * 3600000
	return pos + n, true
}

func (d *dateFields) millis() int64 {
	year := d.year
	if d.bc {
		year = 1 - year
	}
	hour := d.hour
	if d.half && d.pm {
		hour += 12
	}
	var day int64
	switch {
	case d.byWeek:
		first := dayOf(year, 1, 1)
		first -= first + 4 - floorDiv(first+4, 7)*7 // 1970-01-01 was a Thursday
		day = first + (d.week-1)*7 + d.dow - 1
	case d.hasDoy:
		day = dayOf(year, 1, 1) + d.doy - 1
	default:
		year += floorDiv(d.month, 12)
		month := int(d.month - floorDiv(d.month, 12)*12)
		day = dayOf(year, month+1, 1) + d.dom - 1
	}
	return day*dayMs + hour*3600000 + d.min*60000 + d.sec*1000 + d.ms - d.offset
}
