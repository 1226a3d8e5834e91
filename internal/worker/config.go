package worker

import (
	"fmt"
	"log/slog"
	"os"
	"sort"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"millrace/internal/configdef"
	"millrace/internal/store"
)

// Config is a worker's parsed properties.
type Config struct {
	Props map[string]string // providers resolved
	// Distributed: the group and storage topics are set; else standalone.
	Distributed bool
	GroupID     string

	ConfigTopic, OffsetTopic, StatusTopic string
	OffsetFile                            string

	FlushInterval, FlushTimeout, StopTimeout time.Duration

	RestConfig

	TopicCreation, TopicTracking, TopicReset bool
	OverridePolicy                           string
	OverrideAllow                            []string

	// Group membership.
	Session, Heartbeat, RebalanceTimeout, SyncTimeout, RebalanceDelay time.Duration
	Protocols                                                         []string
	KeyTTL                                                            time.Duration

	// ExactlyOnce: source tasks write in transactions (exactly.once.source.support is
	// enabled). LeaderTransactions: so does the leader (from preparing on).
	ExactlyOnce, LeaderTransactions bool
	// AutoRestart starts tasks again after errors that may pass (task.auto.restart).
	AutoRestart bool

	Providers *Providers

	log *slog.Logger
}

func isUTF8(b []byte) bool { return utf8.Valid(b) }

// LoadConfig reads a worker properties file.
func LoadConfig(path string, log *slog.Logger) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read worker properties: %w", err)
	}
	props, err := ParseProperties(data)
	if err != nil {
		return nil, fmt.Errorf("read worker properties %s: %w", path, err)
	}
	c, err := NewConfig(props, log)
	if err != nil {
		return nil, fmt.Errorf("worker properties %s: %w", path, err)
	}
	return c, nil
}

// NewConfig checks worker properties and applies the defaults. Unknown keys are
// logged once, by name only.
func NewConfig(raw map[string]string, log *slog.Logger) (*Config, error) {
	providers, err := NewProviders(raw)
	if err != nil {
		return nil, err
	}
	props, err := providers.Resolve(raw)
	if err != nil {
		return nil, err
	}
	c := &Config{Props: props, Providers: providers, log: log}
	_, standalone := props["offset.storage.file.filename"]
	c.Distributed = !standalone || props["group.id"] != ""
	def := workerDef(c.Distributed)
	v, err := def.Parse(props)
	if err != nil {
		return nil, err
	}
	logUnknown(def, props, log)
	c.GroupID = v.String("group.id")
	c.ConfigTopic, c.OffsetTopic, c.StatusTopic = v.String("config.storage.topic"), v.String("offset.storage.topic"), v.String("status.storage.topic")
	c.OffsetFile = v.String("offset.storage.file.filename")
	c.FlushInterval, c.FlushTimeout, c.StopTimeout = v.Millis("offset.flush.interval.ms"), v.Millis("offset.flush.timeout.ms"), v.Millis("task.shutdown.graceful.timeout.ms")
	if err := c.restSettings(v); err != nil {
		return nil, err
	}
	c.TopicCreation, c.TopicTracking, c.TopicReset = v.Bool("topic.creation.enable"), v.Bool("topic.tracking.enable"), v.Bool("topic.tracking.allow.reset")
	c.OverridePolicy, c.OverrideAllow = v.String("connector.client.config.override.policy"), v.List("connector.client.config.override.allowlist")
	c.AutoRestart = v.Bool("task.auto.restart")
	if !c.Distributed && v.Enum("exactly.once.source.support") != "disabled" {
		return nil, fmt.Errorf("exactly.once.source.support needs a distributed worker: set group.id and the three storage topics, or leave it out")
	}
	if c.Distributed {
		if err := c.groupSettings(v); err != nil {
			return nil, err
		}
	}
	if err := c.listeners(v); err != nil {
		return nil, err
	}
	return c, nil
}

// prefixes belong to clients and plugins; their keys are theirs to know.
var prefixes = []string{"producer.", "consumer.", "admin.", "key.converter.", "value.converter.", "header.converter.",
	"config.providers.", "config.storage.", "offset.storage.", "status.storage.", "ssl.", "sasl.", "listeners.https.",
	"admin.listeners.https.", "metrics.context.", "internal.key.converter.", "internal.value.converter.", "topic.creation."}

func logUnknown(def *configdef.Def, props map[string]string, log *slog.Logger) {
	var unknown []string
	for k := range props {
		if def.Find(k) != nil || hasAnyPrefix(k, prefixes) {
			continue
		}
		unknown = append(unknown, k)
	}
	if len(unknown) > 0 {
		sort.Strings(unknown)
		log.Info("worker properties that millrace does not know are ignored", "keys", unknown)
	}
}

func hasAnyPrefix(s string, ps []string) bool {
	for _, p := range ps {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}

// Int32 reads a number below a prefix with a default.
func (c *Config) int32(key string, def int32) int32 {
	n, err := strconv.ParseInt(strings.TrimSpace(c.Props[key]), 10, 32)
	if err != nil {
		return def
	}
	return int32(n)
}

// topicSpec reads the settings of a storage topic. property is one of
// config.storage.topic, offset.storage.topic and status.storage.topic.
func (c *Config) topicSpec(topic, property string, partitions int32, one bool) store.TopicSpec {
	prefix := strings.TrimSuffix(property, "topic")
	create := c.Props["internal.topics.automatic.creation.enable"]
	spec := store.TopicSpec{Name: topic, NoCreate: strings.EqualFold(strings.TrimSpace(create), "false"), Role: property, Partitions: partitions, OnePartition: one,
		Replication: int16(c.int32(prefix+"replication.factor", 3)), Configs: map[string]string{}}
	for k, v := range configdef.Prefixed(c.Props, prefix) {
		switch k {
		case "topic", "partitions", "replication.factor", "file.filename", "cleanup.policy":
		default:
			spec.Configs[k] = v
		}
	}
	return spec
}

// groupSettings reads what the group membership needs. Heartbeats are more
// frequent than Connect's unless the interval is given, and lost work is given
// away at once unless a delay is asked for: a member tells when it comes back.
func (c *Config) groupSettings(v configdef.Values) error {
	c.Session, c.Heartbeat = v.Millis("session.timeout.ms"), v.Millis("heartbeat.interval.ms")
	if !v.IsSet("heartbeat.interval.ms") {
		c.Heartbeat = min(500*time.Millisecond, c.Session/3)
	}
	if c.Heartbeat <= 0 || c.Heartbeat >= c.Session {
		return fmt.Errorf("heartbeat.interval.ms must be positive and lower than session.timeout.ms")
	}
	c.RebalanceTimeout, c.SyncTimeout = v.Millis("rebalance.timeout.ms"), v.Millis("worker.sync.timeout.ms")
	if v.IsSet("scheduled.rebalance.max.delay.ms") {
		c.RebalanceDelay = v.Millis("scheduled.rebalance.max.delay.ms")
	}
	c.KeyTTL = v.Millis("inter.worker.key.ttl.ms")
	switch p := v.Enum("connect.protocol"); p {
	case protoSessioned:
		c.Protocols = []string{protoSessioned, protoCompatible, protoEager}
	case protoCompatible:
		c.Protocols = []string{protoCompatible, protoEager}
	case "eager":
		c.Protocols = []string{protoEager}
	default:
		return fmt.Errorf("connect.protocol=%s is not supported by millrace; use sessioned, compatible or eager", p)
	}
	for _, k := range []string{"inter.worker.key.generation.algorithm", "inter.worker.signature.algorithm"} {
		if a := v.String(k); a != "HmacSHA256" {
			return fmt.Errorf("%s=%s is not supported by millrace; use HmacSHA256", k, a)
		}
	}
	switch e := v.Enum("exactly.once.source.support"); e {
	case "disabled":
	case "preparing", "enabled":
		c.LeaderTransactions, c.ExactlyOnce = true, e == "enabled"
	default:
		return fmt.Errorf("exactly.once.source.support=%s: use disabled, preparing or enabled", e)
	}
	return nil
}
