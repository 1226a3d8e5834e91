package options

import (
	"fmt"
	"strings"
)

// Pair is a key and a value; lists of them keep the order written.
type Pair struct{ Key, Value string }

// Operations are the operations of skipped.operations: a set of the letters c, u,
// d, t, r and m.
type Operations uint8

const opLetters = "cudtrm"

// ParseOperations parses skipped.operations; "" and "none" are the empty set.
func ParseOperations(text string) (Operations, error) {
	var o Operations
	text = strings.TrimSpace(text)
	if text == "" || strings.EqualFold(text, "none") {
		return 0, nil
	}
	none, some := false, false
	for _, p := range strings.Split(text, ",") {
		p = strings.TrimSpace(p)
		if p == "none" {
			none = true
			continue
		}
		i := strings.Index(opLetters[:5], p)
		if len(p) != 1 || i < 0 {
			return 0, fmt.Errorf("Invalid operation")
		}
		some = true
		o |= 1 << i
	}
	if none && some {
		return 0, fmt.Errorf("'none' cannot be specified with other skipped operation types")
	}
	return o, nil
}

// Has reports whether the operation with this letter is skipped.
func (o Operations) Has(op byte) bool {
	i := strings.IndexByte(opLetters, op)
	return i >= 0 && o&(1<<i) != 0
}

// ParsePairs parses "k=v" entries split at sep, trimmed, in the order written;
// entries that are not of this form are returned in bad.
func ParsePairs(text, sep string) (pairs []Pair, bad []string) {
	for _, e := range strings.Split(text, sep) {
		if strings.TrimSpace(e) == "" {
			continue
		}
		k, v, ok := strings.Cut(e, "=")
		k, v = strings.TrimSpace(k), strings.TrimSpace(v)
		if !ok || k == "" || v == "" || strings.Contains(v, "=") && sep == "," {
			bad = append(bad, strings.TrimSpace(e))
			continue
		}
		pairs = append(pairs, Pair{k, v})
	}
	return pairs, bad
}

// SplitStatements splits SQL statements at semicolons; two semicolons stand for one.
func SplitStatements(text string) []string {
	const mark = "\x00"
	var out []string
	for _, s := range strings.Split(strings.ReplaceAll(text, ";;", mark), ";") {
		if s = strings.TrimSpace(strings.ReplaceAll(s, mark, ";")); s != "" {
			out = append(out, s)
		}
	}
	return out
}
