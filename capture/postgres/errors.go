package postgres

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"

	"millrace/internal/errs"
)

// fault makes the error that ends a task: what happened and where, why, and what
// to do about it.
func fault(cause error, hint, format string, args ...any) *errs.Error {
	return &errs.Error{Java: errs.DebeziumException, Msg: fmt.Sprintf(format, args...), Hint: hint, Cause: cause}
}

// isTimeout reports whether a read ended because of its deadline.
func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// sqlState is the SQLSTATE of a server error, or "".
func sqlState(err error) string {
	var pe *pgconn.PgError
	if errors.As(err, &pe) {
		return pe.Code
	}
	return ""
}

// retriable decides whether the same attempt may succeed later without anyone
// doing anything: the network, a server that restarts or is full, a slot that
// another session still holds. Wrong credentials, missing rights and lost log do
// not heal by themselves (Debezium retries those too, for ever).
func retriable(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) {
		return false
	}
	var e *errs.Error
	if errors.As(err, &e) {
		return e.Retriable
	}
	if code := sqlState(err); code != "" {
		switch code[:2] {
		case "08", "53", "57", "40", "55":
			return code != "55000" // not in prerequisite state: an invalidated slot, wal_level
		case "XX":
			return true
		}
		return false
	}
	var cert *tls.CertificateVerificationError
	if errors.As(err, &cert) {
		return false
	}
	var ne net.Error
	return pgconn.SafeToRetry(err) || errors.Is(err, pgconn.ErrConnClosed) || errors.As(err, &ne) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, context.DeadlineExceeded) || isConnect(err)
}

// imported explains why a snapshot that another connection exports could not be
// imported: mostly that connection was lost meanwhile, and the next attempt exports
// another one.
func imported(err error) error {
	switch sqlState(err) {
	case "22023", "42704", "55000": // no such snapshot, or its connection is gone
		return &errs.Error{Java: errs.DebeziumException, Retriable: true, Msg: "The connection that exported the snapshot is gone", Cause: err}
	}
	return err
}

func isConnect(err error) bool {
	var ce *pgconn.ConnectError
	return errors.As(err, &ce)
}

// explain adds what to do to errors of the server that end the task.
func (t *task) explain(err error) error {
	var e *errs.Error
	if errors.As(err, &e) {
		return err
	}
	c := &t.opts.Conn
	hint := ""
	var cert *tls.CertificateVerificationError
	switch code := sqlState(err); {
	case errors.As(err, &cert):
		hint = "The server's certificate does not fit database.sslmode: give its authority in database.sslrootcert, and with verify-full connect by a name that the certificate has"
	case code == "28P01" || code == "28000":
		hint = "Check database.user and database.password, and the server's pg_hba.conf, which needs an entry for replication connections of this user"
	case code == "42501":
		hint = fmt.Sprintf("Grant what is missing, e.g. ALTER ROLE %s REPLICATION; GRANT USAGE ON SCHEMA s TO %[1]s; GRANT SELECT ON ALL TABLES IN SCHEMA s TO %[1]s", quoteIdent(c.User))
	case code == "42704" && strings.Contains(err.Error(), `publication "`):
		hint = fmt.Sprintf("PostgreSQL looks a publication up as it was when each change was written: made again, or made after the slot, it holds only for changes from then on, and the slot cannot pass those before. Make sure that it exists (CREATE PUBLICATION %s FOR TABLE …), "+
			"stop the connector, drop the slot (SELECT pg_drop_replication_slot('%s')), delete the connector's offsets and resume it: it takes a new snapshot", quoteIdent(t.opts.Publication.Name), t.opts.Slot.Name)
	case code == "3D000":
		hint = "Check database.dbname"
	case code == "53400":
		hint = "Raise max_replication_slots (needs a restart), or drop slots that nobody uses: SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active"
	case code == "55000":
		hint = "wal_level must be logical (ALTER SYSTEM SET wal_level = logical, then restart the server), and the slot must not have been invalidated: SELECT slot_name, wal_status FROM pg_replication_slots"
	case code == "58P01":
		hint = "The server has removed the log at the stored position; changes since then cannot be read any more. Use snapshot.mode=when_needed, or delete the connector's offsets, to take a new snapshot"
	}
	return fault(err, hint, "The connector %q failed at database %q on %s:%d", t.opts.Connector, c.Database, c.Host, c.Port)
}
