// Package javaregex runs regular expressions written for java.util.regex.
//
// A pattern is parsed by Java's grammar and translated. Where Go's regexp can
// express it, it runs there, in linear time; look-around, back references, atomic
// groups and possessive quantifiers go to github.com/dlclark/regexp2 with a bound
// on the time of one match. Case-insensitive matching folds ASCII letters only and
// "." stops at Java's line terminators, as Java does by default.
//
// Errors are worded as java.util.regex.PatternSyntaxException words them, since
// users and tools know those texts.
package javaregex

import (
	"fmt"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/dlclark/regexp2"
)

// Flags are the flags a pattern is compiled with.
type Flags uint8

// The flags, named as in java.util.regex.Pattern.
const (
	CaseInsensitive Flags = 1 << iota // ASCII letters only, unless UnicodeCase too
	Multiline
	DotAll
	UnicodeCase
	Comments
	UnixLines
)

// MatchTimeout bounds one match of a pattern that needs backtracking.
const MatchTimeout = 2 * time.Second

// Regexp is a compiled pattern, safe for concurrent use.
type Regexp struct {
	src    string
	groups int
	names  map[string]int

	find, whole   *regexp.Regexp  // nil when backtracking is needed
	bfind, bwhole *regexp2.Regexp // nil otherwise
	timedOut      atomic.Bool
}

// SyntaxError is a pattern that Java would refuse.
type SyntaxError struct {
	Desc    string
	Pattern string
	Index   int // in code points; negative: unknown
}

// Error words the error as Java's PatternSyntaxException.getMessage does.
func (e *SyntaxError) Error() string {
	s := e.Desc
	if e.Index >= 0 {
		s += fmt.Sprintf(" near index %d", e.Index)
	}
	s += "\n" + e.Pattern
	if e.Index >= 0 && e.Index < len([]rune(e.Pattern)) {
		s += "\n" + strings.Repeat(" ", e.Index) + "^"
	}
	return s
}

// Compile parses a Java pattern. Errors are *SyntaxError.
func Compile(pattern string, flags Flags) (*Regexp, error) {
	p := &parser{src: []rune(pattern), pattern: pattern, flags: flags, names: map[string]int{}}
	body, err := p.parse()
	if err != nil {
		return nil, err
	}
	r := &Regexp{src: pattern, groups: p.groups, names: p.names}
	if !p.backtrack {
		f, err1 := regexp.Compile(body)
		w, err2 := regexp.Compile(`\A(?:` + body + `)\z`)
		if err1 == nil && err2 == nil {
			r.find, r.whole = f, w
			return r, nil
		}
	}
	const opt = regexp2.None
	f, err := regexp2.Compile(body, opt)
	if err != nil {
		return nil, &SyntaxError{Desc: "Unsupported construct (" + err.Error() + ")", Pattern: pattern, Index: -1}
	}
	w, err := regexp2.Compile(`\A(?:`+body+`)\z`, opt)
	if err != nil {
		return nil, &SyntaxError{Desc: "Unsupported construct (" + err.Error() + ")", Pattern: pattern, Index: -1}
	}
	f.MatchTimeout, w.MatchTimeout = MatchTimeout, MatchTimeout
	r.bfind, r.bwhole = f, w
	return r, nil
}

// MustCompile is Compile for patterns known to be right.
func MustCompile(pattern string, flags Flags) *Regexp {
	r, err := Compile(pattern, flags)
	if err != nil {
		panic(err)
	}
	return r
}

// String returns the pattern as written.
func (r *Regexp) String() string { return r.src }

// Groups returns the number of capturing groups.
func (r *Regexp) Groups() int { return r.groups }

// Linear reports whether matching takes time linear in the text.
func (r *Regexp) Linear() bool { return r.find != nil }

// TimedOut reports whether a match was ever given up after MatchTimeout; such a
// match counts as none.
func (r *Regexp) TimedOut() bool { return r.timedOut.Load() }

// MatchWhole reports whether the whole text matches, as Matcher.matches.
func (r *Regexp) MatchWhole(s string) bool {
	if r.whole != nil {
		return r.whole.MatchString(s)
	}
	ok, err := r.bwhole.MatchString(s)
	if err != nil {
		r.timedOut.Store(true)
	}
	return ok && err == nil
}

// Find reports whether some part of the text matches, as Matcher.find.
func (r *Regexp) Find(s string) bool {
	if r.find != nil {
		return r.find.MatchString(s)
	}
	ok, err := r.bfind.MatchString(s)
	if err != nil {
		r.timedOut.Store(true)
	}
	return ok && err == nil
}

// SubmatchIndex returns the byte offsets of the first match and its groups, two
// per group and -1 for a group that took no part, or nil.
func (r *Regexp) SubmatchIndex(s string) []int { return r.submatch(s, r.find, r.bfind) }

// WholeSubmatchIndex is SubmatchIndex for a match of the whole text.
func (r *Regexp) WholeSubmatchIndex(s string) []int { return r.submatch(s, r.whole, r.bwhole) }

func (r *Regexp) submatch(s string, re *regexp.Regexp, b *regexp2.Regexp) []int {
	if re != nil {
		return re.FindStringSubmatchIndex(s)
	}
	m, err := b.FindStringMatch(s)
	if err != nil {
		r.timedOut.Store(true)
	}
	if err != nil || m == nil {
		return nil
	}
	return r.offsets(s, m)
}

// offsets turns regexp2's rune offsets into byte offsets.
func (r *Regexp) offsets(s string, m *regexp2.Match) []int {
	at := make([]int, 0, len(s)+1)
	for i := range s {
		at = append(at, i)
	}
	at = append(at, len(s))
	out := make([]int, 2*(r.groups+1))
	for i := range out {
		out[i] = -1
	}
	for g := 0; g <= r.groups; g++ {
		x := m.GroupByNumber(g)
		if x != nil && len(x.Captures) > 0 {
			out[2*g], out[2*g+1] = at[x.Index], at[x.Index+x.Length]
		}
	}
	return out
}

// Group returns the text of a named group of a match, "" when it took no part or
// there is no such group.
func (r *Regexp) Group(s string, loc []int, name string) string {
	n, ok := r.names[name]
	if !ok || loc[2*n] < 0 {
		return ""
	}
	return s[loc[2*n]:loc[2*n+1]]
}

// HasGroup reports whether the pattern has a group of that name.
func (r *Regexp) HasGroup(name string) bool { _, ok := r.names[name]; return ok }

// SplitList splits a comma-separated list of patterns as Debezium does: a comma
// after a backslash belongs to the pattern, parts are trimmed, empty ones dropped.
func SplitList(s string) ([]string, error) {
	var out []string
	start := 0
	add := func(part string) {
		if part != "" {
			out = append(out, strings.ReplaceAll(strings.TrimSpace(part), `\,`, ","))
		}
	}
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			if i++; i >= len(s) {
				return nil, fmt.Errorf("Unterminated escape sequence at the end of the string")
			}
		case ',':
			add(s[start:i])
			start = i + 1
		}
	}
	add(s[start:])
	return out, nil
}

// CompileList compiles a comma-separated list of patterns; see SplitList.
func CompileList(s string, flags Flags) ([]*Regexp, error) {
	parts, err := SplitList(s)
	if err != nil {
		return nil, err
	}
	out := make([]*Regexp, 0, len(parts))
	for _, p := range parts {
		r, err := Compile(p, flags)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// AnyWhole reports whether one of the patterns matches the whole text.
func AnyWhole(list []*Regexp, s string) bool {
	for _, r := range list {
		if r.MatchWhole(s) {
			return true
		}
	}
	return false
}
