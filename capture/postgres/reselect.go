package postgres

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"millrace/capture/options"
	"millrace/decode/pgoutput"
)

// reselect re-reads columns of a changed row from its table, as the reselect post
// processors of Debezium do: those whose unchanged TOAST value was not sent, and
// those that are null. It returns the tuple with what was read put in place, or
// the tuple as it is. The row may have changed or gone since; that is how these
// processors work.
func (s *session) reselect(ctx context.Context, tb *table, ch pgoutput.Change) ([]byte, error) {
	tuple := ch.New
	for i := range s.t.opts.RereadColumns {
		p := &s.t.opts.RereadColumns[i]
		texts, err := tupleTexts(tuple)
		if err != nil {
			return nil, err
		}
		want := tb.reread(p, texts, tuple, ch.Old)
		if len(want) == 0 {
			continue
		}
		read, err := s.readAgain(ctx, tb, p, texts, want)
		if err != nil {
			if p.Fail {
				return nil, fault(err, "Set "+p.Name+".reselect.error.handling.mode=warn to keep the placeholders", "Post processor %s cannot read columns of table %s again", p.Name, tb.name)
			}
			s.log.Warn("a post processor cannot read columns again; the event keeps what it has", "processor", p.Name, "table", tb.name, "error", err)
			continue
		}
		for j, c := range want {
			texts[c] = read[j]
		}
		tuple = retuple(texts, tuple, want)
	}
	return tuple, nil
}

// reread lists the columns that a processor wants to read again.
func (tb *table) reread(p *options.Reselect, texts [][]byte, tuple []byte, old pgoutput.OldTuple) []int {
	var toasted []int
	if p.Unavailable {
		toasted = tb.rows.ToastedColumns(nil, tuple, old)
	}
	var out []int
	for i := range texts {
		c := &tb.rows.Spec.Columns[i]
		if !tb.rows.Spec.InValue[i] || !p.Columns.Included(tb.rows.Spec.Schema, tb.rows.Spec.Name, c.Name) {
			continue
		}
		if slices.Contains(toasted, i) || p.Nulls && texts[i] == nil && !c.NotNull && !slices.Contains(tb.rows.ToastedColumns(nil, tuple, old), i) {
			out = append(out, i)
		}
	}
	return out
}

func (s *session) readAgain(ctx context.Context, tb *table, p *options.Reselect, texts [][]byte, want []int) ([][]byte, error) {
	spec := &tb.rows.Spec
	key := tb.primary
	if p.UseEventKey || len(key) == 0 {
		key = spec.Key
	}
	if len(key) == 0 {
		return nil, fmt.Errorf("the table has no key to find the row by")
	}
	var sql strings.Builder
	sql.WriteString("SELECT ")
	for i, c := range want {
		if i > 0 {
			sql.WriteString(", ")
		}
		sql.WriteString(quoteIdent(spec.Columns[c].Name))
	}
	sql.WriteString(" FROM " + quoteIdent(spec.Schema) + "." + quoteIdent(spec.Name) + " WHERE ")
	args := make([]string, len(key))
	for i, c := range key {
		if texts[c] == nil {
			return nil, fmt.Errorf("key column %q is null or was not sent", spec.Columns[c].Name)
		}
		if i > 0 {
			sql.WriteString(" AND ")
		}
		sql.WriteString(quoteIdent(spec.Columns[c].Name) + " = $" + strconv.Itoa(i+1))
		args[i] = string(texts[c])
	}
	rows, err := query(ctx, s.t.general, sql.String(), args...)
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("the row is not in the table any more")
	}
	return rows[0], nil
}

// tupleTexts returns the values of a tuple; nil is NULL or a value not sent.
func tupleTexts(tuple []byte) ([][]byte, error) {
	if len(tuple) < 2 {
		return nil, errShortMessage
	}
	out := make([][]byte, binary.BigEndian.Uint16(tuple))
	r := tuple[2:]
	for i := range out {
		if len(r) == 0 {
			return nil, errShortMessage
		}
		if r[0] != 't' {
			r = r[1:]
			continue
		}
		if len(r) < 5 || uint64(len(r)-5) < uint64(binary.BigEndian.Uint32(r[1:])) {
			return nil, errShortMessage
		}
		n := int(binary.BigEndian.Uint32(r[1:]))
		out[i] = r[5 : 5+n : 5+n]
		r = r[5+n:]
	}
	return out, nil
}

// retuple writes a tuple anew: the columns of changed have the texts given, all
// others stay as they are.
func retuple(texts [][]byte, tuple []byte, changed []int) []byte {
	out := append([]byte(nil), tuple[:2]...)
	r := tuple[2:]
	for i, t := range texts {
		n := 1
		if r[0] == 't' {
			n = 5 + int(binary.BigEndian.Uint32(r[1:]))
		}
		switch {
		case !slices.Contains(changed, i):
			out = append(out, r[:n]...)
		case t == nil:
			out = append(out, 'n')
		default:
			out = binary.BigEndian.AppendUint32(append(out, 't'), uint32(len(t)))
			out = append(out, t...)
		}
		r = r[n:]
	}
	return out
}
