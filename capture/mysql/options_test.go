package mysql

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func baseProps() map[string]string {
	return map[string]string{"topic.prefix": "srv", "database.hostname": "h", "database.user": "u", "database.server.id": "5",
		"schema.history.internal.kafka.topic": "h", "schema.history.internal.kafka.bootstrap.servers": "k:9092"}
}

// TestEveryOptionIsRead: an option is read, or refused, or said to have no effect.
func TestEveryOptionIsRead(t *testing.T) {
	for _, flavor := range []Flavor{MySQL, MariaDB} {
		seen := map[string]bool{}
		v, err := DefOf(flavor).Parse(baseProps())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseValues(flavor, "c", 0, v.Observed(func(name string) { seen[name] = true })); err != nil {
			t.Fatal(err)
		}
		for _, o := range DefOf(flavor).Options {
			// The names in Debezium's own list that are patterns; the worker's; what the checks
			// of the table allow in one form only.
			other := strings.Contains(o.Name, "(") || strings.HasPrefix(o.Name, "openlineage.") || o.Unsupported != "" || othersRead[o.Name] != ""
			if seen[o.Name] == other {
				t.Errorf("%s: %s: read %v, accounted for otherwise %v", flavor, o.Name, seen[o.Name], other)
			}
		}
	}
	// What is read is used: every field of Options stands somewhere outside of the parser.
	used := selectors(t)
	var walk func(reflect.Type)
	walk = func(s reflect.Type) {
		for i := range s.NumField() {
			f := s.Field(i)
			if f.Type.Kind() == reflect.Struct && f.Type.PkgPath() == s.PkgPath() {
				walk(f.Type)
			} else if !used[f.Name] && f.Name != "Multipliers" { // Snapshot.Multiplier reads it
				t.Errorf("%s.%s is parsed and used nowhere", s.Name(), f.Name)
			}
		}
	}
	walk(reflect.TypeFor[Options]())
}

// othersRead are options that somebody else reads, or whose one value is checked by
// the table.
var othersRead = map[string]string{
	"tasks.max": "the worker", "connector.class": "the worker", "queue.provider.type": "checked",
	"snapshot.mode.custom.name": "checked", "snapshot.locking.mode.custom.name": "checked", "snapshot.query.mode": "checked", "snapshot.query.mode.custom.name": "checked",
	"column.propagate.source.type": "options.NewColumnRules", "datatype.propagate.source.type": "options.NewColumnRules",
}

// selectors are the names behind a dot in the package's code outside of the parser.
func selectors(t *testing.T) map[string]bool {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") || strings.HasPrefix(name, "options") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				out[s.Sel.Name] = true
			}
			return true
		})
	}
	return out
}

// TestTLSModes: each server's own spelling means the same.
func TestTLSModes(t *testing.T) {
	for _, c := range []struct {
		flavor     Flavor
		mode, want string
	}{{MySQL, "", "preferred"}, {MySQL, "verify_ca", "verify_ca"}, {MariaDB, "", "disabled"}, {MariaDB, "trust", "required"}, {MariaDB, "verify-ca", "verify_ca"}, {MariaDB, "verify-full", "verify_identity"}} {
		p := baseProps()
		if c.mode != "" {
			p["database.ssl.mode"] = c.mode
		}
		o, err := ParseOptions(c.flavor, "c", 0, p)
		if err != nil {
			t.Fatal(err)
		}
		if o.Conn.SSL != c.want {
			t.Errorf("%s %q: %s", c.flavor, c.mode, o.Conn.SSL)
		}
	}
	p := baseProps()
	p["database.ssl.mode"] = "verify_ca"
	if _, err := ParseOptions(MariaDB, "c", 0, p); err == nil {
		t.Error("MariaDB takes MySQL's spelling")
	}
}
