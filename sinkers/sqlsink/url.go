package sqlsink

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// Dialect names, as they stand in JDBC URLs.
const (
	dialectPostgres = "postgresql"
	dialectMySQL    = "mysql"
	dialectMariaDB  = "mariadb"
	dialectSQLite   = "sqlite"
)

// answerTimeout is how long a server may take over one write before its connection
// counts as lost: one that is half open never says so. socketTimeout sets another.
const answerTimeout = 10 * time.Minute

// jdbcURL is a parsed JDBC URL.
type jdbcURL struct {
	dialect  string
	hosts    []string // host:port
	database string   // of SQLite: the file
	params   map[string]string
}

var defaultPorts = map[string]string{dialectPostgres: "5432", dialectMySQL: "3306", dialectMariaDB: "3306"}

// parseURL reads jdbc:postgresql://h1:p1,h2/db?k=v and its kin.
func parseURL(s string) (*jdbcURL, error) {
	rest, ok := strings.CutPrefix(s, "jdbc:")
	if !ok {
		return nil, fmt.Errorf("connection.url must be a JDBC URL such as jdbc:postgresql://host:5432/database, got %q", redactURL(s))
	}
	name, rest, ok := strings.Cut(rest, ":")
	if !ok {
		return nil, fmt.Errorf("connection.url has no database kind: %q", redactURL(s))
	}
	u := &jdbcURL{dialect: strings.ToLower(name), params: map[string]string{}}
	rest, query, _ := strings.Cut(rest, "?")
	if err := u.readParams(query); err != nil {
		return nil, err
	}
	if u.dialect == dialectSQLite {
		u.database = rest
		if rest == "" {
			return nil, fmt.Errorf("connection.url jdbc:sqlite: needs the path of a file")
		}
		return u, nil
	}
	port, known := defaultPorts[u.dialect]
	if !known {
		return nil, fmt.Errorf("connection.url: millrace writes to jdbc:postgresql, jdbc:mysql, jdbc:mariadb and jdbc:sqlite, not to jdbc:%s", name)
	}
	if !strings.HasPrefix(rest, "//") { // jdbc:postgresql:database and jdbc:postgresql:/
		u.hosts, u.database = []string{"localhost:" + port}, strings.TrimPrefix(rest, "/")
		return u, nil
	}
	authority, path, _ := strings.Cut(rest[2:], "/")
	if user, host, ok := cutLast(authority, "@"); ok {
		name, password, _ := strings.Cut(user, ":")
		u.params["user"], u.params["password"] = name, password
		authority = host
	}
	for _, h := range strings.Split(authority, ",") {
		if h = strings.TrimSpace(h); h == "" {
			h = "localhost"
		}
		if !strings.Contains(strings.TrimPrefix(h[strings.LastIndexByte(h, ']')+1:], "["), ":") {
			h += ":" + port
		}
		u.hosts = append(u.hosts, h)
	}
	db, err := url.PathUnescape(path)
	if err != nil {
		return nil, fmt.Errorf("connection.url: the database name %q is not well encoded", path)
	}
	u.database = db
	return u, nil
}

func (u *jdbcURL) readParams(query string) error {
	for _, kv := range strings.Split(query, "&") {
		if kv == "" {
			continue
		}
		k, v, _ := strings.Cut(kv, "=")
		k, err := url.QueryUnescape(k)
		if err == nil {
			v, err = url.QueryUnescape(v)
		}
		if err != nil {
			return fmt.Errorf("connection.url: the parameter %s is not well encoded", k)
		}
		u.params[k] = v
	}
	return nil
}

func cutLast(s, sep string) (before, after string, ok bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return "", s, false
}

// redactURL cuts everything that may hold a secret off a URL for an error text.
func redactURL(s string) string {
	s, _, _ = strings.Cut(s, "?")
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		return "…" + s[i:]
	}
	return s
}

var variableName = regexp.MustCompile(`^@{0,2}[A-Za-z_][\w.]*$`)

// sessionVariables reads that parameter of MySQL's and MariaDB's JDBC drivers: name=value,
// divided by commas or semicolons outside of quotes.
func sessionVariables(list string) (map[string]string, error) {
	out := map[string]string{}
	quote := rune(0)
	for _, kv := range strings.FieldsFunc(list, func(r rune) bool {
		switch {
		case quote == 0 && (r == '\'' || r == '"'):
			quote = r
		case r == quote:
			quote = 0
		}
		return quote == 0 && (r == ',' || r == ';')
	}) {
		name, value, ok := strings.Cut(kv, "=")
		if name = strings.TrimSpace(name); !ok || !variableName.MatchString(name) || strings.TrimSpace(value) == "" {
			return nil, fmt.Errorf("connection.url: sessionVariables needs name=value, divided by commas, got %q", kv)
		}
		out[name] = strings.TrimSpace(value)
	}
	return out, nil
}

// param returns the first of the named parameters that is set; JDBC drivers have
// several names for one thing.
func (u *jdbcURL) param(names ...string) string {
	for _, n := range names {
		for k, v := range u.params {
			if strings.EqualFold(k, n) {
				return v
			}
		}
	}
	return ""
}
