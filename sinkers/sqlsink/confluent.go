package sqlsink

import (
	"fmt"
	"log/slog"
	"regexp"
	"strings"

	"millrace/internal/configdef"
	"millrace/internal/errs"
	"millrace/internal/metrics"
)

// Java names of the other JDBC sinks whose settings this engine runs.
const (
	ConfluentClass     = "io.confluent.connect.jdbc.JdbcSinkConnector"
	ConfluentTaskClass = "io.confluent.connect.jdbc.sink.JdbcSinkTask"
	AivenClass         = "io.aiven.connect.jdbc.JdbcSinkConnector"
	AivenTaskClass     = "io.aiven.connect.jdbc.sink.JdbcSinkTask"
)

// DefConfluent is the option table of Confluent's JDBC sink.
func DefConfluent() *configdef.Def {
	opts := commonOptions("insert", "upsert", "update")
	return &configdef.Def{Options: append(opts,
		option("quote.sql.identifiers", configdef.String, "always", "always keeps the case of names; never lets the database fold it.", oneOf("always", "never")),
		option("date.timezone", configdef.String, "DB_TIMEZONE", "Zone of dates. They have none here: a date stays the date that the record says.", oneOf("DB_TIMEZONE", "UTC")),
		option("date.calendar.system", configdef.String, "LEGACY", "LEGACY or PROLEPTIC_GREGORIAN. Dates are proleptic Gregorian here, as in the databases; LEGACY garbles those before 1582.", oneOf("LEGACY", "PROLEPTIC_GREGORIAN")),
		option("replace.null.with.default", configdef.Boolean, "true", "Whether a null in a field with a default becomes the default.", nil),
		option("connection.attempts", configdef.Int, "3", "Tries to connect at start.", atLeast(1)),
		option("connection.backoff.ms", configdef.Long, "10000", "Milliseconds between those tries.", atLeast(0)),
		option("table.types", configdef.List, "TABLE", "Kinds of tables that may be written to. All kinds are found here.", eachOf("TABLE", "PARTITIONED TABLE", "VIEW")),
		option("string.output.value.column.name", configdef.String, "record_value", "Column for values that are texts.", nil),
		unsupported("timestamp.precision.mode", configdef.String, "microseconds", "timestamps keep what the record has."),
		unsupported("timestamp.fields.list", configdef.List, "", "use the TimestampConverter transform."),
		unsupported("mssql.use.merge.holdlock", configdef.Boolean, "true", "there is no SQL Server dialect; remove the option."),
		unsupported("trim.sensitive.log", configdef.Boolean, "false", "errors name the refused row so that it can be found; remove the option."),
		unsupported("jdbc.credentials.provider.class", configdef.Class, "io.confluent.connect.jdbc.util.DefaultJdbcCredentialsProvider", "use connection.user and connection.password, with config providers for secrets."),
	)}
}

// DefAiven is the option table of Aiven's JDBC sink.
func DefAiven() *configdef.Def {
	opts := commonOptions("insert", "multi", "upsert", "update")
	return &configdef.Def{Options: append(opts,
		option("sql.quote.identifiers", configdef.Boolean, "true", "Whether names keep their case.", nil),
		option("table.name.normalize", configdef.Boolean, "false", "Whether characters other than letters, digits and _ become _ in table names.", nil),
		option("topics.to.tables.mapping", configdef.List, "", "List of topic:table.", checkMapping),
	)}
}

func option(name string, typ configdef.Type, def, doc string, check func(configdef.Input) []string) configdef.Option {
	return configdef.Option{Name: name, Type: typ, Default: def, HasDefault: true, Importance: configdef.Medium, Doc: doc, Check: check}
}

func unsupported(name string, typ configdef.Type, def, instead string) configdef.Option {
	return configdef.Option{Name: name, Type: typ, Default: def, HasDefault: true, Importance: configdef.Low, Doc: "Not supported.", Unsupported: instead}
}

// commonOptions are what both connectors have.
func commonOptions(modes ...string) []configdef.Option {
	str := configdef.String
	return []configdef.Option{
		{Name: "connection.url", Type: str, Required: true, Importance: configdef.High, Group: "Connection", Doc: "JDBC URL of the target: jdbc:postgresql://, jdbc:mysql://, jdbc:mariadb:// or jdbc:sqlite:.", Check: checkURL},
		{Name: "connection.user", Type: str, Importance: configdef.High, Group: "Connection", Doc: "User of the target database."},
		{Name: "connection.password", Type: configdef.Password, Importance: configdef.High, Group: "Connection", Doc: "Password of that user."},
		option("dialect.name", str, "", "Java dialect; the URL decides here, and the name must fit it.", checkDialect),
		option("insert.mode", str, "insert", "insert, upsert or update.", checkPlainMode(modes)),
		option("batch.size", configdef.Int, "3000", "Most rows of one transaction. 0 is 1. When it is not set, a transaction takes what a poll gives.", atLeast(0)),
		option("delete.enabled", configdef.Boolean, "false", "Whether null values delete rows; needs pk.mode=record_key.", checkPlainDelete),
		option("table.name.format", str, "${topic}", "Table name; ${topic} is the topic as it is, and a dot divides schema and table.", nil),
		option("pk.mode", str, "none", "none, kafka, record_key or record_value.", oneOf("none", "kafka", "record_key", "record_value")),
		option("pk.fields", configdef.List, "", "Key fields; for pk.mode=kafka the names of the three columns; for a primitive key its column.", checkPlainKeys),
		option("fields.whitelist", configdef.List, "", "Value fields to write; empty means all. Keys are always written.", nil),
		option("db.timezone", str, "UTC", "Zone in which Connect's Timestamp is written.", checkZone),
		option("auto.create", configdef.Boolean, "false", "Whether missing tables are made.", nil),
		option("auto.evolve", configdef.Boolean, "false", "Whether missing columns are added.", nil),
		option("max.retries", configdef.Int, "10", "How often a batch is tried again after a deadlock, a lock timeout or a lost connection. When it is not set, until it works.", atLeast(0)),
		option("retry.backoff.ms", configdef.Long, "3000", "Milliseconds between those tries.", atLeast(0)),
		laneOption(),
		option("unavailable.value.placeholder", str, "__debezium_unavailable_value", "The source's unavailable.value.placeholder: a field that holds it is left out of the write.", nil),
	}
}

func eachOf(values ...string) func(configdef.Input) []string {
	one := oneOf(values...)
	return func(in configdef.Input) (out []string) {
		for _, v := range configdef.SplitList(in.Value) {
			in.Value = v
			out = append(out, one(in)...)
		}
		return out
	}
}

func checkDialect(in configdef.Input) []string {
	u, err := parseURL(strings.TrimSpace(in.Props["connection.url"]))
	if in.Value == "" || err != nil {
		return nil
	}
	want := map[string]string{dialectPostgres: "postgre", dialectMySQL: "mysql", dialectMariaDB: "mysql", dialectSQLite: "sqlite"}[u.dialect]
	if strings.HasPrefix(strings.ToLower(in.Value), want) || u.dialect == dialectMariaDB && strings.HasPrefix(strings.ToLower(in.Value), "mariadb") {
		return nil
	}
	return []string{fmt.Sprintf("The 'dialect.name' value '%s' does not fit connection.url, which is jdbc:%s; remove it", in.Value, u.dialect)}
}

func checkPlainMode(modes []string) func(configdef.Input) []string {
	return func(in configdef.Input) []string {
		if e := oneOf(modes...)(in); e != nil {
			return e
		}
		pk := strings.ToLower(strings.TrimSpace(in.Props["pk.mode"]))
		if (strings.EqualFold(in.Value, "upsert") || strings.EqualFold(in.Value, "update")) && (pk == "" || pk == "none") {
			return []string{fmt.Sprintf("insert.mode=%s requires key fields to be known: set pk.mode (and pk.fields)", strings.ToLower(in.Value))}
		}
		return nil
	}
}

func checkPlainDelete(in configdef.Input) []string {
	if strings.EqualFold(in.Value, "true") && !strings.EqualFold(strings.TrimSpace(in.Props["pk.mode"]), "record_key") {
		return []string{"Primary key mode must be 'record_key' when delete support is enabled"}
	}
	return nil
}

func checkPlainKeys(in configdef.Input) []string {
	if strings.EqualFold(strings.TrimSpace(in.Props["pk.mode"]), "kafka") {
		if n := len(configdef.SplitList(in.Value)); n != 0 && n != 3 {
			return []string{fmt.Sprintf("PK mode for table is KAFKA so there should either be no field names defined for defaults to be applicable, or exactly 3, defined fields are: %s", in.Value)}
		}
	}
	return nil
}

func checkMapping(in configdef.Input) []string {
	for _, x := range configdef.SplitList(in.Value) {
		if topic, table, ok := strings.Cut(x, ":"); !ok || topic == "" || table == "" {
			return []string{fmt.Sprintf("The 'topics.to.tables.mapping' entry '%s' is not of the form topic:table", x)}
		}
	}
	return nil
}

// plainConfig translates what Confluent's and Aiven's options have in common.
func plainConfig(v configdef.Values) (*config, error) {
	u, err := parseURL(v.String("connection.url"))
	if err != nil {
		return nil, err
	}
	zone, err := javaZone(v.String("db.timezone"))
	if err != nil {
		return nil, err
	}
	if zone.String() == "UTC" {
		zone = nil
	}
	c := &config{url: u, user: v.String("connection.user"), password: v.String("connection.password"),
		deletes: v.Bool("delete.enabled"), keys: v.List("pk.fields"), evolve: v.Bool("auto.evolve"), noCreate: !v.Bool("auto.create"),
		tableFormat: v.String("table.name.format"), topicTable: asIs, placeholder: []byte(v.String("unavailable.value.placeholder")),
		isolate: strings.EqualFold(strings.TrimSpace(v.Props()["errors.tolerance"]), "all"),
		retries: -1, retryDelay: v.Millis("retry.backoff.ms"), lanes: v.Int(lanesOption), plain: true, zone: zone}
	c.mode = map[string]insertMode{"upsert": modeUpsert, "update": modeUpdate}[v.Enum("insert.mode")]
	c.keyMode = map[string]keyMode{"kafka": keyKafka, "record_key": keyRecordKey, "record_value": keyRecordValue}[v.Enum("pk.mode")]
	if c.keyMode == keyKafka && len(c.keys) == 3 {
		c.coordinates = [3]string(c.keys)
	}
	if fields := v.List("fields.whitelist"); len(fields) > 0 {
		c.include = fieldFilter(fields, nil)
	}
	if v.IsSet("batch.size") {
		c.batchSize = max(1, v.Int("batch.size"))
	}
	if v.IsSet("max.retries") {
		c.retries = v.Int("max.retries")
	}
	return c, nil
}

// NewConfluent makes a task of Confluent's JDBC sink; Start connects.
func NewConfluent(props map[string]string, connector string, task int, log *slog.Logger, _ *metrics.Task) (*Sink, error) {
	return newPlain(DefConfluent(), props, log, confluentConfig)
}

func confluentConfig(c *config, v configdef.Values) {
	c.quote = v.Enum("quote.sql.identifiers") == "always"
	c.nullDefault = v.Bool("replace.null.with.default")
	c.attempts, c.attemptDelay = v.Int("connection.attempts"), v.Millis("connection.backoff.ms")
	c.textColumn = v.String("string.output.value.column.name")
}

var notNormal = regexp.MustCompile(`[^a-zA-Z0-9_]`)

// NewAiven makes a task of Aiven's JDBC sink; Start connects.
func NewAiven(props map[string]string, connector string, task int, log *slog.Logger, _ *metrics.Task) (*Sink, error) {
	return newPlain(DefAiven(), props, log, aivenConfig)
}

func aivenConfig(c *config, v configdef.Values) {
	c.quote, c.nullDefault = v.Bool("sql.quote.identifiers"), true
	c.normalize = v.Bool("table.name.normalize")
	c.mapping = map[string]string{}
	for _, x := range v.List("topics.to.tables.mapping") {
		topic, table, _ := strings.Cut(x, ":")
		c.mapping[topic] = table
	}
}

func newPlain(def *configdef.Def, props map[string]string, log *slog.Logger, more func(*config, configdef.Values)) (*Sink, error) {
	c, err := plainOf(def, props, more)
	if err != nil {
		return nil, &errs.Error{Java: errs.ConfigException, Msg: err.Error()}
	}
	return newSink(c, log)
}

// plainOf reads the settings of Confluent's or Aiven's sink.
func plainOf(def *configdef.Def, props map[string]string, more func(*config, configdef.Values)) (*config, error) {
	v, err := def.Parse(props)
	if err != nil {
		return nil, err
	}
	c, err := plainConfig(v)
	if err == nil {
		more(c, v)
	}
	return c, err
}
