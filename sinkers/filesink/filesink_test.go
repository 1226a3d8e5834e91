package filesink

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"millrace/internal/errs"
	"millrace/internal/record"
	"millrace/internal/testkit"
)

var topic = &record.Topic{Name: "t"}

// begin starts a task on a file.
func begin(t *testing.T, path string) *Sink {
	t.Helper()
	s, err := New(map[string]string{"file": path}, testkit.Log(t))
	if err == nil {
		err = s.Start(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop() })
	return s
}

// lines makes a batch of n texts from an offset on.
func lines(from, n int) *record.Batch {
	b := &record.Batch{}
	for i := from; i < from+n; i++ {
		r := b.Append()
		r.Topic, r.ValueSchema = topic, record.PlainString
		r.Origin = record.Origin{Topic: topic, Offset: int64(i)}
		r.Value = b.StringCell(fmt.Sprintf("line %d %s", i, strings.Repeat("x", 90)))
	}
	return b
}

// check compares a file's lines with the texts from 0 up to n.
func check(t *testing.T, path string, n int) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Split(strings.TrimSuffix(string(raw), "\n"), "\n")
	if len(got) != n {
		t.Fatalf("%d lines, want %d", len(got), n)
	}
	for i, l := range got {
		if want := fmt.Sprintf("line %d %s", i, strings.Repeat("x", 90)); l != want {
			t.Fatalf("line %d is %q", i, l)
		}
	}
}

// TestDiskFull: what the disk has no room for is waited for; every line is in the file
// once, and whole.
func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	testkit.SmallDisk(t, dir, 1<<20, os.Geteuid())
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 600_001), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "out")
	s := begin(t, path)
	n, b, err := 0, (*record.Batch)(nil), error(nil)
	for ; err == nil; n += 1000 {
		if n > 20_000 {
			t.Fatal("the disk has room without end")
		}
		b = lines(n, 1000)
		err = s.Put(t.Context(), b)
	}
	for range 3 {
		if !errs.Retriable(err) || !strings.Contains(err.Error(), "no space left") {
			t.Fatalf("a full disk gives %v", err)
		}
		err = s.Put(t.Context(), b)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	for _, b := range []*record.Batch{b, lines(n, 1000)} {
		if err := s.Put(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	check(t, path, n+1000)
}

// TestTornLine: a file that ends within a line, since a process was killed, is continued
// on a line of its own.
func TestTornLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	for _, step := range []struct{ there, want string }{
		{"", ""}, {"whole\n", "whole\n"}, {"whole\nto", "whole\nto\n"},
	} {
		if err := os.WriteFile(path, []byte(step.there), 0o600); err != nil {
			t.Fatal(err)
		}
		s := begin(t, path)
		if err := s.Put(context.Background(), lines(0, 1)); err != nil {
			t.Fatal(err)
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if want := step.want + "line 0 " + strings.Repeat("x", 90) + "\n"; string(raw) != want {
			t.Errorf("%q becomes %q", step.there, raw)
		}
	}
}
