package postgres

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"millrace/internal/configdef"
)

func readJSON(t *testing.T, file string, into any) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatal(err)
	}
}

// TestDefinitions compares the option table with what the real connector's
// validate endpoint lists (Debezium 3.6.1), documentation texts aside.
func TestDefinitions(t *testing.T) {
	var want []struct {
		Definition struct {
			Name, Type, Importance, Group, Width string
			Required                             bool
			Default                              *string `json:"default_value"`
			Order                                int     `json:"order_in_group"`
			Display                              string  `json:"display_name"`
			Dependents                           []string
		}
		Value *struct {
			Value       *string
			Recommended []string `json:"recommended_values"`
			Errors      []string
			Visible     bool
		}
	}
	readJSON(t, "testdata/definitions.json", &want)
	props := map[string]string{"topic.prefix": "p", "database.hostname": "h", "database.user": "u", "database.dbname": "d", "plugin.name": "pgoutput"}
	got := Def().Validate(props)
	if len(got) != len(want) {
		t.Errorf("%d options, want %d", len(got), len(want))
	}
	for i, w := range want {
		if i >= len(got) {
			break
		}
		g, d := got[i], w.Definition
		o := g.Option
		if o.Name != d.Name || string(o.Type) != d.Type || string(o.Importance) != d.Importance || o.Group != d.Group || string(o.Width) != d.Width ||
			o.Required != d.Required || o.Order != d.Order || o.Display != d.Display || strings.Join(o.Dependents, ",") != strings.Join(d.Dependents, ",") {
			t.Errorf("%d: got %+v\nwant %+v", i, *o, d)
		}
		if o.HasDefault != (d.Default != nil) || d.Default != nil && o.Default != *d.Default {
			t.Errorf("%s: default %q %v", d.Name, o.Default, o.HasDefault)
		}
		if o.Doc == "" {
			t.Errorf("%s: no documentation", d.Name)
		}
		if g.NoValue != (w.Value == nil) {
			t.Errorf("%s: NoValue %v", d.Name, g.NoValue)
		}
		if w.Value == nil {
			continue
		}
		if g.Value != nil || len(g.Errors) > 0 || g.Visible != w.Value.Visible || strings.Join(g.Recommended, ",") != strings.Join(w.Value.Recommended, ",") {
			t.Errorf("%s: got %+v\nwant %+v", d.Name, g, *w.Value)
		}
	}
}

func baseProps() map[string]string {
	return map[string]string{
		"connector.class": "io.debezium.connector.postgresql.PostgresConnector", "tasks.max": "1", "topic.prefix": "server1",
		"database.hostname": "127.0.0.1", "database.port": "5432", "database.user": "postgres", "database.password": "secret-word", "database.dbname": "db",
		"plugin.name": "pgoutput", "slot.name": "s1", "publication.name": "s1", "poll.interval.ms": "50",
	}
}

// onPurpose are texts that the real connector does not give: it accepts the
// setting and fails later, or runs without it.
var onPurpose = map[string]bool{"converters": true}

// TestRecordedErrors replays the recorded validate answers that need no server.
func TestRecordedErrors(t *testing.T) {
	var steps []struct {
		Base   bool
		Set    map[string]string
		Drop   []string
		Errors map[string][]string
	}
	readJSON(t, "testdata/validate.json", &steps)
	for i, s := range steps {
		props := map[string]string{}
		if s.Base {
			props = baseProps()
		}
		for k, v := range s.Set {
			props[k] = v
		}
		for _, k := range s.Drop {
			delete(props, k)
		}
		got := map[string][]string{}
		for _, r := range Def().Validate(props) {
			if len(r.Errors) > 0 && !onPurpose[r.Name] {
				got[r.Name] = r.Errors
			}
		}
		want := map[string][]string{}
		for k, v := range s.Errors {
			if !strings.HasPrefix(v[0], "Error while validating") { // needs the server
				want[k] = v
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("step %d %v:\n got %q\nwant %q", i, s.Set, got, want)
		}
	}
}

// TestStreamParams: pgoutput's options whose messages cannot be read are refused.
func TestStreamParams(t *testing.T) {
	for value, want := range map[string]string{"streaming=off;origin=none": "", "binary=false;Two_Phase=off": "", "messages=true; Binary=true": "binary", "two_phase=on": "two_phase"} {
		props := baseProps()
		props["slot.stream.params"] = value
		got := ""
		for _, r := range Def().Validate(props) {
			got += strings.Join(r.Errors, " ")
		}
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: %q", value, got)
		}
	}
}

func TestParseOptions(t *testing.T) {
	p := baseProps()
	for k, v := range map[string]string{
		"table.include.list": `public\.a, public\.b.*`, "signal.data.collection": "public.sig", "skipped.operations": "u",
		"heartbeat.interval.ms": "1000", "database.initial.statements": "set a=1;;2; select 1", "driver.connectTimeout": "7",
		"database.autosave": "always", "replica.identity.autoset.values": "public.a:FULL,public.b:INDEX b_idx", "table.whitelist": "x",
		"snapshot.select.statement.overrides": "public.a, public.z", "snapshot.select.statement.overrides.public.a": "select 1",
		"unavailable.value.placeholder": "hex:0102", "value.converter": "io.confluent.connect.avro.AvroConverter", "flush.lsn.source": "false",
		"slot.stream.params": "a=b;c", "snapshot.fetch.size": "100", "message.key.columns": "public.a:x,y", "decimal.handling.mode": " String ",
	} {
		p[k] = v
	}
	o, err := ParseOptions("c1", 0, p)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		schema, table string
		want          bool
	}{{"public", "a", true}, {"public", "bcd", true}, {"PUBLIC", "A", true}, {"public", "c", false}, {"public", "sig", true}, {"pg_catalog", "a", false}} {
		if got := o.Tables.Included(c.schema, c.table); got != c.want {
			t.Errorf("%s.%s: %v", c.schema, c.table, got)
		}
	}
	if o.Tables.Rank("public", "b") != 1 || o.Publication.Publish != "insert, delete, truncate" || o.Conn.ConnectTimeout.Seconds() != 7 ||
		len(o.Conn.InitialStatements) != 2 || o.Conn.InitialStatements[0] != "set a=1;2" || string(o.Modes.Placeholder) != "\x01\x02" || o.Flush.Mode != FlushManual ||
		o.Modes.Decimal != "string" || o.Modes.FieldName == nil || o.Modes.FieldName("1-a") != "_1_a" || len(o.Publication.Identities) != 2 || o.Publication.Identities[1].Index != "b_idx" ||
		o.Snapshot.Overrides["public.a"] != "select 1" || len(o.Slot.StreamParams) != 1 || o.Slot.CommandTimeout.Seconds() != 90 {
		t.Errorf("%+v", o)
	}
	if got := o.KeyColumns.For("public", "a", []string{"y", "x", "z"}); !reflect.DeepEqual(got, []int{1, 0}) {
		t.Errorf("key columns %v", got)
	}
	all := strings.Join(o.Warnings, "\n")
	for _, w := range []string{"public.z", "autosave", "table.include.list", "slot.stream.params", "snapshot.fetch.size=100"} {
		if !strings.Contains(all, w) {
			t.Errorf("no warning about %s in:\n%s", w, all)
		}
	}
	if strings.Contains(all, "secret-word") {
		t.Error("the password is in a warning")
	}
}

// TestEveryOptionIsRead: an option is read, or refused, or said to have no effect.
func TestEveryOptionIsRead(t *testing.T) {
	seen := map[string]bool{}
	p := baseProps()
	p["snapshot.mode"] = "configuration_based"
	v, err := Def().Parse(p)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parseValues("c", 0, v.Observed(func(name string) { seen[name] = true })); err != nil {
		t.Fatal(err)
	}
	for _, o := range Def().Options {
		// The names in Debezium's own list that are patterns; the worker's; what the checks
		// of the table allow in one form only.
		other := strings.Contains(o.Name, "(") || strings.HasPrefix(o.Name, "openlineage.") || o.Unsupported != "" || othersRead[o.Name] != ""
		if seen[o.Name] == other {
			t.Errorf("%s: read %v, accounted for otherwise %v", o.Name, seen[o.Name], other)
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
			} else if !used[f.Name] {
				t.Errorf("%s.%s is parsed and used nowhere", s.Name(), f.Name)
			}
		}
	}
	walk(reflect.TypeFor[Options]())
}

// othersRead are options that somebody else reads, or whose one value is checked by
// the table.
var othersRead = map[string]string{
	"tasks.max": "the worker", "connector.class": "the worker",
	"snapshot.mode.custom.name": "checked", "snapshot.locking.mode.custom.name": "checked", "snapshot.query.mode.custom.name": "checked",
	"snapshot.query.mode": "checked", "queue.provider.type": "checked", "converters": "checked", "database.connection.factory.class": "checked",
	"column.propagate.source.type": "options.NewColumnRules", "datatype.propagate.source.type": "options.NewColumnRules",
	"database.password": "Values.Props: it is not trimmed", "database.sslpassword": "Values.Props: it is not trimmed",
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

func TestUnsupported(t *testing.T) {
	for k, v := range map[string]string{
		"plugin.name": "decoderbufs", "converters": "x", "openlineage.integration.enabled": "true", "transaction.metadata.factory": "a.B",
		"sourceinfo.struct.maker": "a.B", "memory.management.tables.class": "a.B", "queue.provider.type": "chronicle", "database.connection.factory.class": "a.B",
		"topic.naming.strategy": "a.B", "database.sslfactory": "a.B", "post.processors": "p", "column.mask.hash.NOPE.with.salt.x": "a.b.c",
		"column.truncate.to.5.chars": "a.(b", "topic.heartbeat.prefix": "a b", "snapshot.mode.custom.name": "",
	} {
		p := baseProps()
		p[k] = v
		if k == "snapshot.mode.custom.name" {
			p[k], p["snapshot.mode"] = "x", "custom"
		}
		errs := configdef.Errors(Def().Validate(p))
		if len(errs) != 1 || errs[0].Property != k {
			t.Errorf("%s: %v", k, errs)
		}
	}
}
