package postgres

import (
	"encoding/hex"
	"fmt"
	"sort"
	"strings"
	"time"

	"millrace/capture/options"
	"millrace/decode/pgvalue"
	"millrace/internal/configdef"
	"millrace/internal/javaregex"
)

// ParseOptions parses a connector's properties. The error names every property
// that is wrong, one per line, in Debezium's words.
func ParseOptions(connector string, taskID int, props map[string]string) (*Options, error) {
	v, err := Def().Parse(props)
	if err != nil {
		return nil, err
	}
	return parseValues(connector, taskID, v)
}

func parseValues(connector string, taskID int, v configdef.Values) (*Options, error) {
	o := &Options{
		Connector: connector, TaskID: taskID, Prefix: v.String("topic.prefix"),
		Conn: parseConn(v), Slot: parseSlot(v), Flush: parseFlush(v),
		Incremental:     Incremental{ChunkSize: v.Int("incremental.snapshot.chunk.size"), DeleteOpen: v.Enum("incremental.snapshot.watermarking.strategy") == "insert_delete"},
		Heartbeat:       Heartbeat{Interval: v.Millis("heartbeat.interval.ms"), Query: v.String("heartbeat.action.query")},
		Signal:          parseSignal(v),
		Notify:          Notify{Channels: v.List("notification.enabled.channels"), Topic: v.String("notification.sink.topic.name")},
		Transaction:     Transaction{Metadata: v.Bool("provide.transaction.metadata")},
		Batch:           Batch{MaxRecords: v.Int("max.batch.size"), QueueBytes: v.Int("max.queue.size.in.bytes")},
		Modes:           parseModes(v),
		SkipUnchanged:   v.Bool("skip.messages.without.change"),
		Tombstones:      v.Bool("tombstones.on.delete"),
		ExtendedHeaders: v.Bool("extended.headers.enabled"),
		XminInterval:    v.Millis("xmin.fetch.interval.ms"),
		ReadOnly:        v.Bool("read.only"),
		GuardTables:     v.Int("guardrail.collections.max"),
		GuardFail:       v.Enum("guardrail.collections.limit.action") == "fail",
	}
	for _, step := range []func(configdef.Values) error{o.parseFilters, o.parseNaming, o.parsePublication, o.parseSnapshot, o.parseFailures, o.parseReselects} {
		if err := step(v); err != nil {
			return nil, err
		}
	}
	if o.Flush.Mode == FlushConnectorAndDriver && o.Heartbeat.Interval == 0 && !o.Transaction.Metadata {
		o.Heartbeat.Interval = 10 * time.Minute
		o.warn("heartbeat.interval.ms is taken as 600000 since lsn.flush.mode=connector_and_driver needs heartbeats or provide.transaction.metadata")
	}
	o.warnings(v)
	return o, nil
}

func (o *Options) warn(format string, args ...any) {
	o.Warnings = append(o.Warnings, fmt.Sprintf(format, args...))
}

func parseSlot(v configdef.Values) Slot {
	s := Slot{
		Name: v.String("slot.name"), DropOnStop: v.Bool("slot.drop.on.stop"), Failover: v.Bool("slot.failover"),
		MaxRetries: v.Int("slot.max.retries"), RetryDelay: v.Millis("slot.retry.delay.ms"),
		CommandTimeout: time.Duration(v.Int64("internal.create.slot.command.timeout")) * time.Second,
		Mismatch:       v.Enum("offset.mismatch.strategy"),
		CheckPosition:  v.Bool("internal.log.position.check.enable"),
	}
	if !v.IsSet("offset.mismatch.strategy") && v.Bool("internal.slot.seek.to.known.offset.on.start") {
		s.Mismatch = "trust_offset"
	}
	switch s.Mismatch {
	case "no_validation", "trust_offset", "trust_slot", "trust_greater_lsn":
	default:
		s.Mismatch = "no_validation"
	}
	s.StreamParams, _ = options.ParsePairs(v.String("slot.stream.params"), ";")
	return s
}

func parseFlush(v configdef.Values) Flush {
	f := Flush{Mode: FlushConnector, Timeout: v.Millis("lsn.flush.timeout.ms"), TimeoutAction: v.Enum("lsn.flush.timeout.action"), StatusInterval: v.Millis("status.update.interval.ms")}
	if m := v.Enum("lsn.flush.mode"); m != "" {
		f.Mode = FlushMode(m)
	} else if v.IsSet("flush.lsn.source") && !v.Bool("flush.lsn.source") {
		f.Mode = FlushManual
	}
	return f
}

func parseSignal(v configdef.Values) Signal {
	s := Signal{
		Table: unquoteTable(v.String("signal.data.collection")), Channels: v.List("signal.enabled.channels"),
		Poll: v.Millis("signal.poll.interval.ms"), File: v.String("signal.file"),
		Kafka: SignalKafka{
			Topic: v.String("signal.kafka.topic"), Bootstrap: v.String("signal.kafka.bootstrap.servers"), GroupID: v.String("signal.kafka.groupId"),
			PollTimeout: v.Millis("signal.kafka.poll.timeout.ms"), Consumer: v.Prefixed("signal.consumer."),
		},
	}
	if s.Kafka.Topic == "" {
		s.Kafka.Topic = v.String("topic.prefix") + "-signal"
	}
	return s
}

// unquoteTable turns "schema"."table" into schema.table.
func unquoteTable(s string) string {
	s = strings.TrimSpace(s)
	if !strings.Contains(s, `"`) {
		return s
	}
	return strings.ReplaceAll(strings.ReplaceAll(s, `""`, "\x00"), `"`, "")
}

func parseModes(v configdef.Values) pgvalue.Modes {
	return pgvalue.Modes{
		Decimal: v.Enum("decimal.handling.mode"), Time: v.Enum("time.precision.mode"), Binary: v.Enum("binary.handling.mode"),
		Hstore: v.Enum("hstore.handling.mode"), Interval: v.Enum("interval.handling.mode"), MoneyDigits: v.Int("money.fraction.digits"),
		IncludeUnknown: v.Bool("include.unknown.datatypes"), Placeholder: placeholderBytes(v.String("unavailable.value.placeholder")),
		FieldName: options.FieldAdjuster(options.FieldMode(v)), SchemaName: options.SchemaAdjuster(v.Enum("schema.name.adjustment.mode")),
		ConvertFailure: v.Enum("event.converting.failure.handling.mode"),
	}
}

func placeholderBytes(s string) []byte {
	if h, ok := strings.CutPrefix(s, "hex:"); ok {
		if b, err := hex.DecodeString(h); err == nil {
			return b
		}
	}
	return []byte(s)
}

// builtin reports what belongs to the server or to extensions, as Debezium lists it.
func builtin(schema, table string) bool {
	switch strings.ToLower(schema) {
	case "pg_catalog", "information_schema":
		return true
	}
	return strings.EqualFold(table, "spatial_ref_sys") || strings.HasPrefix(schema, "pg_temp")
}

func (o *Options) parseFilters(v configdef.Values) error {
	f, err := options.ParseFilters(v, "schema", builtin, o.Signal.Table)
	if err != nil {
		return err
	}
	o.Tables, o.Columns, o.ColumnRules, o.KeyColumns, o.Skipped = f.Tables, f.Columns, f.Rules, f.Keys, f.Skipped
	o.Messages, err = options.NewPrefixFilter(v.String("message.prefix.include.list"), v.String("message.prefix.exclude.list"))
	return err
}

func (o *Options) parseNaming(v configdef.Values) (err error) {
	o.Naming, err = options.ParseNaming(v, o.Modes.SchemaName)
	return err
}

func (o *Options) parsePublication(v configdef.Values) error {
	p := Publication{Name: v.String("publication.name"), Mode: v.Enum("publication.autocreate.mode"), ViaPartitionRoot: v.Bool("publish.via.partition.root")}
	if v.IsSet("skipped.operations") {
		var keep []string
		for _, x := range []struct {
			op   byte
			name string
		}{{'c', "insert"}, {'u', "update"}, {'d', "delete"}, {'t', "truncate"}} {
			if !o.Skipped.Has(x.op) {
				keep = append(keep, x.name)
			}
		}
		p.Publish = strings.Join(keep, ", ")
	}
	if text := v.String("replica.identity.autoset.values"); text != "" {
		for _, e := range strings.Split(text, ",") {
			loc := identityRegexp.SubmatchIndex(e)
			if loc == nil {
				continue // Parse has refused it
			}
			table, err := javaregex.Compile(identityRegexp.Group(e, loc, "tablepredicate"), javaregex.CaseInsensitive)
			if err != nil {
				return fmt.Errorf("%s", options.Invalid("replica.identity.autoset.values", err.Error()))
			}
			id := Identity{Table: table, Value: strings.ToUpper(identityRegexp.Group(e, loc, "replicaidentity"))}
			if id.Index = identityRegexp.Group(e, loc, "indexname"); id.Index != "" {
				id.Value = "INDEX"
			}
			p.Identities = append(p.Identities, id)
		}
	}
	o.Publication = p
	return nil
}

func (o *Options) parseSnapshot(v configdef.Values) error {
	const based = "snapshot.mode.configuration.based."
	s := Snapshot{
		Mode:      v.Enum("snapshot.mode"),
		BasedData: v.Bool(based + "snapshot.data"), BasedStream: v.Bool(based + "start.stream"), BasedOnDataError: v.Bool(based + "snapshot.on.data.error"),
		Isolation: v.Enum("snapshot.isolation.mode"), Locking: v.Enum("snapshot.locking.mode"), LockTimeout: v.Millis("snapshot.lock.timeout.ms"),
		Delay: v.Millis("snapshot.delay.ms"), StreamDelay: v.Millis("streaming.delay.ms"),
		Threads: v.Int("snapshot.max.threads"), Multiplier: v.Int("snapshot.max.threads.multiplier"),
		OrderByRows: v.Enum("snapshot.tables.order.by.row.count"),
	}
	var err error
	if s.Include, err = options.NewNameList(v.String("snapshot.include.collection.list")); err != nil {
		return err
	}
	var warnings, more []string
	s.Overrides, warnings = options.SelectOverrides(v, unquoteTable)
	s.MultiplierByTable, more = options.Multipliers(v, unquoteTable)
	o.Warnings = append(append(o.Warnings, warnings...), more...)
	o.Snapshot = s
	return nil
}

func (o *Options) parseFailures(v configdef.Values) error {
	f := Failures{
		Event:   v.Enum("event.processing.failure.handling.mode"),
		Retries: v.Int("errors.max.retries"), RetryWait: v.Millis("retriable.restart.connector.wait.ms"),
	}
	if text := v.String("internal.custom.retriable.exception"); text != "" {
		r, err := javaregex.Compile(text, 0)
		if err != nil {
			return err
		}
		f.RetriableText = r
	}
	o.Failures = f
	return nil
}

func (o *Options) parseReselects(v configdef.Values) (err error) {
	o.RereadColumns, err = options.ParseReselects(v)
	return err
}

// renamed are options of older versions that now do nothing at all; a user who
// still sets one should hear of it.
var renamed = map[string]string{
	"database.server.name": "topic.prefix", "table.whitelist": "table.include.list", "table.blacklist": "table.exclude.list",
	"schema.whitelist": "schema.include.list", "schema.blacklist": "schema.exclude.list", "column.whitelist": "column.include.list",
	"column.blacklist": "column.exclude.list", "toasted.value.placeholder": "unavailable.value.placeholder", "snapshot.select.statement.override": "snapshot.select.statement.overrides",
	"sanitize.field.names": "field.name.adjustment.mode", "message.key.column": "message.key.columns", "heartbeat.topic.prefix": "topic.heartbeat.prefix",
	"publication.autocreate": "publication.autocreate.mode", "signal.data.collections": "signal.data.collection",
}

// idle are the options that change nothing in this connector, beside those that
// change nothing in any.
var idle = []options.Idle{
	{Option: "legacy.snapshot.max.threads", Fine: "false", Why: "snapshot.max.threads reads large tables in pieces, one table after the other"},
	{Option: "internal.legacy.snapshot.max.threads", Fine: "false", Why: "snapshot.max.threads reads large tables in pieces, one table after the other"},
	{Option: "snapshot.fetch.size", Why: "snapshots are read by COPY, without a cursor"},
	{Option: "snapshot.mode.configuration.based.snapshot.schema", Fine: "true", Why: "the structure of the tables is always read at start"},
	{Option: "snapshot.mode.configuration.based.snapshot.on.schema.error", Fine: "false", Why: "no structure is stored that could be lost"},
	{Option: "schema.refresh.mode", Fine: "columns_diff", Why: "pgoutput announces each change of a table"},
	{Option: "include.schema.comments", Fine: "false", Why: "this connector never writes comments, as Debezium's does not"},
}

func (o *Options) warnings(v configdef.Values) {
	if !v.IsSet("plugin.name") {
		o.warn("plugin.name is not set: pgoutput is used (the real connector would look for decoderbufs on the server)")
	}
	for _, c := range o.Signal.Channels {
		switch c {
		case "source", "kafka", "file":
		default:
			o.warn("signal.enabled.channels: there is no channel %q here; known are source, kafka and file", c)
		}
	}
	for _, c := range o.Notify.Channels {
		if c != "sink" && c != "log" {
			o.warn("notification.enabled.channels: there is no channel %q here; known are sink and log", c)
		}
	}
	if _, bad := options.ParsePairs(v.String("slot.stream.params"), ";"); len(bad) > 0 {
		o.warn("slot.stream.params: %s is not of the form name=value and is left out", strings.Join(bad, "; "))
	}
	if v.IsSet("offset.mismatch.strategy") && o.Slot.Mismatch != v.Enum("offset.mismatch.strategy") {
		o.warn("offset.mismatch.strategy: %q is unknown, no_validation is used", v.String("offset.mismatch.strategy"))
	}
	o.Warnings = append(o.Warnings, options.IdleWarnings(v, options.CommonIdle, idle)...)
	old := make([]string, 0, len(renamed))
	for k := range renamed {
		if _, ok := v.Props()[k]; ok {
			old = append(old, k)
		}
	}
	sort.Strings(old)
	for _, k := range old {
		o.warn("%s has no effect: the option is called %s", k, renamed[k])
	}
	o.Warnings = append(o.Warnings, driverWarnings(v)...)
}
