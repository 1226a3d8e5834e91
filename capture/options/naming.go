package options

import (
	"strings"
	"sync"
	"unicode/utf16"

	"millrace/internal/javaregex"
	"millrace/internal/record"
)

// SchemaAdjuster returns the function of schema.name.adjustment.mode, nil for none.
func SchemaAdjuster(mode string) func(string) string { return record.SchemaNames(mode) }

// FieldAdjuster returns the function of field.name.adjustment.mode, nil for none.
func FieldAdjuster(mode string) func(string) string { return record.FieldNames(mode) }

// maxTopicName is Kafka's limit.
const maxTopicName = 249

// sanitizeTopic replaces what Kafka does not allow in a topic name.
func sanitizeTopic(s string, escape bool) string {
	var sb strings.Builder
	for _, c := range utf16.Encode([]rune(s)) {
		if c == '.' || c == '-' || c == '_' && !escape || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
			sb.WriteByte(byte(c))
		} else {
			sb.WriteString(record.ReplacedUnit(c, escape))
		}
	}
	out := sb.String()
	switch {
	case len(out) > maxTopicName:
		return out[:maxTopicName]
	case out == ".":
		return record.ReplacedUnit('.', escape)
	case out == "..":
		return record.ReplacedUnit('.', escape) + record.ReplacedUnit('.', escape)
	}
	return out
}

// The topic naming strategies, by Java class name.
const (
	SchemaTopicNaming         = "io.debezium.schema.SchemaTopicNamingStrategy"
	SchemaRegexTopicNaming    = "io.debezium.schema.SchemaRegexTopicNamingStrategy"
	SchemaUnicodeTopicNaming  = "io.debezium.schema.SchemaUnicodeTopicNamingStrategy"
	DefaultTopicNaming        = "io.debezium.schema.DefaultTopicNamingStrategy"
	DefaultRegexTopicNaming   = "io.debezium.schema.DefaultRegexTopicNamingStrategy"
	DefaultUnicodeTopicNaming = "io.debezium.schema.DefaultUnicodeTopicNamingStrategy"
)

// TopicNamings lists the strategies that work here.
func TopicNamings() []string {
	return []string{SchemaTopicNaming, SchemaRegexTopicNaming, SchemaUnicodeTopicNaming, DefaultTopicNaming, DefaultRegexTopicNaming, DefaultUnicodeTopicNaming}
}

// NamingConfig is what a Naming is made of.
type NamingConfig struct {
	Strategy  string // a Java class name of TopicNamings
	Prefix    string // topic.prefix
	Delimiter string // topic.delimiter

	HeartbeatPrefix, HeartbeatName, Transaction string

	// Of the regex strategies.
	Regex, Replacement                 string
	KeyUnique                          bool
	KeyField, KeyRegex, KeyReplacement string

	// AdjustSchema adjusts schema names; nil: as they are.
	AdjustSchema func(string) string
}

// TableID is the identifier of a table in all its parts, "" where the database has none.
type TableID struct{ Catalog, Schema, Name string }

// Names are the names that belong to a table's records.
type Names struct {
	Topic string
	// KeySchema, ValueSchema and EnvelopeSchema are schema names, already adjusted.
	KeySchema, ValueSchema, EnvelopeSchema string
	// ExtraKeyField is an additional required string field at the end of the key,
	// with ExtraKeyValue for this table; "" none.
	ExtraKeyField, ExtraKeyValue string
}

// Naming names topics and schemas. It is safe for concurrent use.
type Naming struct {
	c           NamingConfig
	escape      bool // unicode strategies
	bySchema    bool // schema parts; else database parts
	regex       *javaregex.Regexp
	replacement *javaregex.Replacement
	keyRegex    *javaregex.Regexp
	keyRepl     *javaregex.Replacement

	mu    sync.Mutex
	cache map[TableID]*Names
}

// NewNaming compiles a strategy. Errors are Java's pattern errors.
func NewNaming(c NamingConfig) (*Naming, error) {
	n := &Naming{c: c, cache: map[TableID]*Names{}}
	n.escape = c.Strategy == SchemaUnicodeTopicNaming || c.Strategy == DefaultUnicodeTopicNaming
	n.bySchema = c.Strategy != DefaultTopicNaming && c.Strategy != DefaultRegexTopicNaming && c.Strategy != DefaultUnicodeTopicNaming
	if c.Strategy == SchemaRegexTopicNaming || c.Strategy == DefaultRegexTopicNaming {
		var err error
		if n.regex, err = javaregex.Compile(c.Regex, 0); err != nil {
			return nil, err
		}
		if n.replacement, err = n.regex.CompileReplacement(c.Replacement); err != nil {
			return nil, err
		}
		if strings.TrimSpace(c.KeyRegex) != "" {
			if n.keyRegex, err = javaregex.Compile(c.KeyRegex, 0); err != nil {
				return nil, err
			}
			if n.keyRepl, err = n.keyRegex.CompileReplacement(c.KeyReplacement); err != nil {
				return nil, err
			}
		}
	}
	return n, nil
}

// Prefix returns topic.prefix.
func (n *Naming) Prefix() string { return n.c.Prefix }

// For returns the names of a table's records.
func (n *Naming) For(t TableID) *Names {
	n.mu.Lock()
	defer n.mu.Unlock()
	if x := n.cache[t]; x != nil {
		return x
	}
	if len(n.cache) >= maxCached {
		clear(n.cache)
	}
	x := n.make(t)
	n.cache[t] = x
	return x
}

func (n *Naming) make(t TableID) *Names {
	parts := []string{n.c.Prefix, t.Catalog, t.Name}
	if n.bySchema {
		parts = []string{n.c.Prefix, t.Schema, t.Name}
	}
	kept := parts[:0]
	for _, p := range parts {
		if strings.TrimSpace(p) != "" {
			kept = append(kept, p)
		}
	}
	origin := strings.Join(kept, n.c.Delimiter)
	x := &Names{Topic: sanitizeTopic(origin, n.escape)}
	if n.regex != nil {
		if out, ok := n.regex.RouteWhole(x.Topic, n.replacement); ok && out != "" {
			x.Topic = out
		}
		if n.c.KeyUnique {
			x.ExtraKeyField, x.ExtraKeyValue = n.c.KeyField, origin
			if n.keyRegex != nil {
				x.ExtraKeyValue, _ = n.keyRegex.RouteWhole(origin, n.keyRepl)
			}
		}
	}
	x.KeySchema = n.SchemaName(x.Topic + ".Key")
	x.ValueSchema = n.SchemaName(x.Topic + ".Value")
	x.EnvelopeSchema = n.SchemaName(x.Topic + ".Envelope")
	return x
}

// SchemaName adjusts any other schema name of the connector.
func (n *Naming) SchemaName(name string) string {
	if n.c.AdjustSchema == nil {
		return name
	}
	return n.c.AdjustSchema(name)
}

// Heartbeat is the topic of heartbeat records.
func (n *Naming) Heartbeat() string {
	if n.c.HeartbeatName != "" {
		return n.c.HeartbeatName
	}
	return n.c.HeartbeatPrefix + n.c.Delimiter + n.c.Prefix
}

// Transaction is the topic of transaction metadata.
func (n *Naming) Transaction() string { return n.c.Prefix + n.c.Delimiter + n.c.Transaction }

// SchemaChange is the topic of schema changes (MySQL).
func (n *Naming) SchemaChange() string { return n.c.Prefix }

// Message is the topic of logical decoding messages (PostgreSQL).
func (n *Naming) Message() string { return n.c.Prefix + ".message" }
