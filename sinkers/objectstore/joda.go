package objectstore

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// joda is a compiled pattern of Joda-Time's DateTimeFormat, which Confluent's
// time-based partitioners take: YYYY is the year of era, dd the day of the month,
// quoted text stands for itself.
type joda []jodaPart

type jodaPart struct {
	letter byte // 0: literal
	count  int
	text   string
}

const jodaLetters = "GCYxwelEyDMdaKhHkmsSzZ"

// parseJoda compiles a pattern.
func parseJoda(pattern string) (joda, error) {
	var out joda
	literal := func(s string) {
		if n := len(out); n > 0 && out[n-1].letter == 0 {
			out[n-1].text += s
		} else {
			out = append(out, jodaPart{text: s})
		}
	}
	for i := 0; i < len(pattern); {
		c := pattern[i]
		switch {
		case c == '\'':
			if i+1 < len(pattern) && pattern[i+1] == '\'' {
				literal("'")
				i += 2
				continue
			}
			end := i + 1
			var text strings.Builder
			for ; end < len(pattern); end++ {
				if pattern[end] != '\'' {
					text.WriteByte(pattern[end])
				} else if end+1 < len(pattern) && pattern[end+1] == '\'' {
					text.WriteByte('\'')
					end++
				} else {
					break
				}
			}
			literal(text.String())
			i = end + 1
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
			n := 1
			for i+n < len(pattern) && pattern[i+n] == c {
				n++
			}
			if strings.IndexByte(jodaLetters, c) < 0 || c == 'l' {
				return nil, fmt.Errorf("Illegal pattern component: %s (position %d of %q); quote text with '", pattern[i:i+n], i+1, pattern)
			}
			out = append(out, jodaPart{letter: c, count: n})
			i += n
		default:
			literal(string(c))
			i++
		}
	}
	return out, nil
}

// format prints t, whose location is that of the partitioner.
func (j joda) format(dst []byte, t time.Time) []byte {
	for _, p := range j {
		if p.letter == 0 {
			dst = append(dst, p.text...)
			continue
		}
		dst = p.append(dst, t)
	}
	return dst
}

func (p jodaPart) append(dst []byte, t time.Time) []byte {
	number := func(v int) []byte {
		for i := len(strconv.Itoa(v)); i < p.count; i++ {
			dst = append(dst, '0')
		}
		return strconv.AppendInt(dst, int64(v), 10)
	}
	year := func(v int) []byte {
		if p.count == 2 {
			return fmt.Appendf(dst, "%02d", v%100)
		}
		return number(v)
	}
	weekYear, week := t.ISOWeek()
	weekday := int(t.Weekday()+6)%7 + 1
	switch p.letter {
	case 'G':
		return append(dst, "AD"...)
	case 'C':
		return number(t.Year() / 100)
	case 'Y', 'y':
		return year(t.Year())
	case 'x':
		return year(weekYear)
	case 'w':
		return number(week)
	case 'e':
		return number(weekday)
	case 'E':
		if p.count >= 4 {
			return append(dst, t.Weekday().String()...)
		}
		return append(dst, t.Weekday().String()[:3]...)
	case 'D':
		return number(t.YearDay())
	case 'M':
		switch {
		case p.count >= 4:
			return append(dst, t.Month().String()...)
		case p.count == 3:
			return append(dst, t.Month().String()[:3]...)
		}
		return number(int(t.Month()))
	case 'd':
		return number(t.Day())
	case 'a':
		return append(dst, t.Format("PM")...)
	case 'K':
		return number(t.Hour() % 12)
	case 'h':
		return number((t.Hour()+11)%12 + 1)
	case 'H':
		return number(t.Hour())
	case 'k':
		return number((t.Hour()+23)%24 + 1)
	case 'm':
		return number(t.Minute())
	case 's':
		return number(t.Second())
	case 'S':
		digits := fmt.Sprintf("%03d", t.Nanosecond()/1e6)
		for len(digits) < p.count {
			digits += "0"
		}
		return append(dst, digits[:p.count]...)
	case 'z':
		return append(dst, t.Format("MST")...)
	}
	return p.zone(dst, t) // 'Z'
}

func (p jodaPart) zone(dst []byte, t time.Time) []byte {
	switch {
	case p.count >= 3:
		return append(dst, t.Location().String()...)
	case p.count == 2:
		return append(dst, t.Format("-07:00")...)
	}
	return append(dst, t.Format("-0700")...)
}
