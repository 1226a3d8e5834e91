package postgres

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"

	"millrace/decode/pgoutput"
)

// kept is what a spool should hold.
type kept struct {
	at  LSN
	msg string
}

func drain(t *testing.T, sp *spool) (out []kept) {
	t.Helper()
	for r := sp.reader(); ; {
		at, m, err := r.next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, kept{at, string(m)})
	}
}

// TestSpoolSubtransactions nests and rolls back more subtransactions than are kept
// in memory, and compares with a plain list.
func TestSpoolSubtransactions(t *testing.T) {
	sp := &spool{dir: t.TempDir(), buf: make([]byte, 0, 300)}
	defer sp.close()
	type entry struct {
		kept
		under []uint32 // the subtransactions around it
	}
	var model []entry
	var stack []uint32
	next, lsn := uint32(0xffffff00), LSN(0) // ids wrap around on the way
	add := func() {
		lsn++
		xid, sub := uint32(7), false
		if n := len(stack); n > 0 {
			xid, sub = stack[n-1], true
		}
		body := fmt.Appendf(nil, "%d%*s", lsn, int(lsn%500), "")
		if err := sp.add(xid, sub, lsn, 'I', body); err != nil {
			t.Fatal(err)
		}
		model = append(model, entry{kept{lsn, "I" + string(body)}, append([]uint32(nil), stack...)})
	}
	rnd := uint32(1)
	for range 60000 {
		rnd = rnd*1664525 + 1013904223
		switch x := rnd >> 16 % 16; {
		case x < 7:
			add()
		case x < 12:
			next++
			stack = append(stack, next)
		case len(stack) == 0:
		case x < 14: // released: it belongs to the one around it from now on
			stack = stack[:len(stack)-1]
		case x == 15 || len(stack) > 40: // rolled back, and with it all that were released into it
			if err := sp.flush(); err != nil {
				t.Fatal(err)
			}
			xid := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			var gone []uint32 // the server names the children first
			for i := len(model) - 1; i >= 0; i-- {
				j := slices.Index(model[i].under, xid)
				if j < 0 {
					break
				}
				gone = append(gone, model[i].under[j:]...)
				model = model[:i]
			}
			for _, g := range append(gone, xid) {
				if err := sp.rollback(g); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if err := sp.flush(); err != nil {
		t.Fatal(err)
	}
	have := drain(t, sp)
	if len(have) != len(model) || len(have) < 5000 {
		t.Fatalf("%d entries, want %d", len(have), len(model))
	}
	for i, e := range model {
		if have[i] != e.kept {
			t.Fatalf("entry %d: %v, want %v", i, have[i], e.kept)
		}
	}
}

// TestSpoolStackOnDisk: thousands of subtransactions, released and then rolled back
// as a whole, or one by one.
func TestSpoolStackOnDisk(t *testing.T) {
	const n = 5*subsInMemory + 7
	for _, step := range []int{1, n - 1} {
		var s subStack
		dir := t.TempDir()
		for i := range n {
			if err := s.push(dir, uint32(i+10), int64(i)*100); err != nil {
				t.Fatal(err)
			}
		}
		if len(s.top) > subsInMemory || s.kept == 0 {
			t.Errorf("%d entries in memory, %d in the file", len(s.top), s.kept)
		}
		for i := n - step; i >= 0; i -= step {
			at, found, err := s.cut(uint32(i + 10))
			if err != nil || !found || at != int64(i)*100 {
				t.Fatalf("cut %d: %d %v %v", i, at, found, err)
			}
		}
		s.file.close()
	}
}

// TestSpoolLargeMessage: an entry larger than both buffers.
func TestSpoolLargeMessage(t *testing.T) {
	sp := &spool{dir: t.TempDir(), buf: make([]byte, 0, spoolBuffer)}
	defer sp.close()
	var want []kept
	for i, n := range []int{5, spoolBuffer - spoolHeader - 1, spoolBuffer - spoolHeader, 3 * spoolBuffer, 0, spoolBuffer - 5, 17} {
		body := bytes.Repeat([]byte{byte('a' + i)}, n)
		if err := sp.add(1, false, LSN(i), 'M', body); err != nil {
			t.Fatal(err)
		}
		want = append(want, kept{LSN(i), "M" + string(body)})
	}
	if err := sp.flush(); err != nil {
		t.Fatal(err)
	}
	have := drain(t, sp)
	if len(have) != len(want) {
		t.Fatalf("%d entries, want %d", len(have), len(want))
	}
	for i := range want {
		if have[i] != want[i] {
			t.Errorf("entry %d: %d bytes at %d, want %d", i, len(have[i].msg), have[i].at, len(want[i].msg))
		}
	}
}

// FuzzStreamedBlocks: any sequence of messages is kept, or refused with an error;
// what is kept can be read.
func FuzzStreamedBlocks(f *testing.F) {
	u32 := func(v uint32) []byte { return binary.BigEndian.AppendUint32(nil, v) }
	msg := func(head byte, parts ...[]byte) []byte {
		m := append([]byte{head}, bytes.Join(parts, nil)...)
		return append([]byte{byte(len(m))}, m...)
	}
	row := func(xid uint32, text string) []byte { return msg('I', u32(xid), u32(99), []byte("N"+text)) }
	f.Add(bytes.Join([][]byte{msg('S', u32(5), []byte{1}), row(5, "a"), row(6, "b"), msg('E'), msg('A', u32(5), u32(6)), msg('S', u32(5), []byte{0}), row(5, "c"), msg('E')}, nil))
	f.Add(bytes.Join([][]byte{msg('S', u32(5), []byte{1}), row(5, "a"), msg('E'), msg('S', u32(9), []byte{1}), row(10, "b"), msg('E'), msg('A', u32(9), u32(9))}, nil))
	f.Add(bytes.Join([][]byte{msg('S', u32(5), []byte{0}), msg('E'), msg('S', u32(1)), msg('Y', u32(1))}, nil))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		p := newSpools()
		p.dir = dir
		defer p.close()
		lsn := LSN(0)
		for len(data) > 0 {
			n := min(int(data[0]), len(data)-1)
			m := data[1 : n+1]
			data = data[n+1:]
			lsn++
			if len(m) == 0 {
				continue
			}
			var err error
			switch {
			case m[0] == pgoutput.TypeStreamStart:
				err = p.start(m)
			case m[0] == pgoutput.TypeStreamStop:
				err = p.stop()
			case m[0] == pgoutput.TypeStreamAbort && p.block == nil:
				err = p.abort(m)
			case p.block != nil:
				err = p.add(lsn, m)
			}
			if err != nil {
				return
			}
		}
		if p.block != nil && p.stop() != nil {
			t.Fatal("the block cannot be ended")
		}
		for _, sp := range p.open {
			last := LSN(0)
			for _, k := range drain(t, sp) {
				if k.at <= last || len(k.msg) == 0 {
					t.Fatalf("entry at %d behind %d", k.at, last)
				}
				last = k.at
			}
		}
	})
}
