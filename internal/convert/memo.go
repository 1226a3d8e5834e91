package convert

import (
	"strings"
	"sync/atomic"

	"millrace/internal/record"
)

// memo remembers how the last struct of a kind was written. The source block of an
// event differs from that of the event before in a cell or two, so what stands
// between those is copied instead of being written anew.
type memo struct {
	filling uint64        // record.Batch.Filling of the cells
	cells   []record.Cell // what was written; leaves only
	text    []byte        // how
	ends    []int         // of each field in text
	next    []int         // ends of the struct that is being written
}

// memoSlot lends its memo to one writer at a time; a second one gets a fresh memo.
type memoSlot struct{ p atomic.Pointer[memo] }

// take lends the memo for a struct of n fields of batch b.
func (s *memoSlot) take(b *record.Batch, n int) *memo {
	m := s.p.Swap(nil)
	if m == nil {
		m = &memo{}
	}
	if f := b.Filling(); m.filling != f || len(m.cells) != n {
		m.filling = f
		m.cells, m.ends = m.cells[:0], m.ends[:0]
	}
	return m
}

// run is the end of the run of fields from i on that are as they were.
func (m *memo) run(cells []record.Cell, i int) int {
	if len(m.cells) != len(cells) {
		return i
	}
	for i < len(cells) && cells[i] == m.cells[i] {
		i++
	}
	return i
}

// copy appends the bytes of the fields [i,j), which are as they were; the struct
// begins at dst[from].
func (m *memo) copy(dst []byte, from, i, j int) []byte {
	begin := 0
	if i > 0 {
		begin = m.ends[i-1]
	}
	shift := len(dst) - from - begin
	for k := i; k < j; k++ {
		m.next = append(m.next, m.ends[k]+shift)
	}
	return append(dst, m.text[begin:m.ends[j-1]]...)
}

// keep remembers the struct that was written as text, and gives the memo back.
func (s *memoSlot) keep(m *memo, cells []record.Cell, text []byte) {
	m.cells = append(m.cells[:0], cells...)
	m.text = append(m.text[:0], text...)
	m.ends, m.next = m.next, m.ends[:0]
	s.p.Store(m)
}

// repeats reports whether structs of s are worth a memo: source blocks, which have
// leaves only.
func repeats(s *record.Schema) bool {
	if !strings.HasSuffix(s.Name, ".Source") || len(s.Fields) == 0 {
		return false
	}
	for _, f := range s.Fields {
		switch f.Schema.Type {
		case record.Array, record.Map, record.Struct:
			return false
		}
	}
	return true
}
