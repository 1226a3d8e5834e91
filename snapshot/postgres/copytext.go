package postgres

import (
	"bytes"
	"errors"
)

// Splitter splits lines of COPY's text form into fields. The zero value is ready;
// it keeps its memory from line to line.
type Splitter struct {
	fields [][]byte
	text   []byte // of fields that hold escapes
}

// ErrLine is a line that is not COPY's text form.
var ErrLine = errors.New("malformed line of COPY text")

// Split returns the fields of a line; nil is NULL. The fields are valid until the
// next call, and as long as line is.
func (s *Splitter) Split(line []byte) ([][]byte, error) {
	if n := len(line); n > 0 && line[n-1] == '\n' {
		line = line[:n-1]
	}
	s.fields, s.text = s.fields[:0], s.text[:0]
	if cap(s.text) < len(line) {
		s.text = make([]byte, 0, 2*len(line)) // fields point into it: it must not move within a line
	}
	for {
		end := bytes.IndexByte(line, '\t')
		field := line
		if end >= 0 {
			field = line[:end]
		}
		if bytes.IndexByte(field, '\\') >= 0 {
			if len(field) == 2 && field[1] == 'N' {
				field = nil
			} else {
				from := len(s.text)
				var err error
				if s.text, err = unescape(s.text, field); err != nil {
					return nil, err
				}
				field = s.text[from:len(s.text):len(s.text)]
			}
		}
		s.fields = append(s.fields, field)
		if end < 0 {
			return s.fields, nil
		}
		line = line[end+1:]
	}
}

// unescape appends a field without its escapes; the result is never longer.
func unescape(dst, field []byte) ([]byte, error) {
	for {
		i := bytes.IndexByte(field, '\\')
		if i < 0 {
			return append(dst, field...), nil
		}
		dst = append(dst, field[:i]...)
		if i+1 == len(field) {
			return dst, ErrLine
		}
		c := field[i+1]
		switch c {
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'v':
			c = '\v'
		}
		dst = append(dst, c)
		field = field[i+2:]
	}
}
