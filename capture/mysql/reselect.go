package mysql

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"millrace/capture/options"
	"millrace/decode/binlog"
	"millrace/decode/myvalue"
	"millrace/internal/record"
)

// rereader finds rows of a table again by their key, for the reselect post
// processors of Debezium.
type rereader struct {
	where   []string // quoted names of the key's columns
	types   []string
	key     *myvalue.Table // reads the key of a row image
	scratch record.Batch
}

// newRereader answers nil when the table has no key to find a row by.
func (t *task) newRereader(tb *table, byEventKey bool) (*rereader, error) {
	v := tb.version
	names := v.Key()
	if byEventKey || len(names) == 0 {
		all := make([]string, len(v.Columns))
		for i := range v.Columns {
			all[i] = v.Columns[i].Name
		}
		if at := t.opts.KeyColumns.For(v.ID.DB, v.ID.Name, all); at != nil {
			names = nil
			for _, i := range at {
				names = append(names, all[i])
			}
		}
	}
	if len(names) == 0 {
		return nil, nil
	}
	x := &rereader{}
	spec := myvalue.TableSpec{KeyName: "k", ValueName: "v", Wire: tb.wire.Columns, Columns: make([]myvalue.Column, len(v.Columns)), InValue: make([]bool, len(v.Columns))}
	for i := range v.Columns {
		c := &v.Columns[i]
		spec.Columns[i] = myvalue.Column{Name: c.Name, TypeName: c.TypeName, Length: c.Length, Scale: c.Scale, Charset: c.Charset, Optional: true,
			Labels: unquoteLabels(c.Labels), Truncate: -1, MaskChars: -1}
	}
	for _, n := range names {
		i := v.Column(n)
		if i < 0 {
			return nil, nil
		}
		spec.Key = append(spec.Key, i)
		x.where, x.types = append(x.where, quote(v.Columns[i].Name)), append(x.types, v.Columns[i].TypeName)
	}
	modes := exactModes
	modes.BigintUnsigned, modes.Time = "long", "isostring"
	var err error
	x.key, err = myvalue.CompileTable(spec, modes, &record.Interner{})
	return x, err
}

// condition is what the row of an image fulfils.
func (x *rereader) condition(m, fill *binlog.Image) (string, error) {
	x.scratch.Reset()
	row, fails := x.key.Image(&x.scratch, m, fill)
	if len(fails) > 0 {
		return "", fails[0].Err
	}
	var out []string
	for i, f := range x.key.KeySchema.Fields {
		c := x.scratch.Child(row.Key, i)
		text := ""
		switch v := record.ToGo(&x.scratch, f.Schema, c).(type) {
		case nil:
			return "", errors.New("a column of the key is null or was not logged")
		case string:
			if f.Schema.Name != "" && strings.HasPrefix(f.Schema.Name, "io.debezium.time.") {
				v = strings.TrimSuffix(strings.Replace(v, "T", " ", 1), "Z")
			}
			text = "'" + strings.NewReplacer(`\`, `\\`, `'`, `''`).Replace(v) + "'"
		case []byte:
			text = "x'" + hex.EncodeToString(v) + "'"
		case int64:
			if text = strconv.FormatInt(v, 10); v < 0 && strings.Contains(x.types[i], "UNSIGNED") {
				text = strconv.FormatUint(uint64(v), 10)
			}
		default:
			text = fmt.Sprint(v)
		}
		out = append(out, x.where[i]+" = "+text)
	}
	return strings.Join(out, " AND "), nil
}

// reselect reads columns of a changed row again, those that are null or were not
// logged, and puts what it finds into the record. The row may have changed or gone
// since; that is how these processors work.
func (s *session) reselect(ctx context.Context, tb *table, b *record.Batch, row *myvalue.Row) error {
	for i := range s.t.opts.RereadColumns {
		p := &s.t.opts.RereadColumns[i]
		var want []int
		var names []string
		for at := range tb.version.Columns {
			c := &tb.version.Columns[at]
			missing := !s.after.Present[at] && p.Unavailable
			if c.Optional && (p.Nulls || missing) && tb.rows.Null(b, *row, at) && p.Columns.Included(tb.id.DB, tb.id.Name, c.Name) {
				want, names = append(want, at), append(names, quote(c.Name))
			}
		}
		if len(want) == 0 {
			continue
		}
		err := s.readAgain(ctx, tb, p, b, row, want, names)
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return ctx.Err()
		case p.Fail:
			return fault(err, "Set "+p.Name+".reselect.error.handling.mode=warn to keep the record as it is", "Post processor %s cannot read columns of table %s again", p.Name, tb.name)
		default:
			s.log.Warn("a post processor cannot read columns again; the record keeps what it has", "processor", p.Name, "table", tb.name, "error", err)
		}
	}
	return nil
}

func (s *session) readAgain(ctx context.Context, tb *table, p *options.Reselect, b *record.Batch, row *myvalue.Row, want []int, names []string) error {
	if tb.again == nil {
		x, err := s.t.newRereader(tb, p.UseEventKey)
		if err != nil {
			return err
		}
		if x == nil {
			return errors.New("the table has no key to find the row by")
		}
		tb.again = x
	}
	where, err := tb.again.condition(&s.after, &s.before)
	if err != nil {
		return err
	}
	rows, err := s.t.db.QueryContext(ctx, "SELECT "+strings.Join(names, ", ")+" FROM "+quote(tb.id.DB)+"."+quote(tb.id.Name)+" WHERE "+where)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	if !rows.Next() {
		return errors.Join(rows.Err(), errors.New("the row is not in the table any more"))
	}
	values := make([][]byte, len(want))
	into := make([]any, len(want))
	for i := range into {
		into[i] = &values[i]
	}
	if err := rows.Scan(into...); err != nil {
		return err
	}
	var fails []myvalue.Failure
	for i, at := range want {
		fails = slices.Concat(fails, tb.rows.SetText(b, *row, at, values[i]))
	}
	if fails != nil {
		return s.failed(tb, fails)
	}
	return rows.Close()
}
