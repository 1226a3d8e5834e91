package mysql

import "sync"

// Progress is how far the reading of a table has come: what is left of it.
type Progress struct {
	// Open are the ranges that have been begun, less what was read of them.
	Open []Range `json:"open,omitempty"`
	// Rest: nobody has begun on what lies behind Next (nil: the whole table).
	Rest bool   `json:"rest,omitempty"`
	Next Values `json:"next,omitempty"`
}

// Fresh is a table of which nothing was read.
func Fresh() Progress { return Progress{Rest: true} }

// Tracker hands out the ranges of a table and follows the rows that were read of
// them. A row counts when its reader says so by Emitted, which may be later than it
// came. It is safe for concurrent use.
type Tracker struct {
	key []int // places of the key's columns in a row; nil: no order, so nothing can go on

	mu    sync.Mutex
	todo  []Range // of an earlier run
	rest  bool
	next  Values
	open  []*open
	begun int // ranges handed out
}

// open is a range under way.
type open struct {
	id    int
	r     Range
	given int64
	done  int64
	ended bool
	last  [][]byte // key of the last row that counts
}

// NewTracker goes on where p says. key are the places of the key's columns in the
// rows; nil means that they come in no order.
func NewTracker(key []int, p Progress) *Tracker {
	return &Tracker{key: key, todo: p.Open, rest: p.Rest, next: p.Next}
}

// take hands out a range; boundary finds the end of one that begins behind from
// (nil: it goes to the end of the table). The caller lets only one call at a time.
func (t *Tracker) take(boundary func(from Values) (Values, error)) (id int, r Range, ok bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case len(t.todo) > 0:
		r, t.todo = t.todo[0], t.todo[1:]
	case t.rest:
		from := t.next
		t.mu.Unlock() // the query takes its time
		to, err := boundary(from)
		t.mu.Lock()
		if err != nil {
			return 0, r, false, err
		}
		r = Range{From: from, To: to}
		t.rest, t.next = to != nil, to
	default:
		return 0, r, false, nil
	}
	t.begun++
	t.open = append(t.open, &open{id: t.begun, r: r})
	return t.begun, r, true, nil
}

func (t *Tracker) find(id int) *open {
	for _, o := range t.open {
		if o.id == id {
			return o
		}
	}
	return nil
}

// came notes rows of a range that were handed on, and its end.
func (t *Tracker) came(id int, rows int64, ended bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if o := t.find(id); o != nil {
		o.given += rows
		o.ended = o.ended || ended
		t.close(o)
	}
}

// Emitted counts a row of a range, given by its fields.
func (t *Tracker) Emitted(id int, fields [][]byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	o := t.find(id)
	if o == nil {
		return
	}
	o.done++
	if t.key != nil {
		if o.last == nil {
			o.last = make([][]byte, len(t.key))
		}
		for i, at := range t.key {
			o.last[i] = append(o.last[i][:0], fields[at]...)
		}
	}
	t.close(o)
}

// close drops a range of which every row counts.
func (t *Tracker) close(o *open) {
	if !o.ended || o.done < o.given {
		return
	}
	for i := range t.open {
		if t.open[i] == o {
			t.open = append(t.open[:i], t.open[i+1:]...)
			return
		}
	}
}

// Progress says what is left; done means nothing.
func (t *Tracker) Progress() (p Progress, done bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.key == nil {
		if len(t.open) > 0 || t.rest || len(t.todo) > 0 {
			return Fresh(), false
		}
		return p, true
	}
	p = Progress{Rest: t.rest, Next: t.next}
	for _, o := range t.open {
		r := o.r
		if o.last != nil {
			r.From = make(Values, len(o.last))
			for i, v := range o.last {
				r.From[i] = string(v)
			}
		}
		p.Open = append(p.Open, r)
	}
	p.Open = append(p.Open, t.todo...)
	if !p.Rest {
		p.Next = nil
	}
	return p, !p.Rest && len(p.Open) == 0
}
