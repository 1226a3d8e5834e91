package mysql

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
	gomysql "github.com/go-mysql-org/go-mysql/mysql"
	driver "github.com/go-sql-driver/mysql"
)

// Config says how connections are made.
type Config struct {
	Addr           string // host:port
	User, Password string
	TLS            *tls.Config   // nil: none
	Timeout        time.Duration // for connecting and logging in
	// Init are statements that every connection runs first.
	Init []string
}

// settings let every stored value be read, in UTC and as utf8mb4, and keep the
// server from ending a connection whose rows wait for Kafka.
var settings = []string{"SET NAMES utf8mb4", "SET SESSION time_zone = '+00:00', sql_mode = '', net_write_timeout = 3600, wait_timeout = 28800"}

// Conn is a connection that reads rows. One goroutine uses it at a time.
type Conn struct {
	nc  net.Conn
	buf []byte
	at  int // next byte to take
	end int // end of what was read
	big []byte
	seq byte
}

// readBuffer is how much one read takes from the connection at most.
const readBuffer = 64 << 10

// Open connects, logs in and prepares the session.
func Open(ctx context.Context, cfg *Config) (*Conn, error) {
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		d := net.Dialer{Timeout: cfg.Timeout}
		c, err := d.DialContext(ctx, network, addr)
		if err == nil && cfg.Timeout > 0 {
			err = c.SetDeadline(time.Now().Add(cfg.Timeout)) // of the login
		}
		return c, err
	}
	plain := func(c *client.Conn) error {
		// Without these the protocol has a single form, the one that is read here.
		c.UnsetCapability(gomysql.CLIENT_DEPRECATE_EOF)
		c.UnsetCapability(gomysql.CLIENT_QUERY_ATTRIBUTES)
		if cfg.TLS != nil {
			c.SetTLSConfig(cfg.TLS)
		}
		return nil
	}
	login, err := client.ConnectWithDialer(ctx, "tcp", cfg.Addr, cfg.User, cfg.Password, "", dial, plain)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", cfg.Addr, serverError(err))
	}
	// Nothing is under way now, so the connection below has no byte in a buffer.
	c := &Conn{nc: login.Conn.Conn, buf: make([]byte, readBuffer)}
	if err := c.nc.SetDeadline(time.Time{}); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	for _, list := range [][]string{settings, cfg.Init} {
		for _, q := range list {
			if err := c.Exec(ctx, q); err != nil {
				return nil, errors.Join(fmt.Errorf("prepare a connection (%s): %w", q, err), c.Close())
			}
		}
	}
	return c, nil
}

// serverError gives a refusal of the server the type that the other connections'
// have.
func serverError(err error) error {
	var my *gomysql.MyError
	if errors.As(err, &my) {
		return &driver.MySQLError{Number: my.Code, Message: my.Message}
	}
	return err
}

// Close ends the connection without a word.
func (c *Conn) Close() error { return c.nc.Close() }

// Exec runs a statement and drops its rows.
func (c *Conn) Exec(ctx context.Context, sql string) error {
	return c.Query(ctx, sql, nil, func([]byte) error { return nil })
}

// Query runs a statement. columns (nil: not wanted) gets the names of the result's
// columns, row every row as it lies on the wire, to be split by Split; it is lent
// for the call. An error of either ends the connection's use.
func (c *Conn) Query(ctx context.Context, sql string, columns func([]string) error, row func([]byte) error) error {
	stop := context.AfterFunc(ctx, func() { _ = c.nc.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	err := c.query(sql, columns, row)
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// First bytes of the server's replies.
const (
	replyOK   = 0x00
	replyFile = 0xfb
	replyEOF  = 0xfe
	replyErr  = 0xff
)

const commandQuery = 3

var errProtocol = errors.New("the server's reply is not of the protocol")

func (c *Conn) query(sql string, columns func([]string) error, row func([]byte) error) error {
	msg := make([]byte, 5, 5+len(sql))
	n := len(sql) + 1
	if n >= maxPacket {
		return fmt.Errorf("a statement of %d bytes is too long", n)
	}
	msg[0], msg[1], msg[2], msg[4] = byte(n), byte(n>>8), byte(n>>16), commandQuery
	if _, err := c.nc.Write(append(msg, sql...)); err != nil {
		return err
	}
	c.seq = 1
	head, err := c.packet()
	if err != nil {
		return err
	}
	switch {
	case len(head) == 0 || head[0] == replyFile:
		return errProtocol
	case head[0] == replyErr:
		return refusal(head)
	case head[0] == replyOK:
		return nil
	}
	n, _, ok := lenenc(head)
	if !ok {
		return errProtocol
	}
	if err := c.columns(n, columns); err != nil {
		return err
	}
	for {
		p, err := c.packet()
		switch {
		case err != nil:
			return err
		case isEOF(p):
			return nil
		case len(p) > 0 && p[0] == replyErr:
			return refusal(p)
		}
		if err := row(p); err != nil {
			return err
		}
	}
}

func isEOF(p []byte) bool { return len(p) > 0 && len(p) < 9 && p[0] == replyEOF }

// columns reads n column definitions (catalog, schema, table, original table,
// name, …) and the packet that ends them.
func (c *Conn) columns(n int, want func([]string) error) error {
	var names []string
	for i := 0; i <= n; i++ {
		p, err := c.packet()
		switch {
		case err != nil:
			return err
		case i == n && isEOF(p):
			if want != nil {
				return want(names)
			}
			return nil
		case len(p) > 0 && p[0] == replyErr:
			return refusal(p)
		}
		f, err := Split(nil, p)
		if (err != nil && len(f) < 5) || len(f) < 5 { // fixed-size fields follow the texts
			return errProtocol
		}
		names = append(names, string(f[4]))
	}
	return errProtocol
}

// refusal reads an error packet: number, mark and SQL state, text.
func refusal(p []byte) error {
	if len(p) < 3 {
		return errProtocol
	}
	e := &driver.MySQLError{Number: binary.LittleEndian.Uint16(p[1:])}
	text := p[3:]
	if len(text) > 5 && text[0] == '#' {
		copy(e.SQLState[:], text[1:6])
		text = text[6:]
	}
	e.Message = string(text)
	return e
}

// maxPacket is the length of a packet that another one continues.
const maxPacket = 1<<24 - 1

// packet reads a packet; it is lent until the next call.
func (c *Conn) packet() ([]byte, error) {
	p, err := c.part()
	if err != nil || len(p) < maxPacket {
		return p, err
	}
	c.big = append(c.big[:0], p...)
	for len(p) == maxPacket {
		if p, err = c.part(); err != nil {
			return nil, err
		}
		c.big = append(c.big, p...)
	}
	return c.big, nil
}

func (c *Conn) part() ([]byte, error) {
	h, err := c.take(4)
	if err != nil {
		return nil, err
	}
	if h[3] != c.seq {
		return nil, errProtocol
	}
	c.seq++
	return c.take(int(h[0]) | int(h[1])<<8 | int(h[2])<<16)
}

// take returns the next n bytes, lent until the next call.
func (c *Conn) take(n int) ([]byte, error) {
	if have := c.end - c.at; have < n {
		if n > len(c.buf) {
			big := make([]byte, n)
			copy(big, c.buf[c.at:c.end])
			c.buf = big
		} else {
			copy(c.buf, c.buf[c.at:c.end])
		}
		c.at, c.end = 0, have
		got, err := io.ReadAtLeast(c.nc, c.buf[have:], n-have)
		c.end += got
		if err != nil {
			return nil, err
		}
	}
	c.at += n
	return c.buf[c.at-n : c.at : c.at], nil
}
