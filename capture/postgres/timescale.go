package postgres

import (
	"context"
	"maps"
	"strings"

	"millrace/internal/configdef"
	"millrace/internal/transform"
)

// The catalog of TimescaleDB.
const (
	chunksQuery     = "SELECT c.schema_name, c.table_name, ht.schema_name, ht.table_name FROM _timescaledb_catalog.chunk c JOIN _timescaledb_catalog.hypertable ht ON c.hypertable_id = ht.id"
	aggregatesQuery = "SELECT ht.schema_name, ht.table_name, agg.user_view_schema, agg.user_view_name FROM _timescaledb_catalog.continuous_agg agg JOIN _timescaledb_catalog.hypertable ht ON agg.mat_hypertable_id = ht.id"
)

// TimescaleCatalog returns the reader of TimescaleDB's catalog over the database
// that a transform's own database.* options name. Each reading is a connection of
// its own; nothing is opened before.
func TimescaleCatalog(props map[string]string) (transform.ReadHypertables, error) {
	own := map[string]string{"topic.prefix": "timescaledb"} // required of connectors only
	maps.Copy(own, configdef.Prefixed(props, ""))
	for k := range own {
		if k != "topic.prefix" && !strings.HasPrefix(k, "database.") && !strings.HasPrefix(k, "driver.") {
			delete(own, k)
		}
	}
	v, err := Def().Parse(own)
	if err != nil {
		return nil, err
	}
	conn := parseConn(v)
	return func(ctx context.Context) (h transform.Hypertables, err error) {
		c, err := conn.connect(ctx, "Debezium TimescaleDB metadata")
		if err != nil {
			return h, err
		}
		defer closeConn(c)
		if h.Chunks, err = tableMap(query(ctx, c, chunksQuery)); err != nil {
			return h, err
		}
		h.Aggregates, err = tableMap(query(ctx, c, aggregatesQuery))
		return h, err
	}, nil
}

func tableMap(rows [][][]byte, err error) (map[transform.TableName]transform.TableName, error) {
	out := map[transform.TableName]transform.TableName{}
	for _, r := range rows {
		out[transform.TableName{Schema: string(r[0]), Table: string(r[1])}] = transform.TableName{Schema: string(r[2]), Table: string(r[3])}
	}
	return out, err
}
