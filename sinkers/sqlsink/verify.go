package sqlsink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sort"
	"strings"

	"millrace/internal/configdef"
	"millrace/internal/errs"
	"millrace/internal/record"
)

// Verifier compares target tables with what a sink's records say. It is the sink
// itself, which writes into temporary tables of the target database instead: each
// value goes through the very conversions and statements of the sink, and the
// database compares. The target tables are only read.
//
// Put takes records in the order of each partition; Compare may be called at any
// time and again after more records. The temporary tables live as long as the
// connection: when it is lost, the comparison has to begin anew.
type Verifier struct {
	sink     *Sink
	ask      asker
	sides    map[*table]*side
	order    []*side
	Refused  []error // the first records that the target's types refuse
	refusals int
	updates  bool // insert.mode=update: rows that the table lacks are not made
}

// asker reads rows as texts; null is "".
type asker interface {
	ask(ctx context.Context, q string) ([][]string, error)
	// scratch makes a temporary table like t's, with keys, and returns its name as SQL.
	scratch(ctx context.Context, t *table, n int, keys []string) (string, error)
	// differ is the condition that column q of s and t has two values; json tells that
	// it holds JSON, whose blanks do not count. text is a column as a text.
	differ(q string, info *colInfo, json bool) string
	text(q string) string
	// digest is a short text that differs where the columns do.
	digest(cols []string) string
}

// side is one target table and its temporary twin.
type side struct {
	t       *table
	real    string // the target table as SQL
	keys    []string
	cols    []string // columns that records write, without keys
	json    map[string]bool
	missing map[string]bool
	absent  bool // there is no such table
}

// TableReport is the comparison of one table.
type TableReport struct {
	Table string `json:"table"`
	// Expected rows follow from the records, Rows are in the table.
	Expected  int64 `json:"expected"`
	Rows      int64 `json:"rows"`
	Missing   int   `json:"missing"`   // keys that the table lacks
	Extra     int   `json:"extra"`     // keys that only the table has
	Different int   `json:"different"` // keys whose rows differ
	// Problem says why the table, or columns of it, could not be compared.
	Problem string    `json:"problem,omitempty"`
	Keys    []KeyDiff `json:"keys,omitempty"` // the first differences
}

// KeyDiff is one key whose row is not as it should be.
type KeyDiff struct {
	Kind    string            `json:"kind"` // missing, extra or different
	Key     map[string]string `json:"key"`
	Columns []string          `json:"columns,omitempty"` // of kind different
	// Row is a digest of what the row should be; of an extra row, of what it is. When it
	// is another one than before, records have changed the row in between.
	Row string `json:"-"`
}

// ID tells differences of one table apart.
func (d *KeyDiff) ID() string { return fmt.Sprintf("%s %q", d.Kind, d.Key) }

// Most is how many differences of a kind and table are listed; those beyond it are counted.
const Most = 10000

// NewVerifier makes the verifier of a JDBC sink, by its Java class; Start connects.
func NewVerifier(class string, props map[string]string, log *slog.Logger) (*Verifier, error) {
	var c *config
	var err error
	switch class {
	case Class:
		var v configdef.Values
		if v, err = Def().Parse(props); err == nil {
			c, err = debeziumConfig(v)
		}
	case ConfluentClass:
		c, err = plainOf(DefConfluent(), props, confluentConfig)
	case AivenClass:
		c, err = plainOf(DefAiven(), props, aivenConfig)
	default:
		return nil, fmt.Errorf("tables of JDBC sinks can be compared (%s, %s, %s), not those of %s", Class, ConfluentClass, AivenClass, class)
	}
	if err != nil {
		return nil, &errs.Error{Java: errs.ConfigException, Msg: err.Error()}
	}
	if c.keyMode == keyNone {
		return nil, errors.New("rows are compared by key, and this sink's rows have none: its primary key mode is none")
	}
	// Whatever the mode, a row ends as its last record says; an update of a row that the target never had changes nothing.
	updates := c.mode == modeUpdate
	c.mode, c.lanes, c.isolate, c.attempts = modeUpsert, 1, true, 1
	k, err := newSink(c, log)
	if err != nil {
		return nil, err
	}
	v := &Verifier{sink: k, sides: map[*table]*side{}, updates: updates}
	k.verify = v
	v.ask = k.target.(asker)
	if s, ok := k.target.(*sqliteTarget); ok {
		s.begin = "BEGIN" // the file itself is not written
	}
	return v, nil
}

// Start connects to the target.
func (v *Verifier) Start(ctx context.Context) error { return v.sink.Start(ctx) }

// Stop drops the temporary tables with the connection.
func (v *Verifier) Stop() error { return v.sink.Stop() }

// Flush has nothing to do.
func (v *Verifier) Flush(context.Context) error { return nil }

// Put takes records. What the target would refuse counts as refused.
func (v *Verifier) Put(ctx context.Context, b *record.Batch) error {
	err := v.sink.Put(ctx, b)
	var bad *errs.RecordError
	if !errors.As(err, &bad) {
		return err
	}
	for _, x := range bad.Bad {
		if v.refusals++; len(v.Refused) < 10 {
			o := b.Records[x.Index].Origin
			v.Refused = append(v.Refused, fmt.Errorf("topic %s, partition %d, offset %d: %w", o.Topic.Name, o.Partition, o.Offset, x.Err))
		}
	}
	return nil
}

// Refusals is how many records the target would refuse.
func (v *Verifier) Refusals() int { return v.refusals }

// ensure stands for Sink.ensure: the table is looked at, never changed, and what is
// written goes into its twin.
func (v *Verifier) ensure(ctx context.Context, p *plan) error {
	t := p.table
	s := v.sides[t]
	if s == nil {
		s = &side{t: t, real: t.sql, missing: map[string]bool{}, json: map[string]bool{}}
		v.sides[t], v.order = s, append(v.order, s)
		info, err := v.sink.target.describe(ctx, t)
		if err != nil {
			return err
		}
		t.info, s.absent = info, info == nil
	}
	if s.absent {
		p.skip = true
		return nil
	}
	kept, keys := p.cols[:0], 0
	for i, c := range p.cols {
		info := v.sink.find(t, c.name)
		switch {
		case info == nil && i < p.keys:
			return tableError(t, fmt.Errorf("the table has no key column %q", c.name))
		case info == nil:
			s.missing[c.name] = true
			continue
		}
		c.name = info.name
		if c.alt != nil && temporal(info.typ) {
			c.sem = *c.alt
		}
		if i < p.keys {
			keys++
		} else if !info.generated && !slices.Contains(s.cols, c.name) {
			s.cols = append(s.cols, c.name)
			s.json[c.name] = c.sem.kind == kindJSON
		}
		kept = append(kept, c)
	}
	p.cols, p.keys = kept, keys
	if s.keys != nil || keys == 0 { // a truncate has no columns
		return nil
	}
	for i := range keys {
		s.keys = append(s.keys, kept[i].name)
	}
	twin, err := v.ask.scratch(ctx, t, len(v.order), s.keys)
	if err != nil {
		return err
	}
	t.sql = twin
	return nil
}

// Compare compares all tables that records were seen for.
func (v *Verifier) Compare(ctx context.Context) ([]*TableReport, error) {
	var out []*TableReport
	for _, s := range v.order {
		r, err := v.compare(ctx, s)
		if err != nil {
			return nil, fmt.Errorf("compare %s: %w", s.t.name, err)
		}
		out = append(out, r)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Table < out[j].Table })
	return out, nil
}

func (v *Verifier) compare(ctx context.Context, s *side) (*TableReport, error) {
	r := &TableReport{Table: s.t.name}
	switch {
	case s.absent:
		r.Problem = "there is no such table in the target"
		return r, nil
	case s.keys == nil:
		return r, nil
	case len(s.missing) > 0:
		var names []string
		for n := range s.missing {
			names = append(names, n)
		}
		sort.Strings(names)
		r.Problem = "the table lacks the columns " + strings.Join(names, ", ")
	}
	var err error
	if r.Expected, err = v.count(ctx, "SELECT COUNT(*) FROM "+s.t.sql); err != nil {
		return nil, err
	}
	if r.Rows, err = v.count(ctx, "SELECT COUNT(*) FROM "+s.real); err != nil {
		return nil, err
	}
	if _, ok := v.ask.(*postgres); ok {
		if err := v.sink.target.exec(ctx, "ANALYZE "+s.t.sql); err != nil {
			return nil, err
		}
	}
	for _, q := range v.queries(s) {
		if v.updates && q.kind == "missing" {
			continue
		}
		n, keys, err := v.list(ctx, s, q)
		if err != nil {
			return nil, err
		}
		*map[string]*int{"missing": &r.Missing, "extra": &r.Extra, "different": &r.Different}[q.kind] = n
		r.Keys = append(r.Keys, keys...)
	}
	return r, nil
}

// question asks for the keys of one kind of difference.
type question struct{ kind, cols, from string }

// queries are the questions about a table. The twin is s, the target t; MySQL lets
// a temporary table stand in a statement once.
func (v *Verifier) queries(s *side) []question {
	quote := v.sink.spell.quote
	var on, skeys, tkeys, names, any, scols, tcols []string
	for _, k := range s.keys {
		q := quote(k)
		on = append(on, "s."+q+" = t."+q)
		skeys, tkeys = append(skeys, v.ask.text("s."+q)), append(tkeys, v.ask.text("t."+q))
	}
	for _, c := range s.cols {
		scols, tcols = append(scols, "s."+quote(c)), append(tcols, "t."+quote(c))
		cond := v.ask.differ(quote(c), v.sink.column(s.t, c), s.json[c])
		any = append(any, cond)
		names = append(names, "CASE WHEN "+cond+" THEN '"+strings.ReplaceAll(c, "'", "''")+"' END")
	}
	skeys, tkeys = append(skeys, v.ask.digest(scols)), append(tkeys, v.ask.digest(tcols))
	match := strings.Join(on, " AND ")
	out := []question{
		{"missing", strings.Join(skeys, ", "), s.t.sql + " s WHERE NOT EXISTS (SELECT 1 FROM " + s.real + " t WHERE " + match + ")"},
		{"extra", strings.Join(tkeys, ", "), s.real + " t WHERE NOT EXISTS (SELECT 1 FROM " + s.t.sql + " s WHERE " + match + ")"},
	}
	if len(any) > 0 {
		out = append(out, question{"different", strings.Join(skeys, ", ") + ", " + strings.Join(names, ", "),
			s.t.sql + " s JOIN " + s.real + " t ON " + match + " WHERE " + strings.Join(any, " OR ")})
	}
	return out
}

func (v *Verifier) list(ctx context.Context, s *side, q question) (n int, out []KeyDiff, err error) {
	rows, err := v.ask.ask(ctx, fmt.Sprintf("SELECT %s FROM %s LIMIT %d", q.cols, q.from, Most))
	if err != nil {
		return 0, nil, err
	}
	for _, row := range rows {
		d := KeyDiff{Kind: q.kind, Key: map[string]string{}}
		for i, k := range s.keys {
			d.Key[k] = row[i]
		}
		d.Row = row[len(s.keys)]
		for _, c := range row[len(s.keys)+1:] {
			if c != "" {
				d.Columns = append(d.Columns, c)
			}
		}
		out = append(out, d)
	}
	n = len(rows)
	if n == Most {
		all, err := v.count(ctx, "SELECT COUNT(*) FROM "+q.from)
		return int(all), out, err
	}
	return n, out, nil
}

func (v *Verifier) count(ctx context.Context, q string) (n int64, err error) {
	rows, err := v.ask.ask(ctx, q)
	if err != nil {
		return 0, err
	}
	_, err = fmt.Sscan(rows[0][0], &n)
	return n, err
}
