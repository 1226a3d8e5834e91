package mysql

import (
	"strings"
	"time"

	"millrace/capture/options"
	"millrace/decode/myvalue"
	"millrace/internal/configdef"
	"millrace/internal/javaregex"
)

// Flavor tells the two servers apart.
type Flavor string

// The flavors; the text is source.connector and part of schema names.
const (
	MySQL   Flavor = "mysql"
	MariaDB Flavor = "mariadb"
)

// Options are a connector's properties, parsed.
type Options struct {
	Flavor    Flavor
	Connector string
	TaskID    int
	Prefix    string

	Conn     Conn
	History  History
	Snapshot Snapshot
	Modes    myvalue.Modes

	Tables      *options.TableFilter
	Columns     *options.ColumnFilter
	ColumnRules *options.ColumnRules
	KeyColumns  *options.KeyColumns
	Converters  []*converter
	// RereadColumns are the reselect post processors.
	RereadColumns []options.Reselect
	Naming        *options.Naming
	Skipped       options.Operations
	GTIDs         GTIDFilter
	// IgnoreGTIDs is gtid.ignore.on.recovery.
	IgnoreGTIDs bool

	SchemaChanges   bool // include.schema.changes
	Comments        bool // include.schema.comments
	Query           bool // include.query
	SkipUnchanged   bool
	Tombstones      bool
	ExtendedHeaders bool
	Transactions    bool // provide.transaction.metadata
	Heartbeat       time.Duration
	HeartbeatQuery  string
	SignalTable     string
	Signals         Signals
	NotifyChannels  []string // sink, log
	NotifyTopic     string
	OnBadEvent      string // fail, warn, skip, ignore
	OnBadSchema     string
	OnBadValue      string // event.converting.failure.handling.mode: fail, warn, skip
	Retries         int
	RetryWait       time.Duration
	BatchRecords    int
	QueueBytes      int  // max.queue.size.in.bytes; 0: the pipeline's own bound
	CheckPosition   bool // look at start whether the log still holds the stored position
	GuardTables     int  // guardrail.collections.max, 0 off; GuardFail its action
	GuardFail       bool
	Warnings        []string
}

// Conn says how connections to the server are made.
type Conn struct {
	Host              string
	Port              int
	User, Password    string // the password is never logged
	ServerID          uint32
	SSL               string // disabled, preferred, required, verify_ca, verify_identity
	Truststore        map[string]string
	ConnectTimeout    time.Duration
	KeepAlive         time.Duration // 0: off
	InitialStatements []string
	NetWrite, NetRead int64 // seconds; 0: the server's
	QueryTimeout      time.Duration
	ValidateTimeout   time.Duration
}

// History says where table versions are kept.
type History struct {
	Class         string
	Topic         string
	File          string
	Producer      map[string]string // Java client properties
	Consumer      map[string]string
	CapturedOnly  bool // store.only.captured.tables.ddl
	DatabasesOnly bool // store.only.captured.databases.ddl
	CreateTimeout time.Duration
	PreferDDL     bool // read it by its statements instead of its definitions
	// Filter has patterns of statements that are dropped before they are read; nil:
	// the real connector's own list.
	Filter []*javaregex.Regexp
}

// Snapshot is the initial snapshot.
type Snapshot struct {
	Mode        string
	Locking     string
	LockTimeout time.Duration
	Include     *options.NameList
	Overrides   map[string]string
	Threads     int            // connections that read rows
	Multipliers map[string]int // by db.table, "" for all others
	OrderByRows string         // disabled, ascending, descending
	Delay       time.Duration
	StreamDelay time.Duration
	// The switches of configuration_based.
	Data, Schema, Stream, OnSchemaError, OnDataError bool
}

// Multiplier is how many times finer a table is cut than by default.
func (s *Snapshot) Multiplier(table string) int {
	if n, ok := s.Multipliers[table]; ok {
		return n
	}
	return s.Multipliers[""]
}

// ParseOptions parses a connector's properties; the error names every property
// that is wrong, one per line, in Debezium's words.
func ParseOptions(flavor Flavor, connector string, taskID int, props map[string]string) (*Options, error) {
	v, err := DefOf(flavor).Parse(props)
	if err != nil {
		return nil, err
	}
	return parseValues(flavor, connector, taskID, v)
}

func parseValues(flavor Flavor, connector string, taskID int, v configdef.Values) (*Options, error) {
	o := &Options{
		Flavor: flavor, Connector: connector, TaskID: taskID, Prefix: v.String("topic.prefix"),
		Conn:          parseConn(v),
		SchemaChanges: v.Bool("include.schema.changes"), Comments: v.Bool("include.schema.comments"), Query: v.Bool("include.query"),
		IgnoreGTIDs:   v.Bool("gtid.ignore.on.recovery"),
		SkipUnchanged: v.Bool("skip.messages.without.change"), Tombstones: v.Bool("tombstones.on.delete"), ExtendedHeaders: v.Bool("extended.headers.enabled"),
		Transactions: v.Bool("provide.transaction.metadata"), Heartbeat: v.Millis("heartbeat.interval.ms"), HeartbeatQuery: v.String("heartbeat.action.query"),
		NotifyChannels: v.List("notification.enabled.channels"), NotifyTopic: v.String("notification.sink.topic.name"),
		SignalTable: v.String("signal.data.collection"), OnBadEvent: v.Enum("event.processing.failure.handling.mode"), OnBadSchema: v.Enum("inconsistent.schema.handling.mode"),
		OnBadValue: v.Enum("event.converting.failure.handling.mode"), QueueBytes: v.Int("max.queue.size.in.bytes"), CheckPosition: v.Bool("internal.log.position.check.enable"),
		GuardTables: v.Int("guardrail.collections.max"), GuardFail: v.Enum("guardrail.collections.limit.action") == "fail",
		Retries: v.Int("errors.max.retries"), RetryWait: v.Millis("retriable.restart.connector.wait.ms"), BatchRecords: v.Int("max.batch.size"),
		Modes: myvalue.Modes{
			Decimal: v.Enum("decimal.handling.mode"), BigintUnsigned: v.Enum("bigint.unsigned.handling.mode"), Time: v.Enum("time.precision.mode"),
			Binary: v.Enum("binary.handling.mode"), TimeAdjuster: v.Bool("enable.time.adjuster"),
			FieldName: options.FieldAdjuster(options.FieldMode(v)), SchemaName: options.SchemaAdjuster(v.Enum("schema.name.adjustment.mode")),
		},
	}
	o.Warnings = options.IdleWarnings(v, options.CommonIdle, idle(flavor))
	for _, c := range o.NotifyChannels {
		if c != "sink" && c != "log" {
			o.Warnings = append(o.Warnings, "notification.enabled.channels: there is no channel "+c+" here; known are sink and log")
		}
	}
	for _, step := range []func(configdef.Values) error{o.parseSignals, o.parseHistory, o.parseSnapshot, o.parseFilters, o.parseNaming, o.parseConverters, o.parseReselects} {
		if err := step(v); err != nil {
			return nil, err
		}
	}
	return o, nil
}

func parseConn(v configdef.Values) Conn {
	c := Conn{
		Host: v.String("database.hostname"), Port: v.Int("database.port"), User: v.String("database.user"), Password: v.String("database.password"),
		ServerID: uint32(v.Int64("database.server.id")), SSL: v.Enum("database.ssl.mode"), ConnectTimeout: v.Millis("connect.timeout.ms"),
		InitialStatements: options.SplitStatements(v.String("database.initial.statements")),
		NetWrite:          v.Int64("binlog.net.write.timeout"), NetRead: v.Int64("binlog.net.read.timeout"),
		QueryTimeout: v.Millis("database.query.timeout.ms"), ValidateTimeout: v.Millis("connection.validation.timeout.ms"),
		Truststore: map[string]string{},
	}
	for _, x := range [][2]string{{"database.ssl.truststore", "ssl.truststore.location"}, {"database.ssl.truststore.password", "ssl.truststore.password"},
		{"database.ssl.keystore", "ssl.keystore.location"}, {"database.ssl.keystore.password", "ssl.keystore.password"}} {
		if s := v.String(x[0]); s != "" {
			c.Truststore[x[1]] = s
		}
	}
	if m, ok := sslModes[c.SSL]; ok {
		c.SSL = m
	}
	if v.Bool("connect.keep.alive") {
		c.KeepAlive = v.Millis("connect.keep.alive.interval.ms")
	}
	return c
}

func (o *Options) parseHistory(v configdef.Values) error {
	const p = "schema.history.internal."
	h := History{Class: v.String("schema.history.internal"), Topic: v.String(p + "kafka.topic"), File: v.String(p + "file.filename"),
		CapturedOnly: v.Bool(p + "store.only.captured.tables.ddl"), DatabasesOnly: v.Bool(p + "store.only.captured.databases.ddl"),
		Producer: v.Prefixed(p + "producer."), Consumer: v.Prefixed(p + "consumer."), CreateTimeout: v.Millis(p + "kafka.create.timeout.ms"), PreferDDL: v.Bool(p + "prefer.ddl")}
	if text := v.String("internal.schema.history.internal.ddl.filter"); text != "" {
		var err error
		if h.Filter, err = javaregex.CompileList(text, javaregex.CaseInsensitive|javaregex.DotAll); err != nil {
			return err
		}
	}
	name := v.String(p + "name")
	if name == "" {
		name = o.Prefix + "-schemahistory"
	}
	for _, m := range []map[string]string{h.Producer, h.Consumer} {
		m["bootstrap.servers"] = v.String(p + "kafka.bootstrap.servers")
		if m["client.id"] == "" {
			m["client.id"] = name
		}
	}
	o.History = h
	return nil
}

func (o *Options) parseSnapshot(v configdef.Values) error {
	const based = "snapshot.mode.configuration.based."
	s := Snapshot{Mode: v.Enum("snapshot.mode"), Locking: v.Enum("snapshot.locking.mode"), LockTimeout: v.Millis("snapshot.lock.timeout.ms"),
		Delay: v.Millis("snapshot.delay.ms"), StreamDelay: v.Millis("streaming.delay.ms"),
		Data: v.Bool(based + "snapshot.data"), Schema: v.Bool(based + "snapshot.schema"), Stream: v.Bool(based + "start.stream"),
		OnSchemaError: v.Bool(based + "snapshot.on.schema.error"), OnDataError: v.Bool(based + "snapshot.on.data.error")}
	s.Threads, s.OrderByRows = v.Int("snapshot.max.threads"), v.Enum("snapshot.tables.order.by.row.count")
	by, warnings := options.Multipliers(v, func(table string) string { return table })
	s.Multipliers = by
	s.Multipliers[""] = v.Int("snapshot.max.threads.multiplier")
	o.Warnings = append(o.Warnings, warnings...)
	var err error
	if s.Include, err = options.NewNameList(v.String("snapshot.include.collection.list")); err != nil {
		return err
	}
	s.Overrides, warnings = options.SelectOverrides(v, func(table string) string { return table })
	o.Warnings = append(o.Warnings, warnings...)
	o.Snapshot = s
	return nil
}

// builtin are the databases of the server itself.
func builtin(db, _ string) bool {
	switch strings.ToLower(db) {
	case "mysql", "sys", "performance_schema", "information_schema":
		return true
	}
	return false
}

func (o *Options) parseFilters(v configdef.Values) error {
	f, err := options.ParseFilters(v, "database", builtin, o.SignalTable)
	if err != nil {
		return err
	}
	o.Tables, o.Columns, o.ColumnRules, o.KeyColumns, o.Skipped = f.Tables, f.Columns, f.Rules, f.Keys, f.Skipped
	o.GTIDs, err = newGTIDFilter(v.String("gtid.source.includes"), v.String("gtid.source.excludes"), v.Bool("gtid.source.filter.dml.events"))
	return err
}

func (o *Options) parseNaming(v configdef.Values) (err error) {
	o.Naming, err = options.ParseNaming(v, o.Modes.SchemaName)
	return err
}

func (o *Options) parseReselects(v configdef.Values) (err error) {
	o.RereadColumns, err = options.ParseReselects(v)
	return err
}
