package mysql

import (
	"fmt"
	"strings"
	"time"

	"millrace/internal/configdef"
)

// Signals says where signals come from and how incremental snapshots are read.
type Signals struct {
	Channels []string // source, kafka, file
	Poll     time.Duration
	File     string
	Topic    string
	Servers  string // brokers of the topic
	Group    string
	Wait     time.Duration     // how long a look at the topic may wait
	Consumer map[string]string // signal.consumer.* in Java spelling

	ReadOnly   bool // read.only: no watermarks are written
	ChunkSize  int
	DeleteOpen bool // insert_delete: a window closes by deleting its opening row
	CatchUp    bool // incremental.snapshot.allow.schema.changes
}

func (o *Options) parseSignals(v configdef.Values) error {
	o.SignalTable = strings.ReplaceAll(strings.TrimSpace(o.SignalTable), "`", "")
	s := Signals{
		Channels: v.List("signal.enabled.channels"), Poll: v.Millis("signal.poll.interval.ms"), File: v.String("signal.file"),
		Topic: v.String("signal.kafka.topic"), Servers: v.String("signal.kafka.bootstrap.servers"), Group: v.String("signal.kafka.groupId"),
		Wait: v.Millis("signal.kafka.poll.timeout.ms"), Consumer: v.Prefixed("signal.consumer."),
		ReadOnly: v.Bool("read.only"), ChunkSize: max(v.Int("incremental.snapshot.chunk.size"), 1),
		DeleteOpen: strings.EqualFold(v.String("incremental.snapshot.watermarking.strategy"), "insert_delete"),
		CatchUp:    v.Bool("incremental.snapshot.allow.schema.changes"),
	}
	if s.Topic == "" {
		s.Topic = o.Prefix + "-signal"
	}
	for _, c := range s.Channels {
		switch c {
		case "source", "kafka", "file":
		default:
			o.Warnings = append(o.Warnings, fmt.Sprintf("signal.enabled.channels: there is no channel %q here; known are source, kafka and file", c))
		}
	}
	o.Signals = s
	return nil
}
