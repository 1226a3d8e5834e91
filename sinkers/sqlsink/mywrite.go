package sqlsink

import (
	"context"
	"strings"
)

// statementBytes is about how large a multi-row statement grows; larger ones gain
// nothing and must stay below max_allowed_packet.
const statementBytes = 1 << 20

// myWriter writes one unit.
type myWriter struct {
	t     *mysqlTarget
	src   *rows
	u     *unit
	cols  []*column
	types []string
}

func (w *myWriter) what() string { return "write to " + w.u.plan.table.name }

func (w *myWriter) limit() int {
	if half := w.t.packet / 2; half > 0 && half < statementBytes {
		return half
	}
	return statementBytes
}

// append adds the literal of column c of record i to the statement.
func (w *myWriter) append(c int, i int32) error {
	col := w.cols[c]
	buf, err := w.t.enc.value(w.t.buf, &col.sem, col.schema, w.src.b, w.src.value(col, i), w.types[c])
	w.t.buf = buf
	if err != nil {
		return badValue(i, col, err)
	}
	return nil
}

func (w *myWriter) text(s string) { w.t.buf = append(w.t.buf, s...) }

// inserts sends multi-row inserts, with ON DUPLICATE KEY UPDATE for upserts.
func (w *myWriter) inserts(ctx context.Context) error {
	var names, tail strings.Builder
	for i, c := range w.cols {
		if i > 0 {
			names.WriteString(", ")
		}
		names.WriteString(myQuote(c.name))
	}
	if w.u.op == unitUpsert {
		w.onDuplicate(&tail)
	}
	head := "INSERT INTO " + w.u.plan.table.sql + " (" + names.String() + ") VALUES "
	return w.batches(ctx, head, tail.String(), func(i int32) error {
		w.text("(")
		for c := range w.cols {
			if c > 0 {
				w.text(",")
			}
			if err := w.append(c, i); err != nil {
				return err
			}
		}
		w.text(")")
		return nil
	})
}

func (w *myWriter) onDuplicate(sb *strings.Builder) {
	if w.t.rowAlias {
		sb.WriteString(" AS new")
	}
	sb.WriteString(" ON DUPLICATE KEY UPDATE ")
	keys := w.u.plan.keys
	from := keys
	if keys == len(w.cols) { // nothing but keys: keep the row as it is
		from = 0
	}
	for i := from; i < len(w.cols); i++ {
		if i > from {
			sb.WriteString(", ")
		}
		q := myQuote(w.cols[i].name)
		if w.t.rowAlias {
			sb.WriteString(q + "=new." + q)
		} else {
			sb.WriteString(q + "=VALUES(" + q + ")")
		}
	}
}

// batches sends head row,row,… tail statements.
func (w *myWriter) batches(ctx context.Context, head, tail string, row func(int32) error) error {
	t := w.t
	t.buf = t.buf[:0]
	for _, i := range w.u.rows {
		if i < 0 {
			continue
		}
		if len(t.buf) == 0 {
			w.text(head)
		} else {
			w.text(",")
		}
		if err := row(i); err != nil {
			return err
		}
		if len(t.buf) >= w.limit() {
			w.text(tail)
			if _, err := t.send(ctx, w.what()); err != nil {
				return err
			}
			t.buf = t.buf[:0]
		}
	}
	if len(t.buf) == 0 {
		return nil
	}
	w.text(tail)
	_, err := t.send(ctx, w.what())
	return err
}

// deletes sends DELETE … WHERE (keys) IN (…).
func (w *myWriter) deletes(ctx context.Context) error {
	keys := w.u.plan.keys
	names := make([]string, keys)
	for i := range names {
		names[i] = myQuote(w.cols[i].name)
	}
	head := "DELETE FROM " + w.u.plan.table.sql + " WHERE (" + strings.Join(names, ", ") + ") IN ("
	return w.batches(ctx, head, ")", func(i int32) error {
		w.text("(")
		for c := 0; c < keys; c++ {
			if c > 0 {
				w.text(",")
			}
			if err := w.append(c, i); err != nil {
				return err
			}
		}
		w.text(")")
		return nil
	})
}

// updates changes row by row; for an upsert that leaves unchanged columns out it
// inserts what is missing.
func (w *myWriter) updates(ctx context.Context) error {
	p, t := w.u.plan, w.t
	for _, i := range w.u.rows {
		if i < 0 {
			continue
		}
		matched := false
		if len(w.cols) > p.keys {
			t.buf = t.buf[:0]
			w.text("UPDATE " + p.table.sql + " SET ")
			for c := p.keys; c < len(w.cols); c++ {
				if c > p.keys {
					w.text(", ")
				}
				w.text(myQuote(w.cols[c].name) + "=")
				if err := w.append(c, i); err != nil {
					return err
				}
			}
			if err := w.where(i); err != nil {
				return err
			}
			n, err := t.send(ctx, w.what())
			if err != nil {
				return err
			}
			matched = n > 0
		}
		if matched || w.u.op == unitUpdate {
			continue
		}
		one := *w
		one.u = &unit{op: unitUpsert, plan: p, rows: []int32{i}, live: 1}
		if err := one.inserts(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (w *myWriter) where(i int32) error {
	w.text(" WHERE ")
	for c := 0; c < w.u.plan.keys; c++ {
		if c > 0 {
			w.text(" AND ")
		}
		w.text(myQuote(w.cols[c].name) + "=")
		if err := w.append(c, i); err != nil {
			return err
		}
	}
	return nil
}
