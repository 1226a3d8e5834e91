package javaregex

import (
	"fmt"
	"strings"
)

// Replacement is a compiled replacement text: literal pieces and group references
// in Java's syntax ($1, ${name}, \x for a literal x).
type Replacement struct{ parts []part }

type part struct {
	text  string
	group int // -1: text
}

// CompileReplacement parses a replacement for this pattern. Errors are worded as
// Java's Matcher words them.
func (r *Regexp) CompileReplacement(repl string) (*Replacement, error) {
	var out Replacement
	var lit strings.Builder
	flush := func() {
		if lit.Len() > 0 {
			out.parts = append(out.parts, part{text: lit.String(), group: -1})
			lit.Reset()
		}
	}
	for i := 0; i < len(repl); i++ {
		switch repl[i] {
		case '\\':
			if i++; i == len(repl) {
				return nil, fmt.Errorf("character to be escaped is missing")
			}
			lit.WriteByte(repl[i])
		case '$':
			g, next, err := r.reference(repl, i+1)
			if err != nil {
				return nil, err
			}
			flush()
			out.parts = append(out.parts, part{group: g})
			i = next - 1
		default:
			lit.WriteByte(repl[i])
		}
	}
	flush()
	return &out, nil
}

// reference parses what follows a $ at i and returns the group and the index after it.
func (r *Regexp) reference(repl string, i int) (group, next int, err error) {
	if i >= len(repl) {
		return 0, 0, fmt.Errorf("Illegal group reference: group index is missing")
	}
	if repl[i] == '{' {
		end := i + 1
		for end < len(repl) && isWord(repl[end]) {
			end++
		}
		name := repl[i+1 : end]
		switch {
		case name == "":
			return 0, 0, fmt.Errorf("named capturing group is missing trailing '}'")
		case end >= len(repl) || repl[end] != '}':
			return 0, 0, fmt.Errorf("named capturing group is missing trailing '}'")
		case name[0] >= '0' && name[0] <= '9':
			return 0, 0, fmt.Errorf("capturing group name {%s} starts with digit character", name)
		}
		g, ok := r.names[name]
		if !ok {
			return 0, 0, fmt.Errorf("No group with name {%s}", name)
		}
		return g, end + 1, nil
	}
	if repl[i] < '0' || repl[i] > '9' {
		return 0, 0, fmt.Errorf("Illegal group reference")
	}
	g := int(repl[i] - '0')
	if g > r.groups {
		return 0, 0, fmt.Errorf("No group %d", g)
	}
	for i++; i < len(repl) && repl[i] >= '0' && repl[i] <= '9'; i++ {
		n := g*10 + int(repl[i]-'0')
		if n > r.groups {
			break
		}
		g = n
	}
	return g, i, nil
}

func isWord(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// Expand appends the replacement for a match at loc (from SubmatchIndex).
func (p *Replacement) Expand(dst []byte, s string, loc []int) []byte {
	for _, x := range p.parts {
		if x.group < 0 {
			dst = append(dst, x.text...)
		} else if a := loc[2*x.group]; a >= 0 {
			dst = append(dst, s[a:loc[2*x.group+1]]...)
		}
	}
	return dst
}

// ReplaceFirst replaces the first match, as Matcher.replaceFirst.
func (r *Regexp) ReplaceFirst(s string, p *Replacement) string {
	loc := r.SubmatchIndex(s)
	if loc == nil {
		return s
	}
	out := append([]byte{}, s[:loc[0]]...)
	out = p.Expand(out, s, loc)
	return string(append(out, s[loc[1]:]...))
}

// matches is every match; ok is false when the time for it was over.
func (r *Regexp) matches(s string) (locs [][]int, ok bool) {
	if r.find != nil {
		return r.find.FindAllStringSubmatchIndex(s, -1), true
	}
	m, err := r.bfind.FindStringMatch(s)
	for ; m != nil && err == nil; m, err = r.bfind.FindNextMatch(m) {
		locs = append(locs, r.offsets(s, m))
	}
	if err != nil {
		r.timedOut.Store(true)
	}
	return locs, err == nil
}

// Split cuts s at every match, as String.split: without empty texts at the end, and
// without one before a match of no length at the beginning.
func (r *Regexp) Split(s string) []string {
	locs, _ := r.matches(s)
	if len(locs) == 0 {
		return []string{s}
	}
	var out []string
	from := 0
	for _, loc := range locs {
		if loc[1] == 0 {
			continue
		}
		if loc[0] < len(s) || loc[1] > loc[0] {
			out = append(out, s[from:loc[0]])
			from = loc[1]
		}
	}
	out = append(out, s[from:])
	for len(out) > 0 && out[len(out)-1] == "" {
		out = out[:len(out)-1]
	}
	return out
}

// ReplaceAll replaces every match, as Matcher.replaceAll.
func (r *Regexp) ReplaceAll(s string, p *Replacement) string {
	locs, ok := r.matches(s)
	if !ok {
		return s
	}
	if len(locs) == 0 {
		return s
	}
	var out []byte
	from := 0
	for _, loc := range locs {
		out = p.Expand(append(out, s[from:loc[0]]...), s, loc)
		from = loc[1]
	}
	return string(append(out, s[from:]...))
}

// RouteWhole is what Connect's and Debezium's routers do with a name: when the
// whole name matches, the first match in it is replaced; else ok is false.
func (r *Regexp) RouteWhole(s string, p *Replacement) (out string, ok bool) {
	if !r.MatchWhole(s) {
		return s, false
	}
	return r.ReplaceFirst(s, p), true
}
