package remote

import "strings"

// Cause is one link of a failure's chain: the Java class that the trace names, what
// happened, and what to do ("" when the trace does not say).
type Cause struct{ Class, Msg, Hint string }

// Chain is a failure with its causes, the outermost first.
type Chain []Cause

// Causes reads the trace of a failed task: a class and a message per cause, and below
// them what to do, indented as frames of a stack are.
func Causes(trace string) Chain {
	var out Chain
	for _, line := range strings.Split(trace, "\n") {
		switch text := strings.TrimSpace(line); {
		case text == "" || strings.HasPrefix(text, "at "):
		case strings.HasPrefix(text, "... "):
			if n := len(out); n > 0 {
				out[n-1].Hint = strings.TrimPrefix(text, "... ")
			}
		case strings.HasPrefix(line, "\t") || strings.HasPrefix(line, " "):
			if n := len(out); n > 0 {
				out[n-1].Msg += "\n" + text
			}
		default:
			class, msg, ok := strings.Cut(strings.TrimPrefix(text, "Caused by: "), ": ")
			if !ok || strings.ContainsAny(class, " '\"") {
				class, msg = "", strings.TrimPrefix(text, "Caused by: ")
			}
			out = append(out, Cause{Class: class, Msg: msg})
		}
	}
	return out
}

// Text is the chain in one sentence: what stopped, and why.
func (c Chain) Text() string {
	var parts []string
	for _, x := range c {
		if msg := strings.TrimSuffix(x.Msg, "."); msg != "" && (len(parts) == 0 || !strings.Contains(parts[len(parts)-1], msg)) {
			parts = append(parts, msg)
		}
	}
	return strings.Join(parts, ": ")
}

// Fix is the first advice.
func (c Chain) Fix() string {
	for i := len(c) - 1; i >= 0; i-- {
		if c[i].Hint != "" {
			return c[i].Hint
		}
	}
	return ""
}
