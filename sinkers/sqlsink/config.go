package sqlsink

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"millrace/internal/configdef"
)

// config is what the engine runs with; the front ends (Debezium's, Confluent's and
// Aiven's JDBC sinks) translate their options into it.
type config struct {
	url            *jdbcURL
	user, password string

	mode     insertMode
	deletes  bool
	truncate bool
	keyMode  keyMode
	keys     []string // primary.key.fields
	evolve   bool

	tableFormat string                         // ${topic} and ${source.x}
	topicTable  func(topic string) string      // how a topic name enters the table name
	quote       bool                           // identifiers keep their case
	include     func(topic, field string) bool // nil: all fields
	batchSize   int                            // 0: as many as a poll gives
	lanes       int                            // connections for a large batch
	placeholder []byte                         // unchanged TOAST
	isolate     bool                           // errors.tolerance=all: find the bad records
	retries     int                            // -1: endless
	reduce      bool                           // triggers need not see every change
	poll        int32                          // records of a poll of Debezium's sink; 0: an engine without replay
	retryDelay  time.Duration
	// What only Confluent's and Aiven's sinks have.
	plain        bool              // their types, column order, and nulls refused
	noCreate     bool              // evolve adds columns, but makes no tables
	nullDefault  bool              // a null in a field with a default is the default
	coordinates  [3]string         // column names of primary key mode kafka; empty: Debezium's
	textColumn   string            // column for values that are texts; "": none
	mapping      map[string]string // topic to table
	normalize    bool              // characters of a table name other than letters, digits and _ become _
	zone         *time.Location    // of Connect's Timestamp and Time; nil: UTC
	attempts     int               // to connect at start; 0: one
	attemptDelay time.Duration
	postgis      string // schema of PostGIS
	cloudEvents  *regexp.Regexp
}

type insertMode uint8

const (
	modeInsert insertMode = iota
	modeUpsert
	modeUpdate
)

type keyMode uint8

const (
	keyNone keyMode = iota
	keyKafka
	keyRecordKey
	keyRecordValue
	keyRecordHeader
)

// fieldFilter compares as Debezium's sink does: literally, `topic:field` or `field`.
func fieldFilter(include, exclude []string) func(topic, field string) bool {
	set := func(list []string) func(topic, field string) bool {
		m := map[string]bool{}
		for _, x := range list {
			m[x] = true
		}
		return func(topic, field string) bool { return m[field] || m[topic+":"+field] }
	}
	switch {
	case len(include) > 0:
		return set(include)
	case len(exclude) > 0:
		in := set(exclude)
		return func(topic, field string) bool { return !in(topic, field) }
	}
	return nil
}

func underscores(topic string) string { return strings.ReplaceAll(topic, ".", "_") }

func asIs(topic string) string { return topic }

// debeziumConfig translates the options of io.debezium's JdbcSinkConnector.
func debeziumConfig(v configdef.Values) (*config, error) {
	u, err := parseURL(v.String("connection.url"))
	if err != nil {
		return nil, err
	}
	c := &config{
		url: u, user: v.String("connection.username"), password: v.String("connection.password"),
		deletes: v.Bool("delete.enabled"), truncate: v.Bool("truncate.enabled"), keys: v.List("primary.key.fields"),
		evolve: v.Enum("schema.evolution") == "basic", tableFormat: v.String("collection.name.format"),
		topicTable: underscores, quote: v.Bool("quote.identifiers"),
		include:     fieldFilter(v.List("field.include.list"), v.List("field.exclude.list")),
		placeholder: []byte(v.String("unavailable.value.placeholder")),
		isolate:     strings.EqualFold(strings.TrimSpace(v.Props()["errors.tolerance"]), "all"),
		retries:     -1, retryDelay: v.Millis("flush.retry.delay.ms"), lanes: min(v.Int(lanesOption), v.Int("connection.pool.max_size")), postgis: v.String("dialect.postgres.postgis.schema"),
	}
	c.mode = map[string]insertMode{"insert": modeInsert, "upsert": modeUpsert, "update": modeUpdate}[v.Enum("insert.mode")]
	c.keyMode = map[string]keyMode{"none": keyNone, "kafka": keyKafka, "record_key": keyRecordKey, "record_value": keyRecordValue, "record_header": keyRecordHeader}[v.Enum("primary.key.mode")]
	if strings.Contains(v.String("collection.naming.strategy"), "Passthrough") {
		c.topicTable = asIs
	}
	if v.IsSet("batch.size") {
		c.batchSize = v.Int("batch.size")
	}
	c.poll, c.reduce = connectPoll, v.Bool("use.reduction.buffer")
	if n, err := strconv.ParseInt(strings.TrimSpace(v.Props()["consumer.override.max.poll.records"]), 10, 32); err == nil && n > 0 {
		c.poll = int32(n)
	}
	if v.IsSet("flush.max.retries") {
		c.retries = v.Int("flush.max.retries")
	}
	if c.cloudEvents, err = regexp.Compile("^(?:" + v.String("cloud.events.schema.name.pattern") + ")$"); err != nil {
		return nil, err
	}
	return c, nil
}
