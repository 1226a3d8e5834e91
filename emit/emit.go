// Package emit takes batches of records to Kafka: transforms, converters, the
// producer, and the Ledger that knows which prefix of what was sent is
// acknowledged. It also builds Debezium's envelopes (Envelope), as a pure
// function that the source engine calls while it fills a batch.
//
// The order is law: produced and acknowledged -> offset made durable -> only then
// may the source confirm its log. Pipeline.Stored is the only thing a source may
// confirm from.
package emit

import (
	"context"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/internal/convert"
	"millrace/internal/metrics"
	"millrace/internal/record"
	"millrace/internal/transform"
)

// OffsetStore makes the source offset of one connector partition durable.
type OffsetStore interface {
	// Put stores the offset JSON under the partition JSON and returns when it is
	// durable (acknowledged by all in-sync replicas, or fsynced).
	Put(ctx context.Context, partition, offset []byte) error
}

// Tolerance is Connect's errors.* policy for a record that cannot be transformed
// or converted.
type Tolerance struct {
	All          bool          // errors.tolerance=all: skip and count; else the task fails
	RetryTimeout time.Duration // errors.retry.timeout; -1 endless
	RetryMax     time.Duration // errors.retry.delay.max.ms
	Log          bool          // errors.log.enable
	LogMessages  bool          // errors.log.include.messages
}

// Config is what a Pipeline needs. Everything is required unless said otherwise.
type Config struct {
	Connector string
	Task      int
	Key       convert.Converter
	Value     convert.Converter
	Header    convert.HeaderConverter
	// HeaderClass, KeyClass and ValueClass are the converters' Java names, for error reports.
	HeaderClass, KeyClass, ValueClass string

	Stages    []transform.Stage // may be empty
	Tolerance Tolerance
	Client    *kgo.Client // the task's own producer client; the Pipeline closes it
	Topics    TopicMaker  // makes a topic before the first record goes to it
	Partition []byte      // source partition as JSON, the key of the offset
	Offsets   OffsetStore
	// Transaction makes the pipeline exactly-once; Offsets is not used then. nil: at
	// least once.
	Transaction *Transaction
	// FlushInterval is offset.flush.interval.ms, FlushTimeout offset.flush.timeout.ms.
	FlushInterval, FlushTimeout time.Duration
	// QueueBytes bounds what is read from the log and not yet acknowledged; 0: 4 MiB,
	// which keeps a drain at the speed of Kafka. 8 or 32 MiB are no faster.
	QueueBytes int
	// OnTopic is told each topic once that a record is sent to (active topics), and
	// once more after Pipeline.ForgetTopics. May be nil.
	OnTopic func(topic string)
	// OnStored is called after an offset became durable; it must not block. May be nil.
	OnStored func(record.Position)
	Log      *slog.Logger
	Metrics  *metrics.Task
}

// TopicMaker creates topics before they are written to.
type TopicMaker interface {
	// Ensure returns when the topic exists or when it is the broker's business to
	// create it. Called once per topic and task.
	Ensure(ctx context.Context, topic string) error
}
