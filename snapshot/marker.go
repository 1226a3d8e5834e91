package snapshot

// Marker is source.snapshot of a row read by an initial or blocking snapshot.
type Marker uint8

// The markers.
const (
	True        Marker = iota // any other row
	First                     // first row of the first table
	FirstInData               // first row of a later table
	LastInData                // last row of a table, unless it is First
	Last                      // last row of all
	Markers                   // their number
)

// String is the text that the record carries.
func (m Marker) String() string {
	return [...]string{"true", "first", "first_in_data_collection", "last_in_data_collection", "last"}[m]
}

// Lookahead gives every row its marker. Whether a row is the last of its table or
// of all is known only when the next one comes, so it holds one row back.
//
// The first row of all is First only in the first table: when that is empty,
// Debezium marks the first row of the next one as it does in any later table.
type Lookahead struct {
	// Emit gets the rows in order, one later than they come. The line is lent.
	Emit func(table int, row []byte, m Marker) error

	line  []byte // the row that is held back
	has   bool
	table int // of that row
	first bool
	seen  int // table of the last row that came, -1 none
	begun bool
}

// Row takes the next row of a table, numbered from 0 in reading order; it copies
// the line.
func (l *Lookahead) Row(table int, line []byte) error {
	if l.has {
		if err := l.Emit(l.table, l.line, l.marker(l.table != table, false)); err != nil {
			return err
		}
	}
	l.first = !l.begun || l.seen != table
	l.begun, l.seen = true, table
	l.line, l.has, l.table = append(l.line[:0], line...), true, table
	return nil
}

// Resume says that rows were read before an interruption: the first of all is not to
// come again, and neither is the first of table, whose reading goes on; -1 none.
func (l *Lookahead) Resume(table int) { l.begun, l.seen = true, table }

// End says that no more rows come. It reports whether there was any.
func (l *Lookahead) End() (any bool, err error) {
	if !l.has {
		return l.begun, nil
	}
	l.has = false
	return true, l.Emit(l.table, l.line, l.marker(true, true))
}

func (l *Lookahead) marker(lastInTable, lastOfAll bool) Marker {
	switch {
	case lastOfAll:
		return Last
	case l.first && l.table == 0:
		return First
	case lastInTable:
		return LastInData
	case l.first:
		return FirstInData
	}
	return True
}
