package mysql

import (
	"fmt"
	"time"

	"millrace/capture"
)

// noteSnapshot notifies about the initial snapshot on the channels that are
// enabled.
func (t *task) noteSnapshot(kind string) {
	n := capture.Notification{ID: capture.UUID(), Aggregate: capture.InitialSnapshot, Type: kind, Data: [][2]string{{"connector_name", t.opts.Prefix}}}
	for _, c := range t.opts.NotifyChannels {
		switch c {
		case "sink":
			capture.AppendNotification(t.session.batch(), t.topic(t.opts.NotifyTopic), n, time.Now().UnixMilli())
		case "log":
			t.log.Info("notification", "id", n.ID, "aggregate", n.Aggregate, "type", n.Type, "data", fmt.Sprint(n.Data))
		}
	}
}
