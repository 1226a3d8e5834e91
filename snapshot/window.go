package snapshot

// Window holds the rows of one chunk of an incremental snapshot between the two
// watermarks that surround its reading. A row whose key appears in the log between
// them is dropped: the log has a newer state of it. What is left when the window
// closes was valid all the time and can be emitted at that place of the log.
//
// It is pure. Rows are what the caller makes of them (a line of COPY); the window
// owns them until Close returns them.
type Window struct {
	id   string
	open bool
	rows []windowRow
	at   map[string]int // key -> index into rows
}

type windowRow struct {
	row  []byte
	dead bool
}

// Start forgets everything and waits for the opening watermark of chunk id.
func (w *Window) Start(id string) {
	w.id, w.open, w.rows = id, false, w.rows[:0]
	if w.at == nil {
		w.at = map[string]int{}
	}
	clear(w.at)
}

// Add adds a row that the chunk's query gave, in its order. Rows without a key (""),
// and rows that share one, are never dropped: a change could be of any of them, and
// a row too many is better than a row lost. The row is copied.
func (w *Window) Add(key string, row []byte) {
	if _, twice := w.at[key]; twice {
		w.at[key] = -1
	} else if key != "" {
		w.at[key] = len(w.rows)
	}
	w.rows = append(w.rows, windowRow{row: append([]byte(nil), row...)})
}

// ID is the chunk that the window is for, "" none.
func (w *Window) ID() string { return w.id }

// Len is the number of rows that the chunk's query gave.
func (w *Window) Len() int { return len(w.rows) }

// Opened reports whether the opening watermark has been seen.
func (w *Window) Opened() bool { return w.open }

// Open takes an opening watermark; those of other chunks are ignored.
func (w *Window) Open(id string) {
	if id == w.id && id != "" {
		w.open = true
	}
}

// Seen takes the key of a change that lies in the log between the watermarks.
func (w *Window) Seen(key string) {
	if w.open {
		w.Unread(key)
	}
}

// Unread takes the key of a change that the chunk's query did not see, wherever it
// lies in the log: a transaction may be logged before the opening watermark and be
// visible to queries only after it.
func (w *Window) Unread(key string) {
	if i, ok := w.at[key]; ok && i >= 0 {
		w.rows[i].dead = true
	}
}

// Clear drops all rows: the table was truncated within the window.
func (w *Window) Clear() {
	if w.open {
		for i := range w.rows {
			w.rows[i].dead = true
		}
	}
}

// Close takes a closing watermark. ok is false when it is another chunk's; then
// nothing happens. The rows left are given in order; they are lent until Start.
func (w *Window) Close(id string) (rows [][]byte, ok bool) {
	if id != w.id || id == "" {
		return nil, false
	}
	for _, r := range w.rows {
		if !r.dead {
			rows = append(rows, r.row)
		}
	}
	w.id, w.open = "", false
	return rows, true
}
