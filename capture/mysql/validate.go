package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"syscall"

	driver "github.com/go-sql-driver/mysql"

	"millrace/capture"
	"millrace/internal/configdef"
)

// Numbers of server errors that are about who is asking.
const (
	erDatabaseDenied = 1044
	erAccessDenied   = 1045
	erDeniedNoPass   = 1698
)

// Validate makes the checks of a configuration that need the server. They run when
// the option table found nothing wrong, change nothing on the server, and take at
// most connection.validation.timeout.ms. Failures to connect are worded as the
// real connector words them; the others are what it would fail with once it runs.
func Validate(flavor Flavor) func(ctx context.Context, v configdef.Values) []configdef.Problem {
	return func(ctx context.Context, v configdef.Values) []configdef.Problem {
		o, err := parseValues(flavor, "", 0, v)
		if err != nil {
			return []configdef.Problem{{Property: "connector.class", Text: err.Error()}}
		}
		c := &check{o: o}
		return capture.ValidateServer(ctx, o.Conn.ValidateTimeout, func(ctx context.Context) ([]configdef.Problem, error) {
			err := c.run(ctx)
			return c.problems, err
		}, func(err error) string { return connectText(&o.Conn, err) })
	}
}

// connectText words a failure to connect: the server's own text, or what happened
// and what to look at.
func connectText(c *Conn, err error) string {
	var my *driver.MySQLError
	if errors.As(err, &my) && (my.Number == erAccessDenied || my.Number == erDatabaseDenied || my.Number == erDeniedNoPass) {
		return "Unable to connect: " + my.Message
	}
	text := "Error during connection validation: io.debezium.DebeziumException: Failed to establish connection with the database: "
	var dns *net.DNSError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return text // the real connector says no more
	case errors.As(err, &dns):
		return text + "the host name " + c.Host + " is not known; check database.hostname"
	case errors.As(err, &my):
		return text + my.Message
	}
	reason := err.Error()
	if c.Password != "" {
		reason = strings.ReplaceAll(reason, c.Password, "****")
	}
	return text + reason
}

// check is one run of the checks against a server.
type check struct {
	o        *Options
	db       *sql.DB
	server   *server
	problems []configdef.Problem
	have     map[string]bool // rights of the user; nil: roles give some that cannot be seen
}

// any reports whether the user has one of some rights.
func (c *check) any(rights ...string) bool {
	return slices.ContainsFunc(append(rights, "ALL PRIVILEGES", "ALL"), func(r string) bool { return c.have[r] })
}

// add notes what the real connector would fail with once it runs.
func (c *check) add(property, format string, args ...any) {
	c.problems = append(c.problems, configdef.Problem{Property: property, Text: fmt.Sprintf(format, args...), Late: true})
}

func (c *check) streams() bool {
	s := &c.o.Snapshot
	return s.Mode != "initial_only" && (s.Mode != "configuration_based" || s.Stream)
}

func (c *check) run(ctx context.Context) (err error) {
	if c.db, err = c.o.Conn.open(ctx); err != nil {
		return err
	}
	defer func() { _ = c.db.Close() }()
	if c.o.Conn.QueryTimeout < 0 {
		c.add("database.hostname", "Unable to connect: Illegal value for setQueryTimeout().") // recorded: the Java driver's text
	}
	if c.server, err = look(ctx, c.db); err != nil {
		return err
	}
	if !c.streams() {
		return nil
	}
	c.log()
	return c.grants(ctx)
}

// log looks at how the server keeps its binary log.
func (c *check) log() {
	s, at := c.server, net.JoinHostPort(c.o.Conn.Host, strconv.Itoa(c.o.Conn.Port))
	const p = "Error during connection validation: "
	switch {
	case s.mariadb != (c.o.Flavor == MariaDB):
		want := "io.debezium.connector.mysql.MySqlConnector"
		if s.mariadb {
			want = "io.debezium.connector.mariadb.MariaDbConnector"
		}
		c.add("connector.class", p+"the server %s is of version %s; set connector.class to %s", at, s.version, want)
	case !s.logBin:
		c.add("database.hostname", p+"the server %s keeps no binary log, so no change can be captured. Set log_bin in its configuration and restart it (on Amazon RDS turn automated backups on)", at)
	case s.format != "" && s.format != "ROW":
		c.add("database.hostname", p+"the server %s has binlog_format=%s, but rows are only logged with ROW. Run SET GLOBAL binlog_format = 'ROW' and set it in the server's configuration", at, s.format)
	}
}

// grants looks at the rights that reading the log takes. What roles give cannot
// always be seen, so only a list without any role is judged.
func (c *check) grants(ctx context.Context) error {
	rows, err := c.db.QueryContext(ctx, "SHOW GRANTS")
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	have := map[string]bool{}
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return err
		}
		list, on, ok := strings.Cut(strings.TrimPrefix(strings.ToUpper(text), "GRANT "), " ON ")
		if !ok {
			have["role"] = have["role"] || !strings.HasPrefix(list, "PROXY") && !strings.HasPrefix(list, "USAGE")
			continue
		}
		if strings.HasPrefix(on, "*.*") {
			for _, right := range strings.Split(list, ",") {
				have[strings.TrimSpace(right)] = true
			}
		} else if strings.Contains(list, "LOCK TABLES") || strings.HasPrefix(list, "ALL") {
			have["LOCK TABLES"] = true // of a database, and the captured tables are most likely in it
		}
	}
	if err := rows.Err(); err != nil || have["role"] {
		return err
	}
	c.have = have
	user := c.o.Conn.User
	if !c.any("REPLICATION SLAVE", "REPLICATION REPLICA") {
		c.add("database.user", "Error during connection validation: user %s may not read the binary log. Run GRANT REPLICATION SLAVE ON *.* TO '%s'@'%%'", user, user)
	}
	if !c.any("REPLICATION CLIENT", "BINLOG MONITOR", "SUPER", "REPLICATION SLAVE ADMIN") {
		c.add("database.user", "Error during connection validation: user %s may not ask for the position of the binary log. Run GRANT REPLICATION CLIENT ON *.* TO '%s'@'%%'", user, user)
	}
	return nil
}
