package postgres

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/jackc/pgx/v5/pgconn"
)

// beats runs heartbeat.action.query beside the stream, on a connection of its
// own, so that a slow or locked statement does not hold up the log.
type beats struct {
	conn  *Conn
	sql   string
	log   *slog.Logger
	due   chan struct{}
	fatal chan error
	wg    sync.WaitGroup
}

// startBeats starts the runner; without a query it does nothing. stop joins it.
func startBeats(ctx context.Context, c *Conn, sql string, log *slog.Logger) (b *beats, stop func()) {
	b = &beats{conn: c, sql: sql, log: log, due: make(chan struct{}, 1), fatal: make(chan error, 1)}
	if sql == "" {
		return b, func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	b.wg.Go(func() { b.run(ctx) })
	return b, func() { cancel(); b.wg.Wait() }
}

// trigger asks for one run; runs that are still wanted are not piled up. It
// returns the error that ended the runner, if any.
func (b *beats) trigger() error {
	if b.sql == "" {
		return nil
	}
	select {
	case err := <-b.fatal:
		return err
	default:
	}
	select {
	case b.due <- struct{}{}:
	default:
	}
	return nil
}

func (b *beats) run(ctx context.Context) {
	var conn *pgconn.PgConn
	defer func() { closeConn(conn) }()
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.due:
		}
		var err error
		if conn == nil || conn.IsClosed() {
			conn, err = b.conn.connect(ctx, appHeartbeat)
		}
		if err == nil {
			_, err = exec(ctx, conn, b.sql)
		}
		if err == nil || ctx.Err() != nil {
			continue
		}
		switch sqlState(err) {
		case "57P01", "42P01":
			b.fatal <- fault(err, "Create what the statement needs, or change heartbeat.action.query", "The heartbeat action query failed (%s)", b.sql)
			return
		case "57P03":
			b.log.Warn("the server is starting up; the heartbeat action query is tried again at the next heartbeat", "error", err)
		default:
			b.log.Error("the heartbeat action query failed", "error", fmt.Errorf("run %s: %w", b.sql, err))
		}
	}
}
