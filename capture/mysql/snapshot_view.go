package mysql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"millrace/schemahistory"
	snapmysql "millrace/snapshot/mysql"
)

// openReaders opens connections for reading rows.
func (t *task) openReaders(ctx context.Context, n int) (v snapmysql.View, err error) {
	c := &t.opts.Conn
	conf := &snapmysql.Config{Addr: net.JoinHostPort(c.Host, strconv.Itoa(c.Port)), User: c.User, Password: c.Password, Timeout: c.ConnectTimeout, Init: c.InitialStatements}
	var try bool
	if conf.TLS, try, err = c.tlsConfig(); err != nil {
		return nil, err
	}
	if try && !t.serverTLS(ctx) {
		conf.TLS = nil
	}
	for range n {
		conn, err := snapmysql.Open(ctx, conf)
		if err != nil {
			v.Close()
			return nil, err
		}
		v = append(v, conn)
		limit := "SET SESSION max_execution_time = 0"
		if t.server.mariadb {
			limit = "SET SESSION max_statement_time = 0"
		}
		if err := conn.Exec(ctx, limit); err != nil && retriable(err) { // old servers do not have it
			v.Close()
			return nil, err
		}
	}
	return v, nil
}

// openView opens n connections that see one moment of the database, finds that
// moment's place in the log and reads the definitions of its tables.
//
// The locks are held for as long as these three take, and no longer: the views
// live on connections of their own, which no UNLOCK TABLES ends. Definitions must
// not change either until they were read. Where the server has a lock for just
// that (LOCK INSTANCE FOR BACKUP), writers go on while they are read.
func (t *task) openView(ctx context.Context, n int) (v *snapshotView, err error) {
	v = &snapshotView{}
	defer func() {
		if err != nil {
			v.close(ctx)
		}
	}()
	if v.conns, err = t.openReaders(ctx, n); err != nil {
		return v, err
	}
	l, err := t.lock(ctx)
	if err != nil {
		return v, err
	}
	v.release = l.close
	if v.place, err = t.server.place(ctx, t.db); err != nil {
		return v, err
	}
	for _, c := range v.conns {
		if err := snapmysql.Begin(ctx, c); err != nil {
			return v, err
		}
	}
	if !l.held && t.server.mariadb && n > 0 {
		if err := t.placeOfView(ctx, v); err != nil {
			return v, err
		}
	}
	extended := t.opts.Snapshot.Locking == "extended" && l.held
	if l.backup && !extended {
		l.unlockTables(ctx)
	}
	if v.catalog, err = t.readCatalog(ctx, t.db); err != nil {
		return v, err
	}
	if extended {
		v.alive = l.alive
		return v, nil
	}
	l.close(ctx)
	return v, nil
}

// placeOfView asks MariaDB for the place in the log of the view itself, which it
// knows without any lock; that of the first connection, which is the oldest.
func (t *task) placeOfView(ctx context.Context, v *snapshotView) error {
	at := map[string]string{}
	err := v.conns[0].Query(ctx, "SHOW STATUS LIKE 'Binlog_snapshot_%'", nil, func(row []byte) error {
		f, err := snapmysql.Split(nil, row)
		if err == nil && len(f) == 2 {
			at[strings.ToLower(string(f[0]))] = string(f[1])
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("read the position of the view: %w", err)
	}
	pos, err := strconv.ParseInt(at["binlog_snapshot_position"], 10, 64)
	if err != nil || at["binlog_snapshot_file"] == "" {
		return nil //nolint:nilerr // a server without it: the place read before the view holds
	}
	rows, err := query(ctx, t.db, "SELECT BINLOG_GTID_POS(?, ?) AS g", at["binlog_snapshot_file"], pos)
	if err != nil || len(rows) != 1 {
		return nil //nolint:nilerr // likewise
	}
	v.place.File, v.place.Pos, v.place.GTIDs = at["binlog_snapshot_file"], pos, rows[0]["g"]
	return nil
}

// locks are the locks that a snapshot holds, on a connection of their own.
type locks struct {
	t      *task
	conn   *sql.Conn
	held   bool // no captured table changes
	tables bool // UNLOCK TABLES is due
	backup bool // no definition changes; UNLOCK INSTANCE is due
}

// lock takes the locks of snapshot.locking.mode. Where the global read lock is
// refused, as hosted servers do, the captured tables are locked instead; where
// that is refused too, nothing is: the place in the log is read before the view
// opens, so rows changed in between come twice, and none is lost.
func (t *task) lock(ctx context.Context) (l *locks, err error) {
	l = &locks{t: t}
	mode := t.opts.Snapshot.Locking
	if mode == "none" {
		return l, nil
	}
	if l.conn, err = t.opts.Conn.session(ctx, t.db); err != nil {
		return l, err
	}
	defer func() {
		if err != nil {
			l.close(ctx)
		}
	}()
	secs := max(1, int(t.opts.Snapshot.LockTimeout.Seconds()))
	for _, q := range []string{fmt.Sprintf("SET SESSION lock_wait_timeout = %d", secs), fmt.Sprintf("SET SESSION innodb_lock_wait_timeout = %d", secs)} {
		if _, err := l.conn.ExecContext(ctx, q); err != nil {
			return l, fmt.Errorf("prepare the snapshot (%s): %w", q, err)
		}
	}
	percona := strings.HasPrefix(mode, "minimal_percona")
	if percona && l.try(ctx, "LOCK TABLES FOR BACKUP") {
		return l, nil // commits go on, so nothing is held in the sense of held
	}
	if l.held = l.try(ctx, "FLUSH TABLES WITH READ LOCK"); l.held || ctx.Err() != nil {
		l.lockInstance(ctx)
		return l, ctx.Err()
	}
	if mode == "minimal_percona_no_table_locks" {
		return l, fault(nil, "Grant the right to it (RELOAD or FLUSH_TABLES), or set snapshot.locking.mode=minimal", "The global read lock is refused, and snapshot.locking.mode=%s forbids to lock tables instead", mode)
	}
	l.lockInstance(ctx)
	return l, l.lockTables(ctx)
}

// lockInstance keeps statements that change tables waiting. It comes behind the
// global read lock, as it does within such statements: the other way round their
// session and this one may each wait for the other, and the server ends the statement
// of the two that is not ours.
func (l *locks) lockInstance(ctx context.Context) {
	if l.t.server.mariadb || l.t.server.number < 80000 || ctx.Err() != nil {
		return
	}
	_, err := l.conn.ExecContext(ctx, "LOCK INSTANCE FOR BACKUP") // needs BACKUP_ADMIN, which few users have
	l.backup = err == nil
}

// try runs a statement that locks.
func (l *locks) try(ctx context.Context, statement string) bool {
	_, err := l.conn.ExecContext(ctx, statement)
	if err != nil {
		l.t.log.Info("a lock is refused", "statement", statement, "error", err)
	}
	l.tables = l.tables || err == nil
	return err == nil
}

// lockTables locks the captured tables, first by the statement that waits for
// transactions under way, then by the one that needs one right less.
func (l *locks) lockTables(ctx context.Context) error {
	all, err := l.t.listTables(ctx, l.t.db)
	if err != nil {
		return err
	}
	var names []string
	for _, id := range all {
		if l.t.captured(id) {
			names = append(names, quote(id.DB)+"."+quote(id.Name))
		}
	}
	if len(names) == 0 {
		return nil
	}
	l.held = l.try(ctx, "FLUSH TABLES "+strings.Join(names, ", ")+" WITH READ LOCK") || l.try(ctx, "LOCK TABLES "+strings.Join(names, " READ, ")+" READ")
	if !l.held {
		l.t.log.Warn("neither the server nor its tables can be locked; going on without: rows changed in the first instant of the snapshot may come twice",
			"cure", "GRANT RELOAD, LOCK TABLES ON *.* TO the connector's user")
	}
	return ctx.Err()
}

// unlockTables lets writers go on.
func (l *locks) unlockTables(ctx context.Context) {
	if l.tables {
		l.run(ctx, "UNLOCK TABLES")
		l.tables = false
	}
}

// close gives all locks back. It may be called several times.
func (l *locks) close(ctx context.Context) {
	if l.conn == nil {
		return
	}
	l.unlockTables(ctx)
	if l.backup {
		l.run(ctx, "UNLOCK INSTANCE")
	}
	_ = l.conn.Close()
	l.conn = nil
}

func (l *locks) run(ctx context.Context, statement string) {
	ctx, cancel := closing(ctx)
	defer cancel()
	if _, err := l.conn.ExecContext(ctx, statement); err != nil {
		l.t.log.Warn("the snapshot's lock ends with its connection", "error", err)
		_ = l.conn.Raw(func(any) error { return driver.ErrBadConn }) // so it does not go back into the pool
	}
}

// alive keeps the lock's connection from being idle for too long.
func (l *locks) alive(ctx context.Context) {
	if l.conn == nil {
		return
	}
	if _, err := l.conn.ExecContext(ctx, "DO 1"); err != nil && !errors.Is(err, context.Canceled) {
		l.t.log.Warn("the connection that holds the snapshot's lock failed; writers may go on", "error", err)
	}
}

// snapshotTables are the captured tables whose rows a snapshot reads, in order.
func (t *task) snapshotTables() []schemahistory.TableID {
	var ids []schemahistory.TableID
	for _, id := range t.model.IDs() {
		if t.captured(id) && (t.opts.Snapshot.Include == nil || t.opts.Snapshot.Include.Match(id.DB, id.Name)) {
			ids = append(ids, id)
		}
	}
	return ids
}
