package myvalue

import (
	"bytes"
	"compress/flate"
	"compress/zlib"
	"io"
	"strings"
	"testing"
)

// packed is a value as MariaDB stores it under column_compression_threshold=0.
func packed(t testing.TB, text string, wrap bool) []byte {
	t.Helper()
	out := bytes.NewBuffer([]byte{methodZlib<<4 | 2, byte(len(text) >> 8), byte(len(text))})
	var w io.WriteCloser
	if wrap {
		w = zlib.NewWriter(out)
	} else {
		out.Bytes()[0] |= withoutHead
		raw, err := flate.NewWriter(out, flate.DefaultCompression)
		if err != nil {
			t.Fatal(err)
		}
		w = raw
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestInflateValue(t *testing.T) {
	long := strings.Repeat("žluťoučký ", 100)
	for _, c := range []struct {
		stored []byte
		want   string
	}{{nil, ""}, {[]byte("\x00short"), "short"}, {packed(t, long, false), long}, {packed(t, long, true), long},
		{[]byte("\x89\x78\x4b\x4c\x4a\x1c\x10\x08\x00"), strings.Repeat("ab", 60)}} { // the last one as MariaDB 10.11 wrote it
		if got, err := inflateValue(c.stored); err != nil || string(got) != c.want {
			t.Errorf("%x: got %q, %v", c.stored, got, err)
		}
	}
	whole := packed(t, long, false)
	for _, bad := range [][]byte{{0x20, 1}, {0x82, 1}, whole[:len(whole)/2], {0x8a, 0, 5, 1, 2}, {0x81, 3, 'x'}} {
		if got, err := inflateValue(bad); err == nil {
			t.Errorf("%x: no error, got %q", bad, got)
		}
	}
}

func FuzzInflateValue(f *testing.F) {
	f.Add([]byte("\x00short"))
	f.Add(packed(f, "some text that is long enough", false))
	f.Add(packed(f, "some text that is long enough", true))
	f.Fuzz(func(_ *testing.T, p []byte) {
		if len(p) > 4 && p[0]&lengthBytes > 3 {
			p[0] &^= 4 // texts beyond 16 MiB are no news
		}
		_, _ = inflateValue(p)
	})
}
