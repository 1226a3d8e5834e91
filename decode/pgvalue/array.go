package pgvalue

import (
	"bytes"
	"errors"

	"millrace/internal/record"
)

// maxArrayDepth is PostgreSQL's own limit of array dimensions.
const maxArrayDepth = 6

// element is one item of an array literal at its outermost level.
type element struct {
	text   []byte // unescaped text, or the whole sub-array with its braces
	null   bool
	nested bool
}

// scanner walks over the outermost level of an array literal.
type scanner struct {
	t     []byte
	i     int
	delim byte
	buf   []byte
}

// newScanner skips lower bounds and the opening brace.
func newScanner(t []byte, delim byte) (*scanner, bool) {
	if len(t) > 0 && t[0] == '[' {
		n := bytes.IndexByte(t, '=')
		if n < 0 {
			return nil, false
		}
		t = t[n+1:]
	}
	if len(t) < 2 || t[0] != '{' || t[len(t)-1] != '}' {
		return nil, false
	}
	return &scanner{t: t, i: 1, delim: delim}, true
}

// isDelim accepts the type's own delimiter; PostGIS uses a colon, whose hex text
// cannot contain a comma either.
func (s *scanner) isDelim(c byte) bool {
	return c == s.delim || s.delim == ':' && c == ','
}

// next returns the next element; more is false at the end, ok false when the
// literal is broken. The element's text is valid until the next call.
func (s *scanner) next() (e element, more, ok bool) {
	t := s.t
	if s.i >= len(t) {
		return e, false, false
	}
	if t[s.i] == '}' {
		return e, false, s.i == len(t)-1
	}
	switch t[s.i] {
	case '{':
		e, ok = s.nested()
	case '"':
		e, ok = s.quoted()
	default:
		e, ok = s.bare()
	}
	if !ok || s.i >= len(t) {
		return e, false, false
	}
	if s.isDelim(t[s.i]) {
		s.i++
		if s.i < len(t) && t[s.i] == '}' {
			return e, false, false
		}
	} else if t[s.i] != '}' {
		return e, false, false
	}
	return e, true, true
}

func (s *scanner) nested() (element, bool) {
	from, depth, inQuotes := s.i, 0, false
	for ; s.i < len(s.t); s.i++ {
		switch c := s.t[s.i]; {
		case c == '\\':
			s.i++
		case c == '"':
			inQuotes = !inQuotes
		case inQuotes:
		case c == '{':
			if depth++; depth > maxArrayDepth {
				return element{}, false
			}
		case c == '}':
			if depth--; depth == 0 {
				s.i++
				return element{text: s.t[from:s.i], nested: true}, true
			}
		}
	}
	return element{}, false
}

func (s *scanner) quoted() (element, bool) {
	s.buf = s.buf[:0]
	for s.i++; s.i < len(s.t); s.i++ {
		switch c := s.t[s.i]; c {
		case '\\':
			s.i++
			if s.i >= len(s.t) {
				return element{}, false
			}
			s.buf = append(s.buf, s.t[s.i])
		case '"':
			s.i++
			return element{text: s.buf}, true
		default:
			s.buf = append(s.buf, c)
		}
	}
	return element{}, false
}

func (s *scanner) bare() (element, bool) {
	s.buf = s.buf[:0]
	escaped := false
	for ; s.i < len(s.t); s.i++ {
		c := s.t[s.i]
		if s.isDelim(c) || c == '}' {
			null := !escaped && len(s.buf) == 4 && bytes.EqualFold(s.buf, []byte("NULL"))
			return element{text: s.buf, null: null}, len(s.buf) > 0
		}
		if c == '\\' {
			escaped = true
			s.i++
			if s.i >= len(s.t) {
				break
			}
			c = s.t[s.i]
		}
		s.buf = append(s.buf, c)
	}
	return element{}, false
}

// count is the number of elements, so that children can lie next to each other.
func countElements(t []byte, delim byte) (int, bool) {
	s, ok := newScanner(t, delim)
	if !ok {
		return 0, false
	}
	for n := 0; ; n++ {
		_, more, ok := s.next()
		if !ok {
			return 0, false
		}
		if !more {
			return n, true
		}
	}
}

// codecArray decodes one-dimensional arrays of elem. Of deeper arrays, elements of
// textual types are the text of the inner array, others are null, as Debezium
// cannot read them.
func codecArray(elem *codec, delim byte) *codec {
	es := elem.schema.AsOptional(!elem.notOptionalElem)
	c := &codec{schema: &record.Schema{Type: record.Array, Elem: es}}
	c.fallback = func(b *record.Batch) record.Cell { return b.Alloc(record.Array, 0) }
	c.decode = func(b *record.Batch, t []byte) (record.Cell, error) {
		n, ok := countElements(t, delim)
		if !ok {
			return record.Cell{}, errArray
		}
		arr := b.Alloc(record.Array, n)
		s, _ := newScanner(t, delim)
		for i := 0; i < n; i++ {
			e, _, _ := s.next()
			var v record.Cell
			var err error
			switch {
			case e.null:
			case e.nested && elem.objectText:
				v = b.BytesCell(record.String, e.text)
			case e.nested:
			default:
				v, err = elem.decode(b, e.text)
			}
			var bad *ValueError
			if errors.As(err, &bad) && bad.Quiet && es.Optional {
				v, err = record.Cell{}, nil
			}
			if err != nil {
				return record.Cell{}, err
			}
			if v.IsNull() && (!es.Optional || elem.noNullElem) {
				return record.Cell{}, errArrayNull
			}
			b.SetChild(arr, i, v)
		}
		return arr, nil
	}
	return c
}

// codecNumberVector decodes int2vector and oidvector, whose numbers are separated
// by blanks. Debezium takes their text for an array literal and sees none.
func codecNumberVector(elem *codec) *codec {
	c := codecArray(elem, ',')
	decode := c.decode
	c.decode = func(b *record.Batch, t []byte) (record.Cell, error) {
		lit := make([]byte, 0, len(t)+2)
		lit = append(lit, '{')
		lit = append(lit, bytes.ReplaceAll(bytes.TrimSpace(t), []byte{' '}, []byte{','})...)
		return decode(b, append(lit, '}'))
	}
	return c
}
