package registry

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// conflict is one reason why a reader cannot read what a writer wrote.
type conflict struct {
	kind    string // Avro's SchemaIncompatibilityType
	path    string // a JSON pointer into the reader
	message string
}

// text words a conflict as Confluent's server does; reader and writer are "new" and
// "old", or the other way round.
func (c conflict) text(reader, writer string) string {
	var d string
	switch c.kind {
	case "FIXED_SIZE_MISMATCH":
		d = fmt.Sprintf("The size of FIXED type field at path '%s' in the %s schema does not match with the %s schema", c.path, reader, writer)
	case "TYPE_MISMATCH":
		d = fmt.Sprintf("The type (path '%s') of a field in the %s schema does not match with the %s schema", c.path, reader, writer)
	case "NAME_MISMATCH":
		d = fmt.Sprintf("The name of the schema has changed (path '%s')", c.path)
	case "MISSING_ENUM_SYMBOLS":
		d = fmt.Sprintf("The %s schema is missing enum symbols '%s' at path '%s' in the %s schema", reader, c.message, c.path, writer)
	case "MISSING_UNION_BRANCH":
		d = fmt.Sprintf("The %s schema is missing a type inside a union field at path '%s' in the %s schema", reader, c.path, writer)
	case "READER_FIELD_MISSING_DEFAULT_VALUE":
		d = fmt.Sprintf("The field '%s' at path '%s' in the %s schema has no default value and is missing in the %s schema", c.message, c.path, reader, writer)
	}
	return fmt.Sprintf("{errorType:'%s', description:'%s', additionalInfo:'%s'}", c.kind, d, c.message)
}

// reads lists why reader cannot read what writer wrote, by the rules of Avro's
// schema resolution as its SchemaCompatibility checks them.
func reads(reader, writer *avro) []conflict {
	c := &comparer{active: map[[2]*avro]bool{}}
	return c.pair(reader, writer, nil)
}

// comparer holds the pairs in hand: a recursive type counts as compatible.
type comparer struct{ active map[[2]*avro]bool }

func fail(kind string, at []string, message string) []conflict {
	return []conflict{{kind, "/" + strings.Join(at, "/"), message}}
}

func (c *comparer) pair(r, w *avro, at []string) []conflict {
	key := [2]*avro{r, w}
	if c.active[key] {
		return nil
	}
	c.active[key] = true
	defer delete(c.active, key)
	at = slices.Clip(at)
	if r.kind == w.kind {
		return c.same(r, w, at)
	}
	if w.kind == "union" {
		var out []conflict
		for _, b := range w.branches {
			out = append(out, c.pair(r, b, at)...)
		}
		return out
	}
	if r.kind == "union" {
		if slices.ContainsFunc(r.branches, func(b *avro) bool { return len(c.pair(b, w, at)) == 0 }) {
			return nil
		}
		return fail("MISSING_UNION_BRANCH", at, "reader union lacking writer type: "+strings.ToUpper(w.kind))
	}
	wider := map[string][]string{"long": {"int"}, "float": {"int", "long"}, "double": {"int", "long", "float"}, "bytes": {"string"}, "string": {"bytes"}}
	if slices.Contains(wider[r.kind], w.kind) {
		return nil
	}
	return fail("TYPE_MISMATCH", at, "reader type: "+strings.ToUpper(r.kind)+" not compatible with writer type: "+strings.ToUpper(w.kind))
}

// same compares two schemas of one kind.
func (c *comparer) same(r, w *avro, at []string) (out []conflict) {
	switch r.kind {
	case "array":
		return c.pair(r.items, w.items, append(at, "items"))
	case "map":
		return c.pair(r.items, w.items, append(at, "values"))
	case "union":
		for i, b := range w.branches {
			here := append(at, strconv.Itoa(i))
			if len(c.pair(r, b, here)) > 0 {
				out = append(out, fail("MISSING_UNION_BRANCH", here, "reader union lacking writer type: "+strings.ToUpper(b.kind))...)
			}
		}
		return out
	case "record", "error", "enum", "fixed":
		if r.name != w.name && !slices.Contains(r.aliases, w.full) {
			out = fail("NAME_MISMATCH", append(at, "name"), "expected: "+w.full)
		}
	}
	switch r.kind {
	case "fixed":
		if r.size != w.size {
			out = append(out, fail("FIXED_SIZE_MISMATCH", append(at, "size"), "expected: "+w.size+", found: "+r.size)...)
		}
	case "enum":
		missing := slices.DeleteFunc(slices.Clone(w.symbols), func(s string) bool { return slices.Contains(r.symbols, s) })
		if len(missing) > 0 && !r.fallback {
			slices.Sort(missing)
			out = append(out, fail("MISSING_ENUM_SYMBOLS", append(at, "symbols"), "["+strings.Join(missing, ", ")+"]")...)
		}
	case "record", "error":
		out = append(out, c.fields(r, w, at)...)
	}
	return out
}

func (c *comparer) fields(r, w *avro, at []string) (out []conflict) {
	for i, f := range r.fields {
		here := append(at, "fields", strconv.Itoa(i))
		j := slices.IndexFunc(w.fields, func(g avroField) bool { return g.name == f.name })
		if j < 0 {
			j = slices.IndexFunc(w.fields, func(g avroField) bool { return slices.Contains(f.aliases, g.name) })
		}
		switch {
		case j >= 0:
			out = append(out, c.pair(f.schema, w.fields[j].schema, append(here, "type"))...)
		case !f.has && (f.schema.kind != "enum" || !f.schema.fallback):
			out = append(out, fail("READER_FIELD_MISSING_DEFAULT_VALUE", here, f.name)...)
		}
	}
	return out
}

// version is a registered schema of a subject.
type version struct {
	number, id int
	kind, text string
	schema     *avro // nil for other types
}

// check lists the messages of a server that refuses a new schema under a level;
// earlier holds the subject's versions, oldest first.
func check(level, kind string, s *avro, earlier []version) []string {
	rule, all := strings.CutSuffix(level, "_TRANSITIVE")
	for _, old := range slices.Backward(earlier) {
		var out []string
		switch {
		case rule == "NONE":
			return nil
		case old.kind != kind:
			out = []string{"Incompatible because of different schema type"}
		case s == nil:
		default:
			if rule == "FORWARD" || rule == "FULL" {
				out = worded(reads(old.schema, s), "old", "new", old, rule == "FORWARD")
			}
			if rule == "BACKWARD" || rule == "FULL" {
				out = append(out, worded(reads(s, old.schema), "new", "old", old, true)...)
			}
		}
		if len(out) > 0 {
			return append(out, fmt.Sprintf("{validateFields: 'false', compatibility: '%s'}", level))
		}
		if !all {
			return nil
		}
	}
	return nil
}

func worded(cs []conflict, reader, writer string, old version, where bool) (out []string) {
	for _, c := range cs {
		out = append(out, c.text(reader, writer))
	}
	if len(out) > 0 && where {
		out = append(out, fmt.Sprintf("{oldSchemaVersion: %d}", old.number), "{oldSchema: '"+old.text+"'}")
	}
	return out
}
