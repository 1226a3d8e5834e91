package kafkaconf

import "github.com/twmb/franz-go/pkg/kgo"

// Java partitioners that work here.
const (
	roundRobinClass = "org.apache.kafka.clients.producer.RoundRobinPartitioner"
	stickyClass     = "org.apache.kafka.clients.producer.UniformStickyPartitioner"
	defaultClass    = "org.apache.kafka.clients.producer.internals.DefaultPartitioner"
)

// Partitioner places records as Java's producer does: an explicit partition
// (Record.Partition >= 0) is kept, a key decides by its murmur2 hash, and records
// without a key stick to one partition per batch. class is the Java name of
// another partitioner for the records without explicit partition, "" for the
// default.
func Partitioner(class string, ignoreKeys bool) kgo.Partitioner {
	var inner kgo.Partitioner
	switch {
	case class == roundRobinClass:
		inner = kgo.RoundRobinPartitioner()
	case class == stickyClass || ignoreKeys:
		inner = kgo.StickyPartitioner()
	default:
		inner = kgo.StickyKeyPartitioner(nil)
	}
	return explicit{inner}
}

type explicit struct{ inner kgo.Partitioner }

func (e explicit) ForTopic(topic string) kgo.TopicPartitioner {
	in := e.inner.ForTopic(topic)
	nb, _ := in.(kgo.TopicPartitionerOnNewBatch)
	return &explicitTopic{in, nb}
}

type explicitTopic struct {
	kgo.TopicPartitioner
	newBatch kgo.TopicPartitionerOnNewBatch
}

func (e *explicitTopic) RequiresConsistency(r *kgo.Record) bool {
	return r.Partition >= 0 || e.TopicPartitioner.RequiresConsistency(r)
}

func (e *explicitTopic) Partition(r *kgo.Record, n int) int {
	if r.Partition >= 0 {
		return int(r.Partition) // kgo refuses one that the topic does not have
	}
	if n == 1 {
		return 0 // whatever the key's hash is
	}
	return e.TopicPartitioner.Partition(r, n)
}

func (e *explicitTopic) OnNewBatch() {
	if e.newBatch != nil {
		e.newBatch.OnNewBatch()
	}
}
