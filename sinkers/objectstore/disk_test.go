package objectstore

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"millrace/internal/errs"
	"millrace/internal/testkit"
)

// bulky is an order of about a kilobyte.
func bulky(i int64) map[string]any {
	return map[string]any{"id": i, "region": fmt.Sprintf("%d%s", i, strings.Repeat("x", 1000))}
}

// TestDiskFull: files that a directory has no room for are waited for; no offset behind
// them is durable meanwhile, and none is there by halves.
func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	testkit.SmallDisk(t, dir, 1<<20, os.Geteuid())
	s := confluentSink(t, dir, nil)
	filler := filepath.Join(dir, "filler")
	must(t, os.WriteFile(filler, make([]byte, 900_000), 0o600))
	ctx := t.Context()
	must(t, s.Put(ctx, batch(t, 0, 300, orders, bulky)))
	for range 3 {
		err := s.Flush(ctx)
		if !errs.Retriable(err) || !strings.Contains(err.Error(), "no space left") {
			t.Fatalf("a full disk gives %v", err)
		}
		next, ok := s.Durable("orders", 0)
		if !ok || next >= 300 {
			t.Fatalf("Durable = %d, %v", next, ok)
		}
		got := files(t, dir)
		delete(got, "filler")
		for i := range next {
			if name := fmt.Sprintf("b/topics/orders/partition=0/orders+0+%010d.json", i/10*10); strings.Count(got[name], "\n") != 10 {
				t.Fatalf("record %d counts as durable, but %s has %d records", i, name, strings.Count(got[name], "\n"))
			}
		}
	}
	must(t, os.Remove(filler))
	must(t, s.Flush(ctx))
	if next, ok := s.Durable("orders", 0); ok {
		t.Errorf("Durable = %d although everything is written", next)
	}
	got := files(t, dir)
	for name, text := range got {
		if strings.Count(text, "\n") != 10 {
			t.Errorf("%s has %d records", name, strings.Count(text, "\n"))
		}
	}
	if len(got) != 30 {
		t.Errorf("%d files, want 30", len(got))
	}
}

// TestNoRoomForOpenFiles: where files are made there is no room. The task ends with what to
// do, and nothing of it is durable.
func TestNoRoomForOpenFiles(t *testing.T) {
	tmp, dir := t.TempDir(), t.TempDir()
	testkit.SmallDisk(t, tmp, 64<<10, os.Geteuid())
	t.Setenv("TMPDIR", tmp)
	for _, format := range []string{"json.JsonFormat", "avro.AvroFormat", "parquet.ParquetFormat"} {
		s := confluentSink(t, dir, map[string]string{"format.class": formats + format, "flush.size": "100000"})
		var err error
		for n := int64(0); err == nil; n += 100 {
			if n > 50_000 {
				t.Fatal("there is room without end")
			}
			err = s.Put(t.Context(), batch(t, n, 100, orders, bulky))
		}
		if errs.Retriable(err) || !strings.Contains(err.Error(), "TMPDIR") {
			t.Errorf("%s: no room gives %v", format, err)
		}
		if next, ok := s.Durable("orders", 0); !ok || next != 0 {
			t.Errorf("%s: Durable = %d, %v", format, next, ok)
		}
	}
	if got := files(t, dir); len(got) != 0 {
		t.Errorf("%d files", len(got))
	}
}
