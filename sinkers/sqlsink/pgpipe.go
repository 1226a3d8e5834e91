package sqlsink

import (
	"context"
	"strconv"
	"strings"
)

// What is sent without waiting for answers: on a server a millisecond away a transaction
// costs one round trip instead of one for each statement, BEGIN and COMMIT.

// pgRun is one run of a statement: a slice of the encoded arrays.
type pgRun struct {
	unit int // index in the batch's units
	name string
	from int   // in p.buf
	ends []int // one per parameter
}

// byArrays tells whether a unit's rows go as array parameters, not by COPY.
func (u *unit) byArrays() bool {
	switch u.op {
	case unitTruncate:
		return false
	case unitDelete, unitUpdate:
		return true
	}
	return u.plan.partial && u.op == unitUpsert || u.live <= arrayRows
}

func (p *postgres) onlyArrays(units []*unit) bool {
	for _, u := range units {
		if !u.byArrays() {
			return false
		}
	}
	return true
}

// statements are what a unit written by arrays takes.
func (p *postgres) statements(x *pgPlan, u *unit) []pgStatement {
	if made, ok := x.arrays[u.op]; ok {
		return made
	}
	t := u.plan.table
	var out []pgStatement
	add := func(cols, chunk int, head, tail string) {
		out = append(out, pgStatement{sql: head + arraysOf(x, cols) + tail, cols: cols, chunk: chunk})
	}
	set := assignments(x, u.plan.keys, "s")
	switch {
	case u.op == unitDelete:
		add(u.plan.keys, arrayChunk, "DELETE FROM "+t.sql+" AS t USING ", " AS s WHERE "+match(x, u.plan))
	case u.op == unitUpdate || u.plan.partial && u.op == unitUpsert:
		if set != "" {
			add(len(x.cols), arrayChunk, "UPDATE "+t.sql+" AS t SET "+set+" FROM ", " AS s WHERE "+match(x, u.plan))
		}
		if u.op == unitUpsert {
			add(len(x.cols), arrayChunk, insertHead(x, t)+" FROM ", " AS s WHERE NOT EXISTS (SELECT FROM "+t.sql+" AS t WHERE "+match(x, u.plan)+")"+conflict(x, u))
		}
	default:
		add(len(x.cols), arrayRows, insertHead(x, t)+" FROM ", " AS s"+conflict(x, u))
	}
	x.arrays[u.op] = out
	return out
}

// arraysOf is a subquery of the first columns of a plan, given as one array parameter
// for each.
func arraysOf(x *pgPlan, cols int) string {
	var params, as, sel []string
	for i := range cols {
		n, q := strconv.Itoa(i+1), pgQuote(x.cols[i].name)
		typ := x.stage[i]
		if strings.HasSuffix(typ, "[]") { // unnest would take it apart
			params = append(params, "$"+n+"::text[]")
			sel = append(sel, "a."+q+"::"+typ+" AS "+q)
		} else {
			params = append(params, "$"+n+"::"+typ+"[]")
			sel = append(sel, "a."+q)
		}
		as = append(as, q)
	}
	return "(SELECT " + strings.Join(sel, ", ") + " FROM unnest(" + strings.Join(params, ", ") + ") AS a(" + strings.Join(as, ", ") + "))"
}

// runs prepares the statements of a unit and encodes its rows behind what is in p.buf.
func (p *postgres) runs(ctx context.Context, out []pgRun, src *rows, u *unit, x *pgPlan, at int) ([]pgRun, error) {
	for _, st := range p.statements(x, u) {
		name, err := p.prepare(ctx, x, st.sql)
		if err != nil {
			return out, err
		}
		for left := u.rows; len(left) > 0; {
			part := left[:min(len(left), st.chunk)]
			left = left[len(part):]
			r := pgRun{unit: at, name: name, from: len(p.buf), ends: make([]int, st.cols)}
			if err := p.encodeArrays(src, x, part, r.ends); err != nil {
				return out, err
			}
			out = append(out, r)
		}
	}
	return out, nil
}

func (p *postgres) prepare(ctx context.Context, x *pgPlan, sql string) (string, error) {
	if name := x.names[sql]; name != "" {
		return name, nil
	}
	name := x.temp + "_" + strconv.Itoa(len(x.names))
	if _, err := p.conn.Prepare(ctx, name, sql, nil); err != nil {
		e := pgError("prepare "+sql, err)
		return "", e
	}
	x.names[sql] = name
	return name, nil
}

// encodeArrays appends one array literal per column to p.buf; ends tells where each ends.
func (p *postgres) encodeArrays(src *rows, x *pgPlan, part []int32, ends []int) error {
	var err error
	for c := range ends {
		p.buf = append(p.buf, '{')
		first := true
		for _, i := range part {
			if i < 0 {
				continue
			}
			if !first {
				p.buf = append(p.buf, ',')
			}
			first = false
			v := src.value(&x.cols[c], i)
			if v.IsNull() {
				p.buf = append(p.buf, "NULL"...)
			} else if p.buf, err = p.enc.quoted(p.buf, &x.sems[c], x.cols[c].schema, src.b, v); err != nil {
				return badValue(i, &x.cols[c], err)
			}
		}
		p.buf = append(p.buf, '}')
		ends[c] = len(p.buf)
	}
	return nil
}

// params are the parameters of a run, valid until the next call.
func (p *postgres) params(r *pgRun) [][]byte {
	p.args = p.args[:0]
	from := r.from
	for _, end := range r.ends {
		p.args = append(p.args, p.buf[from:end])
		from = end
	}
	return p.args
}

// pipeline writes units of arrays in one round trip. Statements up to a Sync are one
// transaction without BEGIN and COMMIT (PostgreSQL manual, 55.2.4 Pipelining).
func (p *postgres) pipeline(ctx context.Context, src *rows, units []*unit) error {
	p.buf = p.buf[:0]
	var runs []pgRun
	var err error
	for n, u := range units {
		if runs, err = p.runs(ctx, runs, src, u, p.planOf(u.plan), n); err != nil {
			return p.left(&unitError{unit: n, err: err})
		}
	}
	if len(runs) == 0 {
		return nil
	}
	pipe := p.conn.StartPipeline(ctx)
	for i := range runs {
		pipe.SendQueryPrepared(runs[i].name, p.params(&runs[i]), nil, nil)
	}
	err = pipe.Sync()
	for i := range runs {
		if err != nil {
			break
		}
		if _, err = pipe.GetResults(); err != nil {
			if e := pgError("write to "+units[runs[i].unit].plan.table.name, err); classOf(e) != errLost {
				_ = pipe.Close() // reads up to the Sync; the error is the one that is there
				return p.left(&unitError{unit: runs[i].unit, err: e})
			}
		}
	}
	if err == nil {
		_, err = pipe.GetResults() // of the Sync, which is the COMMIT
	}
	if e := pipe.Close(); err == nil {
		err = e
	}
	if err != nil {
		return p.left(lostCommit(pgError("COMMIT", err)))
	}
	return nil
}

// left gives up a connection whose server takes no writes any more, for another one.
func (p *postgres) left(err error) error {
	if classOf(err) == errLost {
		p.close()
	}
	return err
}

// undo rolls back the transaction that failed with err, where the connection is there still.
func (p *postgres) undo(ctx context.Context, err error) error {
	if !p.conn.IsClosed() {
		if e := p.exec(ctx, "ROLLBACK"); e != nil {
			p.log.Debug("rolling back", "error", e)
		}
	}
	return p.left(err)
}

func (p *postgres) stageSQL(x *pgPlan) string {
	return "COPY pg_temp." + x.temp + " (" + names(x, "") + ") FROM STDIN"
}

func (p *postgres) mergeSQL(x *pgPlan, u *unit) string {
	return insertHead(x, u.plan.table) + " FROM pg_temp." + x.temp + " AS s" + conflict(x, u)
}

// copyAtOnce is copyMerge in one transaction of one round trip, for a temporary table
// that is there: the server reads the rows as soon as it comes to COPY, and then the
// rest. Only upserts are written so: whether the COMMIT was reached is not known when
// the connection is lost.
func (p *postgres) copyAtOnce(ctx context.Context, src *rows, u *unit) error {
	x := p.planOf(u.plan)
	if err := p.encodeCopy(src, x, u.rows); err != nil {
		return &unitError{err: err}
	}
	err := p.copyIn(ctx, u.plan.table, "BEGIN; "+p.stageSQL(x)+"; "+p.mergeSQL(x, u)+"; COMMIT")
	if err != nil {
		return p.undo(ctx, &unitError{err: lostCommit(err)})
	}
	return nil
}
