package worker

import "testing"

func TestShortNames(t *testing.T) {
	r := NewRegistry([]Plugin{
		{Class: "io.debezium.connector.postgresql.PostgresConnector", Kind: KindSource},
		{Class: "io.debezium.connector.jdbc.JdbcSinkConnector", Kind: KindSink},
		{Class: "io.confluent.connect.jdbc.JdbcSinkConnector", Kind: KindSink},
		{Class: "org.apache.kafka.connect.json.JsonConverter", Kind: KindConverter},
		{Class: "org.apache.kafka.connect.json.JsonConverter", Kind: KindHeaderConverter},
		{Class: "org.apache.kafka.connect.transforms.InsertField$Key", Kind: KindTransformation},
		{Class: "org.apache.kafka.connect.transforms.InsertField$Value", Kind: KindTransformation},
		{Class: "org.apache.kafka.connect.transforms.Cast$Value", Kind: KindTransformation},
		{Class: "org.apache.kafka.connect.transforms.RegexRouter", Kind: KindTransformation},
		{Class: "org.apache.kafka.connect.transforms.Filter", Kind: KindTransformation},
		{Class: "io.debezium.transforms.Filter", Kind: KindTransformation},
	})
	for name, want := range map[string]string{
		"Postgres":          "io.debezium.connector.postgresql.PostgresConnector",
		"PostgresConnector": "io.debezium.connector.postgresql.PostgresConnector",
		"postgres":          "",
		"JdbcSink":          "io.debezium.connector.jdbc.JdbcSinkConnector", // the first of two
		"io.confluent.connect.jdbc.JdbcSinkConnector": "io.confluent.connect.jdbc.JdbcSinkConnector",
		"Json":              "org.apache.kafka.connect.json.JsonConverter",
		"RegexRouter":       "org.apache.kafka.connect.transforms.RegexRouter",
		"InsertField$Value": "", // nested classes have no short name
		"InsertField":       "",
		"Filter":            "org.apache.kafka.connect.transforms.Filter", // the scripting one is seldom there
		"Value":             "",
	} {
		got := ""
		if p := r.FindAny(name); p != nil {
			got = p.Class
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if r.Find("Json", KindHeaderConverter) == nil || r.Find("Json", KindTransformation) != nil {
		t.Error("a name must be found by its kinds only")
	}
}

func TestVersionRanges(t *testing.T) {
	for want, ok := range map[string]bool{"4.3.1": true, "4.3": false, "[4.0,)": true, "(4.3.1,)": false, "[4.0,4.3.1)": false, "[4.0,4.3.1]": true, "9.9": false, "not a version": false} {
		if got := inRange("4.3.1", want); got != ok {
			t.Errorf("%s: %v, want %v", want, got, ok)
		}
	}
}
