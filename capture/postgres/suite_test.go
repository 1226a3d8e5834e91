package postgres

import (
	"context"
	"maps"
	"testing"

	"github.com/jackc/pgx/v5"

	"millrace/internal/metrics"
	"millrace/internal/testkit"
	"millrace/internal/testkit/suite"
)

// TestSuite runs the scenarios that every source shares against the server of
// MILLRACE_TEST_PG; `make test-versions` does it for PostgreSQL 14 to 18.
func TestSuite(t *testing.T) { suite.Run(t, suiteDriver{}) }

type suiteDriver struct{}

func (suiteDriver) Dialect() *suite.Dialect { return suite.Postgres }

func (suiteDriver) Open(t *testing.T, props map[string]string) suite.Database {
	r := newRig(t, "")
	maps.Copy(r.props, suite.Fill(props, "public"))
	return &suiteDatabase{r: r, conn: r.Connect(t)}
}

type suiteDatabase struct {
	r    *rig
	conn *pgx.Conn
}

func (d *suiteDatabase) Exec(t *testing.T, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := d.conn.PgConn().Exec(t.Context(), s).ReadAll(); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func (d *suiteDatabase) Run(ctx context.Context, t *testing.T, offset []byte, out *suite.Sink) error {
	src, err := NewSource("suite", 0, d.r.props, testkit.Log(t), metrics.New().Task("suite", "0"))
	if err != nil {
		return err
	}
	out.OnStored = src.OnStored
	return src.run(ctx, offset, out, func() {})
}
