package main

import (
	"testing"
	"time"

	"millrace/internal/store"
)

func TestShadowComparison(t *testing.T) {
	at := time.Unix(1000, 0)
	sure := period{at.Add(-time.Minute), at.Add(time.Minute)}
	e := func(key, value string, when time.Time) entry { return entry{key, withoutRun(value), when} }
	java := []entry{
		e("1", `{"after":{"a":1},"source":{"sequence":"[null,\"7\"]"},"op":"c","ts_ms":1,"ts_us":1000,"ts_ns":1000000}`, at),
		e("2", `{"after":{"a":1},"op":"c","ts_ms":1,"ts_us":2,"ts_ns":3}`, at),
		e("3", "Struct{after=Struct{a=1},op=c,ts_ms=1,ts_us=2,ts_ns=3}", at),
		e("4", "only there", at),
		e("5", "before the shadow", at.Add(-time.Hour)),
		e("6", "after it", at.Add(time.Hour)),
	}
	ours := []entry{
		e("1", `{"after":{"a":1},"source":{"sequence":"[\"5\",\"7\"]"},"op":"c","ts_ms":9,"ts_us":9000,"ts_ns":9000000}`, at),
		e("2", `{"after":{"a":2},"op":"c","ts_ms":1,"ts_us":2,"ts_ns":3}`, at),
		e("3", "Struct{after=Struct{a=1},op=c,ts_ms=5,ts_us=6,ts_ns=7}", at),
		e("7", "only here", at),
	}
	x := compareTopic(java, ours, sure)
	if x.Equal != 2 || x.Different != 1 || x.OnlyJava != 1 || x.OnlyHere != 1 || len(x.Examples) != 1 || x.Examples[0].Key != "2" {
		t.Errorf("%+v", x)
	}
}

// A shadow writes nothing: not its slot's, nor signals, nor heartbeat statements.
func TestShadowConfig(t *testing.T) {
	m, err := shadowConfig(map[string]string{"connector.class": "io.debezium.connector.postgresql.PostgresConnector", "slot.name": "orders", "snapshot.mode": "always",
		"signal.data.collection": "public.signals", "heartbeat.action.query": "update x", "producer.override.acks": "1", "table.include.list": "public.t"})
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []string{"signal.data.collection", "heartbeat.action.query", "producer.override.acks"} {
		if _, ok := m.Get(k); ok {
			t.Errorf("%s is kept", k)
		}
	}
	if m.Value("snapshot.mode") != "no_data" || m.Value("slot.drop.on.stop") != "true" || m.Value("slot.name") == "orders" || m.Value("table.include.list") != "public.t" {
		t.Errorf("config %s", store.AppendMap(nil, m))
	}
	if _, err := shadowConfig(map[string]string{"connector.class": "FileStreamSource"}); err == nil {
		t.Error("a file has no log that several can read")
	}
}
