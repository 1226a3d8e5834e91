package main

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"millrace/internal/configdef"
	"millrace/internal/worker"
)

// referenceFiles makes docs/settings: one page per kind of plugin and one for the
// worker, from the tables that parse and validate the settings. A test compares them
// with the files in the tree; go test ./cmd/millrace -run Reference -update writes them.
func referenceFiles() map[string][]byte {
	pages := map[worker.Kind]string{worker.KindSource: "sources.md", worker.KindSink: "sinks.md", worker.KindConverter: "converters.md", worker.KindHeaderConverter: "converters.md",
		worker.KindTransformation: "transforms.md", worker.KindPredicate: "transforms.md"}
	titles := map[string]string{"sources.md": "Settings of sources", "sinks.md": "Settings of sinks", "converters.md": "Settings of converters", "transforms.md": "Settings of transforms and predicates"}
	bufs := map[string]*bytes.Buffer{}
	list := slices.Clone(plugins())
	slices.SortStableFunc(list, func(a, b worker.Plugin) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Class, b.Class))
	})
	for i := range list {
		p := &list[i]
		page := pages[p.Kind]
		b := bufs[page]
		if b == nil {
			b = &bytes.Buffer{}
			bufs[page] = b
			fmt.Fprintf(b, "# %s\n\nMade from the definitions in the program; `millrace validate connector.json` checks a config against them.\n", titles[page])
		}
		fmt.Fprintf(b, "\n## %s\n\n", p.Class)
		settings(b, p.Def)
	}
	out := map[string][]byte{}
	for name, b := range bufs {
		out[name] = b.Bytes()
	}
	var w bytes.Buffer
	w.WriteString("# Settings of the worker\n\nThe file that `millrace run` is given; that of a Kafka Connect worker works as it is.\n\n")
	settings(&w, worker.Def())
	out["worker.md"] = w.Bytes()
	return out
}

func settings(b *bytes.Buffer, def *configdef.Def) {
	if def == nil || len(def.Options)+len(def.Patterns) == 0 {
		b.WriteString("It has no settings.\n")
		return
	}
	b.WriteString("| setting | type | default | meaning |\n|---|---|---|---|\n")
	for i := range def.Options {
		o := &def.Options[i]
		if o.NoValue {
			continue
		}
		value := ""
		switch {
		case o.Required:
			value = "**required**"
		case o.HasDefault && o.Default != "":
			value = "`" + cell(o.Default) + "`"
		}
		doc := cell(o.Doc)
		if o.Unsupported != "" {
			doc = "Not supported: " + cell(o.Unsupported)
		}
		if len(o.Aliases) > 0 {
			doc += " Also `" + strings.Join(o.Aliases, "`, `") + "`."
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", cell(o.Name), strings.ToLower(string(o.Type)), value, doc)
	}
	for i := range def.Patterns {
		p := &def.Patterns[i]
		doc := cell(p.Doc)
		if p.Unsupported != "" {
			doc = "Not supported: " + cell(p.Unsupported)
		}
		fmt.Fprintf(b, "| `%s` | pattern | | %s |\n", cell(p.Regexp.String()), doc)
	}
}

// cell makes a text fit for a cell of a table.
func cell(s string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(s), " "), "|", "\\|")
}
