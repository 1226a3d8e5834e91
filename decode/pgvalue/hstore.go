package pgvalue

import (
	"bytes"

	"millrace/internal/record"
)

// pair is an entry of an hstore; the slices hold unescaped text.
type pair struct {
	key, value []byte
	null       bool
}

// parseHstore reads hstore's text form. Later duplicates of a key replace the
// value of the first, as in a Java map.
func parseHstore(t []byte) ([]pair, bool) {
	var out []pair
	buf := make([]byte, 0, len(t))
	i := 0
	skip := func() {
		for i < len(t) && (t[i] == ' ' || t[i] == ',') {
			i++
		}
	}
	quoted := func() ([]byte, bool) {
		if i >= len(t) || t[i] != '"' {
			return nil, false
		}
		from := len(buf)
		for i++; i < len(t); i++ {
			switch t[i] {
			case '\\':
				i++
				if i >= len(t) {
					return nil, false
				}
				buf = append(buf, t[i])
			case '"':
				i++
				return buf[from:len(buf):len(buf)], true
			default:
				buf = append(buf, t[i])
			}
		}
		return nil, false
	}
	for skip(); i < len(t); skip() {
		key, ok := quoted()
		if !ok || !bytes.HasPrefix(t[i:], []byte("=>")) {
			return nil, false
		}
		i += 2
		p := pair{key: key}
		if bytes.HasPrefix(t[i:], []byte("NULL")) {
			p.null = true
			i += 4
		} else if p.value, ok = quoted(); !ok {
			return nil, false
		}
		out = putPair(out, p)
	}
	return out, true
}

func putPair(out []pair, p pair) []pair {
	for i := range out {
		if bytes.Equal(out[i].key, p.key) {
			out[i].value, out[i].null = p.value, p.null
			return out
		}
	}
	return append(out, p)
}

// codecHstore decodes hstore to a map, or to JSON text in Java's map order.
func codecHstore(mode string) *codec {
	if mode == "map" {
		s := &record.Schema{Type: record.Map, Key: record.PlainString, Elem: record.OptionalString}
		c := &codec{schema: s, decode: hstoreMap, toast: toastHstore}
		c.fallback = func(b *record.Batch) record.Cell { return b.Alloc(record.Map, 0) }
		return c
	}
	c := &codec{schema: logical(record.String, "io.debezium.data.Json"), decode: hstoreJSON, toast: toastHstore}
	c.fallback = func(b *record.Batch) record.Cell { return b.StringCell("{}") }
	return c
}

func hstoreOrder(pairs []pair) []int {
	order := make([]int, len(pairs))
	for i := range order {
		order[i] = i
	}
	javaOrder(order, 16, func(i int) int32 { return javaHash(pairs[i].key) })
	return order
}

func hstoreMap(b *record.Batch, t []byte) (record.Cell, error) {
	pairs, ok := parseHstore(t)
	if !ok {
		return record.Cell{}, errHstore
	}
	c := b.Alloc(record.Map, 2*len(pairs))
	for n, i := range hstoreOrder(pairs) {
		b.SetChild(c, 2*n, b.BytesCell(record.String, pairs[i].key))
		if !pairs[i].null {
			b.SetChild(c, 2*n+1, b.BytesCell(record.String, pairs[i].value))
		}
	}
	return c, nil
}

func hstoreJSON(b *record.Batch, t []byte) (record.Cell, error) {
	pairs, ok := parseHstore(t)
	if !ok {
		return record.Cell{}, errHstore
	}
	a := b.Arena()
	from := len(a)
	a = append(a, '{')
	for n, i := range hstoreOrder(pairs) {
		if n > 0 {
			a = append(a, ',')
		}
		a = append(appendJSONText(a, pairs[i].key), ':')
		if pairs[i].null {
			a = append(a, "null"...)
		} else {
			a = appendJSONText(a, pairs[i].value)
		}
	}
	a = append(a, '}')
	b.SetArena(a)
	return b.SpanCell(record.String, from, len(a)), nil
}

// appendJSONText quotes a string as Jackson does: short escapes, \u00XX with upper
// case digits for other control characters, all else as it is.
func appendJSONText(dst, s []byte) []byte {
	const digits = "0123456789ABCDEF"
	dst = append(dst, '"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c >= 0x20:
			dst = append(dst, c)
		case c == '\b':
			dst = append(dst, '\\', 'b')
		case c == '\t':
			dst = append(dst, '\\', 't')
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '\f':
			dst = append(dst, '\\', 'f')
		case c == '\r':
			dst = append(dst, '\\', 'r')
		default:
			dst = append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		}
	}
	return append(dst, '"')
}
