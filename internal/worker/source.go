package worker

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/emit"
	"millrace/internal/configdef"
	"millrace/internal/convert"
	"millrace/internal/errs"
	"millrace/internal/kafkaconf"
	"millrace/internal/record"
	"millrace/internal/transform"
)

// source runs a source task until it is asked to stop.
func (t *runningTask) source(run, cut context.Context, p *Plugin, props map[string]string) error {
	env := t.env(p, props)
	src, err := p.NewSource(env)
	if err != nil {
		t.built = true
		return err
	}
	offsets, err := t.w.offsetsOf(run, t.s.name, props)
	if err != nil {
		return fmt.Errorf("read the stored offsets: %w", err)
	}
	defer offsets.close()
	cfg, adm, err := t.emitConfig(env, src.Partition(), offsets)
	if err != nil {
		return err
	}
	defer adm.Close()
	t.built = true
	if x, ok := src.(interface{ OnStored(record.Position) }); ok {
		cfg.OnStored = x.OnStored // confirms to its log at once
	}
	if cfg.Transaction != nil {
		ok, err := t.claim(run, cfg.Client)
		if err == nil && !ok {
			<-run.Done() // what replaces this task stops it
		}
		if err != nil || !ok {
			cfg.Client.Close()
			return err
		}
	}
	// What another worker stored last must be seen before reading goes on.
	if err := offsets.sync(run); err != nil {
		cfg.Client.Close()
		return fmt.Errorf("read the stored offsets: %w", err)
	}
	offset := offsets.Get(src.Partition())
	out := emit.New(cfg)
	out.Start(cut)
	// A task that does not stop in time loses its client: everything that waits
	// for Kafka ends then.
	stopCut := context.AfterFunc(cut, cfg.Client.Close)
	defer stopCut()
	t.signaled.set(src)
	err = src.Run(run, offset, out, t.running)
	// After a failure what was acknowledged is still stored, as Connect does; after
	// a clean end this only tells the cause.
	dctx, cancel := context.WithTimeout(cut, t.w.cfg.FlushTimeout)
	defer cancel()
	if derr := out.Drain(dctx); err == nil {
		err = derr
	}
	return err
}

// emitConfig builds what the pipeline of a source task needs, and the admin client
// behind its topics, which the caller closes.
func (t *runningTask) emitConfig(env TaskEnv, partition []byte, offsets *taskOffsets) (emit.Config, *kgo.Client, error) {
	c, props := t.w.cfg, env.Props
	conv, err := t.w.converters(props)
	if err != nil {
		return emit.Config{}, nil, err
	}
	stages, err := t.w.stages(props)
	if err != nil {
		return emit.Config{}, nil, err
	}
	id := fmt.Sprintf("%s-%d", t.s.name, t.id)
	override, err := c.overrides(props, "producer.override.")
	if err != nil {
		return emit.Config{}, nil, err
	}
	cp := c.clientProps("producer.", override, "connector-producer-"+id)
	kc := kafkaconf.Producer(cp)
	if c.ExactlyOnce {
		kc = kafkaconf.Transactional(cp, c.transactionalID(t.s.name, t.id))
	}
	if err := kc.Err(); err != nil {
		return emit.Config{}, nil, &errs.Error{Java: errs.ConfigException, Msg: err.Error()}
	}
	kc.Log(t.log, "producer")
	var rules *emit.TopicRules
	if c.TopicCreation {
		var bad []configdef.Problem
		if rules, bad = emit.ParseTopicRules(props); len(bad) > 0 {
			return emit.Config{}, nil, &errs.Error{Java: errs.ConfigException, Msg: joinProblems(bad)}
		}
	}
	adm, err := c.adminClient(props, "connector-adminclient-"+id)
	if err != nil {
		return emit.Config{}, nil, err
	}
	topics := emit.NewTopics(adm, rules, &kc, t.log)
	client, err := kgo.NewClient(append(append(kc.Opts, topics.ProducerOpts()...), kgo.WithHooks(&topicHook{t: t, skip: offsets.topic}))...)
	if err != nil {
		adm.Close()
		return emit.Config{}, nil, &errs.Error{Java: errs.ConnectException, Msg: "cannot make the task's Kafka producer", Cause: err}
	}
	return emit.Config{Connector: t.s.name, Task: t.id, Key: conv.key, Value: conv.value, Header: conv.header, Stages: stages,
		HeaderClass: conv.headerClass, KeyClass: conv.keyClass, ValueClass: conv.valueClass, Tolerance: tolerance(props), Client: client, Topics: topics, Partition: partition, Offsets: liveOffsets{t, offsets}, Transaction: t.transaction(props, offsets),
		FlushInterval: c.FlushInterval, FlushTimeout: c.FlushTimeout, Log: t.log, Metrics: env.Metrics}, adm, nil
}

func joinProblems(ps []configdef.Problem) string {
	texts := make([]string, len(ps))
	for i, p := range ps {
		texts[i] = p.Text
	}
	return strings.Join(texts, "\n")
}

// overrides are the client settings a connector gives below a prefix, if the
// worker's policy lets it.
func (c *Config) overrides(props map[string]string, prefix string) (map[string]string, error) {
	out := configdef.Prefixed(props, prefix)
	for k := range out {
		if !c.mayOverride(k) {
			return nil, &errs.Error{Java: errs.ConfigException, Msg: c.policyText(prefix + k)}
		}
	}
	return out, nil
}

func (c *Config) mayOverride(key string) bool {
	switch policyOf(c.OverridePolicy) {
	case "All":
		return true
	case "Principal":
		return key == "security.protocol" || key == "sasl.jaas.config" || key == "sasl.mechanism"
	case "Allowlist":
		for _, a := range c.OverrideAllow {
			if a == key {
				return true
			}
		}
	}
	return false
}

func (c *Config) policyText(key string) string {
	return fmt.Sprintf("The '%s' policy does not allow '%s' to be overridden in the connector configuration.", c.OverridePolicy, key)
}

// converterSet is what a task converts with.
type converterSet struct {
	key, value                        convert.Converter
	header                            convert.HeaderConverter
	keyClass, valueClass, headerClass string
}

// converters builds a task's converters: the connector's own with its own
// options, else the worker's with the worker's.
func (w *Worker) converters(props map[string]string) (converterSet, error) {
	var s converterSet
	kp, ks, err := w.converterFor(props, "key.converter", KindConverter)
	if err != nil {
		return s, err
	}
	vp, vs, err := w.converterFor(props, "value.converter", KindConverter)
	if err != nil {
		return s, err
	}
	hp, hs, err := w.converterFor(props, "header.converter", KindHeaderConverter)
	if err != nil {
		return s, err
	}
	s.keyClass, s.valueClass, s.headerClass = kp.Class, vp.Class, hp.Class
	bad := func(property string) error {
		return &errs.Error{Java: errs.ConfigException, Msg: err.Error(), Hint: "in " + property}
	}
	if s.key, err = kp.NewConverter(ks, true); err != nil {
		return s, bad("key.converter")
	}
	if s.value, err = vp.NewConverter(vs, false); err != nil {
		return s, bad("value.converter")
	}
	if s.header, err = hp.NewHeaderConverter(hs); err != nil {
		return s, bad("header.converter")
	}
	return s, nil
}

// converterFor finds the class that a converter property names, and its options.
func (w *Worker) converterFor(props map[string]string, key string, kind Kind) (*Plugin, map[string]string, error) {
	from := props
	class := strings.TrimSpace(props[key])
	if class == "" {
		from, class = w.cfg.Props, strings.TrimSpace(w.cfg.Props[key])
	}
	if class == "" {
		class = "org.apache.kafka.connect.storage.SimpleHeaderConverter" // only header.converter has a default
	}
	p := w.reg.Find(class, kind)
	if p == nil {
		return nil, nil, &errs.Error{Java: errs.ConfigException, Msg: fmt.Sprintf("Invalid value %s for configuration %s: Class %s could not be found.", class, key, class)}
	}
	sub := configdef.Prefixed(from, key+".")
	if wrong := versionProblem(p, strings.TrimSpace(sub["plugin.version"])); len(wrong) > 0 {
		return nil, nil, &errs.Error{Java: errs.ConfigException, Msg: wrong[0], Hint: "in " + key + ".plugin.version"}
	}
	delete(sub, "plugin.version")
	sub["converter.type"] = strings.TrimSuffix(key, ".converter")
	return p, sub, nil
}

// stepError is a transform or predicate that cannot be made. Connect puts the
// cause's own class and text into the first line of the trace, and the cause below.
func stepError(property string, err error) error {
	cause := &errs.Error{Java: errs.ConfigException, Msg: err.Error()}
	if e := (*errs.Error)(nil); errors.As(err, &e) {
		cause.Java = e.Java
	}
	return &errs.Error{Java: errs.ConnectException, Msg: cause.Java + ": " + cause.Msg, Hint: "in " + property, Cause: cause}
}

// stages builds the transform chain with its predicates.
func (w *Worker) stages(props map[string]string) ([]transform.Stage, error) {
	preds := map[string]transform.Predicate{}
	for _, a := range configdef.SplitList(props["predicates"]) {
		sub := configdef.Prefixed(props, "predicates."+a+".")
		p := w.reg.Find(sub["type"], KindPredicate)
		if p == nil {
			return nil, &errs.Error{Java: errs.ConfigException, Msg: fmt.Sprintf("predicates.%s.type: Class %s could not be found.", a, sub["type"])}
		}
		delete(sub, "type")
		pr, err := p.NewPredicate(sub)
		if err != nil {
			return nil, stepError("predicates."+a, err)
		}
		preds[a] = pr
	}
	var out []transform.Stage
	for _, a := range configdef.SplitList(props["transforms"]) {
		sub := configdef.Prefixed(props, "transforms."+a+".")
		p := w.reg.Find(sub["type"], KindTransformation)
		if p == nil {
			return nil, &errs.Error{Java: errs.ConfigException, Msg: fmt.Sprintf("transforms.%s.type: Class %s could not be found.", a, sub["type"])}
		}
		st := transform.Stage{Alias: a, Class: p.Class, Negate: strings.EqualFold(sub["negate"], "true")}
		if name := sub["predicate"]; name != "" {
			if st.Predicate = preds[name]; st.Predicate == nil {
				return nil, &errs.Error{Java: errs.ConfigException, Msg: fmt.Sprintf("transforms.%s.predicate names the predicate %s, which predicates does not list", a, name)}
			}
		}
		for _, k := range []string{"type", "predicate", "negate"} {
			delete(sub, k)
		}
		var err error
		if st.Step, err = p.NewTransform(sub); err != nil {
			return nil, stepError("transforms."+a, err)
		}
		out = append(out, st)
	}
	return out, nil
}

// tolerance reads errors.*.
func tolerance(props map[string]string) emit.Tolerance {
	is := func(k string) bool { return strings.EqualFold(strings.TrimSpace(props[k]), "true") }
	t := emit.Tolerance{All: strings.TrimSpace(props["errors.tolerance"]) == "all", Log: is("errors.log.enable"), LogMessages: is("errors.log.include.messages"),
		RetryMax: 60 * time.Second}
	if n, err := strconv.ParseInt(strings.TrimSpace(props["errors.retry.timeout"]), 10, 64); err == nil {
		t.RetryTimeout = millis(n)
	}
	if n, err := strconv.ParseInt(strings.TrimSpace(props["errors.retry.delay.max.ms"]), 10, 64); err == nil {
		t.RetryMax = millis(n)
	}
	return t
}

// millis turns a count into a Duration without overflow; negative means endless.
func millis(n int64) time.Duration {
	if n < 0 {
		return -1
	}
	return time.Duration(min(n, math.MaxInt64/int64(time.Millisecond))) * time.Millisecond
}

// adminClient makes a connector's admin client: the worker's admin.* settings and
// the connector's admin.override.*.
func (c *Config) adminClient(props map[string]string, id string) (*kgo.Client, error) {
	override, err := c.overrides(props, "admin.override.")
	if err != nil {
		return nil, err
	}
	ka := kafkaconf.Admin(c.clientProps("admin.", override, id))
	if err := ka.Err(); err != nil {
		return nil, &errs.Error{Java: errs.ConfigException, Msg: err.Error()}
	}
	ka.Log(c.log, id)
	cl, err := kgo.NewClient(ka.Opts...)
	if err != nil {
		return nil, &errs.Error{Java: errs.ConnectException, Msg: "cannot make the connector's Kafka admin client", Cause: err}
	}
	return cl, nil
}

// sinkTask runs a sink task until it is asked to stop.
func (t *runningTask) sinkTask(run context.Context, p *Plugin, props map[string]string) error {
	env := t.env(p, props)
	cfg, err := t.sinkConfig(env)
	if err != nil {
		return err
	}
	t.built = true
	sink, err := p.NewSink(env)
	if err != nil {
		return err
	}
	st := NewSinkTask(cfg, sink)
	if t.paused {
		st.SetPaused(true)
	}
	t.sink.Store(st)
	return st.Run(run, t.running)
}

func (t *runningTask) sinkConfig(env TaskEnv) (SinkConfig, error) {
	c, props := t.w.cfg, env.Props
	conv, err := t.w.converters(props)
	if err != nil {
		return SinkConfig{}, err
	}
	stages, err := t.w.stages(props)
	if err != nil {
		return SinkConfig{}, err
	}
	kc, poll, err := c.sinkConsumer(t.s.name, t.id, props)
	if err != nil {
		return SinkConfig{}, err
	}
	kc.Log(t.log, "consumer")
	dlq, err := t.deadLetters(props, fmt.Sprintf("%s-%d", t.s.name, t.id))
	if err != nil {
		return SinkConfig{}, err
	}
	return SinkConfig{Connector: t.s.name, Task: t.id, Consumer: kc.Opts, Member: kc.Member, Group: kc.GroupID, Beside: t.w.tasksHere(t.s.name), Topics: configdef.SplitList(props["topics"]),
		Pattern: strings.TrimSpace(props["topics.regex"]), MaxPollRecords: poll,
		Key: conv.key, Value: conv.value, Header: conv.header, KeyClass: conv.keyClass, ValueClass: conv.valueClass, HeaderClass: conv.headerClass,
		Stages: stages, Tolerance: tolerance(props), CommitInterval: c.FlushInterval, CommitTimeout: c.FlushTimeout,
		DLQ: dlq, OnTopic: t.topicUsed, TopicEpoch: t.w.statuses.TopicEpoch, Log: t.log, Metrics: env.Metrics}, nil
}

// sinkConsumer is what the settings of a sink task's consumer mean. poll is
// max.poll.records where it is set; 0: it is not.
func (c *Config) sinkConsumer(connector string, task int, props map[string]string) (kc kafkaconf.Result, poll int, err error) {
	override, err := c.overrides(props, "consumer.override.")
	if err != nil {
		return kc, 0, err
	}
	cp := c.clientProps("consumer.", override, fmt.Sprintf("connector-consumer-%s-%d", connector, task))
	kc = kafkaconf.Consumer(cp)
	if err := kc.Err(); err != nil {
		return kc, 0, &errs.Error{Java: errs.ConfigException, Msg: err.Error()}
	}
	if _, ok := cp["max.poll.records"]; ok {
		poll = kc.MaxPollRecords
	}
	return kc, poll, nil
}

// tasksHere is how many tasks of a connector this worker runs; 0: not known.
func (w *Worker) tasksHere(connector string) int {
	if !w.cfg.Distributed && w.configs != nil {
		if c := w.configs.Get(connector); c != nil {
			return len(c.Tasks)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.assigned[connector].tasks)
}
