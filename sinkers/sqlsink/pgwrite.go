package sqlsink

import (
	"bytes"
	"context"
	"strconv"
	"strings"
)

// arrayRows is up to how many rows of a unit go as array parameters of one
// statement; more go through COPY into a temporary table.
const arrayRows = 200

// arrayChunk bounds the rows of one array statement where COPY is not used
// (deletes and updates join with the target, and the planner guesses the size of
// arrays well but not that of a fresh temporary table).
const arrayChunk = 2000

// pgPlan is a plan as this connection runs it.
type pgPlan struct {
	cols   []column          // without generated ones
	sems   []sem             // with what the target's types change
	stage  []string          // type in which a value arrives
	direct bool              // the stage types are the target's own
	temp   string            // temporary table
	made   bool              // the temporary table is there
	inTx   bool              // made in the open transaction: a rollback takes it away
	always bool              // has an identity column GENERATED ALWAYS
	names  map[string]string // prepared statement by SQL
	arrays map[unitOp][]pgStatement
}

// pgStatement is one statement over arrays of a unit's rows.
type pgStatement struct {
	sql   string
	cols  int // how many of the plan's columns are its parameters
	chunk int // how many rows one run takes
}

var pgTextTypes = map[string]bool{"text": true, "character varying": true, "bpchar": true, "name": true, "citext": true}

// pgCastable are types that Debezium's sink casts a text to.
var pgCastable = map[string]bool{"uuid": true, "json": true, "jsonb": true}

func (p *postgres) planOf(pl *plan) *pgPlan {
	if x := p.plans[pl]; x != nil {
		return x
	}
	x := &pgPlan{direct: true, temp: "millrace_stage_" + strconv.Itoa(len(p.plans)+1), names: map[string]string{}, arrays: map[unitOp][]pgStatement{}}
	for i := range pl.cols {
		c := pl.cols[i]
		info := pl.table.info.cols[c.name]
		if info.generated {
			continue
		}
		m := c.sem
		switch m.kind {
		case kindPoint, kindGeometry, kindGeography:
			m.srcType = strings.ToUpper(info.typ) // what the value's text is for
		}
		stage := p.stageType(&m, info)
		x.always = x.always || info.always
		x.direct = x.direct && stage == info.typ
		x.cols, x.sems, x.stage = append(x.cols, c), append(x.sems, m), append(x.stage, stage)
	}
	p.plans[pl] = x
	return x
}

// stageType is the type that a value has before the statement assigns it to the
// column. It is what the Java driver binds, so that the server accepts and refuses
// what it does there: an integer fits a numeric column, a text no timestamp column.
func (p *postgres) stageType(m *sem, info *colInfo) string {
	natural := pgNatural(m)
	if natural == info.typ || pgTextTypes[natural] && pgTextTypes[info.typ] {
		return info.typ
	}
	switch m.kind {
	case kindString, kindEnum, kindEnumSet, kindJSON, kindUUID, kindXML, kindLtree, kindTSVector, kindInterval:
		switch {
		case p.anyText, pgCastable[info.typ], info.enum && m.kind != kindString:
			return info.typ
		case m.kind == kindLtree && info.typ == "ltree", m.kind == kindTSVector && info.typ == "tsvector", m.kind == kindInterval && info.typ == "interval":
			return info.typ
		case pgSourceTypes[m.srcType] == info.typ && info.typ != "":
			return info.typ
		}
	case kindBool:
		if info.typ == "bit" {
			return info.typ
		}
	case kindPoint, kindGeometry, kindGeography, kindVector, kindHalfVector, kindSparseVector, kindMap:
		return info.typ
	}
	return natural
}

func pgNatural(m *sem) string {
	switch m.kind {
	case kindInt8, kindInt16:
		return "smallint"
	case kindInt32, kindYear:
		return "integer"
	case kindInt64:
		return "bigint"
	case kindFloat32:
		return "real"
	case kindFloat64:
		return "double precision"
	case kindBool:
		return "boolean"
	case kindBytes:
		return "bytea"
	case kindDecimal, kindVarDecimal:
		return "numeric"
	case kindDate:
		return "date"
	case kindTime:
		return "time without time zone"
	case kindZonedTime:
		return "time with time zone"
	case kindTimestamp:
		return "timestamp without time zone"
	case kindZonedTimestamp:
		return "timestamp with time zone"
	case kindDuration:
		return "interval"
	case kindJSON:
		return "json"
	case kindUUID:
		return "uuid"
	case kindXML:
		return "xml"
	case kindBits:
		return "bit varying"
	case kindArray:
		return pgNatural(m.elem) + "[]"
	}
	return "character varying"
}

func (p *postgres) write(ctx context.Context, src *rows, units []*unit) error {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	if err := p.ready(ctx); err != nil {
		return err
	}
	switch {
	case p.onlyArrays(units):
		return p.pipeline(ctx, src, units)
	case len(units) == 1 && units[0].op == unitUpsert && p.planOf(units[0].plan).made:
		return p.copyAtOnce(ctx, src, units[0])
	}
	if err := p.exec(ctx, "BEGIN"); err != nil {
		return err
	}
	for n, u := range units {
		if err := p.unit(ctx, src, u); err != nil {
			p.ended(false)
			return p.undo(ctx, &unitError{unit: n, err: err})
		}
	}
	err := p.exec(ctx, "COMMIT")
	p.ended(err == nil)
	return lostCommit(err)
}

// ended notes which temporary tables are there after a transaction: one that was made in
// it is gone with it, also when the COMMIT failed (a deferred constraint).
func (p *postgres) ended(committed bool) {
	for _, x := range p.plans {
		x.made, x.inTx = x.made && (committed || !x.inTx), false
	}
}

func (p *postgres) unit(ctx context.Context, src *rows, u *unit) error {
	if u.op == unitTruncate {
		return p.exec(ctx, "TRUNCATE TABLE "+u.plan.table.sql)
	}
	x := p.planOf(u.plan)
	if !u.byArrays() {
		return p.copyMerge(ctx, src, u, x)
	}
	p.buf = p.buf[:0]
	runs, err := p.runs(ctx, nil, src, u, x, 0)
	if err != nil {
		return err
	}
	for i := range runs {
		if res := p.conn.ExecPrepared(ctx, runs[i].name, p.params(&runs[i]), nil, nil).Read(); res.Err != nil {
			return pgError("write to "+u.plan.table.name, res.Err)
		}
	}
	return nil
}

func insertHead(x *pgPlan, t *table) string {
	head := "INSERT INTO " + t.sql + " AS t (" + names(x, "") + ")"
	if x.always {
		head += " OVERRIDING SYSTEM VALUE"
	}
	return head + " SELECT " + names(x, "s.")
}

func conflict(x *pgPlan, u *unit) string {
	if u.op == unitInsert {
		return ""
	}
	keys := make([]string, u.plan.keys)
	for i := range keys {
		keys[i] = pgQuote(x.cols[i].name)
	}
	if set := assignments(x, u.plan.keys, "EXCLUDED"); set != "" {
		return " ON CONFLICT (" + strings.Join(keys, ", ") + ") DO UPDATE SET " + set
	}
	return " ON CONFLICT (" + strings.Join(keys, ", ") + ") DO NOTHING"
}

func assignments(x *pgPlan, keys int, from string) string {
	var set []string
	for i := keys; i < len(x.cols); i++ {
		q := pgQuote(x.cols[i].name)
		set = append(set, q+" = "+from+"."+q)
	}
	return strings.Join(set, ", ")
}

func names(x *pgPlan, prefix string) string {
	var sb strings.Builder
	for i := range x.cols {
		if i > 0 {
			sb.WriteString(", ")
		}
		sb.WriteString(prefix + pgQuote(x.cols[i].name))
	}
	return sb.String()
}

func match(x *pgPlan, pl *plan) string {
	var on []string
	for i := 0; i < pl.keys; i++ {
		q := pgQuote(x.cols[i].name)
		on = append(on, "t."+q+" = s."+q+"::"+pl.table.info.cols[x.cols[i].name].typ)
	}
	return strings.Join(on, " AND ")
}

// copyMerge sends rows by COPY: straight into the table for plain inserts whose
// types are the table's, else into a temporary table and from there by one INSERT.
func (p *postgres) copyMerge(ctx context.Context, src *rows, u *unit, x *pgPlan) error {
	t := u.plan.table
	if err := p.encodeCopy(src, x, u.rows); err != nil {
		return err
	}
	if u.op == unitInsert && x.direct && !x.always {
		return p.copyIn(ctx, t, "COPY "+t.sql+" ("+names(x, "")+") FROM STDIN")
	}
	if !x.made {
		var defs []string
		for i := range x.cols {
			defs = append(defs, pgQuote(x.cols[i].name)+" "+x.stage[i])
		}
		if err := p.exec(ctx, "CREATE TEMP TABLE IF NOT EXISTS "+x.temp+" ("+strings.Join(defs, ", ")+") ON COMMIT DELETE ROWS"); err != nil {
			return err
		}
		x.made, x.inTx = true, true
	}
	if err := p.copyIn(ctx, t, p.stageSQL(x)); err != nil {
		return err
	}
	name, err := p.prepare(ctx, x, p.mergeSQL(x, u))
	if err != nil {
		return err
	}
	if res := p.conn.ExecPrepared(ctx, name, nil, nil, nil).Read(); res.Err != nil {
		return pgError("write to "+t.name, res.Err)
	}
	return nil
}

// tidy drops the temporary tables; the next large batch makes them again.
func (p *postgres) tidy(ctx context.Context) {
	var all []string
	for _, x := range p.plans {
		if x.made {
			all = append(all, "pg_temp."+x.temp)
		}
	}
	if len(all) == 0 || p.conn == nil || p.conn.IsClosed() {
		return
	}
	if err := p.exec(ctx, "DROP TABLE IF EXISTS "+strings.Join(all, ", ")); err != nil {
		p.log.Debug("dropping temporary tables", "error", err)
		return
	}
	for _, x := range p.plans {
		x.made = false
	}
}

func (p *postgres) encodeCopy(src *rows, x *pgPlan, records []int32) error {
	buf := p.buf[:0]
	var err error
	for _, i := range records {
		if i < 0 {
			continue
		}
		for c := range x.cols {
			if c > 0 {
				buf = append(buf, '\t')
			}
			if buf, err = p.enc.copyValue(buf, &x.sems[c], x.cols[c].schema, src.b, src.value(&x.cols[c], i)); err != nil {
				p.buf = buf
				return badValue(i, &x.cols[c], err)
			}
		}
		buf = append(buf, '\n')
	}
	p.buf = buf
	return nil
}

func (p *postgres) copyIn(ctx context.Context, t *table, sql string) error {
	if _, err := p.conn.CopyFrom(ctx, bytes.NewReader(p.buf), sql); err != nil {
		// When the connection is lost, pgx returns while the goroutine that reads the buffer may still be at it:
		// the buffer is left to that goroutine.
		p.buf = nil
		return pgError("copy into "+t.name, err)
	}
	return nil
}
