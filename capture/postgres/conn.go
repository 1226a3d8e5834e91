package postgres

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// Application names, as operators find them in pg_stat_activity.
const (
	appStreaming = "Debezium Streaming"
	appGeneral   = "Debezium General"
	appSlotInfo  = "Debezium Slot Info"
	appDropSlot  = "Debezium Drop Slot"
	appHeartbeat = "Debezium Heartbeat"
	appSnapshot  = "Debezium Snapshot"
)

// readBuffer is what is read from the replication connection at once, so that a
// frame costs no system call.
const readBuffer = 256 << 10

// settings make the server print values in the one form that decode/pgvalue reads.
var settings = map[string]string{
	"client_encoding":    "UTF8",
	"DateStyle":          "ISO, MDY",
	"IntervalStyle":      "postgres",
	"TimeZone":           "UTC",
	"extra_float_digits": "3",
	"bytea_output":       "hex",
}

// config makes the driver's configuration of a connection.
func (c *Conn) config(app string) (*pgconn.Config, error) {
	kv := []string{
		"host=" + dsnQuote(c.Host), "port=" + strconv.Itoa(c.Port), "user=" + dsnQuote(c.User), "dbname=" + dsnQuote(c.Database),
		"password=" + dsnQuote(c.Password), "sslmode=" + dsnQuote(c.sslMode()), "target_session_attrs=" + targetAttrs(c.TargetServerType),
	}
	switch c.sslMode() {
	case "verify-ca", "verify-full":
		if c.SSLRootCert != "" {
			kv = append(kv, "sslrootcert="+dsnQuote(c.SSLRootCert))
		}
	default:
		// The JDBC driver looks at no certificate in these modes, whatever
		// sslrootcert says; libpq, and pgx after it, would make require verify-ca.
		kv = append(kv, "sslrootcert=''")
	}
	cfg, err := pgconn.ParseConfig(strings.Join(kv, " "))
	if err != nil {
		return nil, fmt.Errorf("set up the connection to %s:%d: %w", c.Host, c.Port, err)
	}
	if c.SSLCert != "" || c.SSLKey != "" {
		cert, err := clientCert(c.SSLCert, c.SSLKey, c.SSLPassword)
		if err != nil {
			return nil, err
		}
		eachTLS(cfg, func(t *tls.Config) { t.Certificates = []tls.Certificate{cert} })
	}
	if c.SSLInsecure {
		eachTLS(cfg, func(t *tls.Config) {
			t.InsecureSkipVerify, t.VerifyPeerCertificate, t.VerifyConnection = true, nil, nil
		})
	}
	cfg.RuntimeParams = map[string]string{}
	for k, v := range settings {
		cfg.RuntimeParams[k] = v
	}
	for k, v := range c.RuntimeParams {
		cfg.RuntimeParams[k] = v
	}
	cfg.RuntimeParams["application_name"] = app
	cfg.ConnectTimeout = 10 * time.Second
	if c.ConnectTimeout > 0 {
		cfg.ConnectTimeout = c.ConnectTimeout
	}
	if c.LoginTimeout > 0 {
		cfg.ConnectTimeout = max(cfg.ConnectTimeout, c.LoginTimeout)
	}
	d := &net.Dialer{KeepAlive: 30 * time.Second}
	if !c.KeepAlive {
		d.KeepAlive = -1
	}
	cfg.DialFunc = d.DialContext
	return cfg, nil
}

func (c *Conn) sslMode() string {
	if c.SSLMode == "" {
		return "prefer"
	}
	return c.SSLMode
}

// connect opens an ordinary connection and runs the initial statements on it.
func (c *Conn) connect(ctx context.Context, app string) (*pgconn.PgConn, error) {
	cfg, err := c.config(app)
	if err != nil {
		return nil, err
	}
	if c.QueryTimeout > 0 {
		cfg.RuntimeParams["statement_timeout"] = strconv.FormatInt(c.QueryTimeout.Milliseconds(), 10)
	}
	conn, err := pgconn.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	for _, q := range c.InitialStatements {
		if _, err := conn.Exec(ctx, q).ReadAll(); err != nil {
			closeConn(conn)
			return nil, fmt.Errorf("run database.initial.statements (%s): %w", q, err)
		}
	}
	return conn, nil
}

// connectReplication opens a connection that speaks the replication protocol. The
// second result is its read buffer, for asking whether a frame is waiting.
func (c *Conn) connectReplication(ctx context.Context) (*pgconn.PgConn, *bufio.Reader, error) {
	cfg, err := c.config(appStreaming)
	if err != nil {
		return nil, nil, err
	}
	cfg.RuntimeParams["replication"] = "database"
	var buf *bufio.Reader
	cfg.BuildFrontend = func(r io.Reader, w io.Writer) *pgproto3.Frontend {
		buf = bufio.NewReaderSize(r, readBuffer)
		return pgproto3.NewFrontend(buf, w)
	}
	conn, err := pgconn.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, nil, err
	}
	return conn, buf, nil
}

// closeConn closes a connection whether or not the task still runs.
func closeConn(c *pgconn.PgConn) {
	if c == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	_ = c.Close(ctx) // it is given up either way
}

// query runs one statement with text parameters and returns its rows as text; a
// nil value is NULL. The rows are the caller's.
func query(ctx context.Context, c *pgconn.PgConn, sql string, args ...string) ([][][]byte, error) {
	params := make([][]byte, len(args))
	for i, a := range args {
		params[i] = []byte(a)
	}
	res := c.ExecParams(ctx, sql, params, nil, nil, nil).Read()
	return res.Rows, res.Err
}

// exec runs a statement that needs no parameters and returns its first result.
func exec(ctx context.Context, c *pgconn.PgConn, sql string) ([][][]byte, error) {
	res, err := c.Exec(ctx, sql).ReadAll()
	if err != nil {
		return nil, err
	}
	if len(res) == 0 {
		return nil, nil
	}
	return res[0].Rows, res[0].Err
}

// dsnQuote quotes a value of a libpq connection string.
func dsnQuote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

// quoteIdent quotes an SQL identifier.
func quoteIdent(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

// quoteLiteral quotes an SQL text literal.
func quoteLiteral(s string) string {
	q := "'" + strings.ReplaceAll(s, "'", "''") + "'"
	if strings.Contains(s, `\`) {
		return " E" + strings.ReplaceAll(q, `\`, `\\`)
	}
	return q
}

// targetAttrs maps the JDBC driver's targetServerType to libpq's setting.
func targetAttrs(t string) string {
	switch strings.ToLower(t) {
	case "primary", "master":
		return "primary"
	case "secondary", "slave":
		return "standby"
	case "prefersecondary", "preferslave":
		return "prefer-standby"
	}
	return "any"
}

func eachTLS(cfg *pgconn.Config, f func(*tls.Config)) {
	if cfg.TLSConfig != nil {
		f(cfg.TLSConfig)
	}
	for _, fb := range cfg.Fallbacks {
		if fb.TLSConfig != nil {
			f(fb.TLSConfig)
		}
	}
}

// clientCert reads a client certificate. The key may be PEM or, as the JDBC driver
// wants it, PKCS8 in DER.
func clientCert(certFile, keyFile, password string) (tls.Certificate, error) {
	fail := func(err error) (tls.Certificate, error) {
		return tls.Certificate{}, fmt.Errorf("read the client certificate (database.sslcert %s, database.sslkey %s): %w", certFile, keyFile, err)
	}
	certPEM, err := os.ReadFile(certFile)
	if err != nil {
		return fail(err)
	}
	key, err := os.ReadFile(keyFile)
	if err != nil {
		return fail(err)
	}
	block, _ := pem.Decode(key)
	if block == nil {
		if _, err := x509.ParsePKCS8PrivateKey(key); err != nil {
			return fail(fmt.Errorf("the key is neither PEM nor unencrypted PKCS8 in DER; convert it with: openssl pkcs8 -topk8 -nocrypt -in KEY -out KEY.pem: %w", err))
		}
		key = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})
	} else if password != "" && block.Headers["DEK-Info"] != "" {
		//nolint:staticcheck // the old PEM encryption is what such key files use
		der, err := x509.DecryptPEMBlock(block, []byte(password))
		if err != nil {
			return fail(err)
		}
		key = pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: der})
	}
	cert, err := tls.X509KeyPair(certPEM, key)
	if err != nil {
		return fail(err)
	}
	return cert, nil
}
