package ddl

import "strings"

type tokenKind byte

const (
	tokEnd    tokenKind = iota
	tokWord             // unquoted name or keyword
	tokName             // quoted name
	tokString           // quoted text
	tokNumber
	tokPunct
)

type token struct {
	kind     tokenKind
	text     string // word as written; name unquoted; string without quotes, escapes kept
	from, to int    // in the source
}

// is reports whether the token is that keyword or punctuation.
func (t token) is(word string) bool {
	return (t.kind == tokWord || t.kind == tokPunct) && strings.EqualFold(t.text, word)
}

type lexer struct {
	src  string
	at   int
	mode Mode
	code int // depth of executable comments we are inside of
}

func isWordByte(c byte) bool {
	return c == '_' || c == '$' || c == '@' || c >= 0x80 || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// skip passes white space and comments; executable comments are entered.
func (l *lexer) skip() {
	for l.at < len(l.src) {
		s := l.src[l.at:]
		switch {
		case s[0] == ' ' || s[0] == '\t' || s[0] == '\n' || s[0] == '\r' || s[0] == '\f' || s[0] == '\v':
			l.at++
		case s[0] == '#', strings.HasPrefix(s, "--") && (len(s) == 2 || s[2] <= ' '):
			end := strings.IndexByte(s, '\n')
			if end < 0 {
				end = len(s) - 1
			}
			l.at += end + 1
		case strings.HasPrefix(s, "/*"):
			if !l.enter(s) {
				end := strings.Index(s[2:], "*/")
				if end < 0 {
					l.at = len(l.src)
					return
				}
				l.at += 2 + end + 2
			}
		case l.code > 0 && strings.HasPrefix(s, "*/"):
			l.code--
			l.at += 2
		default:
			return
		}
	}
}

// enter steps into /*!NNNNN code */ (and MariaDB's /*M! … */) that this server runs.
func (l *lexer) enter(s string) bool {
	n := 0
	switch {
	case strings.HasPrefix(s, "/*!"):
		n = 3
	case l.mode.MariaDB && strings.HasPrefix(s, "/*M!"):
		n = 4
	default:
		return false
	}
	version, digits := 0, 0
	for n < len(s) && digits < 6 && s[n] >= '0' && s[n] <= '9' {
		version = version*10 + int(s[n]-'0')
		n++
		digits++
	}
	if l.mode.Version != 0 && version > l.mode.Version {
		return false
	}
	l.at += n
	l.code++
	return true
}

func (l *lexer) next() token {
	l.skip()
	from := l.at
	if from >= len(l.src) {
		return token{kind: tokEnd, from: from, to: from}
	}
	done := func(k tokenKind, text string) token { return token{k, text, from, l.at} }
	switch c := l.src[from]; {
	case c == '`':
		return done(tokName, l.quoted('`', false))
	case c == '"' && l.mode.AnsiQuotes:
		return done(tokName, l.quoted('"', false))
	case c == '\'' || c == '"':
		return done(tokString, l.quoted(c, true))
	case c >= '0' && c <= '9' || c == '.' && from+1 < len(l.src) && l.src[from+1] >= '0' && l.src[from+1] <= '9':
		for l.at < len(l.src) && (isWordByte(l.src[l.at]) || l.src[l.at] == '.' ||
			(l.src[l.at] == '-' || l.src[l.at] == '+') && (l.src[l.at-1] == 'e' || l.src[l.at-1] == 'E') && !strings.HasPrefix(l.src[from:], "0x")) {
			l.at++
		}
		text := l.src[from:l.at]
		if strings.Trim(text, "0123456789.eE+-") != "" && !strings.HasPrefix(text, "0x") && !strings.HasPrefix(text, "0b") {
			return done(tokWord, text)
		}
		return done(tokNumber, text)
	case isWordByte(c):
		for l.at < len(l.src) && isWordByte(l.src[l.at]) {
			l.at++
		}
		word := l.src[from:l.at]
		if len(word) == 1 && strings.ContainsAny(word, "bBxXnN") && l.at < len(l.src) && l.src[l.at] == '\'' {
			text := l.quoted('\'', true)
			if word == "n" || word == "N" {
				return done(tokString, text)
			}
			return done(tokNumber, l.src[from:l.at])
		}
		return done(tokWord, word)
	default:
		l.at++
		return done(tokPunct, l.src[from:l.at])
	}
}

// quoted passes a quoted run from its opening quote and returns what stands
// between: names unescaped, strings as written.
func (l *lexer) quoted(q byte, isString bool) string {
	l.at++
	from := l.at
	for l.at < len(l.src) {
		c := l.src[l.at]
		switch {
		case c == '\\' && isString && !l.mode.NoBackslashEscapes && l.at+1 < len(l.src):
			l.at += 2
		case c == q && l.at+1 < len(l.src) && l.src[l.at+1] == q:
			l.at += 2
		case c == q:
			text := l.src[from:l.at]
			l.at++
			if !isString {
				text = strings.ReplaceAll(text, string([]byte{q, q}), string(q))
			}
			return text
		default:
			l.at++
		}
	}
	l.at = len(l.src)
	return l.src[from:]
}

// tokenize splits a text into statements of tokens.
func tokenize(src string, mode Mode) [][]token {
	l := &lexer{src: src, mode: mode}
	var out [][]token
	var cur []token
	for {
		t := l.next()
		if t.kind == tokEnd || t.is(";") {
			if len(cur) > 0 {
				out = append(out, cur)
				cur = nil
			}
			if t.kind == tokEnd {
				return out
			}
			continue
		}
		cur = append(cur, t)
	}
}
