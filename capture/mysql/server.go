package mysql

import (
	"context"
	"fmt"
	"sort"
	"strings"

	"millrace/schemahistory"
)

// server is what the database says of itself.
type server struct {
	version   string
	number    int // e.g. 90700
	mariadb   bool
	gtid      bool
	foldCase  bool
	charset   string // character_set_server
	collation string
	sqlMode   string
	format    string // binlog_format
	image     string // binlog_row_image
	logBin    bool
}

func look(ctx context.Context, q querier) (*server, error) {
	rows, err := query(ctx, q, `SHOW GLOBAL VARIABLES WHERE Variable_name IN ('version','gtid_mode','lower_case_table_names','character_set_server','collation_server','sql_mode','binlog_format','binlog_row_image','log_bin')`)
	if err != nil {
		return nil, fmt.Errorf("read the server's variables: %w", err)
	}
	v := map[string]string{}
	for _, r := range rows {
		v[strings.ToLower(r["variable_name"])] = r["value"]
	}
	s := &server{version: v["version"], mariadb: strings.Contains(strings.ToLower(v["version"]), "mariadb"), gtid: strings.HasPrefix(strings.ToUpper(v["gtid_mode"]), "ON"),
		foldCase: v["lower_case_table_names"] != "" && v["lower_case_table_names"] != "0", charset: v["character_set_server"], collation: v["collation_server"],
		sqlMode: v["sql_mode"], format: strings.ToUpper(v["binlog_format"]), image: strings.ToUpper(v["binlog_row_image"]), logBin: strings.EqualFold(v["log_bin"], "on")}
	var a, b, c int
	if _, err := fmt.Sscanf(s.version, "%d.%d.%d", &a, &b, &c); err == nil {
		s.number = a*10000 + b*100 + c
	}
	s.gtid = s.gtid || s.mariadb
	return s, nil
}

// check refuses a server whose log cannot be captured.
func (s *server) check(flavor Flavor) error {
	switch {
	case !s.logBin:
		return fault(nil, "Set log_bin in the server's configuration and restart it", "The server keeps no binary log (log_bin is OFF), so no change can be captured")
	case s.format != "" && s.format != "ROW":
		return fault(nil, "Set it: SET GLOBAL binlog_format = 'ROW', and in the server's configuration", "The server has binlog_format=%s; rows are only logged with ROW", s.format)
	case s.mariadb != (flavor == MariaDB):
		want := "io.debezium.connector.mysql.MySqlConnector"
		if s.mariadb {
			want = "io.debezium.connector.mariadb.MariaDbConnector"
		}
		return fault(nil, "Set connector.class to "+want, "The server is of version %s, which this connector class is not for", s.version)
	}
	return nil
}

// place is where the server's log stands.
func (s *server) place(ctx context.Context, q querier) (*Position, error) {
	text := "SHOW BINARY LOG STATUS"
	rows, err := query(ctx, q, text)
	if err != nil && retriable(err) {
		return nil, fmt.Errorf("read the position of the binary log: %w", err)
	}
	if err != nil {
		text = "SHOW MASTER STATUS"
		if rows, err = query(ctx, q, text); err != nil {
			return nil, fault(err, "Grant it: GRANT REPLICATION CLIENT ON *.* TO the connector's user (MariaDB: BINLOG MONITOR)", "The position of the binary log cannot be read (%s)", text)
		}
	}
	if len(rows) == 0 {
		return nil, fault(nil, "Set log_bin in the server's configuration and restart it", "%s gives nothing: the server keeps no binary log", text)
	}
	p := &Position{File: rows[0]["file"]}
	if _, err := fmt.Sscan(rows[0]["position"], &p.Pos); err != nil {
		return nil, fmt.Errorf("read the position of the binary log: %w", err)
	}
	p.GTIDs = strings.ReplaceAll(rows[0]["executed_gtid_set"], "\n", "")
	if s.mariadb {
		g, err := query(ctx, q, "SELECT @@gtid_binlog_pos AS g")
		if err == nil && len(g) == 1 {
			p.GTIDs = g[0]["g"]
		}
	}
	p.GTIDs = strings.ReplaceAll(p.GTIDs, " ", "")
	return p, nil
}

// logs lists the binary log files that the server still has.
func logs(ctx context.Context, q querier) ([]string, error) {
	rows, err := query(ctx, q, "SHOW BINARY LOGS")
	if err != nil {
		return nil, fmt.Errorf("list the binary logs: %w", err)
	}
	out := make([]string, len(rows))
	for i, r := range rows {
		out[i] = r["log_name"]
	}
	return out, nil
}

// lost says why the log at a stored position is gone; "" when it is there.
func (s *server) lost(ctx context.Context, q querier, p *Position) (string, error) {
	if p.GTIDs != "" && s.gtid && !s.mariadb {
		rows, err := query(ctx, q, "SELECT GTID_SUBTRACT(@@GLOBAL.gtid_purged, ?) AS missing", p.GTIDs)
		if err != nil {
			return "", fmt.Errorf("compare the stored GTIDs with gtid_purged: %w", err)
		}
		if missing := strings.ReplaceAll(rows[0]["missing"], "\n", ""); missing != "" {
			return "the transactions " + missing + " were purged from the server's binary logs", nil
		}
		return "", nil
	}
	have, err := logs(ctx, q)
	if err != nil {
		return "", err
	}
	for _, f := range have {
		if f == p.File {
			return "", nil
		}
	}
	return "binary log " + p.File + " is not on the server any more (it has " + strings.Join(have, ", ") + ")", nil
}

// tables lists all base tables, sorted by database and name.
func (t *task) listTables(ctx context.Context, q querier) ([]schemahistory.TableID, error) {
	dbs, err := query(ctx, q, "SHOW DATABASES")
	if err != nil {
		return nil, fmt.Errorf("list databases: %w", err)
	}
	var out []schemahistory.TableID
	for _, d := range dbs {
		db := d["database"]
		if builtin(db, "") {
			continue
		}
		rows, err := query(ctx, q, "SHOW FULL TABLES IN "+quote(db)+" WHERE Table_type = 'BASE TABLE'")
		if err != nil {
			t.log.Warn("the tables of a database cannot be listed; it is left out", "database", db, "error", err)
			continue
		}
		for _, r := range rows {
			for k, v := range r {
				if strings.HasPrefix(k, "tables_in_") {
					out = append(out, schemahistory.TableID{DB: db, Name: v})
				}
			}
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].DB+"\x00"+out[i].Name < out[j].DB+"\x00"+out[j].Name })
	return out, nil
}

func showCreate(ctx context.Context, q querier, id schemahistory.TableID) (string, error) {
	rows, err := query(ctx, q, "SHOW CREATE TABLE "+quote(id.DB)+"."+quote(id.Name))
	if err != nil {
		return "", fmt.Errorf("read the definition of table %s.%s: %w", id.DB, id.Name, err)
	}
	return rows[0]["create table"], nil
}

func databaseCharset(ctx context.Context, q querier, db string) (charset, collation string, err error) {
	rows, err := query(ctx, q, "SELECT DEFAULT_CHARACTER_SET_NAME AS cs, DEFAULT_COLLATION_NAME AS co FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = ?", db)
	if err != nil || len(rows) == 0 {
		return "", "", err
	}
	return rows[0]["cs"], rows[0]["co"], nil
}
