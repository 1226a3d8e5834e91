package remote

import "testing"

// TestCauses reads traces as tasks leave them.
func TestCauses(t *testing.T) {
	c := Causes("org.apache.kafka.connect.errors.ConnectException: The connector \"x\" failed\n\t... Grant it: GRANT SELECT ON t TO r\nCaused by: java.sql.SQLException: permission denied: table t\n\tat a.b.C")
	if c.Text() != `The connector "x" failed: permission denied: table t` || c.Fix() != "Grant it: GRANT SELECT ON t TO r" {
		t.Errorf("%q, %q", c.Text(), c.Fix())
	}
	if c := Causes("no class here"); c.Text() != "no class here" || c.Fix() != "" {
		t.Errorf("%q", c.Text())
	}
}
