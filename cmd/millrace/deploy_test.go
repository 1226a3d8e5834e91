package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every series that the alerts and the dashboard name is exported under that name.
func TestDeployNamesExportedSeries(t *testing.T) {
	var source strings.Builder
	files, err := filepath.Glob("../../internal/metrics/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range append(files, "../../internal/worker/collect.go") {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		source.Write(b)
	}
	series := regexp.MustCompile(`\b(kafka_connect|debezium_metrics|millrace)_\w+`)
	found := 0
	for _, f := range []string{"prometheus/rules.yml", "prometheus/rules_test.yml", "grafana/millrace.json", "README.md", "../docs/metrics.md"} {
		b, err := os.ReadFile(filepath.Join("../../deploy", f))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range series.FindAllString(string(b), -1) {
			name = strings.TrimSuffix(name, "_bucket")
			if strings.HasSuffix(name, "_") { // a family, as kafka_connect_…
				continue
			}
			found++
			if !strings.Contains(source.String(), `"`+name+`"`) {
				t.Errorf("deploy/%s names %s, which nothing exports", f, name)
			}
		}
	}
	if found < 30 {
		t.Errorf("only %d names found", found)
	}
}

// TestDashboardExpressions writes the dashboard's expressions as rules, which promtool
// can check (scripts/check-deploy).
func TestDashboardExpressions(t *testing.T) {
	b, err := os.ReadFile("../../deploy/grafana/millrace.json")
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Panels []struct {
			ID      int
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(b, &d); err != nil {
		t.Fatal(err)
	}
	ids := map[int]bool{}
	var out strings.Builder
	out.WriteString("groups:\n  - name: dashboard\n    rules:\n")
	for _, p := range d.Panels {
		if ids[p.ID] || len(p.Targets) == 0 {
			t.Errorf("panel %d (%s) has no target, or the number of another one", p.ID, p.Title)
		}
		ids[p.ID] = true
		for i, target := range p.Targets {
			expr := strings.NewReplacer("$__rate_interval", "1m", "$connector", ".*").Replace(target.Expr)
			fmt.Fprintf(&out, "      - record: dashboard:panel_%d_%d\n        expr: %q\n", p.ID, i, expr)
		}
	}
	if to := os.Getenv("MILLRACE_DASHBOARD_RULES"); to != "" {
		if err := os.WriteFile(to, []byte(out.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
