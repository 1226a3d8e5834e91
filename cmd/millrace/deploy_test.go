package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every series that the alerts and the dashboard name is exported under that name.
func TestDeployNamesExportedSeries(t *testing.T) {
	var source strings.Builder
	for _, f := range []string{"../../internal/metrics/metrics.go", "../../internal/metrics/connect.go", "../../internal/worker/collect.go"} {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		source.Write(b)
	}
	series := regexp.MustCompile(`\b(kafka_connect|debezium_metrics|millrace)_\w+`)
	found := 0
	for _, f := range []string{"prometheus/rules.yml", "prometheus/rules_test.yml", "grafana/millrace.json", "README.md"} {
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
