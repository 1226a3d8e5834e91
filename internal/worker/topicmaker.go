package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"millrace/internal/configdef"
	"millrace/internal/errs"
	"millrace/internal/javaregex"
)

// topicRule is one topic.creation group.
type topicRule struct {
	name             string
	include, exclude []*javaregex.Regexp
	partitions       int32
	replication      int16
	configs          map[string]*string
}

// newTopicRules reads topic.creation.*; the last rule is the default group. nil:
// the connector does not ask for topics, the broker makes them.
func newTopicRules(props map[string]string) ([]topicRule, error) {
	sub := configdef.Prefixed(props, "topic.creation.")
	if _, ok := sub["default.replication.factor"]; !ok {
		return nil, nil
	}
	if _, ok := sub["default.partitions"]; !ok {
		return nil, nil
	}
	def, err := newTopicRule("default", configdef.Prefixed(sub, "default."), topicRule{partitions: -1, replication: -1})
	if err != nil {
		return nil, err
	}
	var out []topicRule
	for _, g := range configdef.SplitList(sub["groups"]) {
		if g == "default" || g == "" {
			continue
		}
		r, err := newTopicRule(g, configdef.Prefixed(sub, g+"."), def)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	def.include, def.exclude = nil, nil
	return append(out, def), nil
}

func newTopicRule(name string, props map[string]string, def topicRule) (topicRule, error) {
	r := topicRule{name: name, partitions: def.partitions, replication: def.replication, configs: map[string]*string{}}
	bad := func(k string, err error) error {
		return &errs.Error{Java: errs.ConfigException, Msg: fmt.Sprintf("topic.creation.%s.%s: %v", name, k, err)}
	}
	for k, v := range props {
		v = strings.TrimSpace(v)
		switch k {
		case "partitions", "replication.factor":
			n, err := strconv.ParseInt(v, 10, 16)
			if err != nil || n == 0 || n < -1 {
				return r, bad(k, fmt.Errorf("%q must be -1 or a positive number", v))
			}
			if k == "partitions" {
				r.partitions = int32(n)
			} else {
				r.replication = int16(n)
			}
		case "include", "exclude":
			for _, p := range configdef.SplitList(v) {
				re, err := javaregex.Compile(p, 0)
				if err != nil {
					return r, bad(k, err)
				}
				if k == "include" {
					r.include = append(r.include, re)
				} else {
					r.exclude = append(r.exclude, re)
				}
			}
		default:
			r.configs[k] = &v
		}
	}
	return r, nil
}

func (r *topicRule) matches(topic string) bool {
	for _, x := range r.exclude {
		if x.MatchWhole(topic) {
			return false
		}
	}
	for _, i := range r.include {
		if i.MatchWhole(topic) {
			return true
		}
	}
	return len(r.include) == 0 && r.name == "default"
}

// topicMaker makes topics that a source is about to write to.
type topicMaker struct {
	adm   *kadm.Client
	rules []topicRule
	log   *slog.Logger
}

// Ensure implements emit.TopicMaker.
func (m *topicMaker) Ensure(ctx context.Context, topic string) error {
	if len(m.rules) == 0 {
		return nil // the broker makes it on the first record, if it may
	}
	ts, err := m.adm.ListTopics(ctx, topic)
	if err == nil {
		if t, ok := ts[topic]; ok && t.Err == nil {
			return nil
		}
	}
	for i := range m.rules {
		r := &m.rules[i]
		if !r.matches(topic) {
			continue
		}
		_, err := m.adm.CreateTopic(ctx, r.partitions, r.replication, r.configs, topic)
		switch {
		case err == nil:
			m.log.Info("made a topic", "topic", topic, "group", r.name, "partitions", r.partitions, "replication.factor", r.replication)
			return nil
		case errors.Is(err, kerr.TopicAlreadyExists):
			return nil
		case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed), errors.Is(err, kerr.UnsupportedVersion):
			m.log.Warn("may not make a topic; the broker must make it", "topic", topic, "error", err)
			return nil
		}
		return createError(topic, err)
	}
	return nil
}

func createError(topic string, err error) error {
	text := err.Error()
	java := "org.apache.kafka.common.errors.ApiException"
	var ke *kerr.Error
	if errors.As(err, &ke) {
		java = "org.apache.kafka.common.errors." + javaException(ke)
	}
	return &errs.Error{Java: errs.ConnectException, Msg: fmt.Sprintf("Unable to create topic(s) '%s': %s", topic, text), Cause: &errs.Error{Java: java, Msg: text}}
}

// javaException spells a broker's error code as Kafka's Java exceptions are named.
func javaException(e *kerr.Error) string {
	var sb strings.Builder
	for _, w := range strings.Split(strings.ToLower(e.Message), "_") {
		if w != "" {
			sb.WriteString(strings.ToUpper(w[:1]) + w[1:])
		}
	}
	return sb.String() + "Exception"
}
