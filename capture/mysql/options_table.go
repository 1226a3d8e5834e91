package mysql

import (
	"millrace/capture/options"
	"millrace/internal/configdef"
)

func enum(name, def string, imp configdef.Importance, width configdef.Width, display, doc string, values ...string) configdef.Option {
	return configdef.Option{Name: name, Type: configdef.String, Default: def, HasDefault: true, Importance: imp, Width: width, Display: display, Doc: doc,
		Recommend: options.Values(values...), Check: options.Checks(options.OneOf(values...))}
}

func flag(name, def string, imp configdef.Importance, display, doc string) configdef.Option {
	return configdef.Option{Name: name, Type: configdef.Boolean, Default: def, HasDefault: true, Importance: imp, Width: configdef.WidthShort, Display: display, Doc: doc}
}

// inOrder is an option whose values Debezium declares in another order than it
// recommends them.
func inOrder(o configdef.Option, values ...string) configdef.Option {
	o.Check = options.Checks(options.OneOf(values...))
	return o
}

// twice is a check that Debezium makes two times over for some options, and lists twice.
func twice(o configdef.Option, c options.Check) configdef.Option {
	o.Check = options.Checks(c, c)
	return o
}

// ownOptions are the options that MySQL and MariaDB have and Postgres has not, or
// has with other values.
var ownOptions = []configdef.Option{
	{Name: "database.port", Type: configdef.Int, Default: "3306", HasDefault: true, Importance: configdef.High, Width: configdef.WidthShort, Display: "Port",
		Doc: "Port of the database server.", Check: options.Checks(options.IsInteger)},
	{Name: "database.server.id", Type: configdef.Long, Importance: configdef.High, Width: configdef.WidthLong, Display: "Cluster ID",
		Doc: "Replica number this connector announces to the server; no other replica or connector may use it.", Check: options.Checks(options.Required, options.PositiveLong)},
	{Name: "database.server.id.offset", Type: configdef.Long, Default: "10000", HasDefault: true, Importance: configdef.High, Width: configdef.WidthLong, Display: "Cluster ID offset",
		Doc: "Accepted for compatibility: one connection reads the binary log, so no further replica number is needed."},
	{Name: "database.ssl.keystore", Type: configdef.String, Importance: configdef.Medium, Width: configdef.WidthLong, Display: "SSL Keystore",
		Doc: "File with the client's certificate and key: PEM, PKCS#12 or JKS."},
	{Name: "database.ssl.keystore.password", Type: configdef.Password, Importance: configdef.Medium, Width: configdef.WidthMedium, Display: "SSL Keystore Password",
		Doc: "Password of that file; never shown or logged."},
	{Name: "database.ssl.truststore", Type: configdef.String, Importance: configdef.Medium, Width: configdef.WidthLong, Display: "SSL Truststore",
		Doc: "File with the authorities to trust: PEM, PKCS#12 or JKS."},
	{Name: "database.ssl.truststore.password", Type: configdef.Password, Importance: configdef.Medium, Width: configdef.WidthMedium, Display: "SSL Truststore Password",
		Doc: "Password of that file; never shown or logged."},
	twice(configdef.Option{Name: "database.jdbc.driver", Type: configdef.Class, Default: "com.mysql.cj.jdbc.Driver", HasDefault: true, Importance: configdef.Low, Width: configdef.WidthMedium, Display: "JDBC Driver Class Name",
		Doc: "Accepted for compatibility: millrace has its own driver."}, options.ClassName),
	{Name: "database.protocol", Type: configdef.String, Default: "jdbc:mysql", HasDefault: true, Importance: configdef.Low, Width: configdef.WidthMedium, Display: "JDBC Protocol",
		Doc: "Accepted for compatibility: millrace has its own driver."},
	enum("database.ssl.mode", "preferred", configdef.Medium, configdef.WidthMedium, "SSL mode",
		"How to use TLS: disabled, preferred, required, verify_ca (check the certificate) or verify_identity (check the host name too).",
		"disabled", "preferred", "required", "verify_ca", "verify_identity"),
	{Name: "connect.timeout.ms", Type: configdef.Int, Default: "30000", HasDefault: true, Importance: configdef.Medium, Width: configdef.WidthShort, Display: "Connection Timeout (ms)",
		Doc: "Limit for connecting and logging in, in milliseconds.", Check: options.Checks(options.PositiveInt)},
	{Name: "sourceinfo.struct.maker", Type: configdef.Class, Default: "io.debezium.connector.mysql.MySqlSourceInfoStructMaker", HasDefault: true, Importance: configdef.Low, Width: configdef.WidthMedium, Display: "Source info struct maker class",
		Unsupported: "millrace makes the source block as the default class does; leave the option out", Doc: "Java class that makes the source block. millrace has the default one only."},
	{Name: "table.ignore.builtin", Type: configdef.Boolean, Default: "true", HasDefault: true, Importance: configdef.Low, Width: configdef.WidthShort, Display: "Ignore system databases", Dependents: []string{"database.include.list"},
		Doc: "Leave out the tables of the database itself.", Check: options.Checks(options.IsBoolean)},
	{Name: "topic.naming.strategy", Type: configdef.Class, Default: options.DefaultTopicNaming, HasDefault: true, Importance: configdef.Medium, Width: configdef.WidthMedium, Display: "Topic naming strategy class",
		Doc:   "How topics are named: the class name of one of Debezium's strategies (Default…, DefaultRegex…, DefaultUnicode…, Schema…, SchemaRegex…, SchemaUnicode…TopicNamingStrategy).",
		Check: options.Checks(options.NamingStrategy)},
	{Name: "converters", Type: configdef.String, Importance: configdef.Low, Width: configdef.WidthMedium, Display: "List of prefixes defining custom values converters.",
		Doc: "Names of converters: TinyIntOneToBooleanConverter, ZeroDateFallbackConverter and JdbcSinkDataTypesConverter work; others are Java classes, which millrace cannot load.", Check: options.Checks(checkConverters)},
	{Name: "connect.keep.alive", Type: configdef.Boolean, Default: "true", HasDefault: true, Importance: configdef.Low, Width: configdef.WidthShort, Display: "Keep connection alive (true/false)",
		Doc: "Reconnect when the server is silent for longer than the interval.", Check: options.Checks(options.IsBoolean)},
	{Name: "connect.keep.alive.interval.ms", Type: configdef.Long, Default: "60000", HasDefault: true, Importance: configdef.Low, Width: configdef.WidthShort, Display: "Keep alive interval (ms)",
		Doc: "How long the server may be silent, in milliseconds; it is asked to send a heartbeat at 0.8 of it.", Check: options.Checks(options.PositiveInt)},
	flag("use.nongraceful.disconnect", "false", configdef.Medium, "Use Non-graceful Disconnect", "Accepted for compatibility: a connection that does not answer is cut anyway."),
	{Name: "binlog.net.write.timeout", Type: configdef.Long, Default: "0", HasDefault: true, Importance: configdef.Medium, Width: configdef.WidthShort, Display: "Binlog Net Write Timeout",
		Doc: "net_write_timeout of the connection that reads the binary log, in seconds; 0 leaves the server's.", Check: options.Checks(options.NonNegativeLong)},
	{Name: "binlog.net.read.timeout", Type: configdef.Long, Default: "0", HasDefault: true, Importance: configdef.Medium, Width: configdef.WidthShort, Display: "Binlog Net Read Timeout",
		Doc: "net_read_timeout of that connection, in seconds; 0 leaves the server's.", Check: options.Checks(options.NonNegativeLong)},
	inOrder(enum("snapshot.mode", "initial", configdef.Low, configdef.WidthShort, "Snapshot mode",
		"When to read the tables: initial (once), initial_only (once, then stop), always, no_data (schema only), when_needed, recovery (rebuild a lost schema history), configuration_based.",
		"configuration_based", "initial", "recovery", "custom", "no_data", "when_needed", "initial_only", "always"),
		"always", "initial", "initial_only", "when_needed", "no_data", "recovery", "configuration_based", "custom"),
	enum("bigint.unsigned.handling.mode", "long", configdef.Medium, configdef.WidthShort, "The mode for handling bigint-unsigned values",
		"Form of BIGINT UNSIGNED: long (wraps above 2^63-1) or precise (a decimal).", "precise", "long"),
	{Name: "time.precision.mode", Type: configdef.String, Default: "adaptive_time_microseconds", HasDefault: true, Importance: configdef.Medium, Width: configdef.WidthShort, Display: "The time precision mode to be used",
		Doc:       "Form of dates and times: adaptive_time_microseconds, connect, isostring, microseconds or nanoseconds.",
		Recommend: options.Values("adaptive", "adaptive_time_microseconds", "isostring", "microseconds", "nanoseconds", "connect"),
		Check:     options.Checks(timePrecision, timePrecisionAgain)},
	flag("enable.time.adjuster", "true", configdef.Low, "Enable Time Adjuster", "Take years 0 to 69 for 20xx and 70 to 99 for 19xx."),
	{Name: "min.row.count.to.stream.results", Type: configdef.Int, Default: "1000", HasDefault: true, Importance: configdef.Low, Width: configdef.WidthMedium, Display: "Stream result set of size",
		Doc: "Accepted for compatibility: results are always streamed.", Check: options.Checks(options.NonNegativeLong)},
	flag("incremental.snapshot.allow.schema.changes", "false", configdef.Low, "Allow schema changes during incremental snapshot if supported.", "Read a chunk again when its table changes while it is open."),
	locking(enum("snapshot.locking.mode", "minimal", configdef.Low, configdef.WidthShort, "Snapshot locking mode",
		"Lock while the position is read: minimal (a global read lock for an instant), minimal_percona and minimal_percona_no_table_locks (LOCK TABLES FOR BACKUP), extended (until all rows are read), none.",
		"extended", "minimal_percona_no_table_locks", "minimal_percona", "minimal", "custom", "none")),
	enum("ddl.parser.type", "default", configdef.Low, configdef.WidthShort, "DDL Parser Type", "Accepted for compatibility: millrace has one reader of DDL.", "default", "legacy"),
	{Name: "schema.history.internal", Type: configdef.Class, Default: classKafkaHistory, HasDefault: true, Importance: configdef.Low, Width: configdef.WidthLong, Display: "Database schema history class", Invisible: true,
		Doc: "Where table definitions are kept: a Kafka topic, a file or memory.", Check: options.Checks(historyClass)},
	flag("schema.history.internal.skip.unparseable.ddl", "false", configdef.Low, "Skip DDL statements that cannot be parsed",
		"Accepted for compatibility: a statement that cannot be read never stops the connector; its tables are read from the catalog."),
	flag("schema.history.internal.store.only.captured.tables.ddl", "false", configdef.Low, "Store only DDL that modifies tables that are captured based on include/exclude lists",
		"Keep and publish only statements about captured tables."),
	flag("schema.history.internal.store.only.captured.databases.ddl", "false", configdef.Low, "Store only DDL that modifies tables of databases that are captured based on include/exclude lists",
		"Keep and publish only statements about captured databases."),
	flag("include.schema.changes", "true", configdef.Medium, "Include database schema changes", "Write a record for each change of a table's definition to the topic named after topic.prefix."),
	flag("include.query", "false", configdef.Medium, "Include original SQL query with in change events", "Put the statement that made a change into source.query; the server must log it (binlog_rows_query_log_events)."),
	{Name: "database.include.list", Type: configdef.List, Importance: configdef.High, Width: configdef.WidthLong, Display: "Include Databases", Dependents: []string{"table.include.list"},
		Doc: "Patterns of the databases to capture.", Check: options.Checks(options.RegexList)},
	{Name: "database.exclude.list", Type: configdef.List, Importance: configdef.Medium, Width: configdef.WidthLong, Display: "Exclude Databases",
		Doc: "Patterns of the databases not to capture.", Check: options.Checks(options.Without("database.include.list", "database.include.list"), options.RegexList)},
	{Name: "binlog.buffer.size", Type: configdef.Int, Default: "0", HasDefault: true, Importance: configdef.Medium, Width: configdef.WidthMedium, Display: "Binlog reader buffer size",
		Doc: "Accepted for compatibility: nothing is looked ahead, so nothing can be lost from such a buffer.", Check: options.Checks(options.NonNegativeInt)},
	enum("event.deserialization.failure.handling.mode", "fail", configdef.Medium, configdef.WidthShort, "Event deserialization failure handling",
		"Old name of event.processing.failure.handling.mode; not used.", "warn", "fail", "ignore", "skip"),
	enum("inconsistent.schema.handling.mode", "fail", configdef.Medium, configdef.WidthShort, "Inconsistent schema failure handling",
		"What to do with a row of a table whose definition is not known: millrace reads the catalog; when that fails: fail, warn or skip.", "warn", "fail", "ignore", "skip"),
	flag("gtid.source.filter.dml.events", "true", configdef.Medium, "Filter DML events", "Leave out rows of sources that the GTID filters leave out."),
	flag("gtid.ignore.on.recovery", "false", configdef.Low, "Ignore GTID on recovery", "Go on by file and position although GTIDs are known."),
	{Name: "gtid.source.includes", Type: configdef.List, Importance: configdef.High, Width: configdef.WidthLong, Display: "Include GTID sources", Dependents: []string{"table.include.list"},
		Doc: "Patterns of the sources whose GTIDs count.", Check: options.Checks(options.RegexList)},
	{Name: "gtid.source.excludes", Type: configdef.String, Importance: configdef.Medium, Width: configdef.WidthLong, Display: "Exclude GTID sources", Invisible: true,
		Doc: "Patterns of the sources whose GTIDs do not count.", Check: options.Checks(gtidExcludes, options.RegexList)},
}

func historyOption(name, def, doc string, t configdef.Type) configdef.Option {
	return configdef.Option{Name: "schema.history.internal." + name, Type: t, Default: def, HasDefault: def != "", Doc: doc}
}

// hiddenOptions are read by the real connector and not listed by it.
var hiddenOptions = []configdef.Option{
	{Name: "snapshot.locking.mode.custom.name", Type: configdef.String, Doc: "Name of a Java class, which millrace cannot load: choose another snapshot.locking.mode.", Check: options.Checks(options.CustomName("snapshot.locking.mode"))},
	{Name: "schema.history.internal.kafka.topic", Type: configdef.String, Doc: "Topic of the schema history; one per connector.", Check: options.Checks(historyKafka), Late: true},
	{Name: "schema.history.internal.kafka.bootstrap.servers", Type: configdef.String, Doc: "Brokers of the schema history topic.", Check: options.Checks(historyKafka), Late: true},
	{Name: "schema.history.internal.file.filename", Type: configdef.String, Doc: "File of the schema history.", Check: options.Checks(historyFile), Late: true},
	historyOption("kafka.recovery.poll.interval.ms", "100", "Accepted for compatibility: the topic is read to its end.", configdef.Int),
	historyOption("kafka.recovery.attempts", "100", "Accepted for compatibility: the topic is read to its end.", configdef.Int),
	historyOption("kafka.query.timeout.ms", "3000", "Accepted for compatibility.", configdef.Long),
	historyOption("kafka.create.timeout.ms", "30000", "Limit for creating the topic, in milliseconds.", configdef.Long),
	historyOption("kafka.buffer.batch.size", "1024", "Accepted for compatibility.", configdef.Int),
	historyOption("name", "", "Client id of the schema history's clients.", configdef.String),
	historyOption("prefer.ddl", "false", "Read the history by its statements instead of its table definitions.", configdef.Boolean),
	{Name: "internal.schema.history.internal.ddl.filter", Type: configdef.String, Doc: "Patterns of statements to leave out before they are read.", Check: options.Checks(options.RegexList)},
	enum("binary.handling.mode", "bytes", configdef.Low, configdef.WidthMedium, "Binary Handling",
		"Form of binary columns: bytes, base64, base64-url-safe or hex.", "bytes", "base64", "hex", "base64-url-safe"),
	{Name: "read.only", Type: configdef.Boolean, Default: "false", HasDefault: true, Doc: "Take incremental snapshots without writing to the database."},
	{Name: "database.connectionTimeZone", Type: configdef.String, Doc: "Time zone for TIMESTAMP values in snapshots."},
	{Name: "database.allowPublicKeyRetrieval", Type: configdef.Boolean, Doc: "Fetch the server's public key when logging in without TLS."},
}
