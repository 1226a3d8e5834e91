package postgres

import (
	"context"
	"fmt"
	"sort"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"millrace/internal/errs"
)

// ensurePublication makes the publication as publication.autocreate.mode says, or
// brings the table list of a filtered one up to date. It alters only on
// difference, since that takes locks and the publication may be shared.
func (t *task) ensurePublication(ctx context.Context, conn *pgconn.PgConn, tables []*tableMeta) error {
	p := &t.opts.Publication
	rows, err := query(ctx, conn, "SELECT puballtables, pg_is_in_recovery() FROM pg_catalog.pg_publication WHERE pubname = $1", t.publication)
	if err != nil {
		return fmt.Errorf("look up publication %q: %w", p.Name, err)
	}
	if len(rows) > 0 {
		if p.Mode != "filtered" {
			return nil
		}
		if isTrue(rows[0][0]) {
			return fault(nil, fmt.Sprintf("Use publication.autocreate.mode=all_tables or disabled, another publication.name, or drop it: DROP PUBLICATION %s", quoteIdent(t.publication)),
				"Publication %q exists FOR ALL TABLES and cannot be narrowed to the captured tables, as publication.autocreate.mode=filtered asks", p.Name)
		}
		return t.alterPublication(ctx, conn, tables)
	}
	if rows, err := query(ctx, conn, "SELECT pg_is_in_recovery()"); err == nil && len(rows) == 1 && isTrue(rows[0][0]) {
		t.log.Warn("the server is a standby, so the publication cannot be made here; it must come from the primary", "publication", p.Name)
		return nil
	}
	ddl := "CREATE PUBLICATION " + quoteIdent(t.publication)
	switch p.Mode {
	case "disabled":
		return &errs.Error{Java: errs.ConnectException, Msg: "Publication autocreation is disabled, please create one and restart the connector.",
			Hint: fmt.Sprintf("Publication %q does not exist. Create it: CREATE PUBLICATION %s FOR TABLE …; or set publication.autocreate.mode=filtered", p.Name, quoteIdent(p.Name))}
	case "all_tables":
		ddl += " FOR ALL TABLES"
	case "filtered":
		list, err := t.tableList(tables)
		if err != nil {
			return err
		}
		ddl += " FOR TABLE " + list
	}
	var with []string
	if p.Publish != "" {
		with = append(with, "publish = "+quoteLiteral(p.Publish))
	}
	if p.ViaPartitionRoot {
		with = append(with, "publish_via_partition_root = true")
	}
	if len(with) > 0 {
		ddl += " WITH (" + strings.Join(with, ", ") + ")"
	}
	t.log.Info("creating publication", "sql", ddl)
	return t.ddl(ctx, conn, ddl, "create publication %q", p.Name)
}

// alterPublication sets the table list of a filtered publication when it differs.
func (t *task) alterPublication(ctx context.Context, conn *pgconn.PgConn, tables []*tableMeta) error {
	p := &t.opts.Publication
	list, err := t.tableList(tables)
	if err != nil {
		return err
	}
	rows, err := query(ctx, conn, `SELECT n.nspname, c.relname FROM pg_catalog.pg_publication_rel r JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid
 JOIN pg_catalog.pg_class c ON c.oid = r.prrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE p.pubname = $1`, t.publication)
	if err != nil {
		return fmt.Errorf("read the tables of publication %q: %w", p.Name, err)
	}
	have := make([]string, len(rows))
	for i, r := range rows {
		have[i] = quoteIdent(string(r[0])) + "." + quoteIdent(string(r[1]))
	}
	sort.Strings(have)
	if strings.Join(have, ", ") == list {
		return nil
	}
	ddl := "ALTER PUBLICATION " + quoteIdent(t.publication) + " SET TABLE " + list
	t.log.Info("changing the tables of the publication", "sql", ddl)
	return t.ddl(ctx, conn, ddl, "set the tables of publication %q", p.Name)
}

func (t *task) tableList(tables []*tableMeta) (string, error) {
	if len(tables) == 0 {
		return "", fault(nil, "Check schema.include.list and table.include.list against the tables of the database: SELECT schemaname, tablename FROM pg_tables",
			"No table matches the filters, so a filtered publication %q cannot be made", t.opts.Publication.Name)
	}
	names := make([]string, len(tables))
	for i, m := range tables {
		names[i] = quoteIdent(m.Schema) + "." + quoteIdent(m.Name)
	}
	sort.Strings(names)
	return strings.Join(names, ", "), nil
}

// ddl runs a statement under the command timeout of slots and publications.
func (t *task) ddl(ctx context.Context, conn *pgconn.PgConn, sql, verb string, args ...any) error {
	if d := t.opts.Slot.CommandTimeout; d > 0 {
		set := fmt.Sprintf("SET statement_timeout = %d", d.Milliseconds())
		if _, err := exec(ctx, conn, set); err != nil {
			return err
		}
		defer func() {
			_, _ = exec(ctx, conn, fmt.Sprintf("SET statement_timeout = %d", t.opts.Conn.QueryTimeout.Milliseconds()))
		}()
	}
	if _, err := exec(ctx, conn, sql); err != nil {
		return fmt.Errorf(verb+" (%s): %w", append(args, sql, err)...)
	}
	return nil
}

// setIdentities applies replica.identity.autoset.values where a table differs.
func (t *task) setIdentities(ctx context.Context, conn *pgconn.PgConn, tables []*tableMeta) error {
	for _, m := range tables {
		for _, id := range t.opts.Publication.Identities {
			if !id.Table.MatchWhole(m.Schema + "." + m.Name) {
				continue
			}
			want := map[string]byte{"DEFAULT": 'd', "FULL": 'f', "NOTHING": 'n', "INDEX": 'i'}[id.Value]
			if want == m.Identity && want != 'i' {
				break
			}
			sql := "ALTER TABLE " + quoteIdent(m.Schema) + "." + quoteIdent(m.Name) + " REPLICA IDENTITY "
			if want == 'i' {
				sql += "USING INDEX " + quoteIdent(id.Index)
			} else {
				sql += id.Value
			}
			t.log.Info("setting the replica identity", "sql", sql)
			if err := t.ddl(ctx, conn, sql, "set the replica identity of %s.%s", m.Schema, m.Name); err != nil {
				return err
			}
			m.Identity = want
			break
		}
	}
	return nil
}
