package postgres

import (
	"context"
	"fmt"
	"strings"

	"millrace/capture"
)

// pubState is the publication as the server has it.
type pubState struct {
	name                             string // as the server spells it
	all, viaRoot                     bool
	owner                            string
	mine                             bool // the connector may alter it
	insert, update, delete, truncate bool
	// members are the tables it publishes, "schema.table", to the row filter.
	members map[string]pubMember
}

type pubMember struct {
	filter  string
	columns string // a column list that leaves columns out; "" none
}

// findPublication looks the publication up by its name as written or in lower case.
func (d *doctor) findPublication(ctx context.Context) error {
	name := d.o.Publication.Name
	rows, err := query(ctx, d.conn, `SELECT pubname, puballtables, coalesce((to_jsonb(p)->>'pubviaroot')::bool, false), pg_get_userbyid(pubowner), pg_has_role(pubowner, 'USAGE'),
 pubinsert, pubupdate, pubdelete, pubtruncate FROM pg_catalog.pg_publication p WHERE pubname IN ($1, $2) ORDER BY pubname = $1 DESC`, name, strings.ToLower(name))
	if err != nil || len(rows) == 0 {
		return err
	}
	r := rows[0]
	p := &pubState{name: string(r[0]), all: isTrue(r[1]), viaRoot: isTrue(r[2]), owner: string(r[3]), mine: isTrue(r[4]),
		insert: isTrue(r[5]), update: isTrue(r[6]), delete: isTrue(r[7]), truncate: isTrue(r[8]), members: map[string]pubMember{}}
	// Row filters and column lists came with 15; the view shows all columns otherwise.
	rows, err = query(ctx, d.conn, `SELECT schemaname, tablename, coalesce(to_jsonb(t)->>'rowfilter', ''),
 CASE WHEN jsonb_array_length(coalesce(to_jsonb(t)->'attnames', '[]')) BETWEEN 1 AND (SELECT count(*) FROM pg_catalog.pg_attribute a
   WHERE a.attrelid = format('%I.%I', t.schemaname, t.tablename)::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '') - 1
  THEN (SELECT string_agg(x, ', ') FROM jsonb_array_elements_text(to_jsonb(t)->'attnames') x) ELSE '' END
 FROM pg_catalog.pg_publication_tables t WHERE pubname = $1`, p.name)
	if err != nil {
		return fmt.Errorf("read the tables of publication %q: %w", p.name, err)
	}
	for _, r := range rows {
		p.members[string(r[0])+"."+string(r[1])] = pubMember{filter: string(r[2]), columns: string(r[3])}
	}
	d.pub = p
	return nil
}

// publicationState checks that the publication is there, or can be made, and that
// what is captured is in it.
func (d *doctor) publicationState(ctx context.Context) error {
	if err := d.findPublication(ctx); err != nil {
		return err
	}
	name, mode := d.o.Publication.Name, d.o.Publication.Mode
	if err := d.check.publication(ctx); err != nil {
		return err
	}
	if len(d.check.problems) > 0 {
		d.problems("publication", name, d.publicationSQL(ctx)...)
		return nil
	}
	if d.pub == nil {
		switch {
		case d.standby:
			d.Add(capture.StateFailed, "publication", name, "does not exist, and cannot be made on a standby").SQL = []string{d.createPublication()}
			d.Findings[len(d.Findings)-1].Do = "Run this on the primary"
		case mode == "no_tables":
			d.Add(capture.StateWarning, "publication", name, "does not exist yet; publication.autocreate.mode=no_tables makes it without tables, so nothing would be captured").
				SQL = []string{d.createPublication()}
		default:
			d.ok("publication", name, "does not exist yet; the connector makes it (publication.autocreate.mode=%s)", mode)
		}
		return nil
	}
	p := d.pub
	d.ok("publication", p.name, "owned by %s; %s", p.owner, p.extent())
	d.operations()
	return d.membership()
}

func (p *pubState) extent() string {
	if p.all {
		return "for all tables"
	}
	if len(p.members) == 1 {
		return "1 table"
	}
	return fmt.Sprintf("%d tables", len(p.members))
}

// createPublication is the statement that makes the publication for what is captured.
func (d *doctor) createPublication() string {
	var names []string
	for _, t := range d.tables {
		names = append(names, t.quoted())
	}
	sql := "CREATE PUBLICATION " + quoteIdent(d.o.Publication.Name)
	if len(names) == 0 {
		return sql
	}
	return sql + " FOR TABLE " + strings.Join(names, ", ")
}

// publicationSQL fixes what check.publication found.
func (d *doctor) publicationSQL(ctx context.Context) []string {
	p := &d.o.Publication
	if d.pub != nil { // FOR ALL TABLES, and to be filtered
		return []string{"DROP PUBLICATION " + quoteIdent(d.pub.name)}
	}
	switch p.Mode {
	case "all_tables":
		return []string{"CREATE PUBLICATION " + quoteIdent(p.Name) + " FOR ALL TABLES"}
	case "no_tables":
		return []string{"GRANT CREATE ON DATABASE " + quoteIdent(d.o.Conn.Database) + " TO " + d.role}
	case "filtered":
		if t, err := capturedTables(ctx, d.conn, d.o); err == nil && len(t.foreign) == 0 {
			return []string{"GRANT CREATE ON DATABASE " + quoteIdent(d.o.Conn.Database) + " TO " + d.role}
		}
	}
	return []string{d.createPublication()}
}

// operations compares what the publication publishes with skipped.operations.
func (d *doctor) operations() {
	p := d.pub
	var missing []string
	for _, op := range []struct {
		letter byte
		name   string
		on     bool
	}{{'c', "insert", p.insert}, {'u', "update", p.update}, {'d', "delete", p.delete}, {'t', "truncate", p.truncate}} {
		if !op.on && !d.o.Skipped.Has(op.letter) {
			missing = append(missing, op.name)
		}
	}
	if len(missing) > 0 {
		f := d.Add(capture.StateFailed, "publication", p.name, "leaves out "+strings.Join(missing, ", ")+", which skipped.operations does not skip: such changes would be missing without a word")
		f.SQL = []string{"ALTER PUBLICATION " + quoteIdent(p.name) + " SET (publish = 'insert, update, delete, truncate')"}
	}
}

// membership checks that the captured tables are published, under the names by
// which they are captured.
func (d *doctor) membership() error {
	p := d.pub
	for _, t := range d.tables {
		name := t.name()
		m, in := p.members[name]
		switch {
		case in && m.filter != "":
			d.Add(capture.StateWarning, "publication", name, "a row filter lets only some rows through: "+m.filter).
				SQL = []string{"ALTER PUBLICATION " + quoteIdent(p.name) + " DROP TABLE " + t.quoted(), "ALTER PUBLICATION " + quoteIdent(p.name) + " ADD TABLE " + t.quoted()}
		case in && m.columns != "":
			d.Add(capture.StateWarning, "publication", name, "a column list lets only some columns through: "+m.columns).
				SQL = []string{"ALTER PUBLICATION " + quoteIdent(p.name) + " DROP TABLE " + t.quoted(), "ALTER PUBLICATION " + quoteIdent(p.name) + " ADD TABLE " + t.quoted()}
		case in:
		case t.meta.Kind == 'p' && !p.viaRoot:
			d.rootNotPublished(t)
		case t.root != "" && p.viaRoot && (p.all || d.rootIn(t)):
			d.leafHidden(t)
		case t.unlogged || p.all:
			// an unlogged table is told by itself
		default:
			d.notPublished(t)
		}
	}
	return nil
}

// rootIn reports whether the partitioned table above a partition is published.
func (d *doctor) rootIn(t *doctorTable) bool { _, ok := d.pub.members[t.root]; return ok }

// notPublished is a captured table that the publication does not hold.
func (d *doctor) notPublished(t *doctorTable) {
	p := d.pub
	add := "ALTER PUBLICATION " + quoteIdent(p.name) + " ADD TABLE " + t.quoted()
	if d.o.Publication.Mode == "filtered" {
		if (p.mine && t.mine) || d.super {
			d.ok("publication", t.name(), "not in it yet; the connector adds the table at its next start")
			return
		}
		d.Add(capture.StateFailed, "publication", t.name(), fmt.Sprintf("not in publication %s, and role %s may not add it, as it does not own both", p.name, d.o.Conn.User)).SQL = []string{add}
		return
	}
	d.Add(capture.StateFailed, "publication", t.name(), fmt.Sprintf("not in publication %s, so its changes would be missing without a word", p.name)).SQL = []string{add}
}

// rootNotPublished is a captured partitioned table whose changes come under the
// names of its partitions.
func (d *doctor) rootNotPublished(t *doctorTable) {
	var missing []string
	for _, leaf := range t.leaves {
		space, table, _ := strings.Cut(leaf, ".")
		if !d.o.Tables.Included(space, table) {
			missing = append(missing, leaf)
		}
	}
	if len(missing) == 0 {
		return
	}
	d.Add(capture.StateFailed, "publication", t.name(), "changes of this partitioned table come under the names of its partitions, which are not captured: "+some(missing)).
		SQL = []string{"ALTER PUBLICATION " + quoteIdent(d.pub.name) + " SET (publish_via_partition_root = true)"}
	d.Findings[len(d.Findings)-1].Do = "Or add the partitions to table.include.list"
}

// leafHidden is a captured partition whose changes come under the name of its root.
func (d *doctor) leafHidden(t *doctorTable) {
	space, table, _ := strings.Cut(t.root, ".")
	if d.o.Tables.Included(space, table) {
		return
	}
	d.Add(capture.StateFailed, "publication", t.name(), fmt.Sprintf("changes of this partition come under the name of %s (publish_via_partition_root), which is not captured", t.root)).
		Do = "Add " + t.root + " to table.include.list, or turn publish_via_partition_root off"
}
