package sqlsink_test

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestOracleAiven plays cases that were recorded with Aiven's JDBC sink (its main branch
// of March 2025, built from source) into PostgreSQL. What differs on purpose is not among
// them; DIFFERENCES.md tells it.
func TestOracleAiven(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(casesDir, "../aiven-jdbc/*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".yaml")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			name := "../aiven-jdbc/" + name
			c, tg := loadCase(t, name), newPostgresTarget(t)
			if c.Setup != "" {
				tg.exec(t, c.Setup)
			}
			state, cause := play(t, name, c, tg)
			got := expectation{Tasks: []string{state}}
			got.Target.Tables = tg.read(t)
			if diff := compare(expected(t, name), got); len(diff) > 0 {
				t.Errorf("%s\ncause: %v", strings.Join(diff, "\n"), cause)
			}
		})
	}
}
