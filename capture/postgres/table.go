package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"millrace/capture/options"
	"millrace/decode/pgoutput"
	"millrace/decode/pgvalue"
	"millrace/emit"
	"millrace/internal/errs"
	"millrace/internal/record"
)

// table is one version of a table, ready to make records of its rows.
type table struct {
	oid      uint32
	captured bool
	signal   bool   // the signal table
	name     string // schema.table
	rows     *pgoutput.Table
	primary  []int // the primary key's columns, whatever the record's key is
	env      *emit.Envelope
	src      template
}

// topics are the interned topics that belong to no table.
type topics struct {
	heartbeat, transaction, message *record.Topic
	byName                          map[string]*record.Topic
}

// topic interns a topic name, since plans are cached by its pointer.
func (t *topics) topic(name string) *record.Topic {
	if x := t.byName[name]; x != nil {
		return x
	}
	x := &record.Topic{Name: name}
	t.byName[name] = x
	return x
}

// relation handles a RELATION message: the version of a table that the rows
// behind it have. Nullability, defaults and keys are not in the log and come from
// the catalog as it is now.
func (s *session) relation(ctx context.Context, m []byte) error {
	rel, err := pgoutput.ParseRelation(m, false)
	if err != nil {
		return fmt.Errorf("read a RELATION message: %w", err)
	}
	tb := &table{oid: rel.OID, name: rel.Schema + "." + rel.Name}
	s.last = nil
	tb.signal = s.t.opts.Signal.Table != "" && strings.EqualFold(tb.name, s.t.opts.Signal.Table)
	if tb.captured = s.t.opts.Tables.Included(rel.Schema, rel.Name); tb.captured {
		meta, err := s.t.cat.table(ctx, rel.OID, rel.Schema, rel.Name)
		if err != nil {
			return err
		}
		if err := s.t.compile(ctx, tb, relationColumns(&rel, meta), relationKey(&rel, meta), rel.Schema, rel.Name, pgvalue.Stream); err != nil {
			return err
		}
	}
	if s.tables[rel.OID] = tb; tb.captured {
		s.windowAltered(tb)
	}
	return nil
}

// relationColumns joins the columns of the message with what the catalog says.
func relationColumns(rel *pgoutput.Relation, meta *tableMeta) []columnMeta {
	out := make([]columnMeta, len(rel.Columns))
	for i, c := range rel.Columns {
		out[i] = columnMeta{Name: c.Name, TypeOID: c.TypeOID, Typmod: c.Typmod}
		if meta == nil {
			out[i].NotNull = c.Key
			continue
		}
		if m := meta.column(c.Name); m != nil {
			out[i].NotNull, out[i].Default, out[i].Comment = m.NotNull, m.Default, m.Comment
		}
	}
	return out
}

// relationKey is the key of a table whose definition may be gone by now: then the
// columns of its replica identity, unless that is the whole row.
func relationKey(rel *pgoutput.Relation, meta *tableMeta) []string {
	if meta != nil {
		return meta.Key
	}
	var out []string
	for _, c := range rel.Columns {
		if c.Key && rel.ReplicaIdentity != 'f' {
			out = append(out, c.Name)
		}
	}
	return out
}

// compile makes the plans of a table version. Columns are in the order in which
// rows bring them.
func (t *task) compile(ctx context.Context, tb *table, cols []columnMeta, key []string, schema, name string, path pgvalue.Path) error {
	names := t.opts.Naming.For(options.TableID{Schema: schema, Name: name})
	spec := pgoutput.TableSpec{Schema: schema, Name: name, KeyName: names.KeySchema, ValueName: names.ValueSchema, Path: path,
		ExtraKeyName: names.ExtraKeyField, ExtraKeyValue: names.ExtraKeyValue,
		Columns: make([]pgvalue.Column, len(cols)), InValue: make([]bool, len(cols))}
	oids := make([]uint32, len(cols))
	text := make([]string, len(cols))
	for i, c := range cols {
		oids[i], text[i] = c.TypeOID, c.Name
	}
	if err := t.cat.load(ctx, oids); err != nil {
		return err
	}
	for i, c := range cols {
		serial := strings.Contains(c.Default, "nextval(")
		rule := t.opts.ColumnRules.For(schema, name, c.Name, typeName(t.cat, c.TypeOID, serial && path == pgvalue.Snapshot), declaredLength(t.cat, c.TypeOID, c.Typmod))
		spec.Columns[i] = pgvalue.Column{Name: c.Name, TypeOID: c.TypeOID, Typmod: c.Typmod, NotNull: c.NotNull, Default: c.Default, Comment: c.Comment,
			Serial: serial, Truncate: rule.Truncate, MaskChars: rule.MaskChars, Hash: rule.Hash, Propagate: rule.Propagate}
		spec.InValue[i] = t.opts.Columns.Included(schema, name, c.Name)
	}
	tb.primary = nil
	for _, k := range key {
		if i := slices.Index(text, k); i >= 0 { // a key of the future may have columns that the rows do not
			tb.primary = append(tb.primary, i)
		}
	}
	if spec.Key = t.opts.KeyColumns.For(schema, name, text); spec.Key == nil {
		spec.Key = tb.primary
	}
	rows, err := pgoutput.Compile(spec, t.cat, t.opts.Modes, t.interner)
	var said *errs.Error
	switch {
	case errors.As(err, &said): // as Debezium words it
		return said
	case err != nil:
		return fault(err, "", "Cannot make records of table %s.%s", schema, name)
	}
	if len(rows.Omitted) > 0 {
		t.log.Warn("columns are left out because their types are not supported; include.unknown.datatypes=true adds them as opaque bytes",
			"table", schema+"."+name, "columns", strings.Join(rows.Omitted, ","))
	}
	tb.rows = rows
	tb.src = template{schema: schema, table: name}
	tb.env = emit.NewEnvelope(t.interner, emit.EnvelopeSpec{Topic: t.topics.topic(names.Topic), Name: names.EnvelopeSchema,
		Key: rows.KeySchema, Value: rows.ValueSchema, Source: t.source, Tombstones: t.opts.Tombstones})
	return nil
}

// typeName is the name that datatype patterns are matched against. In a snapshot
// the JDBC driver names integers with a sequence by their pseudo-types.
func typeName(c *catalog, id uint32, serial bool) string {
	t := c.Type(id)
	if t == nil {
		return ""
	}
	if serial {
		switch t.Name {
		case "int2":
			return "smallserial"
		case "int4":
			return "serial"
		case "int8":
			return "bigserial"
		}
	}
	return t.Name
}

// declaredLength is the length in characters, bytes or bits that a column is
// declared with, -1 when it has none.
func declaredLength(c *catalog, id uint32, mod int32) int {
	t := c.Type(id)
	for t != nil && t.Kind == 'd' && t.Base != 0 {
		if mod < 0 {
			mod = t.BaseMod
		}
		t = c.Type(t.Base)
	}
	if t == nil || mod < 0 {
		return -1
	}
	switch t.Name {
	case "varchar", "bpchar":
		return int(mod) - 4
	case "bit", "varbit":
		return int(mod)
	}
	return -1
}

// fail makes the error of a row that cannot be turned into a record.
func (tb *table) fail(err error, at LSN) error {
	return fault(err, "Set event.processing.failure.handling.mode=warn to skip such rows", "Cannot make a record of a row of table %s at LSN %s", tb.name, at)
}
