//go:build record

package pgoutput

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"gopkg.in/yaml.v3"

	"millrace/decode/pgvalue"
)

// TestRecordWire runs the cases named by WIRE_CASES (globs, comma-separated) on
// the server at MILLRACE_TEST_PG (host:port) and writes testdata/wire.
func TestRecordWire(t *testing.T) {
	for _, glob := range strings.Split(os.Getenv("WIRE_CASES"), ",") {
		files, _ := filepath.Glob(filepath.Join(oracleDir(t), glob+".yaml"))
		for _, f := range files {
			name := strings.TrimSuffix(filepath.Base(f), ".yaml")
			t.Run(name, func(t *testing.T) { recordWire(t, f, name) })
		}
	}
}

type yamlCase struct {
	Setup  string
	Config map[string]any
	Stream string
	Steps  []map[string]any
}

type recorder struct {
	t          *testing.T
	host, port string
	db         string
	conn       *pgconn.PgConn
	w          wireCase
	seen       map[uint32]bool
}

func recordWire(t *testing.T, file, name string) {
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var y yamlCase
	if err := yaml.Unmarshal(raw, &y); err != nil {
		t.Fatal(err)
	}
	host, port, _ := strings.Cut(os.Getenv("MILLRACE_TEST_PG"), ":")
	r := &recorder{t: t, host: host, port: port, db: "wire_record", seen: map[uint32]bool{}}
	r.psql("postgres", "create database "+r.db)
	defer r.psql("postgres", "drop database "+r.db+" with (force)")
	r.psql(r.db, y.Setup)
	r.w.Config = map[string]string{}
	for k, v := range y.Config {
		r.w.Config[k] = fmt.Sprint(v)
	}
	r.connect()
	r.exec("create publication wire for all tables")
	r.exec("select pg_create_logical_replication_slot('wire_record','pgoutput')")
	r.conn.Close(t.Context())
	r.connect()
	defer func() {
		r.exec("select pg_drop_replication_slot('wire_record')")
		r.conn.Close(context.WithoutCancel(t.Context()))
	}()
	if l := r.w.Config["snapshot.include.collection.list"]; l == "" {
		r.snapshot()
	}
	if y.Stream != "" {
		y.Steps = append(y.Steps, map[string]any{"sql": y.Stream})
	}
	for _, s := range y.Steps {
		if q, ok := s["sql"]; ok {
			r.psql(r.db, fmt.Sprint(q))
		} else {
			r.changes()
		}
	}
	r.changes()
	out, err := json.MarshalIndent(&r.w, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(wireOut(), name+".json"), append(out, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (r *recorder) psql(db, sql string) {
	c := exec.Command("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", r.host, "-p", r.port, "-U", "postgres", "-d", db, "-f", "-")
	c.Stdin = strings.NewReader(sql)
	c.Env = append(os.Environ(), "PGTZ=UTC", "PGCLIENTENCODING=UTF8")
	if out, err := c.CombinedOutput(); err != nil {
		r.t.Fatalf("psql: %v\n%s", err, out)
	}
}

func (r *recorder) connect() {
	c, err := pgconn.Connect(r.t.Context(), fmt.Sprintf("postgres://postgres@%s:%s/%s?options=-c%%20timezone%%3DUTC", r.host, r.port, r.db))
	if err != nil {
		r.t.Fatal(err)
	}
	r.conn = c
}

func (r *recorder) exec(sql string) [][][]byte {
	res, err := r.conn.Exec(context.WithoutCancel(r.t.Context()), sql).ReadAll()
	if err != nil {
		r.t.Fatalf("%s: %v", sql, err)
	}
	if len(res) == 0 {
		return nil
	}
	return res[len(res)-1].Rows
}

func (r *recorder) snapshot() {
	for _, row := range r.exec(`select c.oid from pg_class c join pg_namespace n on n.oid=c.relnamespace where c.relkind in ('r','p') and n.nspname not in ('pg_catalog','information_schema') order by n.nspname, c.relname`) {
		oid, _ := strconv.ParseUint(string(row[0]), 10, 32)
		tab := r.meta(uint32(oid))
		var cols []string
		for _, c := range tab.Columns {
			cols = append(cols, `"`+strings.ReplaceAll(c.Name, `"`, `""`)+`"`)
		}
		for _, v := range r.exec(fmt.Sprintf(`select %s from "%s"."%s"`, strings.Join(cols, ","), tab.Schema, tab.Name)) {
			var texts []*string
			for _, x := range v {
				if x == nil {
					texts = append(texts, nil)
					continue
				}
				s := string(x)
				texts = append(texts, &s)
			}
			tab.Rows = append(tab.Rows, texts)
		}
		r.w.Snapshot = append(r.w.Snapshot, *tab)
	}
}

func (r *recorder) meta(oid uint32) *wireTable {
	tab := &wireTable{}
	for _, v := range r.exec(fmt.Sprintf(`select n.nspname, c.relname, a.attname, a.atttypid, a.atttypmod, a.attnotnull, coalesce(pg_get_expr(d.adbin,d.adrelid),'')
	 from pg_class c join pg_namespace n on n.oid=c.relnamespace join pg_attribute a on a.attrelid=c.oid and a.attnum>0 and not a.attisdropped
	 left join pg_attrdef d on d.adrelid=c.oid and d.adnum=a.attnum where c.oid=%d order by a.attnum`, oid)) {
		tab.Schema, tab.Name = string(v[0]), string(v[1])
		typ, _ := strconv.ParseUint(string(v[3]), 10, 32)
		mod, _ := strconv.Atoi(string(v[4]))
		c := wireColumn{Name: string(v[2]), TypeOID: uint32(typ), Typmod: int32(mod), NotNull: string(v[5]) == "t", Default: string(v[6])}
		// A domain's own NOT NULL counts, as in the driver's metadata.
		if r.domainNotNull(uint32(typ)) {
			c.NotNull = true
		}
		tab.Columns = append(tab.Columns, c)
		r.loadType(uint32(typ))
	}
	var best string
	for _, v := range r.exec(fmt.Sprintf(`select i.indexrelid, a.attname from pg_index i join pg_class x on x.oid=i.indexrelid cross join lateral unnest(i.indkey) with ordinality k(attnum,pos)
	 join pg_attribute a on a.attrelid=i.indrelid and a.attnum=k.attnum where i.indrelid=%d and i.indisunique and i.indexprs is null order by i.indisprimary desc, x.relname, k.pos`, oid)) {
		if best == "" {
			best = string(v[0])
		}
		if string(v[0]) == best {
			tab.Key = append(tab.Key, string(v[1]))
		}
	}
	return tab
}

func (r *recorder) domainNotNull(oid uint32) bool {
	v := r.exec(fmt.Sprintf("select typnotnull from pg_type where oid=%d", oid))
	return len(v) == 1 && string(v[0][0]) == "t"
}

func (r *recorder) loadType(oid uint32) {
	if oid == 0 || r.seen[oid] || pgvalue.Builtin(oid) != nil {
		return
	}
	r.seen[oid] = true
	for _, v := range r.exec(fmt.Sprintf(`select n.nspname, t.typname, t.typtype, t.typbasetype, t.typtypmod, case when t.typlen=-1 and t.typcategory='A' then t.typelem else 0 end
	 from pg_type t join pg_namespace n on n.oid=t.typnamespace where t.oid=%d`, oid)) {
		num := func(b []byte) uint32 { n, _ := strconv.ParseInt(string(b), 10, 64); return uint32(n) }
		typ := pgvalue.Type{OID: oid, Schema: string(v[0]), Name: string(v[1]), Kind: v[2][0], Base: num(v[3]), BaseMod: int32(num(v[4])), Elem: num(v[5])}
		for _, l := range r.exec(fmt.Sprintf("select enumlabel from pg_enum where enumtypid=%d order by enumsortorder", oid)) {
			typ.Labels = append(typ.Labels, string(l[0]))
		}
		r.w.Types = append(r.w.Types, typ)
		r.loadType(typ.Base)
		r.loadType(typ.Elem)
	}
}

var marker = regexp.MustCompile(`^\\x`)

func (r *recorder) changes() {
	for _, v := range r.exec(`select data from pg_logical_slot_get_binary_changes('wire_record',null,null,'proto_version','1','publication_names','wire','messages','true')`) {
		var m wireMessage
		b := marker.ReplaceAllString(string(v[0]), "")
		for i := 0; i+1 < len(b); i += 2 {
			n, _ := strconv.ParseUint(b[i:i+2], 16, 8)
			m.Data = append(m.Data, byte(n))
		}
		if m.Data[0] == TypeRelation {
			rel, err := ParseRelation(m.Data, false)
			if err != nil {
				r.t.Fatal(err)
			}
			m.Meta = r.meta(rel.OID)
		}
		r.w.Stream = append(r.w.Stream, m)
	}
}

// wireOut is where captures go: WIRE_OUT, else testdata/wire.
func wireOut() string {
	if v := os.Getenv("WIRE_OUT"); v != "" {
		return v
	}
	return filepath.Join("testdata", "wire")
}
