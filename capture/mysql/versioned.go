package mysql

import (
	"millrace/decode/binlog"
	"millrace/emit"
	"millrace/schemahistory"
)

// versioned finds the hidden column ROW_END of a table that MariaDB keeps with
// SYSTEM VERSIONING: row images then have two timestamps more than the definition.
// It answers 0 when the table is none.
func versioned(v *schemahistory.Table, m *binlog.TableMap) int {
	n := len(m.Columns)
	if v == nil || n != len(v.Columns)+2 || m.Columns[n-2].Type != binlog.TypeTimestamp2 || m.Columns[n-1].Type != binlog.TypeTimestamp2 {
		return 0
	}
	return n - 1
}

// unversioned tells what a row event of a versioned table means to its readers: a
// delete is logged as the update that ends a row, and rows that are already history
// mean nothing (0).
func (s *session) unversioned(tb *table, op emit.Op) emit.Op {
	switch op {
	case emit.OpCreate:
		if !current(&s.after, tb.rowEnd) {
			return 0
		}
	case emit.OpUpdate:
		if !current(&s.after, tb.rowEnd) {
			return emit.OpDelete
		}
	case emit.OpDelete:
		if !current(&s.before, tb.rowEnd) {
			return 0
		}
	}
	return op
}

// current reports whether a row is not history: its end is the greatest timestamp
// (that of 32 bits, signed, and since MariaDB 11.5 unsigned).
func current(m *binlog.Image, rowEnd int) bool {
	p := m.Columns[rowEnd]
	return !m.Present[rowEnd] || len(p) < 4 || (p[0]|0x80) == 0xff && p[1] == 0xff && p[2] == 0xff && p[3] == 0xff
}
