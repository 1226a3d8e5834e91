package sqlsink

import "millrace/internal/configdef"

// listed are the options that Debezium's connector lists, in its order and with
// the hints for forms that it gives. Options that are missing here work as well,
// as they do there, without being listed.
var listed = []struct {
	name  string
	of    string // the option that this old name stands for
	kind  configdef.Type
	imp   configdef.Importance
	width configdef.Width
	title string
}{
	{"connection.url", "", configdef.String, configdef.High, configdef.WidthLong, "Hostname"},
	{"connection.username", "", configdef.String, configdef.High, configdef.WidthShort, "User"},
	{"connection.password", "", configdef.Password, configdef.High, configdef.WidthShort, "Password"},
	{"connection.pool.min_size", "", configdef.Int, configdef.Low, configdef.WidthShort, "Connection pool minimum size"},
	{"connection.pool.max_size", "", configdef.Int, configdef.Low, configdef.WidthShort, "Connection pool maximum size"},
	{"connection.pool.timeout", "", configdef.Long, configdef.Low, configdef.WidthShort, "Connection pool timeout"},
	{"insert.mode", "", configdef.String, configdef.Low, configdef.WidthShort, "The insertion mode to use"},
	{"delete.enabled", "", configdef.Boolean, configdef.Low, configdef.WidthShort, "Controls whether records can be deleted by the connector"},
	{"truncate.enabled", "", configdef.Boolean, configdef.Low, configdef.WidthShort, "Controls whether tables can be truncated by the connector"},
	{"collection.name.format", "", configdef.String, configdef.Medium, configdef.WidthMedium, "A format string for the collection name"},
	{"table.name.format", "collection.name.format", configdef.String, configdef.Medium, configdef.WidthMedium, "A format string for the collection name"},
	{"primary.key.mode", "", configdef.String, configdef.High, configdef.WidthShort, "Primary key mode"},
	{"primary.key.fields", "", configdef.String, configdef.Low, configdef.WidthMedium, "Comma-separated list of primary key field names"},
	{"schema.evolution", "", configdef.String, configdef.Low, configdef.WidthShort, "Controls how schema evolution is handled by the sink connector"},
	{"quote.identifiers", "", configdef.Boolean, configdef.Low, configdef.WidthShort, "Controls whether table, column, or other identifiers are quoted"},
	{"collection.naming.strategy", "", configdef.Class, configdef.Low, configdef.WidthLong, "CollectionNamingStrategy class"},
	{"table.naming.strategy", "collection.naming.strategy", configdef.Class, configdef.Low, configdef.WidthLong, "CollectionNamingStrategy class"},
	{"column.naming.strategy", "", configdef.Class, configdef.Low, configdef.WidthLong, "Name of the strategy class that implements the ColumnNamingStrategy interface"},
	{"collection.table.format", "", configdef.String, configdef.Medium, configdef.WidthLong, "Format string using table name"},
	{"use.time.zone", "", configdef.String, configdef.Medium, configdef.WidthShort, "The timezone used when inserting temporal values."},
	{"database.time_zone", "use.time.zone", configdef.String, configdef.Medium, configdef.WidthShort, "The timezone used when inserting temporal values."},
	{"dialect.postgres.postgis.schema", "", configdef.String, configdef.Low, configdef.WidthLong, "Name of the schema where postgis extension is installed"},
	{"dialect.postgres.unnest.insert.enabled", "", configdef.Boolean, configdef.Medium, configdef.WidthShort, "Enable UNNEST-based batch inserts for PostgreSQL"},
	{"dialect.sqlserver.identity.insert", "", configdef.Boolean, configdef.Low, configdef.WidthShort, "Allowing to insert explicit value for identity column in table for SQLSERVER."},
	{"batch.size", "", configdef.Int, configdef.Medium, configdef.WidthShort, "Specifies how many records to attempt to batch together into the destination table, when possible. You can also configure the connector’s underlying consumer’s max.poll.records using consumer.override.max.poll.records in the connector configuration."},
	{"field.include.list", "", configdef.List, configdef.Medium, configdef.WidthLong, "Include Fields"},
	{"field.exclude.list", "", configdef.List, configdef.Medium, configdef.WidthLong, "Exclude Fields"},
	{"flush.max.retries", "", configdef.Int, configdef.Low, configdef.WidthShort, "Max retry count"},
	{"flush.retry.delay.ms", "", configdef.Long, configdef.Low, configdef.WidthShort, "Delay to retry flush"},
	{"connection.restart.on.errors", "", configdef.Boolean, configdef.Low, configdef.WidthShort, "Restart connection on errors"},
	{"cloud.events.schema.name.pattern", "", configdef.String, configdef.Low, configdef.WidthLong, "CloudEvents messages schema name pattern"},
}

// inOrder lists options as Debezium does: all in one group, old names behind the
// names they stand for; what it does not list is hidden.
func inOrder(options []configdef.Option) []configdef.Option {
	rows, shown := map[string]configdef.Option{}, map[string]bool{}
	for _, o := range options {
		rows[o.Name] = o
	}
	out := make([]configdef.Option, 0, len(options)+3)
	order := 0
	for _, l := range listed {
		o, ok := rows[l.name]
		if l.of != "" {
			o = rows[l.of]
			o.Name, o.Aliases, o.Check = l.name, nil, nil // the option itself is checked, under whichever name
		} else if !ok {
			panic("sqlsink: no row for " + l.name)
		} else {
			order++
		}
		shown[l.name] = true
		o.Group, o.Order, o.Type, o.Importance, o.Width, o.Display = "Connector", order, l.kind, l.imp, l.width, l.title
		out = append(out, o)
	}
	for _, o := range options {
		if !shown[o.Name] {
			o.Hidden = true
			out = append(out, o)
		}
	}
	return out
}
