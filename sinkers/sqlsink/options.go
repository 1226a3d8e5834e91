package sqlsink

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"millrace/internal/configdef"
)

// Class is the Java name of Debezium's JDBC sink.
const Class = "io.debezium.connector.jdbc.JdbcSinkConnector"

// TaskClass is task.class of its tasks.
const TaskClass = "io.debezium.connector.jdbc.JdbcSinkConnectorTask"

// Def is the option table of Debezium's JDBC sink. Debezium itself accepts any value at
// POST and lets the task fail, except for classes, which Kafka looks for when it reads a
// config; here validate names what is wrong with the others as well.
func Def() *configdef.Def {
	d := (&configdef.Def{Options: inOrder(append(append(connectionOptions(), writeOptions()...), namingOptions()...))}).LateChecks()
	for i := range d.Options {
		if d.Options[i].Type == configdef.Class {
			d.Options[i].Late = false
		}
	}
	return d
}

func connectionOptions() []configdef.Option {
	const group = "Connection"
	poolDoc := " A task has one connection, and up to write.lanes for large batches; there is no pool, and the option is accepted because published configs carry it."
	return []configdef.Option{
		{Name: "connection.url", Type: configdef.String, Importance: configdef.High, Group: group, Order: 1, Width: configdef.WidthLong, Display: "Hostname",
			Doc: "JDBC URL of the target: jdbc:postgresql://, jdbc:mysql://, jdbc:mariadb:// or jdbc:sqlite:.", Check: checkURL},
		{Name: "connection.username", Type: configdef.String, Importance: configdef.High, Group: group, Order: 2, Display: "Username",
			Doc: "User of the target database.", Check: checkUser},
		{Name: "connection.password", Type: configdef.Password, Importance: configdef.High, Group: group, Order: 3, Display: "Password", Doc: "Password of that user."},
		{Name: "connection.provider", Type: configdef.String, Default: "", HasDefault: true, Importance: configdef.Low, Group: group, Order: 4, Display: "Connection provider",
			Doc: "Java connection pool; only the built-in one exists here.", Check: oneOfSuffix("", "C3P0ConnectionProvider", "AgroalConnectionProvider")},
		{Name: "connection.pool.min_size", Type: configdef.Int, Default: "5", HasDefault: true, Importance: configdef.Low, Group: group, Order: 5, Display: "Pool min size", Doc: "Smallest pool." + poolDoc, Check: atLeast(0)},
		{Name: "connection.pool.max_size", Type: configdef.Int, Default: "32", HasDefault: true, Importance: configdef.Low, Group: group, Order: 6, Display: "Pool max size", Doc: "Most connections of a task: one, and those of write.lanes, as far as this allows.", Check: atLeast(1)},
		{Name: "connection.pool.acquire_increment", Type: configdef.Int, Default: "32", HasDefault: true, Importance: configdef.Low, Group: group, Order: 7, Display: "Pool increment", Doc: "Growth of the pool." + poolDoc, Check: atLeast(1)},
		{Name: "connection.pool.timeout", Type: configdef.Long, Default: "1800", HasDefault: true, Importance: configdef.Low, Group: group, Order: 8, Display: "Pool timeout", Doc: "Seconds until an unused pooled connection is closed." + poolDoc, Check: atLeast(0)},
		{Name: "connection.restart.on.errors", Type: configdef.Boolean, Default: "false", HasDefault: true, Importance: configdef.Low, Group: group, Order: 9, Display: "Restart on errors",
			Doc: "Whether a lost connection is made again. It always is here, so both values mean true."},
		{Name: "use.time.zone", Aliases: []string{"database.time_zone"}, Type: configdef.String, Default: "UTC", HasDefault: true, Importance: configdef.Medium, Group: group, Order: 10, Display: "Time zone",
			Doc: "Session time zone on PostgreSQL. Values are bound as instants or as local times of the source, so what is stored does not depend on it.", Check: checkZone},
	}
}

func writeOptions() []configdef.Option {
	const group = "Connector"
	return []configdef.Option{
		{Name: "insert.mode", Type: configdef.String, Default: "insert", HasDefault: true, Importance: configdef.High, Group: group, Order: 1, Display: "Insert mode",
			Doc: "insert, upsert (insert or update by primary key) or update.", Check: checkInsertMode},
		{Name: "delete.enabled", Type: configdef.Boolean, Default: "false", HasDefault: true, Importance: configdef.Medium, Group: group, Order: 2, Display: "Delete enabled",
			Doc: "Whether delete events and tombstones delete rows; needs a primary.key.mode other than none and kafka.", Check: checkDeletes},
		{Name: "truncate.enabled", Type: configdef.Boolean, Default: "false", HasDefault: true, Importance: configdef.Medium, Group: group, Order: 3, Display: "Truncate enabled", Doc: "Whether truncate events empty the table."},
		{Name: "primary.key.mode", Type: configdef.String, Default: "none", HasDefault: true, Importance: configdef.High, Group: group, Order: 4, Display: "Primary key mode",
			Doc: "Where the primary key comes from: none, kafka (topic, partition, offset), record_key, record_value or record_header.", Check: oneOf("none", "kafka", "record_key", "record_value", "record_header")},
		{Name: "primary.key.fields", Type: configdef.String, Importance: configdef.High, Group: group, Order: 5, Display: "Primary key fields",
			Doc: "The fields to take; empty means all. With a primitive record key it names the column."},
		{Name: "schema.evolution", Type: configdef.String, Default: "none", HasDefault: true, Importance: configdef.Medium, Group: group, Order: 6, Display: "Schema evolution",
			Doc: "none, validate-only (both leave the tables alone) or basic (create tables, add columns).", Check: oneOf("none", "basic", "validate-only")},
		{Name: "batch.size", Type: configdef.Int, Default: "500", HasDefault: true, Importance: configdef.Medium, Group: group, Order: 7, Display: "Batch size",
			Doc: "Most rows of one transaction. When it is not set, a transaction takes what a poll gives.", Check: atLeast(1)},
		{Name: "use.reduction.buffer", Type: configdef.Boolean, Default: "false", HasDefault: true, Importance: configdef.Low, Group: group, Order: 8, Display: "Reduction buffer",
			Doc: "Whether only the last event per key of a batch is written. It always is here when rows have keys and the table has no triggers; with it, triggers see the last event only."},
		{Name: "flush.max.retries", Type: configdef.Int, Default: "5", HasDefault: true, Importance: configdef.Medium, Group: group, Order: 9, Display: "Flush retries",
			Doc: "How often a batch is tried again after a deadlock, a lock timeout or a lost connection. When it is not set, until it works.", Check: atLeast(0)},
		{Name: "flush.retry.delay.ms", Type: configdef.Long, Default: "1000", HasDefault: true, Importance: configdef.Medium, Group: group, Order: 10, Display: "Flush retry delay", Doc: "Milliseconds between those tries.", Check: atLeast(0)},
		{Name: "unavailable.value.placeholder", Type: configdef.String, Default: "__debezium_unavailable_value", HasDefault: true, Importance: configdef.Low, Group: group, Order: 11, Display: "Placeholder",
			Doc: "The source's unavailable.value.placeholder: a field that holds it is left out of the write, so that the stored value stays."},
		laneOption(),
		{Name: "keyed.message.batch.mode", Type: configdef.String, Default: "deduplication", HasDefault: true, Importance: configdef.Low, Group: group, Order: 12, Display: "Keyed batches",
			Doc: "deduplication or passthrough; the end state is the same, deduplication is what happens.", Check: oneOf("deduplication", "passthrough")},
		{Name: "internal.enable.sces", Type: configdef.Boolean, Default: "false", HasDefault: true, Importance: configdef.Low, Group: group, Order: 13, Hidden: true, Doc: "Debezium's trial framework. Dead letters for refused rows work with either value."},
		{Name: "cloud.events.schema.name.pattern", Type: configdef.String, Default: `.*CloudEvents\.Envelope$`, HasDefault: true, Importance: configdef.Low, Group: group, Order: 14, Display: "CloudEvents pattern",
			Doc: "Schema names whose `data` field holds the record.", Check: checkRegex},
		{Name: "dialect.postgres.unnest.insert.enabled", Type: configdef.Boolean, Default: "false", HasDefault: true, Importance: configdef.Low, Group: group, Order: 15, Display: "UNNEST",
			Doc: "Whether PostgreSQL writes use arrays. The faster of arrays and COPY is chosen by batch size here, so both values mean that."},
		{Name: "dialect.postgres.postgis.schema", Type: configdef.String, Default: "public", HasDefault: true, Importance: configdef.Low, Group: group, Order: 16, Display: "PostGIS schema", Doc: "Schema that holds PostGIS."},
		{Name: "dialect.sqlserver.identity.insert", Type: configdef.Boolean, Default: "false", HasDefault: true, Importance: configdef.Low, Group: group, Order: 17, Display: "Identity insert",
			Doc: "SQL Server only.", Unsupported: "there is no SQL Server dialect; remove the option."},
		{Name: "dialect.starrocks.catalog.name", Type: configdef.String, Importance: configdef.Low, Group: group, Order: 18, Display: "StarRocks catalog",
			Doc: "StarRocks only.", Unsupported: "there is no StarRocks dialect; remove the option."},
	}
}

const lanesOption = "write.lanes"

func laneOption() configdef.Option {
	return configdef.Option{Name: lanesOption, Type: configdef.Int, Default: "2", HasDefault: true, Importance: configdef.Low, Display: "Write lanes",
		Doc: "Most connections over which a task writes a large batch of upserts and deletes, divided by key. Tables with a second unique key or foreign keys are written over one. millrace's own option.", Check: atLeast(1)}
}

func namingOptions() []configdef.Option {
	const group = "Naming"
	return []configdef.Option{
		{Name: "collection.name.format", Aliases: []string{"table.name.format"}, Type: configdef.String, Default: "${topic}", HasDefault: true, Importance: configdef.Medium, Group: group, Order: 1, Display: "Table name format",
			Doc: "Table name; ${topic} is the topic with dots as underscores, ${source.x} a field of the envelope's source block. A dot divides schema and table."},
		{Name: "collection.naming.strategy", Aliases: []string{"table.naming.strategy"}, Type: configdef.String, Default: "io.debezium.sink.naming.DefaultCollectionNamingStrategy", HasDefault: true, Importance: configdef.Low, Group: group, Order: 2, Display: "Table naming",
			Doc: "Default or Passthrough (dots of the topic stay).", Check: oneOfSuffix("DefaultCollectionNamingStrategy", "PassthroughCollectionNamingStrategy", "DefaultTableNamingStrategy")},
		{Name: "column.naming.strategy", Type: configdef.String, Default: "io.debezium.connector.jdbc.naming.DefaultColumnNamingStrategy", HasDefault: true, Importance: configdef.Low, Group: group, Order: 3, Display: "Column naming",
			Doc: "Default: columns are named as fields. Use the FieldNameTransformation to rename.", Check: oneOfSuffix("DefaultColumnNamingStrategy")},
		{Name: "collection.table.format", Type: configdef.String, Default: "${table}", HasDefault: true, Importance: configdef.Low, Group: group, Order: 4, Display: "Table format",
			Doc: "Without effect, as in Debezium 3.6: collection.name.format with ${source.schema} and ${source.table} gives such names."},
		{Name: "quote.identifiers", Type: configdef.Boolean, Default: "false", HasDefault: true, Importance: configdef.Medium, Group: group, Order: 5, Display: "Quote identifiers",
			Doc: "Whether names keep their case; without it they take the database's default case."},
		{Name: "field.include.list", Type: configdef.String, Importance: configdef.Medium, Group: group, Order: 6, Display: "Fields to include",
			Doc: "Fields to write, as `topic:field` or `field`, compared literally.", Check: checkFieldLists},
		{Name: "field.exclude.list", Type: configdef.String, Importance: configdef.Medium, Group: group, Order: 7, Display: "Fields to exclude",
			Doc: "Fields to leave out, as `topic:field` or `field`, compared literally."},
	}
}

func oneOf(values ...string) func(configdef.Input) []string {
	return func(in configdef.Input) []string {
		for _, v := range values {
			if strings.EqualFold(in.Value, v) {
				return nil
			}
		}
		return []string{fmt.Sprintf("The '%s' value '%s' is invalid: Value must be one of %s", in.Name, in.Value, strings.Join(values, ", "))}
	}
}

// oneOfSuffix compares class names by their last part.
func oneOfSuffix(values ...string) func(configdef.Input) []string {
	return func(in configdef.Input) []string {
		last := in.Value[strings.LastIndexByte(in.Value, '.')+1:]
		for _, v := range values {
			if last == v {
				return nil
			}
		}
		return []string{fmt.Sprintf("The '%s' value '%s' is invalid: the built-in classes are %s", in.Name, in.Value, strings.Join(values, ", "))}
	}
}

func atLeast(least int64) func(configdef.Input) []string {
	return func(in configdef.Input) []string {
		if n, err := strconv.ParseInt(in.Value, 10, 64); err != nil || n < least {
			return []string{fmt.Sprintf("The '%s' value '%s' is invalid: it must be at least %d", in.Name, in.Value, least)}
		}
		return nil
	}
}

func checkURL(in configdef.Input) []string {
	if !in.Set || in.Value == "" {
		return []string{"Missing required configuration \"connection.url\" which has no default value."}
	}
	if _, err := parseURL(in.Value); err != nil {
		return []string{fmt.Sprintf("The 'connection.url' value is invalid: %v", err)}
	}
	return nil
}

func checkUser(in configdef.Input) []string {
	u, err := parseURL(strings.TrimSpace(in.Props["connection.url"]))
	if in.Set || err != nil || u.dialect == dialectSQLite || u.param("user") != "" {
		return nil
	}
	return []string{"The 'connection.username' value is invalid: A value is required"}
}

func checkZone(in configdef.Input) []string {
	if _, err := javaZone(in.Value); err != nil {
		return []string{fmt.Sprintf("The '%s' value '%s' is invalid: no such time zone", in.Name, in.Value)}
	}
	return nil
}

var zoneOffset = regexp.MustCompile(`^(?:UTC|GMT|UT)?([+-])(\d{1,2})(?::?([0-5]\d))?(?::?([0-5]\d))?$`)

// javaZone finds a zone by what Java's ZoneId takes: a name of the zone database, Z, an
// offset, or an offset behind UTC, GMT or UT.
func javaZone(name string) (*time.Location, error) {
	switch name {
	case "UTC", "GMT", "UT", "Z":
		return time.UTC, nil
	case "", "Local":
		return nil, errors.New("no such time zone")
	}
	m := zoneOffset.FindStringSubmatch(name)
	if m == nil {
		return time.LoadLocation(name)
	}
	seconds := 0
	for i, unit := range map[int]int{2: 3600, 3: 60, 4: 1} {
		n, _ := strconv.Atoi("0" + m[i])
		seconds += n * unit
	}
	if seconds > 18*3600 {
		return nil, errors.New("the offset is beyond 18 hours")
	}
	if m[1] == "-" {
		seconds = -seconds
	}
	return time.FixedZone(name, seconds), nil
}

func checkRegex(in configdef.Input) []string {
	if _, err := regexp.Compile(in.Value); err != nil {
		return []string{fmt.Sprintf("The '%s' value '%s' is invalid: %v", in.Name, in.Value, err)}
	}
	return nil
}

func checkInsertMode(in configdef.Input) []string {
	if errs := oneOf("insert", "upsert", "update")(in); errs != nil {
		return errs
	}
	mode := strings.ToLower(strings.TrimSpace(in.Props["primary.key.mode"]))
	if strings.EqualFold(in.Value, "upsert") && (mode == "" || mode == "none") {
		return []string{"When using UPSERT, please define a 'primary.key.mode'."}
	}
	if strings.EqualFold(in.Value, "update") && (mode == "" || mode == "none") {
		return []string{"The 'insert.mode' value 'update' needs a 'primary.key.mode' that says which row to update."}
	}
	return nil
}

func checkDeletes(in configdef.Input) []string {
	if !strings.EqualFold(in.Value, "true") {
		return nil
	}
	switch strings.ToLower(strings.TrimSpace(in.Props["primary.key.mode"])) {
	case "record_key", "record_value", "record_header":
		return nil
	}
	return []string{"When 'delete.enabled' is set to 'true', the 'primary.key.mode' must be record_key, record_value or record_header, so that it is known which row to delete."}
}

func checkFieldLists(in configdef.Input) []string {
	if in.Set && in.Value != "" && strings.TrimSpace(in.Props["field.exclude.list"]) != "" {
		return []string{"Cannot define both field.exclude.list and field.include.list. Please specify only one."}
	}
	return nil
}
