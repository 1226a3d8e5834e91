package worker

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/internal/convert"
	"millrace/internal/errs"
	"millrace/internal/kafkaconf"
	"millrace/internal/store"
)

// TopicsReport is what the preflight of a source finds out about Kafka.
type TopicsReport struct {
	Brokers int
	// Missing are those of the asked topics that do not exist.
	Missing []string
	// AutoCreate is the brokers' auto.create.topics.enable; "" when they do not tell.
	AutoCreate string
}

// CheckKafka asks Kafka, with the settings that the connector's producer would
// have, about topics. It creates nothing. props are the connector's, resolved.
func (c *Config) CheckKafka(ctx context.Context, props map[string]string, topics []string) (*TopicsReport, error) {
	override, err := c.overrides(props, "producer.override.")
	if err != nil {
		return nil, err
	}
	kp := kafkaconf.Producer(c.clientProps("producer.", override, "millrace-doctor"))
	if err := kp.Err(); err != nil {
		return nil, &errs.Error{Java: errs.ConfigException, Msg: err.Error()}
	}
	cl, err := kgo.NewClient(kp.Opts...)
	if err != nil {
		return nil, fmt.Errorf("make a Kafka client: %w", err)
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	meta, err := adm.BrokerMetadata(ctx)
	if err != nil {
		return nil, err
	}
	r := &TopicsReport{Brokers: len(meta.Brokers)}
	have, err := adm.ListTopics(ctx)
	if err != nil {
		return nil, err
	}
	for _, t := range topics {
		if !have.Has(t) {
			r.Missing = append(r.Missing, t)
		}
	}
	configs, err := adm.DescribeBrokerConfigs(ctx, meta.Brokers.NodeIDs()...)
	if err != nil {
		return r, nil // a matter of rights: the rest stands
	}
	for _, b := range configs {
		i := slices.IndexFunc(b.Configs, func(x kadm.Config) bool { return x.Key == "auto.create.topics.enable" })
		if i >= 0 && (r.AutoCreate == "" || r.AutoCreate == "true") {
			r.AutoCreate = b.Configs[i].MaybeValue()
		}
	}
	return r, nil
}

// StoredOffset reads the offset that a source would start from, nil when there is
// none, from the worker's file or topic. A missing topic is not created.
func (c *Config) StoredOffset(ctx context.Context, connector string, partition []byte, log *slog.Logger) ([]byte, error) {
	var l store.Log
	if !c.Distributed {
		l = store.NewFileLog(c.OffsetFile)
	} else {
		o, err := c.internalOpts(c.InternalClientID("doctor"))
		if err != nil {
			return nil, err
		}
		cl, err := kgo.NewClient(o...)
		if err != nil {
			return nil, fmt.Errorf("make a Kafka client: %w", err)
		}
		defer cl.Close()
		have, err := kadm.NewClient(cl).ListTopics(ctx, c.OffsetTopic)
		if err != nil {
			return nil, fmt.Errorf("look for the offset topic %s: %w", c.OffsetTopic, err)
		}
		if !have.Has(c.OffsetTopic) {
			return nil, nil
		}
		spec := c.topicSpec(c.OffsetTopic, "offset.storage.topic", -1, false)
		spec.NoCreate = true
		l = store.NewKafkaLog(spec, log, o...)
	}
	s := store.NewOffsets(l, log)
	if err := s.Start(ctx); err != nil {
		return nil, fmt.Errorf("read the stored offsets: %w", err)
	}
	offset := s.Get(connector, partition)
	if err := s.Close(ctx); err != nil {
		return nil, fmt.Errorf("close the offset storage: %w", err)
	}
	return offset, nil
}

// CheckRegistry asks the Schema Registry of a converter (key is key.converter or
// value.converter), with the connector's settings if it names a converter, else
// the worker's. It returns no addresses for converters without a registry.
func (w *Worker) CheckRegistry(ctx context.Context, props map[string]string, key string) (addresses string, err error) {
	p, sub, err := w.converterFor(props, key, KindConverter)
	if err != nil || p.Def == nil || p.Def.Find("schema.registry.url") == nil {
		return "", err
	}
	return convert.PingRegistry(ctx, p.Def, sub)
}
