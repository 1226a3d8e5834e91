package oracle

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// statement is one SQL statement and, for COPY … FROM STDIN, the data after it.
type statement struct {
	sql  string
	data string
}

var (
	copyFromStdin = regexp.MustCompile(`(?is)^\s*copy\b.*\bfrom\s+stdin\b`)
	dollarTag     = regexp.MustCompile(`^\$([A-Za-z_\x80-\xff][A-Za-z_0-9\x80-\xff]*)?\$`)
)

// splitSQL cuts a script into statements as psql does: at semicolons outside of
// quotes, comments and parentheses. Each then runs as a transaction of its own.
func splitSQL(s string) []statement {
	var out []statement
	from, depth := 0, 0
	for i := 0; i < len(s); {
		switch c := s[i]; {
		case c == '\'':
			escapes := i > 0 && (s[i-1] == 'E' || s[i-1] == 'e') && (i < 2 || !isWord(s[i-2]))
			i = quoted(s, i, escapes)
		case c == '"':
			i = quoted(s, i, false)
		case c == '-' && strings.HasPrefix(s[i:], "--"):
			i = after(s, i, "\n")
		case c == '/' && strings.HasPrefix(s[i:], "/*"):
			i = after(s, i, "*/")
		case c == '$' && (i == 0 || !isWord(s[i-1])) && dollarTag.MatchString(s[i:]):
			tag := dollarTag.FindString(s[i:])
			i = after(s, i+len(tag), tag)
		case c == ';' && depth == 0:
			st := statement{sql: s[from:i]}
			i++
			if copyFromStdin.MatchString(st.sql) {
				i = after(s, i, "\n")
				end := after(s, i-1, "\n\\.\n")
				st.data = strings.TrimSuffix(s[i:end], "\\.\n")
				i = end
			}
			out = append(out, st)
			from = i
		default:
			if c == '(' {
				depth++
			} else if c == ')' {
				depth--
			}
			i++
		}
	}
	if strings.TrimSpace(s[from:]) != "" {
		out = append(out, statement{sql: s[from:]})
	}
	return out
}

func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= 0x80
}

// quoted returns the index after a quoted text that begins at i; a doubled quote
// ends one and begins the next, which comes to the same.
func quoted(s string, i int, escapes bool) int {
	q := s[i]
	for i++; i < len(s); i++ {
		switch {
		case escapes && s[i] == '\\':
			i++
		case s[i] == q:
			return i + 1
		}
	}
	return len(s)
}

func after(s string, i int, end string) int {
	if n := strings.Index(s[i:], end); n >= 0 {
		return i + n + len(end)
	}
	return len(s)
}

// execSQL runs a script in one session, each statement by itself, and stops at
// the first error.
func execSQL(ctx context.Context, url, script string) error {
	cfg, err := pgconn.ParseConfig(url)
	if err != nil {
		return err
	}
	cfg.RuntimeParams["timezone"] = "UTC"
	cfg.RuntimeParams["client_encoding"] = "UTF8"
	c, err := pgconn.ConnectConfig(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close(ctx) }()
	for _, st := range splitSQL(script) {
		if copyFromStdin.MatchString(st.sql) {
			_, err = c.CopyFrom(ctx, strings.NewReader(st.data), st.sql)
		} else {
			_, err = c.Exec(ctx, st.sql).ReadAll()
		}
		if err != nil {
			return fmt.Errorf("%s: %w", strings.TrimSpace(cut(st.sql)), err)
		}
	}
	return nil
}
