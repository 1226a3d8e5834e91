package filestream

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"millrace/internal/store"
)

// Lines end with \n, \r\n or \r; what has no end yet is left for later.
func TestLines(t *testing.T) {
	for in, want := range map[string]string{
		"one\ntwo\nthr":  `"one"4 "two"4 rest "thr"`,
		"one\r\ntwo\r\n": `"one"5 "two"5 rest ""`,
		"one\rtwo\r":     `"one"4 rest "two\r"`, // a \n may follow
		"\n\r\n\n":       `""1 ""2 ""1 rest ""`,
		"":               `rest ""`,
	} {
		var out []string
		p := []byte(in)
		for {
			line, n := nextLine(p)
			if n == 0 {
				break
			}
			out = append(out, fmt.Sprintf("%q%d", line, n))
			p = p[n:]
		}
		if got := strings.Join(append(out, fmt.Sprintf("rest %q", p)), " "); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
}

func TestPartitionAndOffset(t *testing.T) {
	s, err := NewSource(map[string]string{"file": `/tmp/a "b".txt`, "topic": "t"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(s.Partition()); got != `{"filename":"/tmp/a \"b\".txt"}` {
		t.Errorf("partition %s", got)
	}
	if got := string(position(17).Offset()); got != `{"position":17}` {
		t.Errorf("offset %s", got)
	}
	if _, err := NewSource(map[string]string{"file": "x"}, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a config without topic was accepted")
	}
}

func TestCheckOffset(t *testing.T) {
	obj := func(s string) *store.Object {
		if s == "" {
			return nil
		}
		v, err := store.ParseJSON([]byte(s))
		if err != nil {
			t.Fatal(err)
		}
		return v.(*store.Object)
	}
	for _, c := range []struct {
		part, off string
		ok        bool
	}{
		{`{"filename":"a"}`, `{"position":0}`, true},
		{`{"filename":"a"}`, ``, true}, // reset
		{`{"filename":"a"}`, `{"position":-1}`, false},
		{`{"filename":"a"}`, `{"position":1.5}`, false},
		{`{"filename":"a"}`, `{"position":"1"}`, false},
		{`{"filename":"a"}`, `{"place":1}`, false},
		{`{"file":"a"}`, `{"position":1}`, false},
		{`{"filename":1}`, `{"position":1}`, false},
	} {
		if err := CheckOffset(obj(c.part), obj(c.off)); (err == nil) != c.ok {
			t.Errorf("%s %s: %v", c.part, c.off, err)
		}
	}
}
