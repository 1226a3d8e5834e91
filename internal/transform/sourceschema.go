package transform

import (
	"strconv"

	"millrace/internal/errs"
	"millrace/internal/record"
)

// sourceSchema is ExtractSchemaToNewRecord: a field sourceSchema beside before and
// after describes the table's columns, from the parameters that
// column.propagate.source.type leaves in their schemas.
type sourceSchema struct {
	plans planCache[*sourceSchemaPlan]
}

type sourceSchemaPlan struct {
	copy          *copyPlan
	before, after int
	source, table int
	columns       *record.Datum
}

var (
	sourceColumnSchema = &record.Schema{Type: record.Struct, Name: "io.debezium.connector.source.schema.Column", Version: 1, Fields: []record.Field{
		{Name: "name", Schema: record.PlainString}, {Name: "typeName", Schema: record.PlainString}, {Name: "length", Schema: record.OptionalInt32},
		{Name: "scale", Schema: record.OptionalInt32}, {Name: "comment", Schema: record.OptionalString}}}
	sourceColumnsSchema = &record.Schema{Type: record.Array, Elem: sourceColumnSchema}
	sourceTableSchema   = &record.Schema{Type: record.Struct, Name: "io.debezium.connector.source.schema.Table", Version: 1, Fields: []record.Field{{Name: "columns", Schema: sourceColumnsSchema}}}
	sourceBlockSchema   = &record.Schema{Type: record.Struct, Name: "io.debezium.connector.source.Schema", Version: 1, Fields: []record.Field{{Name: "id", Schema: record.PlainString}, {Name: "table", Schema: sourceTableSchema}}}
)

func (t *sourceSchema) Apply(b *record.Batch, r *record.Record) (bool, error) {
	if r.Value.IsNull() {
		return true, nil
	}
	p, ok := t.plans.lookup(r.ValueSchema)
	if !ok {
		if !isEnvelope(r.ValueSchema) {
			return true, nil
		}
		if noRow(b, r, "before") && noRow(b, r, "after") {
			return true, nil // a truncate needs no columns
		}
		var err error
		if p, err = compileSourceSchema(r.ValueSchema); err != nil {
			return true, err
		}
		t.plans.store(r.ValueSchema, p)
	}
	if b.Child(r.Value, p.before).IsNull() && b.Child(r.Value, p.after).IsNull() {
		return true, nil
	}
	out := p.copy.apply(b, r.Value)
	table := b.Alloc(record.Struct, 1)
	columns := b.Put(p.columns)
	b.SetChild(table, 0, columns)
	block := b.Alloc(record.Struct, 2)
	b.SetChild(block, 0, b.Child(b.Child(r.Value, p.source), p.table))
	b.SetChild(block, 1, table)
	b.SetChild(out, out.Len()-1, block)
	r.ValueSchema, r.Value = p.copy.out, out
	return true, nil
}

// noRow reports whether a field of the envelope is there and null.
func noRow(b *record.Batch, r *record.Record, field string) bool {
	i, _ := r.ValueSchema.Field(field)
	return i >= 0 && b.Child(r.Value, i).IsNull()
}

func compileSourceSchema(s *record.Schema) (*sourceSchemaPlan, error) {
	p := &sourceSchemaPlan{}
	var row, src *record.Schema
	p.before, _ = s.Field("before")
	p.after, row = s.Field("after")
	if p.source, src = s.Field("source"); p.before < 0 || p.after < 0 || src == nil {
		return nil, dataErr("the schema %s is named like a change event and has no before, after or source", s.Name)
	}
	if p.table, _ = src.Field("table"); p.table < 0 {
		return nil, dataErr("table is not a valid field name")
	}
	columns := []any{}
	for _, f := range row.Fields {
		c := map[string]any{}
		for param, field := range map[string]string{"name": "name", "type": "typeName", "length": "length", "scale": "scale", "comment": "comment"} {
			text, ok := f.Schema.Param("__debezium.source.column." + param)
			switch {
			case !ok && (param == "name" || param == "type"):
				return nil, &errs.Error{Java: errs.DebeziumException, Msg: `Ensure that enable configurations "column.propagate.source.type" or "datatype.propagate.source.type" and the value is set to ".*"`}
			case !ok:
			case field == "length" || field == "scale":
				n, err := strconv.Atoi(text)
				if err != nil {
					return nil, dataErr("the parameter __debezium.source.column.%s of %s is no number: %s", param, f.Name, text)
				}
				c[field] = n
			default:
				c[field] = text
			}
		}
		columns = append(columns, c)
	}
	d, err := record.DatumOf(sourceColumnsSchema, columns)
	if err != nil {
		return nil, err
	}
	p.columns = d
	out := s.Copy()
	out.Fields, out.Default = nil, nil
	p.copy = wholeCopy(s, out, true)
	p.copy.add("sourceSchema", sourceBlockSchema, -1, false)
	return p, nil
}
