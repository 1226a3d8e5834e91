package demo

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"unicode/utf8"
)

// palette are the escape sequences of a screen; all empty without colour.
type palette struct{ key, text, number, word, dim, bold, good, bad, off string }

var colours = palette{
	key: "\x1b[34m", text: "\x1b[32m", number: "\x1b[33m", word: "\x1b[35m", dim: "\x1b[2m", bold: "\x1b[1m", good: "\x1b[32m", bad: "\x1b[31m", off: "\x1b[0m",
}

// node is JSON in the order it came.
type node struct {
	keys []string // of an object
	kids []node
	kind byte // '{', '[' or 's' for a scalar
	text string
}

func parseJSON(b []byte) (node, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	return parseNode(d)
}

func parseNode(d *json.Decoder) (node, error) {
	t, err := d.Token()
	if err != nil {
		return node{}, err
	}
	delim, ok := t.(json.Delim)
	if !ok {
		b, err := marshal(t)
		return node{kind: 's', text: b}, err
	}
	n := node{kind: byte(delim)}
	for d.More() {
		if n.kind == '{' {
			k, err := d.Token()
			if err != nil {
				return n, err
			}
			s, ok := k.(string)
			if !ok {
				return n, errors.New("a field name is no text")
			}
			n.keys = append(n.keys, s)
		}
		kid, err := parseNode(d)
		if err != nil {
			return n, err
		}
		n.kids = append(n.kids, kid)
	}
	_, err = d.Token() // the closing bracket
	return n, err
}

// marshal writes a scalar without escaping < and >.
func marshal(v any) (string, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return strings.TrimSuffix(b.String(), "\n"), err
}

// child returns a field of an object.
func (n node) child(key string) (node, bool) {
	for i, k := range n.keys {
		if k == key {
			return n.kids[i], true
		}
	}
	return node{}, false
}

// elide replaces a field's value by dots.
func (n node) elide(key string) node {
	n.kids = slices.Clone(n.kids)
	for i, k := range n.keys {
		if k == key {
			n.kids[i] = node{kind: 's', text: "{…}"}
		}
	}
	return n
}

// pretty writes JSON for a reader: what fits on a line stays on one, and scalars
// beside each other fill lines.
func (p palette) pretty(n node, width int) string { return p.prettyAt(n, "", 0, width) }

// prettyAt writes a value at the given indentation, where used columns of its first line are taken.
func (p palette) prettyAt(n node, indent string, used, width int) string {
	if one := p.inline(n); visible(one)+used < width || n.kind == 's' {
		return one
	}
	var sb strings.Builder
	sb.WriteByte(n.kind)
	column := width // of the line that scalars are filled into; width: begin a new one
	for i, kid := range n.kids {
		item := ""
		if n.kind == '{' {
			b, _ := marshal(n.keys[i]) // text always marshals
			item = p.key + b + p.off + ": "
		}
		item += p.prettyAt(kid, indent+"  ", len(indent)+2+visible(item), width)
		if i < len(n.kids)-1 {
			item += ","
		}
		w := visible(item)
		if kid.kind == 's' && column+1+w <= width {
			sb.WriteString(" " + item)
			column += 1 + w
			continue
		}
		sb.WriteString("\n" + indent + "  " + item)
		if column = len(indent) + 2 + w; kid.kind != 's' {
			column = width
		}
	}
	sb.WriteString("\n" + indent + closing(n.kind))
	return sb.String()
}

func (p palette) inline(n node) string {
	if n.kind == 's' {
		return p.scalar(n.text)
	}
	var sb strings.Builder
	sb.WriteByte(n.kind)
	for i, kid := range n.kids {
		if i > 0 {
			sb.WriteString(", ")
		}
		if n.kind == '{' {
			b, _ := marshal(n.keys[i]) // text always marshals
			sb.WriteString(p.key + b + p.off + ": ")
		}
		sb.WriteString(p.inline(kid))
	}
	sb.WriteString(closing(n.kind))
	return sb.String()
}

func (p palette) scalar(s string) string {
	switch {
	case s[0] == '"':
		return p.text + s + p.off
	case s[0] == '-' || s[0] >= '0' && s[0] <= '9':
		return p.number + s + p.off
	}
	return p.word + s + p.off
}

func closing(kind byte) string {
	if kind == '{' {
		return "}"
	}
	return "]"
}

// visible is how many columns a text takes, without escape sequences.
func visible(s string) int {
	n := 0
	for len(s) > 0 {
		if s[0] == '\x1b' {
			_, s, _ = strings.Cut(s, "m")
			continue
		}
		_, w := utf8.DecodeRuneInString(s)
		s = s[w:]
		n++
	}
	return n
}
