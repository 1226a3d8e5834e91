// Package worker runs connectors: which ones and their tasks should be running
// (Machine, pure), the goroutines that run them (Runner), and Connect's error
// tolerance. It knows two interfaces, Source and Sink; what implements them is
// listed in cmd/millrace/plugins.go.
package worker

import (
	"context"
	"log/slog"
	"time"

	"millrace/emit"
	"millrace/internal/configdef"
	"millrace/internal/convert"
	"millrace/internal/metrics"
	"millrace/internal/record"
	"millrace/internal/store"
	"millrace/internal/transform"
)

// Source is one source task.
type Source interface {
	// Partition is the Connect source partition as JSON, e.g. {"server":"dbserver1"}.
	Partition() []byte
	// Run reads from the stored offset (nil: none) and sends batches to out until
	// ctx ends or an error stops it. When ctx ends it stops reading, calls
	// out.Drain so that everything sent is acknowledged and its offset stored,
	// confirms that to the log, and returns nil. It retries what is retriable
	// itself. started must be called once when the task counts as RUNNING.
	Run(ctx context.Context, offset []byte, out *emit.Pipeline, started func()) error
}

// Sink is one sink task. Calls never overlap.
type Sink interface {
	// Start connects; a retriable error is retried by the runner.
	Start(ctx context.Context) error
	// Put takes a batch of decoded, transformed records. The batch is lent until
	// Put returns. A retriable error makes the runner call Put with the same batch
	// again; a *RecordError names the records that are bad by themselves.
	Put(ctx context.Context, b *record.Batch) error
	// Flush returns when everything put so far is durable in the target.
	Flush(ctx context.Context) error
	// Stop releases everything. It is called once, also after errors.
	Stop() error
}

// Positioned is a Sink that holds records back beyond Flush, such as one that makes
// files: it says itself what is durable. Calls never overlap those of Sink.
type Positioned interface {
	// Durable returns the offset to commit of a partition; ok is false when nothing
	// of it is held back, and everything put is durable after Flush.
	Durable(topic string, partition int32) (next int64, ok bool)
	// Due returns when a flush and a commit are wanted before the interval ends; the
	// zero time: no wish.
	Due() time.Time
	// Revoked drops what is held of a partition that belongs to somebody else now.
	Revoked(topic string, partition int32)
}

// TaskEnv is what a factory gets to make a task.
type TaskEnv struct {
	Connector string
	Task      int
	Props     map[string]string // task config, config providers resolved
	Log       *slog.Logger
	Metrics   *metrics.Task
}

// Kind is the type of a plugin in Connect's spelling.
type Kind string

// The plugin kinds that GET /connector-plugins lists.
const (
	KindSource          Kind = "source"
	KindSink            Kind = "sink"
	KindConverter       Kind = "converter"
	KindHeaderConverter Kind = "header_converter"
	KindTransformation  Kind = "transformation"
	KindPredicate       Kind = "predicate"
)

// Plugin is one row of the table of Java class names.
type Plugin struct {
	Class   string // Java class name
	Kind    Kind
	Version string // "" prints as Connect's own version or not at all
	Def     *configdef.Def

	// Validate makes the checks that need the outside world (connect to the
	// database, look at wal_level); it runs only when the table has no errors.
	// May be nil.
	Validate func(ctx context.Context, v configdef.Values) []configdef.Problem
	// TaskClass is task.class in task configs, e.g. io.debezium.….PostgresConnectorTask.
	TaskClass string
	// TaskConfigs splits a connector into task configs; nil: one task with the
	// connector's own properties (all Debezium sources here), or for sinks
	// tasks.max copies.
	TaskConfigs func(props map[string]string, tasksMax int) []map[string]string

	// ExactlyOnce says whether a source configured so can write exactly once; nil:
	// always.
	ExactlyOnce func(props map[string]string) bool

	// CheckOffset refuses a partition and offset that an operator wants to store
	// for a source (offset nil: reset); nil accepts all.
	CheckOffset func(partition, offset *store.Object) error

	NewSource          func(TaskEnv) (Source, error)
	NewSink            func(TaskEnv) (Sink, error)
	NewConverter       func(props map[string]string, isKey bool) (convert.Converter, error)
	NewHeaderConverter func(props map[string]string) (convert.HeaderConverter, error)
	NewTransform       func(props map[string]string) (transform.Step, error)
	NewPredicate       func(props map[string]string) (transform.Predicate, error)
}
