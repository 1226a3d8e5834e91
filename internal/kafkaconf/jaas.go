package kafkaconf

import (
	"errors"
	"strings"
)

// jaas is one login module of sasl.jaas.config.
type jaas struct {
	module  string
	options map[string]string
}

// parseJAAS reads the form `<module class> <flag> (key=value)* ;` with Java's
// quoting. Its errors never quote the text, which holds passwords.
func parseJAAS(s string) (jaas, error) {
	toks, err := jaasTokens(s)
	if err != nil {
		return jaas{}, err
	}
	return moduleOf(toks)
}

// moduleOf reads the words of one login module, up to its semicolon.
func moduleOf(toks []string) (jaas, error) {
	if len(toks) < 3 || toks[0] == ";" || toks[1] == ";" {
		return jaas{}, errors.New("JAAS config property does not contain any login modules")
	}
	j := jaas{module: toks[0], options: map[string]string{}}
	switch strings.ToLower(toks[1]) {
	case "required", "requisite", "sufficient", "optional":
	default:
		return jaas{}, errors.New("Login module control flag is not available in the JAAS config")
	}
	i := 2
	for ; i < len(toks) && toks[i] != ";"; i += 3 {
		if i+2 >= len(toks) || toks[i+1] != "=" || toks[i+2] == ";" {
			return jaas{}, errors.New("Value not specified for an option of the login module in JAAS config")
		}
		j.options[toks[i]] = toks[i+2]
	}
	if i >= len(toks) {
		return jaas{}, errors.New("JAAS config entry not terminated by semi-colon")
	}
	if i != len(toks)-1 {
		return jaas{}, errors.New("JAAS config property contains more than one login module")
	}
	return j, nil
}

// jaasTokens splits into words, quoted strings, "=" and ";".
func jaasTokens(s string) ([]string, error) {
	var out []string
	for i := 0; i < len(s); {
		switch c := s[i]; {
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			i++
		case c == '=' || c == ';':
			out = append(out, string(c))
			i++
		case c == '"' || c == '\'':
			text, n, ok := quoted(s[i:])
			if !ok {
				return nil, errors.New("JAAS config has an unterminated quote")
			}
			out = append(out, text)
			i += n
		default:
			from := i
			for i < len(s) && !strings.ContainsRune(" \t\r\n=;\"'", rune(s[i])) {
				i++
			}
			out = append(out, s[from:i])
		}
	}
	return out, nil
}

// quoted reads a quoted string with Java's escapes and returns it and its length.
func quoted(s string) (text string, n int, ok bool) {
	var sb strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == s[0]:
			return sb.String(), i + 1, true
		case s[i] == '\\' && i+1 < len(s):
			i++
			switch s[i] {
			case 'n':
				sb.WriteByte('\n')
			case 't':
				sb.WriteByte('\t')
			case 'r':
				sb.WriteByte('\r')
			default:
				sb.WriteByte(s[i])
			}
		default:
			sb.WriteByte(s[i])
		}
	}
	return "", 0, false
}

// LoginModule finds the first login module of an entry in the text of a JAAS file
// (`Entry { module flag key="value" …; };`) and returns its class and options.
// Errors never quote the text.
func LoginModule(text, entry string) (module string, options map[string]string, err error) {
	toks, err := jaasTokens(separate(text))
	if err != nil {
		return "", nil, err
	}
	for i := 0; i+1 < len(toks); i++ {
		if toks[i] != entry || toks[i+1] != "{" {
			continue
		}
		end := i + 2
		for end < len(toks) && toks[end] != ";" {
			end++
		}
		if end == len(toks) {
			return "", nil, errors.New("the entry " + entry + " is not terminated by semi-colons")
		}
		j, err := moduleOf(toks[i+2 : end+1])
		return j.module, j.options, err
	}
	return "", nil, errors.New("there is no entry " + entry)
}

// separate puts blanks around braces and takes out comments, outside of quotes.
func separate(s string) string {
	var sb strings.Builder
	for i := 0; i < len(s); i++ {
		switch rest := s[i:]; {
		case rest[0] == '"' || rest[0] == '\'':
			if _, n, ok := quoted(rest); ok {
				sb.WriteString(rest[:n])
				i += n - 1
				continue
			}
			sb.WriteByte(rest[0])
		case rest[0] == '{' || rest[0] == '}':
			sb.WriteString(" " + rest[:1] + " ")
		case strings.HasPrefix(rest, "//"):
			i += lineEnd(rest) - 1
		case strings.HasPrefix(rest, "/*"):
			end := strings.Index(rest, "*/")
			if end < 0 {
				return sb.String()
			}
			i += end + 1
		default:
			sb.WriteByte(rest[0])
		}
	}
	return sb.String()
}

func lineEnd(s string) int {
	if i := strings.IndexByte(s, '\n'); i >= 0 {
		return i
	}
	return len(s)
}
