package convert

import (
	"bytes"
	"strconv"
	"unicode/utf8"

	"millrace/internal/record"
)

// maxJSONDepth is how deep values may nest, as in Jackson.
const maxJSONDepth = 1000

// jsonScanner walks over a JSON text. Every method that fails returns a
// *valueError which names the place.
type jsonScanner struct {
	data  []byte
	pos   int
	depth int
	stack []record.Cell // elements of arrays and maps whose number is not known yet
	name  []byte        // an unescaped member name
}

func (s *jsonScanner) fail(what string) error {
	return &valueError{msg: "invalid JSON at byte " + strconv.Itoa(s.pos) + ": " + what, text: true}
}

// peek skips white space and returns the next byte, 0 at the end.
func (s *jsonScanner) peek() byte {
	for s.pos < len(s.data) {
		c := s.data[s.pos]
		if c != ' ' && c != '\n' && c != '\r' && c != '\t' {
			return c
		}
		s.pos++
	}
	return 0
}

// expect takes one punctuation byte.
func (s *jsonScanner) expect(c byte) error {
	if s.peek() != c || s.pos >= len(s.data) {
		return s.fail("expected '" + string(rune(c)) + "'")
	}
	s.pos++
	return nil
}

// end makes sure that only white space follows.
func (s *jsonScanner) end() error {
	if s.peek(); s.pos < len(s.data) {
		return s.fail("something follows the value")
	}
	return nil
}

func (s *jsonScanner) enter() error {
	s.depth++
	if s.depth > maxJSONDepth {
		return s.fail("nested deeper than 1000 levels")
	}
	return nil
}

// literal takes one of null, true, false.
func (s *jsonScanner) literal(word string) error {
	if !bytes.HasPrefix(s.data[s.pos:], []byte(word)) {
		return s.fail("expected a value")
	}
	s.pos += len(word)
	return nil
}

// str takes a string and returns what stands between the quotes, and whether it
// holds escapes. The text is valid UTF-8 and its escapes are well formed.
func (s *jsonScanner) str() (raw []byte, escaped bool, err error) {
	if err := s.expect('"'); err != nil {
		return nil, false, err
	}
	data, from := s.data, s.pos
	var seen byte // all bytes or'ed together: tells whether there is more than ASCII
	for i := from; i < len(data); i++ {
		c := data[i]
		if !jsonStop[c] {
			seen |= c
			continue
		}
		s.pos = i
		if c == '"' {
			raw = data[from:i]
			if seen >= 0x80 && !utf8.Valid(raw) {
				return nil, false, s.fail("the text is not valid UTF-8")
			}
			s.pos++
			return raw, escaped, nil
		}
		if c < 0x20 {
			return nil, false, s.fail("a control character must be escaped")
		}
		escaped = true
		if err := s.checkEscape(); err != nil {
			return nil, false, err
		}
		i = s.pos - 1
	}
	s.pos = len(data)
	return nil, false, s.fail("the text has no closing quote")
}

// jsonStop marks the bytes that end a run of plain text within a string.
var jsonStop = func() (t [256]bool) {
	for c := 0; c < 0x20; c++ {
		t[c] = true
	}
	t['"'], t['\\'] = true, true
	return t
}()

func (s *jsonScanner) checkEscape() error {
	if s.pos+1 >= len(s.data) {
		return s.fail("the text ends within an escape")
	}
	switch s.data[s.pos+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.pos += 2
		return nil
	case 'u':
		if s.pos+6 > len(s.data) || hex4(s.data[s.pos+2:]) < 0 {
			return s.fail("expected four hex digits")
		}
		s.pos += 6
		return nil
	}
	return s.fail("unknown escape")
}

// hex4 reads four hex digits; -1 when they are none.
func hex4(p []byte) int {
	v := 0
	for _, c := range p[:4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return -1
		}
		v = v<<4 | int(c)
	}
	return v
}

// appendUnescaped appends a string's text without escapes. raw was checked by
// str. Half a surrogate pair becomes its three-byte form, which appendJSONString
// turns back into the escape.
func appendUnescaped(dst, raw []byte) []byte {
	for {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 {
			return append(dst, raw...)
		}
		dst = append(dst, raw[:i]...)
		c := raw[i+1]
		raw = raw[i+2:]
		switch c {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			u := hex4(raw)
			raw = raw[4:]
			if u >= 0xD800 && u < 0xDC00 && len(raw) >= 6 && raw[0] == '\\' && raw[1] == 'u' {
				if low := hex4(raw[2:]); low >= 0xDC00 && low < 0xE000 {
					dst = utf8.AppendRune(dst, rune(0x10000+(u-0xD800)<<10+(low-0xDC00)))
					raw = raw[6:]
					continue
				}
			}
			if u >= 0xD800 && u < 0xE000 {
				dst = append(dst, 0xED, 0x80|byte(u>>6)&0x3F, 0x80|byte(u)&0x3F)
			} else {
				dst = utf8.AppendRune(dst, rune(u))
			}
		default:
			dst = append(dst, c)
		}
	}
}

// number takes a number and reports whether it is written as a whole number.
// Leading zeros are allowed, as Connect allows them.
func (s *jsonScanner) number() (text []byte, whole bool, err error) {
	from := s.pos
	if s.pos < len(s.data) && s.data[s.pos] == '-' {
		s.pos++
	}
	if s.digits() == 0 {
		return nil, false, s.fail("expected a value")
	}
	whole = true
	if s.pos < len(s.data) && s.data[s.pos] == '.' {
		whole = false
		s.pos++
		if s.digits() == 0 {
			return nil, false, s.fail("expected a digit after the point")
		}
	}
	if s.pos < len(s.data) && s.data[s.pos]|0x20 == 'e' {
		whole = false
		s.pos++
		if s.pos < len(s.data) && (s.data[s.pos] == '+' || s.data[s.pos] == '-') {
			s.pos++
		}
		if s.digits() == 0 {
			return nil, false, s.fail("expected a digit in the exponent")
		}
	}
	return s.data[from:s.pos], whole, nil
}

func (s *jsonScanner) digits() int {
	from := s.pos
	for s.pos < len(s.data) && s.data[s.pos] >= '0' && s.data[s.pos] <= '9' {
		s.pos++
	}
	return s.pos - from
}

// skip takes a value of any kind and returns its text.
func (s *jsonScanner) skip() (text []byte, err error) {
	c := s.peek()
	from := s.pos
	switch c {
	case '{', '[':
		err = s.skipNested(c)
	case '"':
		_, _, err = s.str()
	case 'n':
		err = s.literal("null")
	case 't':
		err = s.literal("true")
	case 'f':
		err = s.literal("false")
	default:
		_, _, err = s.number()
	}
	return s.data[from:s.pos], err
}

func (s *jsonScanner) skipNested(open byte) error {
	return s.members(open, func([]byte) error {
		_, err := s.skip()
		return err
	})
}

// members walks over an object or array; take is called at each member's value
// and must consume it. The name is nil in arrays and valid until the next one.
func (s *jsonScanner) members(open byte, take func(name []byte) error) error {
	if err := s.enter(); err != nil {
		return err
	}
	s.pos++
	closing := open + 2 // '{' → '}', '[' → ']'
	if s.peek() == closing {
		s.pos++
		s.depth--
		return nil
	}
	for {
		var name []byte
		if open == '{' {
			raw, escaped, err := s.str()
			if err != nil {
				return err
			}
			if err := s.expect(':'); err != nil {
				return err
			}
			if name = raw; escaped {
				s.name = appendUnescaped(s.name[:0], raw)
				name = s.name
			}
		}
		if err := take(name); err != nil {
			return err
		}
		switch s.peek() {
		case ',':
			s.pos++
		case closing:
			s.pos++
			s.depth--
			return nil
		default:
			return s.fail("expected ',' or '" + string(rune(closing)) + "'")
		}
	}
}
