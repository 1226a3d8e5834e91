package transform

import (
	"regexp"
	"strings"

	"millrace/internal/configdef"
	"millrace/internal/record"
)

// namer makes a name of another: a style, then a prefix and a suffix.
type namer struct{ prefix, suffix, style string }

func (n *namer) name(s string) string {
	switch n.style {
	case "snake_case":
		s = strings.ToLower(snakeBreaks.ReplaceAllString(s, "${1}${3}${5}_${2}${4}${6}"))
	case "camel_case":
		s = camelCase(s)
	case "upper_case":
		s = strings.ToUpper(s)
	case "lower_case":
		s = strings.ToLower(s)
	}
	return n.prefix + s + n.suffix
}

var (
	snakeBreaks = regexp.MustCompile(`([a-z])([A-Z])|([a-zA-Z])([0-9])|([0-9])([a-zA-Z])|\.`)
	wordBreaks  = regexp.MustCompile(`[._]+`)
)

func camelCase(s string) string {
	var sb strings.Builder
	for i, w := range wordBreaks.Split(s, -1) {
		w = strings.ToLower(w)
		if i > 0 && w != "" {
			r := []rune(w)
			w = strings.ToUpper(string(r[0])) + string(r[1:])
		}
		sb.WriteString(w)
	}
	return sb.String()
}

func namingDef(what, display string) *configdef.Def {
	o := func(name, def, display, doc string, checks ...func(configdef.Input) []string) configdef.Option {
		return dopt(what+".naming."+name, configdef.String, def, configdef.Low, configdef.WidthNone, display, doc, checks...)
	}
	return &configdef.Def{Options: []configdef.Option{
		o("prefix", "", display+" Name Prefix", "What stands before the names."),
		o("suffix", "", display+" Name Suffix", "What stands behind the names."),
		o("style", "default", display+" Naming Style", "Form of the names: snake_case, camel_case, UPPER_CASE, lower_case or default.", enum("snake_case", "camel_case", "UPPER_CASE", "lower_case", "default")),
	}}
}

func newNamer(v configdef.Values, what string) namer {
	return namer{v.String(what + ".naming.prefix"), v.String(what + ".naming.suffix"), v.Enum(what + ".naming.style")}
}

// ---- CollectionNameTransformation

// collectionNames renames topics, from which sinks take table names.
type collectionNames struct {
	namer  namer
	topics topicCache
	known  map[*record.Topic]*record.Topic
}

func newCollectionNames(v configdef.Values) (Step, error) {
	return &collectionNames{namer: newNamer(v, "collection"), known: map[*record.Topic]*record.Topic{}}, nil
}

func (t *collectionNames) Apply(_ *record.Batch, r *record.Record) (bool, error) {
	n := t.known[r.Topic]
	if n == nil {
		if len(t.known) >= 1<<16 {
			clear(t.known)
		}
		n = t.topics.get(t.namer.name(r.Topic.Name))
		t.known[r.Topic] = n
	}
	r.Topic = n
	return true, nil
}

// ---- FieldNameTransformation

// fieldNames renames the fields of keys and rows; values stay as they are.
type fieldNames struct {
	namer namer
	plans planCache[*record.Schema]
	rows  planCache[*record.Schema]
}

func newFieldNames(v configdef.Values) (Step, error) {
	return &fieldNames{namer: newNamer(v, "column")}, nil
}

func (t *fieldNames) Apply(_ *record.Batch, r *record.Record) (bool, error) {
	if r.ValueSchema == nil || r.ValueSchema.Type != record.Struct {
		return true, nil
	}
	if r.KeySchema != nil && r.KeySchema.Type == record.Struct {
		r.KeySchema = t.row(r.KeySchema)
	}
	if !isEnvelope(r.ValueSchema) {
		r.ValueSchema = t.row(r.ValueSchema)
		return true, nil
	}
	s, ok := t.plans.lookup(r.ValueSchema)
	if !ok {
		s = r.ValueSchema.Copy()
		s.Fields = append([]record.Field(nil), s.Fields...)
		for i, f := range s.Fields {
			if (f.Name == "before" || f.Name == "after") && f.Schema.Type == record.Struct {
				s.Fields[i].Schema = t.row(f.Schema)
			}
		}
		t.plans.store(r.ValueSchema, s)
	}
	r.ValueSchema = s
	return true, nil
}

// row is the schema with other names; the cells of a struct do not know names.
func (t *fieldNames) row(s *record.Schema) *record.Schema {
	if out, ok := t.rows.lookup(s); ok {
		return out
	}
	out := s.Copy()
	out.Fields = make([]record.Field, len(s.Fields))
	for i, f := range s.Fields {
		out.Fields[i] = record.Field{Name: t.namer.name(f.Name), Schema: f.Schema}
	}
	return t.rows.store(s, out)
}
