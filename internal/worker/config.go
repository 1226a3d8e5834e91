package worker

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"millrace/internal/configdef"
	"millrace/internal/kafkaconf"
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
	Session, Heartbeat, RebalanceTimeout, SyncTimeout, UnsyncBackoff, RebalanceDelay time.Duration
	Protocols                                                                        []string

	// ExactlyOnce: source tasks write in transactions (exactly.once.source.support is
	// enabled). LeaderTransactions: so does the leader (from preparing on).
	ExactlyOnce, LeaderTransactions bool
	// AutoRestart starts tasks again after errors that may pass (task.auto.restart).
	AutoRestart bool

	Providers *Providers

	signing signing // of requests between workers
	log     *slog.Logger
}

func isUTF8(b []byte) bool { return utf8.Valid(b) }

// LoadConfig reads a worker properties file.
func LoadConfig(path string, log *slog.Logger) (*Config, error) {
	c, problems, err := InspectConfig(path, log)
	if err != nil {
		return nil, err
	}
	if err := joined(problems); err != nil {
		return nil, fmt.Errorf("worker properties %s: %w", path, err)
	}
	return c, nil
}

// InspectConfig reads a worker properties file and returns what is wrong with it
// beside the config, which is complete but for that.
func InspectConfig(path string, log *slog.Logger) (*Config, []configdef.Problem, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, fmt.Errorf("read worker properties: %w", err)
	}
	props, err := ParseProperties(data)
	if err != nil {
		return nil, nil, fmt.Errorf("read worker properties %s: %w", path, err)
	}
	c, problems := newConfig(props, log, nil)
	return c, problems, nil
}

// NewConfig checks worker properties and applies the defaults. All problems are in
// the error, one per line. What has no effect is logged, by name only.
func NewConfig(raw map[string]string, log *slog.Logger) (*Config, error) {
	c, problems := newConfig(raw, log, nil)
	if err := joined(problems); err != nil {
		return nil, err
	}
	return c, nil
}

func joined(problems []configdef.Problem) error {
	if len(problems) == 0 {
		return nil
	}
	return errors.New(joinProblems(problems))
}

// newConfig is NewConfig; read, which may be nil, is told of each option that is looked at.
func newConfig(raw map[string]string, log *slog.Logger, read func(string)) (*Config, []configdef.Problem) {
	var problems []configdef.Problem
	failed := func(property string, err error) {
		if err != nil {
			problems = append(problems, configdef.Problem{Property: property, Text: err.Error()})
		}
	}
	providers, err := NewProviders(raw)
	failed("config.providers", err)
	props, err := providers.Resolve(raw)
	if failed("config.providers", err); err != nil {
		props = raw
	}
	c := &Config{Props: props, Providers: providers, log: log}
	_, standalone := props["offset.storage.file.filename"]
	c.Distributed = !standalone || props["group.id"] != ""
	def := workerDef(c.Distributed)
	wrong := configdef.Errors(def.Validate(props))
	problems = append(problems, wrong...)
	v := def.Defaulted(props, wrong).Observed(read)
	for _, n := range c.notes() {
		log.Info("worker property has no effect", "property", n.Property, "reason", n.Text)
	}
	c.GroupID = v.String("group.id")
	c.ConfigTopic, c.OffsetTopic, c.StatusTopic = v.String("config.storage.topic"), v.String("offset.storage.topic"), v.String("status.storage.topic")
	c.OffsetFile = v.String("offset.storage.file.filename")
	c.FlushInterval, c.FlushTimeout, c.StopTimeout = v.Millis("offset.flush.interval.ms"), v.Millis("offset.flush.timeout.ms"), v.Millis("task.shutdown.graceful.timeout.ms")
	c.TopicCreation, c.TopicTracking, c.TopicReset = v.Bool("topic.creation.enable"), v.Bool("topic.tracking.enable"), v.Bool("topic.tracking.allow.reset")
	c.OverridePolicy, c.OverrideAllow = v.String("connector.client.config.override.policy"), v.List("connector.client.config.override.allowlist")
	c.AutoRestart = v.Bool("task.auto.restart")
	failed("rest.extension.classes", c.extensions(v))
	failed("response.http.headers.config", c.restSettings(v))
	if !c.Distributed && v.Enum("exactly.once.source.support") != "disabled" {
		failed("exactly.once.source.support", errors.New("exactly.once.source.support needs a distributed worker: set group.id and the three storage topics, or leave it out"))
	}
	if c.Distributed {
		failed("group.id", c.groupSettings(v))
	}
	failed("listeners", c.listeners(v))
	if props["bootstrap.servers"] != "" {
		problems = append(problems, c.internalClient("").Problems...)
		for _, r := range c.clientReport() {
			if r.Verdict == Refused {
				log.Warn("tasks whose client gets this worker property will fail", "property", r.Property, "reason", r.Text)
			}
		}
	}
	return c, problems
}

// prefixes belong to clients and plugins; their keys are theirs to know.
var prefixes = []string{"producer.", "consumer.", "admin.", "key.converter.", "value.converter.", "header.converter.",
	"config.providers.", "config.storage.", "offset.storage.", "status.storage.", "ssl.", "sasl.", "listeners.https.",
	"admin.listeners.https."}

// notes are the properties that have no effect, with the reason.
func (c *Config) notes() []configdef.Problem {
	def := workerDef(c.Distributed)
	var out []configdef.Problem
	note := func(property, why string) { out = append(out, configdef.Problem{Property: property, Text: why}) }
	for _, k := range sortedNames(c.Props) {
		switch why := reasonOfNone(k); {
		case why != "":
			note(k, why)
		case k == "config.storage.partitions":
			note(k, "the topic of configs has one partition, always")
		case strings.HasSuffix(k, ".storage.cleanup.policy"):
			note(k, "storage topics are compacted, always")
		case isSecurity(k) || clientOption("admin.override.", k) != nil:
			if why := kafkaconf.Effectless(k); why != "" {
				note(k, why)
			} else if !kafkaconf.Known(k) && def.Find(k) == nil {
				note(k, "Kafka's clients have no such setting")
			}
		case def.Find(k) != nil:
		case !hasAnyPrefix(k, prefixes):
			note(k, "neither Kafka Connect nor millrace knows it; Connect gives it to plugins that read the worker's properties")
		}
	}
	return out
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
	c.UnsyncBackoff = v.Millis("worker.unsync.backoff.ms")
	var err error
	if c.signing, err = signingOf(v); err != nil {
		return err
	}
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
	switch e := v.Enum("exactly.once.source.support"); e {
	case "disabled":
	case "preparing", "enabled":
		c.LeaderTransactions, c.ExactlyOnce = true, e == "enabled"
	default:
		return fmt.Errorf("exactly.once.source.support=%s: use disabled, preparing or enabled", e)
	}
	return nil
}
