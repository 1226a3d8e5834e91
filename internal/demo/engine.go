package demo

import (
	"context"
	_ "embed" // the connector JSON
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

//go:embed mysqlsource.json
var mysqlSourceJSON string

// embeddedMySQL is the value of --mysql that starts a server of the demo's own.
const embeddedMySQL = "embedded"

// engine is what differs between the databases that the demo can show.
type engine struct {
	title      string
	source     string // the connector's JSON
	class      string
	port       string // the usual one
	noPassword string // what stands for none in the connector's JSON
	client     string // command line client
	since      string // what latencies count from
	why        string // why an update's before is filled
}

var (
	postgresEngine = &engine{title: "PostgreSQL", source: sourceJSON, port: "5432", noPassword: "none", since: "commit", why: "before is filled because the table has REPLICA IDENTITY FULL"}
	mysqlServer    = &engine{title: "MySQL", source: mysqlSourceJSON, class: "io.debezium.connector.mysql.MySqlConnector", port: "3306", client: "mysql", since: "commit", why: "before is filled because binlog_row_image is FULL"}
	mariadbServer  = &engine{title: "MariaDB", source: mysqlSourceJSON, class: "io.debezium.connector.mariadb.MariaDbConnector", port: "3306", client: "mariadb", since: "insert", why: "before is filled because binlog_row_image is FULL"}
)

// engineOf is the database that the options ask for. A server that cannot be asked
// which of MySQL and MariaDB it is passes for MySQL, until startMySQL says what is
// wrong with it.
func engineOf(ctx context.Context, o *Options) *engine {
	switch o.MySQL {
	case "":
		return postgresEngine
	case embeddedMySQL:
		if _, mariadb, err := findMySQL(ctx); err == nil && mariadb {
			return mariadbServer
		}
		return mysqlServer
	}
	if version, err := mysqlVersion(ctx, o.MySQL); err == nil && strings.Contains(version, "MariaDB") {
		return mariadbServer
	}
	return mysqlServer
}

// mysqlVersion asks a server what it is.
func mysqlVersion(ctx context.Context, text string) (version string, err error) {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.User == nil {
		return "", fmt.Errorf("--mysql %q is neither %s nor a URL such as mysql://user:password@host:3306", text, embeddedMySQL)
	}
	db, err := openMySQL(u, "")
	if err != nil {
		return "", err
	}
	defer func() { _ = db.Close() }()
	if err := db.QueryRowContext(ctx, "select version()").Scan(&version); err != nil {
		return "", fmt.Errorf("connecting to %s: %w", u.Host, err)
	}
	return version, nil
}

// startMySQL starts a server of the demo's own, if it is to have one, and asks the
// server what it is.
func (d *demo) startMySQL(ctx context.Context) error {
	if d.Options.MySQL == embeddedMySQL {
		program, _, err := findMySQL(ctx)
		if err != nil {
			return err
		}
		p, err := port(3306)
		if err != nil {
			return err
		}
		e, err := startHelper(ctx, helperConfig{Port: uint32(p), Runtime: d.dir, MySQL: program}, program)
		if err != nil {
			return err
		}
		d.later(e.stop)
		d.Options.MySQL = fmt.Sprintf("mysql://root@127.0.0.1:%d", p)
	}
	version, err := mysqlVersion(ctx, d.Options.MySQL)
	if err != nil {
		return err
	}
	u, err := url.Parse(d.Options.MySQL)
	if err != nil {
		return err
	}
	short, _, _ := strings.Cut(version, "-")
	d.s.step(d.engine.title+" "+short, u.Host)
	return nil
}

// findMySQL finds a server program of MySQL or MariaDB on this machine.
func findMySQL(ctx context.Context) (program string, mariadb bool, err error) {
	for _, name := range []string{"mysqld", "mariadbd", "/usr/sbin/mysqld", "/usr/sbin/mariadbd", "/usr/local/bin/mysqld", "/usr/libexec/mysqld", "/usr/libexec/mariadbd"} {
		p, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		if out, err := exec.CommandContext(ctx, p, "--no-defaults", "--version").Output(); err == nil {
			return p, strings.Contains(string(out), "MariaDB"), nil
		}
	}
	return "", false, errors.New("there is no mysqld or mariadbd on this machine; install mysql-server or mariadb-server, or give the URL of a server: --mysql mysql://user:password@host:3306")
}

// runMySQL is the helper's work for MySQL and MariaDB: a data directory of its own,
// the server, and its end when stdin ends.
func runMySQL(c *helperConfig, ready func() error) error {
	data := c.Runtime + "/data"
	version, err := exec.Command(c.MySQL, "--no-defaults", "--version").Output()
	if err != nil {
		return fmt.Errorf("asking %s for its version: %w", c.MySQL, err)
	}
	mariadb := strings.Contains(string(version), "MariaDB")
	install := exec.Command(c.MySQL, "--no-defaults", "--initialize-insecure", "--datadir="+data)
	if mariadb {
		install = exec.Command("mariadb-install-db", "--no-defaults", "--datadir="+data, "--auth-root-authentication-method=normal", "--skip-test-db")
	}
	if out, err := install.CombinedOutput(); err != nil {
		return fmt.Errorf("making the data directory: %w: %s", err, lastLine(out))
	}
	args := []string{"--no-defaults", "--datadir=" + data, "--port=" + fmt.Sprint(c.Port), "--bind-address=127.0.0.1", "--socket=" + c.Runtime + "/sock", "--pid-file=" + c.Runtime + "/pid",
		"--log-error=" + c.Runtime + "/log", "--server-id=1", "--log-bin=binlog", "--innodb-buffer-pool-size=64M", "--tmpdir=" + c.Runtime}
	if mariadb {
		args = append(args, "--binlog-format=ROW")
	} else {
		args = append(args, "--mysqlx=OFF", "--gtid-mode=ON", "--enforce-gtid-consistency=ON")
	}
	server := exec.Command(c.MySQL, args...)
	if err := server.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Wait() }() // joined below
	if err := awaitMySQL(int(c.Port), ended); err != nil {
		log, _ := os.ReadFile(c.Runtime + "/log")
		return fmt.Errorf("%w: %s", err, lastLine(log))
	}
	err = ready() // until the parent closes stdin or is gone
	if e := server.Process.Signal(syscall.SIGTERM); e != nil && !errors.Is(e, os.ErrProcessDone) {
		return errors.Join(err, e)
	}
	<-ended //nolint:errcheck // it was told to end
	return err
}

// awaitMySQL waits until the server lets root in.
func awaitMySQL(port int, ended <-chan error) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	db, err := openMySQL(&url.URL{Host: fmt.Sprintf("127.0.0.1:%d", port), User: url.User("root")}, "")
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	for {
		if err = db.PingContext(ctx); err == nil {
			return nil
		}
		select {
		case e := <-ended:
			return fmt.Errorf("the server ended: %w", e)
		case <-ctx.Done():
			return fmt.Errorf("the server does not answer: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func lastLine(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1]
}
