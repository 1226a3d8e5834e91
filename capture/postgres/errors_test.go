package postgres

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"millrace/internal/errs"
)

// TestPublicationOfThePast: a publication that was dropped and made again does not help
// for changes before, so the advice names what does, with the names to use.
func TestPublicationOfThePast(t *testing.T) {
	x := task{opts: &Options{}}
	x.opts.Publication.Name, x.opts.Slot.Name = "Shop", "shop_slot"
	trace := errs.Trace(x.explain(fmt.Errorf("read: %w", &pgconn.PgError{Code: "42704", Message: `publication "Shop" does not exist`})))
	for _, want := range []string{`CREATE PUBLICATION "Shop"`, "pg_drop_replication_slot('shop_slot')", "delete the connector's offsets"} {
		if !strings.Contains(trace, want) {
			t.Errorf("the trace lacks %q:\n%s", want, trace)
		}
	}
	if trace := errs.Trace(x.explain(&pgconn.PgError{Code: "42704", Message: `role "Shop" does not exist`})); strings.Contains(trace, "PUBLICATION") {
		t.Errorf("advice about another thing:\n%s", trace)
	}
}
