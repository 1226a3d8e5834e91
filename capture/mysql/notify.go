package mysql

import (
	"fmt"
	"time"

	"millrace/capture"
)

// notify sends a notification to the channels that are enabled.
func (t *task) notify(n capture.Notification) {
	for _, c := range t.opts.NotifyChannels {
		switch c {
		case "sink":
			capture.AppendNotification(t.session.batch(), t.topic(t.opts.NotifyTopic), n, time.Now().UnixMilli())
		case "log":
			t.log.Info("notification", "id", n.ID, "aggregate", n.Aggregate, "type", n.Type, "data", fmt.Sprint(n.Data))
		}
	}
}

// noteSnapshot notifies about an initial or blocking snapshot.
func (t *task) noteSnapshot(kind string, data ...[2]string) {
	if len(t.opts.NotifyChannels) == 0 {
		return
	}
	t.notify(capture.Notification{ID: capture.UUID(), Aggregate: capture.InitialSnapshot, Type: kind,
		Data: append([][2]string{{"connector_name", t.opts.Prefix}}, data...)})
}
