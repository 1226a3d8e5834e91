package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// EnsureTopic makes the topic if it is missing and checks it if it is there: the
// cleanup policy must be exactly compact, and the config topic must have one
// partition, since anything else loses or reorders what a worker must remember.
// It returns the number of partitions.
func EnsureTopic(ctx context.Context, adm *kadm.Client, spec TopicSpec, log *slog.Logger) (int32, error) {
	n, err := describeTopic(ctx, adm, spec)
	if err != nil {
		return 0, err
	}
	if n == 0 && spec.NoCreate {
		why := cmp.Or(spec.Absent, "internal.topics.automatic.creation.enable is false; create it with cleanup.policy=compact")
		return 0, fmt.Errorf("the topic %s (%s) does not exist: %s", spec.Name, spec.Role, why)
	}
	if n == 0 {
		if err := createTopic(ctx, adm, spec); err != nil {
			return 0, err
		}
		if n, err = awaitTopic(ctx, adm, spec); err != nil {
			return 0, err
		}
		log.Info("made the storage topic", "topic", spec.Name, "partitions", n)
	}
	if spec.OnePartition && n != 1 {
		return 0, fmt.Errorf("Topic '%s' supplied via the '%s' property is required to have a single partition in order to guarantee consistency of connector configurations, but found %d partitions.", spec.Name, spec.Role, n)
	}
	return n, checkPolicy(ctx, adm, spec, log)
}

// describeTopic returns the number of partitions, 0 when the topic is missing.
func describeTopic(ctx context.Context, adm *kadm.Client, spec TopicSpec) (int32, error) {
	ts, err := adm.ListTopics(ctx, spec.Name)
	if err != nil {
		return 0, fmt.Errorf("look for the topic %s (%s): %w", spec.Name, spec.Role, err)
	}
	t, ok := ts[spec.Name]
	if !ok || errors.Is(t.Err, kerr.UnknownTopicOrPartition) {
		return 0, nil
	}
	if t.Err != nil {
		return 0, fmt.Errorf("look for the topic %s (%s): %w", spec.Name, spec.Role, t.Err)
	}
	return int32(len(t.Partitions)), nil
}

func createTopic(ctx context.Context, adm *kadm.Client, spec TopicSpec) error {
	compact := "compact"
	configs := map[string]*string{"cleanup.policy": &compact}
	for k, v := range spec.Configs {
		if k != "cleanup.policy" {
			configs[k] = &v
		}
	}
	_, err := adm.CreateTopic(ctx, spec.Partitions, spec.Replication, configs, spec.Name)
	if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		return fmt.Errorf("make the topic %s (%s) with %d partitions and replication factor %d: %w", spec.Name, spec.Role, spec.Partitions, spec.Replication, err)
	}
	return nil
}

// awaitTopic waits until the brokers tell about a topic that was just made.
func awaitTopic(ctx context.Context, adm *kadm.Client, spec TopicSpec) (int32, error) {
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		n, err := describeTopic(ctx, adm, spec)
		if err != nil || n > 0 {
			return n, err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return 0, fmt.Errorf("wait for the new topic %s: %w", spec.Name, ctx.Err())
		}
	}
}

func checkPolicy(ctx context.Context, adm *kadm.Client, spec TopicSpec, log *slog.Logger) error {
	rs, err := adm.DescribeTopicConfigs(ctx, spec.Name)
	if err == nil && len(rs) == 1 {
		err = rs[0].Err
	}
	if err != nil || len(rs) != 1 {
		log.Warn("cannot check the cleanup policy of a storage topic; it must be compact", "topic", spec.Name, "error", err)
		return nil
	}
	for _, c := range rs[0].Configs {
		if c.Key != "cleanup.policy" {
			continue
		}
		if p := c.MaybeValue(); p != "compact" {
			return fmt.Errorf("Topic '%s' supplied via the '%s' property is required to have 'cleanup.policy=compact' to guarantee consistency and durability of %s, but found the topic currently has 'cleanup.policy=%s'. Continuing would likely result in eventually losing %s and problems restarting this Connect cluster in the future. Change the '%s' property in the Connect worker configurations to use a topic with 'cleanup.policy=compact'.",
				spec.Name, spec.Role, holds(spec.Role), p, holds(spec.Role), spec.Role)
		}
	}
	return nil
}

func holds(role string) string {
	switch {
	case strings.HasPrefix(role, "config"):
		return "connector configurations"
	case strings.HasPrefix(role, "offset"):
		return "source connector offsets"
	}
	return "connector and task statuses"
}
