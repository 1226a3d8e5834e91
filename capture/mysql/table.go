package mysql

import (
	"slices"
	"strings"

	"millrace/capture/options"
	"millrace/decode/binlog"
	"millrace/decode/myvalue"
	"millrace/emit"
	"millrace/internal/record"
	"millrace/schemahistory"
)

// table is a table version with the plans to read and write its rows.
type table struct {
	id       schemahistory.TableID
	name     string // db.table
	version  *schemahistory.Table
	wire     *binlog.TableMap // nil for a snapshot
	captured bool
	signal   bool // signals are inserted into it
	// rowEnd is the hidden column of a system-versioned table of MariaDB that says
	// until when a row is current; 0: the table is not versioned.
	rowEnd int
	rows   *myvalue.Table
	env    *emit.Envelope
	src    template
	again  *rereader // of the post processors; nil until it is needed
}

// captured reports whether rows of a table make records.
func (t *task) captured(id schemahistory.TableID) bool { return t.opts.Tables.Included(id.DB, id.Name) }

// unquoteLabels takes quotes and doubled single quotes off labels as the model has them.
// Other escapes stay as they were written, as in Debezium.
func unquoteLabels(labels []string) []string {
	out := make([]string, len(labels))
	for i, l := range labels {
		if len(l) >= 2 && (l[0] == '\'' || l[0] == '"') && l[len(l)-1] == l[0] {
			l = strings.NewReplacer(`\\`, `\\`, `\'`, "'", `''`, "'").Replace(l[1 : len(l)-1])
		}
		out[i] = l
	}
	return out
}

// labelValues are the labels as queries show them.
func labelValues(labels []string) []string {
	out := unquoteLabels(labels)
	for i, l := range out {
		out[i] = strings.ReplaceAll(l, `\\`, `\`)
	}
	return out
}

// compile makes the plans of a table version. wire is nil for a snapshot.
func (t *task) compile(v *schemahistory.Table, wire *binlog.TableMap) (*table, error) {
	id := v.ID
	tb := &table{id: id, name: id.DB + "." + id.Name, version: v, wire: wire, captured: true}
	names := t.opts.Naming.For(options.TableID{Catalog: id.DB, Name: id.Name})
	spec := myvalue.TableSpec{KeyName: names.KeySchema, ValueName: names.ValueSchema, ExtraKeyName: names.ExtraKeyField, ExtraKeyValue: names.ExtraKeyValue,
		Columns: make([]myvalue.Column, len(v.Columns)), InValue: make([]bool, len(v.Columns))}
	text := make([]string, len(v.Columns))
	for i := range v.Columns {
		c := &v.Columns[i]
		text[i] = c.Name
		rule := t.opts.ColumnRules.For(id.DB, id.Name, c.Name, c.TypeName, c.Length)
		spec.Columns[i] = myvalue.Column{Name: c.Name, TypeName: c.TypeName, Length: c.Length, Scale: c.Scale, Charset: c.Charset, Optional: c.Optional,
			HasDefault: c.HasDefault, Default: c.Default, Labels: unquoteLabels(c.Labels),
			Truncate: rule.Truncate, MaskChars: rule.MaskChars, Hash: rule.Hash, Propagate: rule.Propagate}
		if t.opts.Comments && c.Comment != nil {
			spec.Columns[i].Comment = c.Comment
		}
		t.opts.convert(tb.name, &spec.Columns[i])
		spec.InValue[i] = t.opts.Columns.Included(id.DB, id.Name, c.Name)
	}
	if spec.Key = t.opts.KeyColumns.For(id.DB, id.Name, text); spec.Key == nil {
		for _, k := range v.Key() {
			if i := slices.IndexFunc(text, func(s string) bool { return strings.EqualFold(s, k) }); i >= 0 {
				spec.Key = append(spec.Key, i)
			}
		}
	}
	if wire != nil {
		spec.Wire = wire.Columns
	}
	rows, err := myvalue.CompileTable(spec, t.opts.Modes, t.interner)
	if err != nil {
		return nil, fault(err, "", "Cannot make records of table %s", tb.name)
	}
	if len(rows.Omitted) > 0 {
		t.log.Warn("columns are left out because their types are not supported", "table", tb.name, "columns", strings.Join(rows.Omitted, ","))
	}
	tb.rows = rows
	tb.src = template{db: id.DB, table: id.Name}
	tb.env = emit.NewEnvelope(t.interner, emit.EnvelopeSpec{Topic: t.topic(names.Topic), Name: names.EnvelopeSchema,
		Key: rows.KeySchema, Value: rows.ValueSchema, Source: t.source, Tombstones: t.opts.Tombstones})
	return tb, nil
}

// topic interns a topic name for this task.
func (t *task) topic(name string) *record.Topic {
	if x := t.topics[name]; x != nil {
		return x
	}
	x := &record.Topic{Name: name}
	t.topics[name] = x
	return x
}
