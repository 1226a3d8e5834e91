package snapshot

import (
	"encoding/json"
	"fmt"
	"slices"
)

// Progress is how far an initial snapshot has come, in a form that is stored with the
// position: what a restart need not read again. The zero value is a snapshot that
// begins. It is pure; the caller says what was read and made durable.
//
// A restart reads the rest in a newer snapshot, so what was read is only good for rows
// that have not changed in between. Those that have come again from the log, which is
// read from the place where the first snapshot was taken. One thing would be missed:
// a row that lay in pages to come and that an update has moved into pages that were
// read. It is in the log too, but without its unchanged large values. Therefore the
// pages that were read are searched for row versions that the first snapshot could
// not see (Xmin); see Chunks.
type Progress struct {
	// Xmin is the oldest transaction that the first snapshot did not see as ended, with
	// its epoch.
	Xmin uint64 `json:"xmin,omitempty"`
	// Done are the tables that were read, each with what identified the reading.
	Done map[string]string `json:"done,omitempty"`
	// Table is the one that is being read.
	Table string `json:"table,omitempty"`
	// Print identifies how it is read: columns, statement, file of the table.
	Print string `json:"print,omitempty"`
	// Rows is how many of its rows were read.
	Rows int64 `json:"rows,omitempty"`
	// Read are the ranges of its pages that were read, in order, not touching.
	Read []Pages `json:"read,omitempty"`
}

// Pages is a range of pages of a table.
type Pages struct {
	From int64 `json:"from"`
	To   int64 `json:"to"` // the first page behind it; -1: all that follow
}

// ParseProgress reads what String wrote.
func ParseProgress(text string) (Progress, error) {
	var p Progress
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return Progress{}, fmt.Errorf("read the progress of a snapshot: %w", err)
	}
	return p, nil
}

// String is the form that is stored.
func (p *Progress) String() string {
	text, _ := json.Marshal(p)
	return string(text)
}

// Finished reports whether a table was read, in the way that print identifies.
func (p *Progress) Finished(table, print string) bool {
	have, ok := p.Done[table]
	return ok && have == print
}

// Begin notes which table is being read. What is known of it is kept when it was
// being read in the same way before.
func (p *Progress) Begin(table, print string) {
	if p.Table != table || p.Print != print {
		p.Table, p.Print, p.Rows, p.Read = table, print, 0, nil
	}
}

// End notes that the table was read whole, under the name that Finished asks for.
func (p *Progress) End(print string) {
	if p.Done == nil {
		p.Done = map[string]string{}
	}
	p.Done[p.Table] = print
	p.Table, p.Print, p.Rows, p.Read = "", "", 0, nil
}

// Add notes that a range of pages was read, with so many rows.
func (p *Progress) Add(r Pages, rows int64) {
	p.Rows += rows
	i, _ := slices.BinarySearchFunc(p.Read, r, func(a, b Pages) int { return int(min(max(a.From-b.From, -1), 1)) })
	p.Read = slices.Insert(p.Read, i, r)
	out := p.Read[:1]
	for _, next := range p.Read[1:] {
		last := &out[len(out)-1]
		switch {
		case last.To < 0:
		case next.From <= last.To:
			if next.To < 0 || next.To > last.To {
				last.To = next.To
			}
		default:
			out = append(out, next)
		}
	}
	p.Read = out
}

// PageChunk is a chunk of a table by its pages.
type PageChunk struct {
	Pages
	// Again: the pages were read before; only rows that the first snapshot could not
	// see are to be read.
	Again bool
}

// Chunks cuts a table of so many pages into ranges of at most size pages, the last
// one without end, and leaves out what was read. What was read is to be searched for
// newer rows, first of all.
func (p *Progress) Chunks(pages, size int64) []PageChunk {
	var out []PageChunk
	for _, r := range p.Read {
		out = append(out, PageChunk{Pages: r, Again: true})
	}
	from := int64(0)
	cut := func(to int64) {
		for from < to {
			next := min(from+size, to)
			out = append(out, PageChunk{Pages: Pages{from, next}})
			from = next
		}
	}
	for _, r := range p.Read {
		cut(r.From)
		if r.To < 0 {
			return out
		}
		from = r.To
	}
	if rest := pages - from; rest > size {
		cut(from + (rest-1)/size*size)
	}
	return append(out, PageChunk{Pages: Pages{from, -1}})
}
