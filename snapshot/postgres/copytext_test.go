package postgres

import (
	"bytes"
	"strings"
	"testing"
)

func TestSplit(t *testing.T) {
	var s Splitter
	for _, c := range []struct {
		line string
		want []string // "\x00" stands for NULL
	}{
		{"1\tabc\n", []string{"1", "abc"}},
		{"\n", []string{""}},
		{"\\N\t\t\\\\N\n", []string{"\x00", "", "\\N"}},
		{"a\\tb\\nc\\\\d\\r\\b\\f\\v\t\\N", []string{"a\tb\nc\\d\r\b\f\v", "\x00"}},
		{"x\\\\\ty\\\\", []string{"x\\", "y\\"}},
	} {
		got, err := s.Split([]byte(c.line))
		if err != nil {
			t.Fatal(err)
		}
		out := make([]string, len(got))
		for i, f := range got {
			if out[i] = string(f); f == nil {
				out[i] = "\x00"
			}
		}
		if strings.Join(out, "|") != strings.Join(c.want, "|") {
			t.Errorf("%q: got %q, want %q", c.line, out, c.want)
		}
	}
	if _, err := s.Split([]byte("a\\")); err == nil {
		t.Error("a line that ends in its escape must be an error")
	}
}

// FuzzSplit escapes two fields as the server does and wants them back, and feeds
// the splitter anything.
func FuzzSplit(f *testing.F) {
	f.Add([]byte("a\tb"), []byte("\\N"))
	f.Add([]byte(""), []byte("\n\\\r"))
	f.Fuzz(func(t *testing.T, x, y []byte) {
		esc := strings.NewReplacer("\\", "\\\\", "\b", "\\b", "\f", "\\f", "\n", "\\n", "\r", "\\r", "\t", "\\t", "\v", "\\v")
		line := esc.Replace(string(x)) + "\t" + esc.Replace(string(y)) + "\n"
		var s Splitter
		got, err := s.Split([]byte(line))
		if err != nil || len(got) != 2 || !bytes.Equal(got[0], x) || !bytes.Equal(got[1], y) {
			t.Fatalf("%q: %q %v", line, got, err)
		}
		_, _ = s.Split(x) // must not panic
	})
}

func BenchmarkSplit(b *testing.B) {
	line := []byte("1234567\t42\tshipped\t99.95\tsome note text\t2026-11-21 03:00:00+00\t2026-11-22\t7\t1.25\tt\n")
	var s Splitter
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Split(line); err != nil {
			b.Fatal(err)
		}
	}
}
