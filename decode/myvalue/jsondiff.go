package myvalue

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
)

// Operations of a JSON diff (sql-common/json_diff.h).
const (
	diffReplace = 0
	diffInsert  = 1
	diffRemove  = 2
)

// jsonNode is a binary JSON document taken apart, so that diffs can be applied.
type jsonNode struct {
	typ  byte
	raw  []byte // of a scalar, behind the type byte
	keys [][]byte
	kids []*jsonNode
}

func isObject(t byte) bool { return t == jsonSmallObject || t == jsonLargeObject }
func isArray(t byte) bool  { return t == jsonSmallArray || t == jsonLargeArray }

func parseJSON(typ byte, p []byte, depth int) (*jsonNode, error) {
	if depth > jsonDepth {
		return nil, jsonError("nested too deeply")
	}
	n := &jsonNode{typ: typ}
	if !isObject(typ) && !isArray(typ) {
		n.raw = p
		return n, nil
	}
	size := 2
	if typ == jsonLargeObject || typ == jsonLargeArray {
		size = 4
	}
	s, err := jsonHead(p, isObject(typ), size)
	if err != nil {
		return nil, err
	}
	for i := range s.count {
		if s.object {
			k, err := s.key(p, i)
			if err != nil {
				return nil, err
			}
			n.keys = append(n.keys, k)
		}
		t, v, err := s.value(p, i)
		if err != nil {
			return nil, err
		}
		kid, err := parseJSON(t, v, depth+1)
		if err != nil {
			return nil, err
		}
		n.kids = append(n.kids, kid)
	}
	return n, nil
}

func (n *jsonNode) appendTo(dst []byte, depth int) ([]byte, error) {
	if !isObject(n.typ) && !isArray(n.typ) {
		return appendJSONValue(dst, n.typ, n.raw, depth)
	}
	open, end := byte('['), byte(']')
	if isObject(n.typ) {
		open, end = '{', '}'
	}
	dst = append(dst, open)
	for i, k := range n.kids {
		if i > 0 {
			dst = append(dst, ',')
		}
		if isObject(n.typ) {
			dst = append(appendQuoted(dst, n.keys[i]), ':')
		}
		var err error
		if dst, err = k.appendTo(dst, depth+1); err != nil {
			return dst, err
		}
	}
	return append(dst, end), nil
}

// AppendJSONDiff appends the text of the document that results from applying the
// diffs of a partial update (binlog_row_value_options=PARTIAL_JSON) to the
// document of the before image.
func AppendJSONDiff(dst, before, diffs []byte) ([]byte, error) {
	if len(before) == 0 {
		return dst, jsonError("a partial update has no document to apply to")
	}
	root, err := parseJSON(before[0], before[1:], 0)
	if err != nil {
		return dst, err
	}
	for len(diffs) > 0 {
		op := diffs[0]
		path, rest, err := packedBytes(diffs[1:])
		if err != nil {
			return dst, err
		}
		diffs = rest
		var value *jsonNode
		if op != diffRemove {
			v, rest, err := packedBytes(diffs)
			if err != nil {
				return dst, err
			}
			diffs = rest
			if len(v) == 0 {
				return dst, jsonError("a diff has no value")
			}
			if value, err = parseJSON(v[0], v[1:], 0); err != nil {
				return dst, err
			}
		}
		legs, err := parsePath(path)
		if err != nil {
			return dst, err
		}
		if len(legs) == 0 {
			if op != diffReplace {
				return dst, jsonError("a diff removes the whole document")
			}
			root = value
			continue
		}
		if err := root.apply(op, legs, value); err != nil {
			return dst, err
		}
	}
	return root.appendTo(dst, 0)
}

// packedBytes reads a length-encoded integer and that many bytes.
func packedBytes(p []byte) (value, rest []byte, err error) {
	if len(p) == 0 {
		return nil, nil, jsonError("a diff ends early")
	}
	n, at := uint64(p[0]), 1
	switch p[0] {
	case 252, 253, 254:
		size := map[byte]int{252: 2, 253: 3, 254: 8}[p[0]]
		if len(p) < 1+size {
			return nil, nil, jsonError("a diff ends early")
		}
		n, at = 0, 1+size
		for i := size; i > 0; i-- {
			n = n<<8 | uint64(p[i])
		}
	}
	if n > uint64(len(p)-at) {
		return nil, nil, jsonError("a diff ends early")
	}
	return p[at : at+int(n)], p[at+int(n):], nil
}

// pathLeg is one step of a JSON path: a member name or an array index.
type pathLeg struct {
	name  []byte
	index int // -1: a member
}

func parsePath(p []byte) ([]pathLeg, error) {
	p = bytes.TrimPrefix(p, []byte("$"))
	var legs []pathLeg
	for len(p) > 0 {
		switch p[0] {
		case '[':
			end := bytes.IndexByte(p, ']')
			if end < 0 {
				return nil, jsonError("a path has an open bracket")
			}
			i, err := strconv.Atoi(string(p[1:end]))
			if err != nil || i < 0 {
				return nil, jsonError("a path has a bad index")
			}
			legs, p = append(legs, pathLeg{index: i}), p[end+1:]
		case '.':
			p = p[1:]
			if len(p) > 0 && p[0] == '"' {
				end := 1
				for end < len(p) && p[end] != '"' {
					if p[end] == '\\' {
						end++
					}
					end++
				}
				var name string
				if end >= len(p) || json.Unmarshal(p[:end+1], &name) != nil {
					return nil, jsonError("a path has a bad member name")
				}
				legs, p = append(legs, pathLeg{[]byte(name), -1}), p[end+1:]
				continue
			}
			end := 0
			for end < len(p) && p[end] != '.' && p[end] != '[' {
				end++
			}
			legs, p = append(legs, pathLeg{p[:end], -1}), p[end:]
		default:
			return nil, jsonError("a path has an unknown step")
		}
	}
	return legs, nil
}

func (n *jsonNode) find(l pathLeg) int {
	if l.index >= 0 {
		if isArray(n.typ) && l.index < len(n.kids) {
			return l.index
		}
		return -1
	}
	if isObject(n.typ) {
		for i, k := range n.keys {
			if bytes.Equal(k, l.name) {
				return i
			}
		}
	}
	return -1
}

func (n *jsonNode) apply(op byte, legs []pathLeg, value *jsonNode) error {
	for len(legs) > 1 {
		i := n.find(legs[0])
		if i < 0 {
			return jsonError("a diff names a path that is not in the document")
		}
		n, legs = n.kids[i], legs[1:]
	}
	l := legs[0]
	i := n.find(l)
	switch {
	case op == diffRemove && i >= 0:
		n.kids = slices.Delete(n.kids, i, i+1)
		if isObject(n.typ) {
			n.keys = slices.Delete(n.keys, i, i+1)
		}
	case op == diffReplace && i >= 0:
		n.kids[i] = value
	case op == diffInsert && l.index >= 0 && isArray(n.typ):
		n.kids = slices.Insert(n.kids, min(l.index, len(n.kids)), value)
	case op == diffInsert && l.index < 0 && isObject(n.typ) && i < 0:
		at, _ := slices.BinarySearchFunc(n.keys, l.name, compareKeys)
		n.keys = slices.Insert(n.keys, at, l.name)
		n.kids = slices.Insert(n.kids, at, value)
	default:
		return jsonError("a diff does not fit the document")
	}
	return nil
}

// compareKeys orders member names as the server stores them: by length, then bytes.
func compareKeys(a, b []byte) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return bytes.Compare(a, b)
}
