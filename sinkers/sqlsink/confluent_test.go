package sqlsink_test

import (
	"testing"

	"millrace/internal/record"
	"millrace/internal/testkit"
	"millrace/sinkers/sqlsink"
)

var (
	plainKey = &record.Schema{Type: record.Struct, Fields: []record.Field{{Name: "zz", Schema: record.PlainInt32}, {Name: "id", Schema: record.PlainInt32}}}
	plainRow = &record.Schema{Type: record.Struct, Fields: []record.Field{
		{Name: "Name", Schema: record.OptionalString}, {Name: "id", Schema: record.PlainInt32},
		{Name: "price", Schema: &record.Schema{Type: record.Bytes, Optional: true, Name: "org.apache.kafka.connect.data.Decimal", Version: 1, Params: []record.Param{{Key: "scale", Value: "2"}}}},
		{Name: "at", Schema: &record.Schema{Type: record.Int64, Optional: true, Name: "org.apache.kafka.connect.data.Timestamp", Version: 1}},
		{Name: "us", Schema: &record.Schema{Type: record.Int64, Optional: true, Name: "io.debezium.time.MicroTimestamp", Version: 1}},
		{Name: "n", Schema: &record.Schema{Type: record.Int32, Optional: true, Default: record.MustDatum(record.PlainInt32, 7)}},
	}}
)

func plainBatch(t *testing.T) *record.Batch {
	t.Helper()
	b := &record.Batch{}
	topic := &record.Topic{Name: "Orders"}
	for i := 1; i <= 3; i++ {
		r := b.Append()
		r.Topic, r.Origin = topic, record.Origin{Topic: topic, Offset: int64(i)}
		var err error
		r.KeySchema = plainKey
		if r.Key, err = record.FromGo(b, plainKey, map[string]any{"zz": 9, "id": i % 2}); err != nil {
			t.Fatal(err)
		}
		r.ValueSchema = plainRow
		if r.Value, err = record.FromGo(b, plainRow, map[string]any{"Name": "x", "id": i % 2, "price": []byte{0x30, 0x39}, "at": 1577882096789, "us": 1577882096789123}); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// TestConfluentFrontEnd: the types, the order and the case of Confluent's sink, and
// its default for nulls.
func TestConfluentFrontEnd(t *testing.T) {
	for name, want := range map[string]string{
		"postgres": `{"columns":[["Name","text","NULL",null],["id","integer","NOT NULL",null],["price","numeric","NULL",null],["at","timestamp without time zone","NULL",null],["us","bigint","NULL",null],["n","integer","NULL","7"],["zz","integer","NOT NULL",null]],"pk":["id","zz"],"rows":[["x","0","123.45","2020-01-01 07:34:56.789","1577882096789123","7","9"],["x","1","123.45","2020-01-01 07:34:56.789","1577882096789123","7","9"]]}`,
		"mysql":    `{"columns":[["Name","text","NULL",null],["id","int","NOT NULL",null],["price","decimal(65,2)","NULL",null],["at","datetime(3)","NULL",null],["us","bigint","NULL",null],["n","int","NULL","7"],["zz","int","NOT NULL",null]],"pk":["id","zz"],"rows":[["x","0","123.45","2020-01-01 07:34:56.789","1577882096789123","7","9"],["x","1","123.45","2020-01-01 07:34:56.789","1577882096789123","7","9"]]}`,
		"sqlite":   `{"columns":null,"pk":["id","zz"],"rows":[["x","0","123.45","1577882096789","1577882096789123","7","9"],["x","1","123.45","1577882096789","1577882096789123","7","9"]]}`,
	} {
		t.Run(name, func(t *testing.T) {
			var tg caseTarget
			switch name {
			case "postgres":
				tg = newPostgresTarget(t)
			case "mysql":
				tg = newMySQLTarget(t, "mysql", testkit.MySQL(t))
			default:
				tg = newSQLiteTarget(t)
			}
			props := tg.props()
			props["connector.class"] = sqlsink.ConfluentClass
			props["insert.mode"], props["pk.mode"], props["auto.create"], props["db.timezone"] = "upsert", "record_key", "true", "America/New_York"
			k, err := start(t, props)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = k.Stop() }()
			if err := k.Put(t.Context(), plainBatch(t)); err != nil {
				t.Fatal(err)
			}
			if got := asJSON(tg.read(t)["Orders"]); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

// TestConfluentSemanticColumn: a column that is a timestamp takes Debezium's
// microseconds as one, and a table in another case is found.
func TestConfluentSemanticColumn(t *testing.T) {
	p := newPostgresTarget(t).(*postgresTarget)
	p.exec(t, `create table "Orders"("NAME" text, id int, zz int, price numeric, at timestamptz, us timestamp, n int, primary key(zz, id))`)
	props := p.props()
	props["connector.class"], props["insert.mode"], props["pk.mode"], props["sql.quote.identifiers"] = sqlsink.AivenClass, "upsert", "record_key", "true"
	k, err := start(t, props)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = k.Stop() }()
	if err := k.Put(t.Context(), plainBatch(t)); err != nil {
		t.Fatal(err)
	}
	want := `[["x","0","9","123.45","2020-01-01 12:34:56.789+00","2020-01-01 12:34:56.789123","7"],["x","1","9","123.45","2020-01-01 12:34:56.789+00","2020-01-01 12:34:56.789123","7"]]`
	if got := asJSON(p.read(t)["Orders"].Rows); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
