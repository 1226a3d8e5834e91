package postgres

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"millrace/decode/pgvalue"
)

// catalog reads what the log does not say: types, nullability, defaults and keys.
// It uses an ordinary connection and remembers types, as Debezium does: the labels of
// an enum are those that it had when the connection was opened, or when a type that
// came later was first seen; labels that are added then show after a restart.
type catalog struct {
	conn  *pgconn.PgConn
	types map[uint32]*pgvalue.Type
}

var _ pgvalue.Types = (*catalog)(nil)

func newCatalog(conn *pgconn.PgConn) *catalog {
	return &catalog{conn: conn, types: map[uint32]*pgvalue.Type{}}
}

// Type returns a type that was loaded, or nil.
func (c *catalog) Type(oid uint32) *pgvalue.Type { return c.types[oid] }

// root is the type below a domain, at any depth; the type itself where that is not known.
func (c *catalog) root(id uint32) uint32 {
	for range 64 {
		t := c.types[id]
		if t == nil || t.Kind != 'd' || t.Base == 0 {
			break
		}
		id = t.Base
	}
	return id
}

const typesSQL = `SELECT t.oid, n.nspname, t.typname, t.typtype, t.typbasetype, t.typtypmod,
 CASE WHEN t.typlen = -1 AND t.typcategory = 'A' THEN t.typelem ELSE 0 END,
 CASE WHEN t.typtype = 'e' THEN (SELECT string_agg(e.enumlabel, E'\001' ORDER BY e.enumsortorder) FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid) END,
 pg_catalog.quote_ident(fn.nspname) || '.' || pg_catalog.quote_ident(f.proname)
 FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
 LEFT JOIN pg_catalog.pg_proc f ON f.oid = t.typoutput LEFT JOIN pg_catalog.pg_namespace fn ON fn.oid = f.pronamespace
 WHERE `

// prime loads all enums, with the labels that they have now.
func (c *catalog) prime(ctx context.Context) error {
	rows, err := query(ctx, c.conn, typesSQL+"t.typtype = 'e'")
	if err != nil {
		return fmt.Errorf("read the enums from pg_type: %w", err)
	}
	for _, r := range rows {
		c.keep(r)
	}
	return nil
}

// keep remembers a row of typesSQL.
func (c *catalog) keep(r [][]byte) *pgvalue.Type {
	t := &pgvalue.Type{OID: oid(r[0]), Schema: string(r[1]), Name: string(r[2]), Kind: r[3][0],
		Base: oid(r[4]), BaseMod: int32(num(r[5])), Elem: oid(r[6]), Output: string(r[8])}
	if r[7] != nil {
		for _, l := range bytes.Split(r[7], []byte{1}) {
			t.Labels = append(t.Labels, string(l))
		}
	}
	c.types[t.OID] = t
	return t
}

// load makes sure that the types, and what they are made of, can be looked up.
func (c *catalog) load(ctx context.Context, oids []uint32) error {
	for len(oids) > 0 {
		var sb strings.Builder
		sb.WriteByte('{')
		for _, o := range oids {
			if _, have := c.types[o]; have || o == 0 {
				continue
			}
			if sb.Len() > 1 {
				sb.WriteByte(',')
			}
			sb.WriteString(strconv.FormatUint(uint64(o), 10))
		}
		if sb.Len() == 1 {
			return nil
		}
		sb.WriteByte('}')
		rows, err := query(ctx, c.conn, typesSQL+"t.oid = ANY($1::oid[])", sb.String())
		if err != nil {
			return fmt.Errorf("read the types of columns from pg_type: %w", err)
		}
		for _, o := range oids {
			if _, have := c.types[o]; !have {
				c.types[o] = nil // asked once; a type that is gone stays unknown
			}
		}
		oids = oids[:0:0]
		for _, r := range rows {
			t := c.keep(r)
			oids = append(oids, t.Base, t.Elem)
		}
	}
	return nil
}

func oid(b []byte) uint32 { n, _ := strconv.ParseUint(string(b), 10, 32); return uint32(n) }

func num(b []byte) int64 { n, _ := strconv.ParseInt(string(b), 10, 64); return n }

// tableMeta is what the catalog says about a table now.
type tableMeta struct {
	OID          uint32
	Schema, Name string
	Kind         byte // pg_class.relkind
	Identity     byte // pg_class.relreplident
	Columns      []columnMeta
	// Key is the primary key in index order, or else the columns of the first
	// unique index without expressions; nil: none.
	Key []string
}

type columnMeta struct {
	Name      string
	TypeOID   uint32
	Typmod    int32
	NotNull   bool
	Default   string
	Generated bool
	Comment   string
}

func (t *tableMeta) column(name string) *columnMeta {
	for i := range t.Columns {
		if t.Columns[i].Name == name {
			return &t.Columns[i]
		}
	}
	return nil
}

const columnsSQL = `SELECT c.oid, n.nspname, c.relname, c.relkind, c.relreplident, a.attname, a.atttypid, a.atttypmod, a.attnotnull OR (y.typtype = 'd' AND y.typnotnull),
 coalesce(pg_catalog.pg_get_expr(d.adbin, d.adrelid), ''), a.attgenerated <> '', coalesce(pg_catalog.col_description(c.oid, a.attnum), '')
 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
 LEFT JOIN pg_catalog.pg_type y ON y.oid = a.atttypid
 LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 WHERE `

const keySQL = `SELECT i.indrelid, i.indexrelid, i.indisprimary, a.attname
 FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
 CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k(attnum, pos)
 JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
 WHERE i.indrelid = ANY($1::oid[]) AND i.indisunique AND i.indexprs IS NULL AND k.pos <= i.indnkeyatts
 ORDER BY i.indrelid, i.indisprimary DESC, i.indisclustered DESC, x.relname, k.pos`

// tables reads the metadata of tables by a condition on c (pg_class) and n
// (pg_namespace), ordered by schema and name.
func (c *catalog) tables(ctx context.Context, where string, args ...string) ([]*tableMeta, error) {
	rows, err := query(ctx, c.conn, columnsSQL+where+" ORDER BY n.nspname, c.relname, c.oid, a.attnum", args...)
	if err != nil {
		return nil, fmt.Errorf("read tables and columns from the catalog: %w", err)
	}
	var out []*tableMeta
	byOID := map[uint32]*tableMeta{}
	var ids []string
	for _, r := range rows {
		id := oid(r[0])
		t := byOID[id]
		if t == nil {
			t = &tableMeta{OID: id, Schema: string(r[1]), Name: string(r[2]), Kind: r[3][0], Identity: r[4][0]}
			byOID[id] = t
			out, ids = append(out, t), append(ids, string(r[0]))
		}
		if r[5] == nil {
			continue // a table without columns
		}
		t.Columns = append(t.Columns, columnMeta{Name: string(r[5]), TypeOID: oid(r[6]), Typmod: int32(num(r[7])),
			NotNull: isTrue(r[8]), Default: string(r[9]), Generated: isTrue(r[10]), Comment: string(r[11])})
	}
	if len(out) == 0 {
		return nil, nil
	}
	keys, err := query(ctx, c.conn, keySQL, "{"+strings.Join(ids, ",")+"}")
	if err != nil {
		return nil, fmt.Errorf("read primary keys from the catalog: %w", err)
	}
	first := map[uint32]string{} // the index that was chosen
	for _, r := range keys {
		id := oid(r[0])
		if have, ok := first[id]; ok && have != string(r[1]) {
			continue
		}
		first[id] = string(r[1])
		byOID[id].Key = append(byOID[id].Key, string(r[3]))
	}
	return out, nil
}

// table reads one table by its OID and, if that is gone, by its name; nil when
// neither exists any more.
func (c *catalog) table(ctx context.Context, id uint32, schema, name string) (*tableMeta, error) {
	ts, err := c.tables(ctx, "c.oid = $1::oid", strconv.FormatUint(uint64(id), 10))
	if err == nil && len(ts) == 0 {
		ts, err = c.tables(ctx, "n.nspname = $1 AND c.relname = $2", schema, name)
	}
	if err != nil || len(ts) == 0 {
		return nil, err
	}
	return ts[0], nil
}

func isTrue(b []byte) bool { return len(b) == 1 && b[0] == 't' }
