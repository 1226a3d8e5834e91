package snapshot

import (
	"strings"
	"testing"
)

// Each case is a script: start ID, add KEY, open ID, seen KEY, truncate, close ID.
func TestWindow(t *testing.T) {
	for _, c := range []struct{ name, script, want string }{
		{"nothing happens", "start 1, add a, add b, open 1, close 1", "a b"},
		{"a change between the watermarks wins", "start 1, add a, add b, open 1, seen a, close 1", "b"},
		{"changes before the window are older than the chunk", "start 1, add a, seen a, open 1, close 1", "a"},
		{"a change that the chunk did not see wins before the window, too", "start 1, add a, add b, unread a, open 1, close 1", "b"},
		{"marks of other chunks", "start 2, add a, open 1, seen a, close 1, open 2, close 2", "a"},
		{"a new start forgets", "start 1, add a, open 1, start 2, add b, open 2, seen a, close 2", "b"},
		{"rows without a key stay", "start 1, add -, add -, open 1, seen -, close 1", "- -"},
		{"rows that share a key stay", "start 1, add a, add a, add a, open 1, seen a, close 1", "a a a"},
		{"truncate", "start 1, add a, add b, open 1, truncate, close 1", ""},
		{"closed twice", "start 1, add a, open 1, close 1, close 1", "a"},
	} {
		var w Window
		var out []string
		for _, cmd := range strings.Split(c.script, ", ") {
			verb, arg, _ := strings.Cut(cmd, " ")
			key := strings.Trim(arg, "-")
			switch verb {
			case "start":
				w.Start(arg)
			case "add":
				w.Add(key, []byte(arg))
			case "open":
				w.Open(arg)
			case "seen":
				w.Seen(key)
			case "unread":
				w.Unread(key)
			case "truncate":
				w.Clear()
			case "close":
				rows, _ := w.Close(arg)
				for _, r := range rows {
					out = append(out, string(r))
				}
			}
		}
		if got := strings.Join(out, " "); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}
