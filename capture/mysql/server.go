package mysql

import (
	"context"
	"fmt"
	"sort"
	"strconv"
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

	// Of the connector: which sources of GTIDs count, and whether GTIDs do at all.
	filter GTIDFilter
	byFile bool
}

// of says for which connector the server is looked at.
func (s *server) of(o *Options) *server {
	s.filter, s.byFile = o.GTIDs, o.IgnoreGTIDs
	return s
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
	s := &server{version: v["version"], mariadb: strings.Contains(strings.ToLower(v["version"]), "mariadb"), gtid: strings.EqualFold(v["gtid_mode"], "ON"), // ON_PERMISSIVE refuses to be read by GTID
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

// lost says why the log at a stored position is gone; "" when it is there. With GTIDs
// the place is one in the history of transactions, whatever server keeps it and in
// whatever files: it is lost when the server purged what comes next, and also when the
// server never had what was read already, for then its history is another one.
func (s *server) lost(ctx context.Context, q querier, p *Position) (string, error) {
	switch {
	case p.GTIDs == "" || !s.gtid || s.byFile:
		return lostFile(ctx, q, p)
	case s.mariadb:
		return s.lostDomain(ctx, q, p)
	}
	done, err := s.processed(ctx, q, p)
	if err != nil {
		return "", err
	}
	rows, err := query(ctx, q, "SELECT GTID_SUBTRACT(@@GLOBAL.gtid_purged, ?) AS missing, GTID_SUBTRACT(?, @@GLOBAL.gtid_executed) AS foreigners", done, s.filter.filterGTIDs(MySQL, p.GTIDs))
	if err != nil {
		return "", fmt.Errorf("compare the stored GTIDs with the server's: %w", err)
	}
	if missing := strings.ReplaceAll(rows[0]["missing"], "\n", ""); missing != "" {
		return "the transactions " + missing + " were purged from the server's binary logs before they were read", nil
	}
	if more := strings.ReplaceAll(rows[0]["foreigners"], "\n", ""); more != "" && !arrives(ctx, q, "SELECT WAIT_FOR_EXECUTED_GTID_SET(?, ?) AS late", more) {
		return "the transactions " + more + " were read from another server or an earlier life of this one, which never had them: their changes are in the topics, and what this server did instead cannot be told", nil
	}
	return "", nil
}

// lagPatience is how long a server may take, in seconds, until it has what was read
// already: a replica that lags behind, or a transaction that was streamed a moment
// before the server counted it as executed.
const lagPatience = 20

// arrives waits until the server has transactions, and reports whether it has. ask
// is the server's function that waits: 0 means that they are there.
func arrives(ctx context.Context, q querier, ask, gtids string) bool {
	rows, err := query(ctx, q, ask, gtids, lagPatience)
	return err == nil && len(rows) > 0 && rows[0]["late"] == "0"
}

// processed is the stored set, with what the server purged of sources that the GTID
// filters leave out: nobody wants that, so it may be gone.
func (s *server) processed(ctx context.Context, q querier, p *Position) (string, error) {
	if !s.filter.active() || s.mariadb {
		return p.GTIDs, nil
	}
	rows, err := query(ctx, q, "SELECT @@GLOBAL.gtid_purged AS purged")
	if err != nil {
		return "", fmt.Errorf("read gtid_purged: %w", err)
	}
	set := p.GTIDs
	for _, part := range strings.Split(strings.ReplaceAll(rows[0]["purged"], "\n", ""), ",") {
		if part != "" && !s.filter.passes(sourceOf(MySQL, part)) {
			set += "," + part
		}
	}
	return set, nil
}

// lostDomain compares a position of MariaDB with what the server's logs hold: domain
// by domain, from the state at the start of the oldest one to the state of now.
func (s *server) lostDomain(ctx context.Context, q querier, p *Position) (string, error) {
	files, err := logs(ctx, q)
	if err != nil || len(files) == 0 {
		return "", err
	}
	events, err := query(ctx, q, "SHOW BINLOG EVENTS IN '"+files[0]+"' LIMIT 3")
	if err != nil {
		return "", fmt.Errorf("look at the oldest binary log: %w", err)
	}
	now, err := query(ctx, q, "SELECT @@GLOBAL.gtid_current_pos AS pos")
	if err != nil {
		return "", fmt.Errorf("read gtid_current_pos: %w", err)
	}
	have := domains(p.GTIDs)
	for _, e := range events {
		if e["event_type"] != "Gtid_list" {
			continue
		}
		for d, seq := range domains(strings.Trim(e["info"], "[]")) {
			if at, ok := have[d]; ok && at < seq {
				return fmt.Sprintf("the transactions %d to %d of domain %s were purged from the server's binary logs before they were read", at+1, seq, d), nil
			}
		}
	}
	last := domains(now[0]["pos"])
	for d, at := range have {
		if at > last[d] && !arrives(ctx, q, "SELECT MASTER_GTID_WAIT(?, ?) AS late", p.GTIDs) {
			return fmt.Sprintf("transactions up to %d of domain %s were read from another server or an earlier life of this one, which has only %d: what it did instead cannot be told", at, d, last[d]), nil
		}
	}
	return "", nil
}

// domains is a position of MariaDB by domain.
func domains(gtids string) map[string]uint64 {
	out := map[string]uint64{}
	for _, g := range strings.Split(gtids, ",") {
		parts := strings.Split(strings.TrimSpace(g), "-")
		if len(parts) != 3 {
			continue
		}
		if n, err := strconv.ParseUint(parts[2], 10, 64); err == nil {
			out[parts[0]] = max(out[parts[0]], n)
		}
	}
	return out
}

func lostFile(ctx context.Context, q querier, p *Position) (string, error) {
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
