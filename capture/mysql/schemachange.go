package mysql

import (
	"slices"
	"strings"

	"millrace/internal/record"
	"millrace/schemahistory"
)

// changeSchemas are the schemas of schema change records.
type changeSchemas struct{ key, value *record.Schema }

func newChangeSchemas(in *record.Interner, flavor Flavor, adjust func(string) string, source *record.Schema) changeSchemas {
	name := func(s string) string {
		if adjust != nil {
			return adjust(s)
		}
		return s
	}
	str := func(s *record.Schema, names ...string) []record.Field {
		var out []record.Field
		for _, n := range names {
			out = append(out, record.Field{Name: n, Schema: s})
		}
		return out
	}
	texts := &record.Schema{Type: record.Array, Optional: true, Elem: record.PlainString}
	column := &record.Schema{Type: record.Struct, Name: name("io.debezium.connector.schema.Column"), Version: 1, Fields: []record.Field{
		{Name: "name", Schema: record.PlainString}, {Name: "jdbcType", Schema: record.PlainInt32}, {Name: "nativeType", Schema: record.OptionalInt32},
		{Name: "typeName", Schema: record.PlainString}, {Name: "typeExpression", Schema: record.OptionalString}, {Name: "charsetName", Schema: record.OptionalString},
		{Name: "length", Schema: record.OptionalInt32}, {Name: "scale", Schema: record.OptionalInt32}, {Name: "position", Schema: record.PlainInt32},
		{Name: "optional", Schema: record.OptionalBoolean}, {Name: "autoIncremented", Schema: record.OptionalBoolean}, {Name: "generated", Schema: record.OptionalBoolean},
		{Name: "comment", Schema: record.OptionalString}, {Name: "defaultValueExpression", Schema: record.OptionalString}, {Name: "enumValues", Schema: texts}}}
	table := &record.Schema{Type: record.Struct, Optional: true, Name: name("io.debezium.connector.schema.Table"), Version: 1, Fields: []record.Field{
		{Name: "defaultCharsetName", Schema: record.OptionalString}, {Name: "primaryKeyColumnNames", Schema: texts},
		{Name: "columns", Schema: &record.Schema{Type: record.Array, Elem: column}}, {Name: "comment", Schema: record.OptionalString}}}
	change := &record.Schema{Type: record.Struct, Name: name("io.debezium.connector.schema.Change"), Version: 1, Fields: []record.Field{
		{Name: "type", Schema: record.PlainString}, {Name: "id", Schema: record.PlainString}, {Name: "table", Schema: table}}}
	prefix := "io.debezium.connector." + string(flavor)
	fields := []record.Field{{Name: "source", Schema: source}, {Name: "ts_ms", Schema: record.PlainInt64}}
	fields = append(fields, str(record.OptionalString, "databaseName", "schemaName", "ddl")...)
	fields = append(fields, record.Field{Name: "tableChanges", Schema: &record.Schema{Type: record.Array, Elem: change}})
	return changeSchemas{
		key:   in.Intern(&record.Schema{Type: record.Struct, Name: name(prefix + ".SchemaChangeKey"), Version: 1, Fields: str(record.PlainString, "databaseName")}),
		value: in.Intern(&record.Schema{Type: record.Struct, Name: name(prefix + ".SchemaChangeValue"), Version: 1, Fields: fields}),
	}
}

func textOrNull(b *record.Batch, s string) record.Cell {
	if s == "" {
		return record.Cell{}
	}
	return b.StringCell(s)
}

func textList(b *record.Batch, list []string) record.Cell {
	c := b.Alloc(record.Array, len(list))
	for i, s := range list {
		b.SetChild(c, i, b.StringCell(s))
	}
	return c
}

func numberOrNull(n int) record.Cell {
	if n < 0 {
		return record.Cell{}
	}
	return record.Int32Cell(int32(n))
}

func changeTable(b *record.Batch, t *schemahistory.Table) record.Cell {
	if t == nil {
		return record.Cell{}
	}
	c := b.Alloc(record.Struct, 4)
	b.SetChild(c, 0, textOrNull(b, t.Charset))
	b.SetChild(c, 1, textList(b, t.PrimaryKey))
	cols := b.Alloc(record.Array, len(t.Columns))
	for i := range t.Columns {
		b.SetChild(cols, i, changeColumn(b, &t.Columns[i], i+1))
	}
	b.SetChild(c, 2, cols)
	if t.HasComment {
		b.SetChild(c, 3, b.StringCell(t.Comment))
	}
	return c
}

func changeColumn(b *record.Batch, c *schemahistory.Column, position int) record.Cell {
	x := b.Alloc(record.Struct, 15)
	set := func(i int, v record.Cell) { b.SetChild(x, i, v) }
	set(0, b.StringCell(c.Name))
	set(1, record.Int32Cell(int32(c.JDBCType)))
	set(3, b.StringCell(c.TypeName))
	set(4, b.StringCell(c.TypeName))
	set(5, textOrNull(b, c.Charset))
	set(6, numberOrNull(c.Length))
	set(7, numberOrNull(c.Scale))
	set(8, record.Int32Cell(int32(position)))
	set(9, record.BoolCell(c.Optional))
	set(10, record.BoolCell(c.AutoIncremented))
	set(11, record.BoolCell(c.Generated))
	if c.Comment != nil {
		set(12, b.StringCell(*c.Comment))
	}
	if c.HasDefault && c.Default != nil {
		set(13, b.StringCell(*c.Default))
	}
	if len(c.Labels) > 0 {
		set(14, textList(b, c.Labels))
	}
	return x
}

// appendSchemaChange appends the record of a statement. marker is the text of
// source.snapshot, null while streaming.
func (s *session) appendSchemaChange(step *schemahistory.Step, marker record.Cell) {
	b := s.batch()
	var names []string
	for _, id := range step.Tables {
		if id.DB == step.DB {
			names = append(names, id.Name)
		}
	}
	slices.Sort(names)
	tpl := template{db: step.DB, table: strings.Join(slices.Compact(names), ","), named: !step.DBLevel}
	k := b.Alloc(record.Struct, 1)
	b.SetChild(k, 0, b.StringCell(step.DB))
	us := s.src.tsUs
	if marker.IsNull() { // Debezium keeps milliseconds of the time of a statement in the log
		s.src.tsUs = us / 1000 * 1000
	}
	src := s.src.cell(b, &tpl, s.src.lastRow, marker)
	s.src.tsUs = us
	changes := b.Alloc(record.Array, len(step.Changes))
	for i, c := range step.Changes {
		x := b.Alloc(record.Struct, 3)
		b.SetChild(x, 0, b.StringCell(string(c.Kind)))
		b.SetChild(x, 1, b.StringCell(c.ID.String()))
		b.SetChild(x, 2, changeTable(b, c.Table))
		b.SetChild(changes, i, x)
	}
	v := b.Alloc(record.Struct, 6)
	b.SetChild(v, 0, src)
	b.SetChild(v, 1, record.Int64Cell(s.now.UnixMilli()))
	b.SetChild(v, 2, b.StringCell(step.DB))
	b.SetChild(v, 4, b.StringCell(step.DDL))
	b.SetChild(v, 5, changes)
	r := b.Append()
	r.Topic, r.Partition = s.t.topic(s.t.opts.Naming.SchemaChange()), 0
	r.KeySchema, r.Key, r.ValueSchema, r.Value = s.t.changes.key, k, s.t.changes.value, v
	r.CommitUs = s.src.tsUs
	s.shared.Headers(b, r)
}
