package convert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/sr"
)

// incompatible says what a registry that refused a schema does not: which field
// breaks which rule of the subject. "" when err is no such refusal, or when the
// registry does not tell enough.
func (r *registry) incompatible(ctx context.Context, subject, text string, kind sr.SchemaType, err error) string {
	var e *sr.ResponseError
	if !errors.As(err, &e) || e.StatusCode != http.StatusConflict {
		return ""
	}
	key := subjectText{subject, text}
	r.mu.Lock()
	said, ok := r.refused[key]
	r.mu.Unlock()
	if ok { // under errors.tolerance=all every row of the table asks
		return said
	}
	said = r.explain(ctx, subject, text, kind)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refused == nil || len(r.refused) >= r.max {
		r.refused = map[subjectText]string{}
	}
	r.refused[key] = said
	return said
}

func (r *registry) explain(ctx context.Context, subject, text string, kind sr.SchemaType) string {
	path := "/config/" + url.PathEscape(subject)
	var config struct {
		Level string `json:"compatibilityLevel"`
	}
	if r.cl.Do(sr.WithParams(ctx, sr.RawParams(url.Values{"defaultToGlobal": {"true"}})), http.MethodGet, path, nil, &config) != nil || config.Level == "" {
		return ""
	}
	said := "Subject " + subject + " has compatibility " + config.Level
	rule, all := strings.CutSuffix(config.Level, "_TRANSITIVE")
	if kind == sr.TypeAvro {
		if why := r.broken(ctx, subject, text, rule, all); why != "" {
			said += ": " + why
		}
	}
	help := map[string]string{
		"BACKWARD": "Add columns as nullable or with a default, keep their types or widen them",
		"FORWARD":  "Remove only columns that are nullable or have a default, and keep their types",
		"FULL":     "Add and remove only columns that are nullable or have a default, and keep their types",
	}[rule]
	return said + ". " + help + "; or allow this change with PUT " + path + ` {"compatibility":"NONE"}`
}

// broken compares a schema with the subject's versions, newest first: all of them
// or only the latest.
func (r *registry) broken(ctx context.Context, subject, text, rule string, all bool) string {
	versions := []int{-1}
	if all {
		found, err := r.cl.SubjectVersions(ctx, subject)
		if err != nil {
			return ""
		}
		versions = found
		slices.Reverse(versions)
	}
	now, err := parseAvroJSON(text)
	if err != nil {
		return ""
	}
	for _, v := range versions {
		old, err := r.cl.SchemaByVersion(ctx, subject, v)
		if err != nil {
			return ""
		}
		was, err := parseAvroJSON(old.Schema.Schema)
		if err != nil {
			return ""
		}
		var why []string
		if rule != "FORWARD" {
			c := schemaDiff{reader: now, writer: was, added: "is new and has no default", changed: func(reader, writer string) string { return "was " + writer + " and is " + reader }}
			why = c.find()
		}
		if rule != "BACKWARD" {
			c := schemaDiff{reader: was, writer: now, added: "was removed and had no default", changed: func(reader, writer string) string { return "was " + reader + " and is " + writer }}
			for _, w := range c.find() {
				if !slices.Contains(why, w) {
					why = append(why, w)
				}
			}
		}
		if len(why) > 0 {
			if more := len(why) - 3; more > 0 {
				why = append(why[:3], fmt.Sprintf("%d more", more))
			}
			return fmt.Sprintf("against version %d, %s", old.Version, strings.Join(why, "; "))
		}
	}
	return ""
}

// avroJSON is an Avro schema as JSON with its named types.
type avroJSON struct {
	root  any
	names map[string]map[string]any
}

func parseAvroJSON(text string) (*avroJSON, error) {
	s := &avroJSON{names: map[string]map[string]any{}}
	if err := json.Unmarshal([]byte(text), &s.root); err != nil {
		return nil, err
	}
	s.learn(s.root)
	return s, nil
}

// learn keeps the named types by their short names, which is how they are compared.
func (s *avroJSON) learn(v any) {
	switch x := v.(type) {
	case []any:
		for _, e := range x {
			s.learn(e)
		}
	case map[string]any:
		if n, ok := x["name"].(string); ok && x["fields"] != nil {
			s.names[shortName(n)] = x
		}
		for _, k := range []string{"type", "items", "values", "fields"} {
			s.learn(x[k])
		}
	}
}

func shortName(n string) string { return n[strings.LastIndexByte(n, '.')+1:] }

// resolve returns the kind of a schema and, of a record, array or map, its object.
func (s *avroJSON) resolve(v any) (kind string, o map[string]any) {
	switch x := v.(type) {
	case string:
		if named := s.names[shortName(x)]; named != nil {
			return s.resolve(named)
		}
		return x, nil
	case []any:
		return "union", nil
	case map[string]any:
		if t, ok := x["type"].(string); ok {
			return t, x
		}
		return s.resolve(x["type"])
	}
	return "", nil
}

// schemaDiff finds the fields on account of which reader cannot read what writer
// wrote, by the rules of Avro's schema resolution.
type schemaDiff struct {
	reader, writer *avroJSON
	added          string
	changed        func(reader, writer string) string
	active         []string
}

func (d *schemaDiff) find() []string {
	out := d.pair(d.reader.root, d.writer.root, "")
	slices.Sort(out)
	return slices.Compact(out)
}

var avroPromotions = map[string]string{"int": "long float double", "long": "float double", "float": "double", "string": "bytes", "bytes": "string"}

func (d *schemaDiff) pair(r, w any, path string) (out []string) {
	rk, ro := d.reader.resolve(r)
	wk, wo := d.writer.resolve(w)
	if wk == "union" {
		for _, branch := range w.([]any) {
			if len(d.pair(r, branch, path)) == 0 {
				continue
			}
			out = append(out, d.branch(r, branch, path, d.changed(avroTypeName(r), avroTypeName(w)))...)
		}
		return out
	}
	if rk == "union" {
		for _, branch := range r.([]any) {
			if len(d.pair(branch, w, path)) == 0 {
				return nil
			}
		}
		return d.branch(r, w, path, d.changed(avroTypeName(r), avroTypeName(w)))
	}
	switch {
	case rk != wk && slices.Contains(strings.Fields(avroPromotions[wk]), rk):
		return nil
	case rk != wk:
		return d.field(path, d.changed(avroTypeName(r), avroTypeName(w)))
	case rk == "array":
		return d.pair(ro["items"], wo["items"], path)
	case rk == "map":
		return d.pair(ro["values"], wo["values"], path)
	case rk == "record":
		return d.records(ro, wo)
	}
	return nil
}

// branch goes on into the record of a union that is meant, if there is one.
func (d *schemaDiff) branch(r, w any, path, otherwise string) []string {
	if wk, _ := d.writer.resolve(w); wk == "record" {
		options, isUnion := r.([]any)
		if !isUnion {
			options = []any{r}
		}
		for _, o := range options {
			if rk, _ := d.reader.resolve(o); rk == "record" {
				return d.pair(o, w, path)
			}
		}
	}
	return d.field(path, otherwise)
}

func (d *schemaDiff) field(path, why string) []string {
	if path == "" {
		return []string{"the schema " + why}
	}
	return []string{"field " + path + " " + why}
}

func (d *schemaDiff) records(r, w map[string]any) (out []string) {
	name, _ := r["name"].(string)
	name = shortName(name)
	if other, _ := w["name"].(string); name != shortName(other) {
		return []string{"record " + d.changed(name, shortName(other))}
	}
	if slices.Contains(d.active, name) {
		return nil
	}
	d.active = append(d.active, name)
	defer func() { d.active = d.active[:len(d.active)-1] }()
	written := map[string]any{}
	for _, f := range avroFields(w) {
		n, _ := f["name"].(string)
		written[n] = f["type"]
	}
	for _, f := range avroFields(r) {
		n, _ := f["name"].(string)
		path := name + "." + n
		t, ok := written[n]
		if _, has := f["default"]; !ok && !has {
			out = append(out, d.field(path, d.added)...)
		} else if ok {
			out = append(out, d.pair(f["type"], t, path)...)
		}
	}
	return out
}

func avroFields(o map[string]any) (out []map[string]any) {
	list, _ := o["fields"].([]any)
	for _, f := range list {
		if m, ok := f.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

// avroTypeName names a type for a reader.
func avroTypeName(v any) string {
	switch x := v.(type) {
	case string:
		return shortName(x)
	case []any:
		var parts []string
		for _, e := range x {
			parts = append(parts, avroTypeName(e))
		}
		if i := slices.Index(parts, "null"); len(parts) == 2 && i >= 0 {
			return "nullable " + parts[1-i]
		}
		return "one of " + strings.Join(parts, ", ")
	case map[string]any:
		if n, ok := x["logicalType"].(string); ok {
			return n
		}
		if n, ok := x["connect.name"].(string); ok && x["fields"] == nil {
			return n
		}
		if n, ok := x["name"].(string); ok {
			return shortName(n)
		}
		return avroTypeName(x["type"])
	}
	return "unknown"
}
