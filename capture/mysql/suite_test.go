package mysql

import (
	"context"
	"database/sql"
	"maps"
	"testing"

	"millrace/internal/metrics"
	"millrace/internal/testkit"
	"millrace/internal/testkit/suite"
)

// TestSuite runs the scenarios that every source shares, against the servers of
// MILLRACE_TEST_MYSQL and MILLRACE_TEST_MARIADB.
func TestSuite(t *testing.T) {
	for _, d := range []suiteDriver{{MySQL, suite.MySQL}, {MariaDB, suite.MariaDB}} {
		t.Run(string(d.flavor), func(t *testing.T) { suite.Run(t, d) })
	}
}

type suiteDriver struct {
	flavor  Flavor
	dialect *suite.Dialect
}

func (d suiteDriver) Dialect() *suite.Dialect { return d.dialect }

func (d suiteDriver) Open(t *testing.T, props map[string]string) suite.Database {
	r := newRig(t, d.flavor)
	maps.Copy(r.props, suite.Fill(props, r.name))
	c, err := r.db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return &suiteDatabase{r: r, conn: c}
}

type suiteDatabase struct {
	r    *rig
	conn *sql.Conn
}

func (d *suiteDatabase) Exec(t *testing.T, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := d.conn.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func (d *suiteDatabase) Run(ctx context.Context, t *testing.T, offset []byte, out *suite.Sink) error {
	src, err := NewSource(d.r.flavor, "suite", 0, d.r.props, testkit.Log(t), metrics.New().Task("suite", "0"))
	if err != nil {
		return err
	}
	return src.run(ctx, offset, out, func() {})
}
