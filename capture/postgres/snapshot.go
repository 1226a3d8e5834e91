package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
)

func (t *task) snapshot(ctx context.Context, repl *pgconn.PgConn, tables []*tableMeta, slot *slotState, exported string, at LSN) error {
	return errors.New("snapshot")
}
