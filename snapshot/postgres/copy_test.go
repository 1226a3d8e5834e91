package postgres

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func message(kind byte, body string) []byte {
	b := append([]byte{kind}, 0, 0, 0, 0)
	binary.BigEndian.PutUint32(b[1:], uint32(4+len(body)))
	return append(b, body...)
}

// drain feeds a stream piece by piece, as reads of any size would, and returns its rows.
func drain(x *copyStream, answer []byte, piece int) (rows []string, err error) {
	for {
		b, err := x.parse()
		if err != nil {
			return rows, err
		}
		if b != nil {
			if _, err := eachRow(b, func(r []byte) error { rows = append(rows, string(r)); return nil }); err != nil {
				return rows, err
			}
			continue
		}
		if x.ended || len(answer) == 0 {
			return rows, nil
		}
		n := min(piece, len(answer))
		x.buf = append(slices.Clone(x.buf[x.at:x.to]), answer[:n]...)
		x.at, x.to = 0, len(x.buf)
		answer = answer[n:]
	}
}

func TestCopyStream(t *testing.T) {
	head := signature + "\x00\x00\x00\x00\x00\x00\x00\x02ex"
	text := slices.Concat(message('H', "\x00\x00\x00"), message('d', "1\tx\n"), message('N', "notice"), message('d', "2\ty\n"), message('c', ""), message('C', "COPY 2\x00"), message('Z', "T"))
	bin := slices.Concat(message('H', "\x01\x00\x00"), message('d', head+"\x00\x01\xff\xff\xff\xff"), message('d', "\x00\x01\x00\x00\x00\x01a"), message('d', "\xff\xff"), message('c', ""), message('C', "COPY 2\x00"), message('Z', "T"))
	none := slices.Concat(message('H', "\x01\x00\x00"), message('d', head+"\xff\xff"), message('c', ""), message('C', "COPY 0\x00"), message('Z', "T"))
	failed := slices.Concat(message('E', "SERROR\x00C57014\x00Mcanceled\x00\x00"), message('Z', "E"))
	for _, c := range []struct {
		name   string
		binary bool
		answer []byte
		want   string
	}{
		{"text", false, text, `["1\tx\n" "2\ty\n"]`},
		{"binary", true, bin, `["\x00\x01\xff\xff\xff\xff" "\x00\x01\x00\x00\x00\x01a"]`},
		{"no rows", true, none, `[]`},
		{"error", true, failed, `[]`},
	} {
		for piece := 1; piece < len(c.answer)+1; piece++ {
			x := &copyStream{binary: c.binary, free: func() bool { return true }}
			rows, err := drain(x, slices.Clone(c.answer), piece)
			if got := fmt.Sprintf("%q", rows); err != nil || got != c.want || !x.ended {
				t.Fatalf("%s in pieces of %d: %s, %v, want %s", c.name, piece, got, err, c.want)
			}
			if c.name == "error" && (x.answer == nil || !strings.Contains(x.answer.Error(), "canceled")) {
				t.Fatal(x.answer)
			}
		}
	}
}

// FuzzCopyStream: whatever the server answers, the stream gives rows, waits for more,
// or is an error.
func FuzzCopyStream(f *testing.F) {
	f.Add(message('d', "1\tx\n"), false, 3)
	f.Add(slices.Concat(message('H', ""), message('d', signature+"\x00\x00\x00\x00\xff\xff\xff\xff")), true, 7)
	f.Add([]byte("d\x00\x00\x00\x03"), true, 1)
	f.Add(message('E', "S"), true, 100)
	f.Fuzz(func(_ *testing.T, answer []byte, binary bool, piece int) {
		x := &copyStream{binary: binary, free: func() bool { return true }}
		_, _ = drain(x, slices.Clone(answer), max(1, piece))
	})
}

func TestPageRange(t *testing.T) {
	for _, c := range []struct {
		from, to int64
		want     string
	}{{0, -1, ""}, {0, 5, "ctid < '(5,0)'::tid"}, {5, -1, "ctid >= '(5,0)'::tid"}, {5, 7, "ctid >= '(5,0)'::tid AND ctid < '(7,0)'::tid"}} {
		if got := PageRange(c.from, c.to); got != c.want {
			t.Errorf("%d to %d: %q, want %q", c.from, c.to, got, c.want)
		}
	}
	if got := NewerThan(1<<32 + 700); got != "age(xmin) <= age('700'::xid)" {
		t.Error(got)
	}
}
