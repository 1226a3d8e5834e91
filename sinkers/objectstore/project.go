package objectstore

import "millrace/internal/record"

// project gives a value the shape of another version of its schema, as Connect's
// SchemaProjector does: fields by name, missing ones by their default or null,
// numbers widened.
func project(b *record.Batch, from *record.Schema, c record.Cell, to *record.Schema) record.Cell {
	if c.IsNull() || from == to || from == nil || to == nil {
		return c
	}
	switch {
	case to.Type == record.Struct && from.Type == record.Struct:
		out := b.Alloc(record.Struct, len(to.Fields))
		for i, f := range to.Fields {
			v := record.Cell{}
			if j, fs := from.Field(f.Name); j >= 0 {
				v = project(b, fs, b.Child(c, j), f.Schema)
			} else if f.Schema.Default != nil {
				v = b.Put(f.Schema.Default)
			}
			b.SetChild(out, i, v)
		}
		return out
	case to.Type == record.Array && from.Type == record.Array, to.Type == record.Map && from.Type == record.Map:
		out := b.CloneChildren(c, 0)
		step, first := 1, 0
		if to.Type == record.Map {
			step, first = 2, 1
		}
		for i := first; i < c.Len(); i += step {
			b.SetChild(out, i, project(b, from.Elem, b.Child(c, i), to.Elem))
		}
		return out
	case to.Type == record.Float64 && from.Type != record.Float64 && number(from.Type):
		if from.Type == record.Float32 {
			return record.Float64Cell(c.Float())
		}
		return record.Float64Cell(float64(c.Int()))
	case to.Type == record.Float32 && number(from.Type) && from.Type < record.Float32:
		return record.Float32Cell(float32(c.Int()))
	case number(to.Type) && number(from.Type) && from.Type < to.Type:
		return record.IntCell(to.Type, c.Int())
	}
	return c
}

func number(t record.Type) bool { return t >= record.Int8 && t <= record.Float64 }
