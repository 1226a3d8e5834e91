package postgres

import (
	"time"

	"millrace/capture/options"
	"millrace/decode/pgvalue"
	"millrace/internal/javaregex"
)

// Options are the parsed properties of one PostgresConnector. They are made by
// ParseOptions and not changed afterwards; every function in them is pure.
type Options struct {
	Connector string // name of the connector
	TaskID    int
	Prefix    string // topic.prefix, the logical server name

	Conn        Conn
	Slot        Slot
	Publication Publication
	Flush       Flush
	Snapshot    Snapshot
	Incremental Incremental
	Heartbeat   Heartbeat
	Signal      Signal
	Notify      Notify
	Transaction Transaction
	Failures    Failures
	Batch       Batch

	// Modes are the handling modes of values (pgvalue), adjusters included.
	Modes pgvalue.Modes
	// Tables decides which tables are captured; the signal table always is.
	Tables *options.TableFilter
	// Columns decides which columns are in the value.
	Columns *options.ColumnFilter
	// ColumnRules are masks, hashes, truncation and propagation per column.
	ColumnRules *options.ColumnRules
	// KeyColumns is message.key.columns.
	KeyColumns *options.KeyColumns
	// Naming makes topic names and the schema names that follow from them.
	Naming *options.Naming
	// Skipped are the operations that give no records.
	Skipped options.Operations
	// SkipUnchanged is skip.messages.without.change.
	SkipUnchanged bool
	// Tombstones: a record with a null value follows each delete.
	Tombstones bool
	// Messages decides which prefixes of logical decoding messages give records.
	Messages *options.PrefixFilter
	// ExtendedHeaders adds the four __debezium.context headers.
	ExtendedHeaders bool
	// XminInterval polls the slot's catalog_xmin for source.xmin; 0 off.
	XminInterval time.Duration
	// ReadOnly is read.only: incremental snapshots without writing to the database.
	ReadOnly bool
	// RereadColumns are the post processors that read columns again, in order.
	RereadColumns []options.Reselect
	// GuardTables is guardrail.collections.max, 0 off; GuardFail its action.
	GuardTables int
	GuardFail   bool
	// Warnings are texts for the log, once at start: settings that have no effect here.
	Warnings []string
}

// Conn says how connections to the server are made.
type Conn struct {
	Host     string // name, address, or a comma-separated list of them
	Port     int
	User     string
	Password string // never log
	Database string

	SSLMode     string // disable, allow, prefer, require, verify-ca, verify-full
	SSLCert     string // path; "" none
	SSLKey      string
	SSLPassword string // never log
	SSLRootCert string
	// SSLInsecure: database.sslfactory asked for a factory that trusts any server.
	SSLInsecure bool

	KeepAlive bool
	// QueryTimeout is the statement timeout of ordinary connections; 0 none.
	QueryTimeout time.Duration
	// InitialStatements run on each new ordinary connection.
	InitialStatements []string
	// ValidateTimeout limits the connection that validates a configuration.
	ValidateTimeout time.Duration
	// ConnectTimeout is the driver's connectTimeout; LoginTimeout its loginTimeout; 0 unset.
	ConnectTimeout, LoginTimeout time.Duration
	// RuntimeParams are settings sent in the start-up packet (from driver options).
	RuntimeParams map[string]string
	// TargetServerType is the driver's targetServerType ("" any).
	TargetServerType string
}

// Slot is the replication slot.
type Slot struct {
	Name       string
	DropOnStop bool
	Failover   bool
	// StreamParams are extra START_REPLICATION options in the order written.
	StreamParams []options.Pair
	MaxRetries   int
	RetryDelay   time.Duration
	// CommandTimeout is the statement timeout for making slots and publications.
	CommandTimeout time.Duration
	// Mismatch is offset.mismatch.strategy: no_validation, trust_offset,
	// trust_slot, trust_greater_lsn.
	Mismatch string
	// CheckPosition: refuse to start when the stored position is older than the slot's.
	CheckPosition bool
}

// Publication says how the publication is made.
type Publication struct {
	Name string
	// Mode is publication.autocreate.mode: disabled, all_tables, filtered, no_tables.
	Mode             string
	ViaPartitionRoot bool
	// Publish is the publication's publish parameter ("insert, update"); "" leaves
	// it at the server's default. It is set only when skipped.operations was given.
	Publish string
	// Identities are replica.identity.autoset.values in order.
	Identities []Identity
}

// Identity is one entry of replica.identity.autoset.values.
type Identity struct {
	Table *javaregex.Regexp // whole match on schema.table
	// Value is DEFAULT, FULL, NOTHING or INDEX; Index the name for the last.
	Value, Index string
}

// FlushMode says who confirms positions to the server.
type FlushMode string

// The flush modes of lsn.flush.mode.
const (
	FlushConnector          FlushMode = "connector"
	FlushManual             FlushMode = "manual"
	FlushConnectorAndDriver FlushMode = "connector_and_driver"
)

// Flush says how positions are confirmed to the server.
type Flush struct {
	Mode           FlushMode
	Timeout        time.Duration
	TimeoutAction  string // fail, warn, ignore
	StatusInterval time.Duration
}

// Snapshot is the initial snapshot.
type Snapshot struct {
	// Mode is snapshot.mode: always, initial, no_data, initial_only, when_needed,
	// configuration_based.
	Mode string
	// The switches of configuration_based that mean something here.
	BasedData, BasedStream, BasedOnDataError bool

	Isolation   string // serializable, repeatable_read, read_committed, read_uncommitted
	Locking     string // none, shared
	LockTimeout time.Duration
	// Include is the subset of captured tables to snapshot; nil: all of them.
	Include *options.NameList
	// Overrides are SELECT statements by "schema.table".
	Overrides map[string]string
	Delay     time.Duration // before the snapshot
	// StreamDelay is the pause between snapshot and streaming.
	StreamDelay time.Duration
	Threads     int
	// Multiplier is the number of chunks per thread; ByTable overrides it by "schema.table".
	Multiplier        int
	MultiplierByTable map[string]int
	OrderByRows       string // disabled, ascending, descending
}

// Incremental are incremental snapshots.
type Incremental struct {
	ChunkSize int
	// DeleteOpen closes a window by deleting its opening row (insert_delete).
	DeleteOpen bool
}

// Heartbeat is heartbeat records and queries.
type Heartbeat struct {
	Interval time.Duration // 0 off
	Query    string
}

// Signal is where signals come from.
type Signal struct {
	Table    string   // signal.data.collection "schema.table"; "" none
	Channels []string // source, kafka, file, in-process
	Poll     time.Duration
	File     string
	Kafka    SignalKafka
}

// SignalKafka is the Kafka signal channel.
type SignalKafka struct {
	Topic, Bootstrap, GroupID string
	PollTimeout               time.Duration
	Consumer                  map[string]string // signal.consumer.* in Java spelling
}

// Notify is where notifications go.
type Notify struct {
	Channels []string // sink, log
	Topic    string
}

// Transaction is transaction metadata.
type Transaction struct {
	Metadata bool // BEGIN and END records and the transaction block
}

// Failures says what failures do.
type Failures struct {
	Event     string        // fail, warn, skip, ignore
	Retries   int           // -1 unlimited, 0 none
	RetryWait time.Duration // before a restart
	// RetriableText marks errors whose message matches as retriable; nil none.
	RetriableText *javaregex.Regexp
}

// Batch bounds what is in flight.
type Batch struct {
	MaxRecords int // max.batch.size
	QueueBytes int // max.queue.size.in.bytes; 0: the pipeline's own bound
}
