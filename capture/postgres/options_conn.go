package postgres

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"

	"millrace/capture/options"
	"millrace/internal/configdef"
)

func parseConn(v configdef.Values) Conn {
	c := Conn{
		Host: v.String("database.hostname"), Port: v.Int("database.port"), User: v.String("database.user"),
		Password: v.Props()["database.password"], Database: v.String("database.dbname"),
		SSLMode: v.Enum("database.sslmode"), SSLCert: v.String("database.sslcert"), SSLKey: v.String("database.sslkey"),
		SSLPassword: v.Props()["database.sslpassword"], SSLRootCert: v.String("database.sslrootcert"),
		SSLInsecure: v.String("database.sslfactory") == factoryTrustAll, KeepAlive: v.Bool("database.tcpKeepAlive"),
		QueryTimeout: v.Millis("database.query.timeout.ms"), InitialStatements: options.SplitStatements(v.String("database.initial.statements")),
		ValidateTimeout: v.Millis("connection.validation.timeout.ms"), RuntimeParams: map[string]string{},
	}
	for _, p := range driverProps(v) {
		if set := driverOptions[p.Key]; set != nil {
			set(&c, p.Value)
		}
	}
	return c
}

// driverOptions are the options of the PostgreSQL JDBC driver that mean something
// here; users pass them as database.* or driver.*.
var driverOptions = map[string]func(c *Conn, value string){
	"connectTimeout":   func(c *Conn, s string) { c.ConnectTimeout = seconds(s) },
	"loginTimeout":     func(c *Conn, s string) { c.LoginTimeout = seconds(s) },
	"targetServerType": func(c *Conn, s string) { c.TargetServerType = s },
	"ApplicationName":  func(*Conn, string) {}, // set per connection, as the real connector does
	"currentSchema":    func(c *Conn, s string) { c.RuntimeParams["search_path"] = s },
	"options":          startupOptions,
	"sslmode":          func(c *Conn, s string) { c.SSLMode = strings.ToLower(s) },
	"sslcert":          func(c *Conn, s string) { c.SSLCert = s },
	"sslkey":           func(c *Conn, s string) { c.SSLKey = s },
	"sslrootcert":      func(c *Conn, s string) { c.SSLRootCert = s },
	"sslpassword":      func(c *Conn, s string) { c.SSLPassword = s },
	"sslfactory":       func(c *Conn, s string) { c.SSLInsecure = s == factoryTrustAll },
	"ssl": func(c *Conn, s string) {
		if strings.EqualFold(s, "true") || s == "" {
			c.SSLMode = "verify-full"
		}
	},
	"tcpKeepAlive": func(c *Conn, s string) { c.KeepAlive = strings.EqualFold(s, "true") },
	"user":         func(c *Conn, s string) { c.User = s },
	"password":     func(c *Conn, s string) { c.Password = s },
}

// driverProps are the properties that the real connector hands to the driver:
// database.* that are no options of its own, then driver.*, which win.
func driverProps(v configdef.Values) []options.Pair {
	var out []options.Pair
	def := Def()
	for _, prefix := range []string{"database.", "driver."} {
		m := v.Prefixed(prefix)
		names := make([]string, 0, len(m))
		for k := range m {
			if prefix == "driver." || def.Find(prefix+k) == nil && renamed[prefix+k] == "" {
				names = append(names, k)
			}
		}
		sort.Strings(names)
		for _, k := range names {
			out = append(out, options.Pair{Key: k, Value: strings.TrimSpace(m[k])})
		}
	}
	return out
}

// driverWarnings names driver options without a meaning here; values are not
// shown, since they may be secrets.
func driverWarnings(v configdef.Values) []string {
	var out []string
	for _, p := range driverProps(v) {
		if driverOptions[p.Key] == nil {
			out = append(out, fmt.Sprintf("the option %s for the Java driver has no meaning here and is left out", p.Key))
		}
	}
	return out
}

func seconds(s string) time.Duration {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return 0
	}
	return time.Duration(n) * time.Second
}

// startupOptions reads "-c name=value -c name=value".
func startupOptions(c *Conn, s string) {
	for _, f := range strings.Fields(strings.ReplaceAll(s, "-c ", "-c")) {
		k, val, ok := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(f, "--"), "-c"), "=")
		if ok {
			c.RuntimeParams[strings.ReplaceAll(k, "-", "_")] = val
		}
	}
}
