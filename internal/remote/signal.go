package remote

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Signal is a Debezium signal that acts on snapshots.
type Signal struct {
	ID   string         `json:"id"`
	Type string         `json:"type"` // execute-snapshot, pause-snapshot, resume-snapshot, stop-snapshot
	Data map[string]any `json:"data"`
}

// Snapshot makes the signal that reads tables again. where is a condition on the
// rows of all of them; blocking pauses the stream meanwhile.
func Snapshot(tables []string, where string, blocking bool) Signal {
	kind := "INCREMENTAL"
	if blocking {
		kind = "BLOCKING"
	}
	data := map[string]any{"data-collections": tables, "type": kind}
	if where != "" {
		var conditions []map[string]string
		for _, t := range tables {
			filter := where
			if blocking {
				filter = "SELECT * FROM " + t + " WHERE " + where
			}
			conditions = append(conditions, map[string]string{"data-collection": t, "filter": filter})
		}
		data["additional-conditions"] = conditions
	}
	return Signal{ID: rand.Text(), Type: "execute-snapshot", Data: data}
}

// Control makes the signal pause-snapshot, resume-snapshot or stop-snapshot; no
// tables: all.
func Control(what string, tables []string) Signal {
	data := map[string]any{"type": "INCREMENTAL"}
	if len(tables) > 0 {
		data["data-collections"] = tables
	}
	return Signal{ID: rand.Text(), Type: what + "-snapshot", Data: data}
}

// Channel is how a connector can be given signals.
type Channel struct {
	// Topic is the signal topic, Key the key its records must have, Servers its brokers;
	// Topic "" when the connector does not listen to Kafka.
	Topic, Key, Servers string
	// Table is the signal table; "" when there is none.
	Table string
}

// ChannelOf reads signal.* of a connector's config.
func ChannelOf(config map[string]string) Channel {
	enabled := config["signal.enabled.channels"]
	if enabled == "" {
		enabled = "source"
	}
	list := strings.Split(strings.ReplaceAll(enabled, " ", ""), ",")
	var c Channel
	if slices.Contains(list, "kafka") {
		c.Topic, c.Key, c.Servers = config["signal.kafka.topic"], config["topic.prefix"], config["signal.kafka.bootstrap.servers"]
		if c.Topic == "" {
			c.Topic = config["topic.prefix"] + "-signal"
		}
	}
	if slices.Contains(list, "source") {
		c.Table = config["signal.data.collection"]
	}
	return c
}

// Record is the signal as the value of a record of the signal topic.
func (s Signal) Record() ([]byte, error) {
	return json.Marshal(s)
}

// SQL is the statement that gives the signal by a signal table. A name with the
// database before it loses that on PostgreSQL, where it is schema.table.
func (s Signal) SQL(table string) (string, error) {
	data, err := json.Marshal(s.Data)
	if err != nil {
		return "", err
	}
	quote := func(v string) string { return "'" + strings.ReplaceAll(v, "'", "''") + "'" }
	return fmt.Sprintf("INSERT INTO %s (id, type, data) VALUES (%s, %s, %s);", table, quote(s.ID), quote(s.Type), quote(string(data))), nil
}
