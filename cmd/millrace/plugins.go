package main

import (
	"maps"
	"strconv"

	"millrace/capture/filestream"
	"millrace/capture/mysql"
	"millrace/capture/postgres"
	"millrace/internal/configdef"
	"millrace/internal/convert"
	"millrace/internal/record"
	"millrace/internal/transform"
	"millrace/internal/worker"
	"millrace/sinkers/elastic"
	"millrace/sinkers/filesink"
	"millrace/sinkers/objectstore"
	"millrace/sinkers/sqlsink"
)

// debeziumVersion is the release whose records and options the Debezium plugins
// reproduce.
const (
	debeziumVersion = "3.6.1.Final"
	jdbcVersion     = "3.6.0.Final"
	avroVersion     = "8.0.0" // of Confluent's converter, whose options and schemas are reproduced
)

// plugins is the table of everything that can be named in a config, by Java
// class name. Nothing registers itself anywhere else.
func plugins() []worker.Plugin {
	var out []worker.Plugin
	out = append(out, sources()...)
	out = append(out, sinks()...)
	out = append(out, converters()...)
	out = append(out, transforms()...)
	return out
}

func sources() []worker.Plugin {
	return []worker.Plugin{
		{Class: "io.debezium.connector.postgresql.PostgresConnector", Kind: worker.KindSource, Version: debeziumVersion, Def: postgres.Def(), Validate: postgres.Validate,
			TaskClass: "io.debezium.connector.postgresql.PostgresConnectorTask",
			NewSource: func(e worker.TaskEnv) (worker.Source, error) {
				return postgres.NewSource(e.Connector, e.Task, e.Props, e.Log, e.Metrics)
			}},
		{Class: "io.debezium.connector.mysql.MySqlConnector", Kind: worker.KindSource, Version: debeziumVersion, Def: mysql.Def(), Validate: mysql.Validate(mysql.MySQL),
			TaskClass: "io.debezium.connector.mysql.MySqlConnectorTask", NewSource: mysqlSource(mysql.MySQL)},
		{Class: "io.debezium.connector.mariadb.MariaDbConnector", Kind: worker.KindSource, Version: debeziumVersion, Def: mysql.DefOf(mysql.MariaDB), Validate: mysql.Validate(mysql.MariaDB),
			TaskClass: "io.debezium.connector.mariadb.MariaDbConnectorTask", NewSource: mysqlSource(mysql.MariaDB)},
		{Class: filestream.Class, Kind: worker.KindSource, Def: filestream.Def(), TaskClass: filestream.TaskClass, CheckOffset: filestream.CheckOffset, ExactlyOnce: filestream.Seeks,
			NewSource: func(e worker.TaskEnv) (worker.Source, error) { return filestream.NewSource(e.Props, e.Log) }},
	}
}

func sinks() []worker.Plugin {
	return []worker.Plugin{
		{Class: "io.debezium.connector.jdbc.JdbcSinkConnector", Kind: worker.KindSink, Version: jdbcVersion, Def: sqlsink.Def(),
			TaskClass: "io.debezium.connector.jdbc.JdbcSinkConnectorTask", TaskConfigs: numbered,
			NewSink: func(e worker.TaskEnv) (worker.Sink, error) {
				return sqlsink.New(e.Props, e.Connector, e.Task, e.Log, e.Metrics)
			}},
		{Class: sqlsink.ConfluentClass, Kind: worker.KindSink, Def: sqlsink.DefConfluent(), TaskClass: sqlsink.ConfluentTaskClass,
			NewSink: func(e worker.TaskEnv) (worker.Sink, error) {
				return sqlsink.NewConfluent(e.Props, e.Connector, e.Task, e.Log, e.Metrics)
			}},
		{Class: sqlsink.AivenClass, Kind: worker.KindSink, Def: sqlsink.DefAiven(), TaskClass: sqlsink.AivenTaskClass,
			NewSink: func(e worker.TaskEnv) (worker.Sink, error) {
				return sqlsink.NewAiven(e.Props, e.Connector, e.Task, e.Log, e.Metrics)
			}},
		{Class: elastic.ConfluentClass, Kind: worker.KindSink, Def: elastic.DefConfluent(), Validate: elastic.ValidateConfluent, TaskClass: elastic.ConfluentTaskClass,
			NewSink: func(e worker.TaskEnv) (worker.Sink, error) { return elastic.NewConfluent(e.Props, e.Log) }},
		{Class: elastic.OpenSearchClass, Kind: worker.KindSink, Def: elastic.DefOpenSearch(), Validate: elastic.ValidateOpenSearch, TaskClass: elastic.OpenSearchTaskClass,
			NewSink: func(e worker.TaskEnv) (worker.Sink, error) { return elastic.NewOpenSearch(e.Props, e.Log) }},
		{Class: elastic.AivenClass, Kind: worker.KindSink, Def: elastic.DefOpenSearch(), Validate: elastic.ValidateOpenSearch, TaskClass: elastic.AivenTaskClass,
			NewSink: func(e worker.TaskEnv) (worker.Sink, error) { return elastic.NewOpenSearch(e.Props, e.Log) }},
		{Class: objectstore.ConfluentClass, Kind: worker.KindSink, Def: objectstore.DefConfluent(), TaskClass: objectstore.ConfluentTaskClass,
			NewSink: func(e worker.TaskEnv) (worker.Sink, error) { return objectstore.NewConfluent(e.Props, e.Log) }},
		{Class: objectstore.AivenClass, Kind: worker.KindSink, Def: objectstore.DefAiven(), TaskClass: objectstore.AivenTaskClass,
			NewSink: func(e worker.TaskEnv) (worker.Sink, error) { return objectstore.NewAiven(e.Props, e.Log) }},
		{Class: objectstore.GCSClass, Kind: worker.KindSink, Def: objectstore.DefGCS(), TaskClass: objectstore.GCSTaskClass,
			NewSink: func(e worker.TaskEnv) (worker.Sink, error) { return objectstore.NewGCS(e.Props, e.Log) }},
		{Class: objectstore.AzureClass, Kind: worker.KindSink, Def: objectstore.DefAzure(), TaskClass: objectstore.AzureTaskClass,
			NewSink: func(e worker.TaskEnv) (worker.Sink, error) { return objectstore.NewAzure(e.Props, e.Log) }},
		{Class: "org.apache.kafka.connect.file.FileStreamSinkConnector", Kind: worker.KindSink, Def: filesink.Def(),
			TaskClass: "org.apache.kafka.connect.file.FileStreamSinkTask",
			NewSink:   func(e worker.TaskEnv) (worker.Sink, error) { return filesink.New(e.Props, e.Log) }},
	}
}

// numbered makes tasks.max copies with the number of the task in task.id.
func numbered(props map[string]string, tasksMax int) []map[string]string {
	out := make([]map[string]string, tasksMax)
	for i := range out {
		out[i] = maps.Clone(props)
		out[i]["task.id"] = strconv.Itoa(i)
	}
	return out
}

// converters lists each class once per kind it can be used as.
func converters() []worker.Plugin {
	var out []worker.Plugin
	add := func(p worker.Plugin) {
		if p.NewConverter != nil {
			c := p
			c.Kind, c.NewHeaderConverter = worker.KindConverter, nil
			out = append(out, c)
		}
		if p.NewHeaderConverter != nil {
			c := p
			c.Kind, c.NewConverter = worker.KindHeaderConverter, nil
			out = append(out, c)
		}
	}
	add(worker.Plugin{Class: "org.apache.kafka.connect.json.JsonConverter", Def: convert.JSONDef(), NewConverter: convert.NewJSON, NewHeaderConverter: convert.NewJSONHeader})
	add(worker.Plugin{Class: "org.apache.kafka.connect.storage.StringConverter", Def: titled(convert.StringDef().LateChecks(), "converter.encoding", "Encoding"), NewConverter: convert.NewString, NewHeaderConverter: convert.NewStringHeader})
	add(worker.Plugin{Class: "org.apache.kafka.connect.converters.ByteArrayConverter", Def: convert.BytesDef(), NewConverter: convert.NewBytes, NewHeaderConverter: convert.NewBytesHeader})
	add(worker.Plugin{Class: "io.confluent.connect.avro.AvroConverter", Version: avroVersion, Def: convert.AvroDef(), NewConverter: convert.NewAvro})
	add(worker.Plugin{Class: "io.confluent.connect.json.JsonSchemaConverter", Version: avroVersion, Def: convert.JSONSchemaDef(), NewConverter: convert.NewJSONSchema})
	add(worker.Plugin{Class: "io.confluent.connect.protobuf.ProtobufConverter", Version: avroVersion, Def: convert.ProtobufDef(), NewConverter: convert.NewProtobuf})
	add(worker.Plugin{Class: "io.debezium.converters.CloudEventsConverter", Version: debeziumVersion, Def: convert.CloudEventsDef(), NewConverter: convert.NewCloudEvents})
	add(worker.Plugin{Class: "io.debezium.converters.BinaryDataConverter", Version: debeziumVersion, Def: convert.DelegatingDef(), NewConverter: convert.NewBinaryData, NewHeaderConverter: convert.NewBinaryDataHeader})
	add(worker.Plugin{Class: "io.debezium.converters.ByteArrayConverter", Version: debeziumVersion, Def: convert.DelegatingDef(), NewConverter: convert.NewDebeziumBytes, NewHeaderConverter: convert.NewDebeziumBytesHeader})
	add(worker.Plugin{Class: "org.apache.kafka.connect.storage.SimpleHeaderConverter", Def: &configdef.Def{}, NewHeaderConverter: convert.NewSimpleHeader})
	for _, t := range []struct {
		name string
		t    record.Type
	}{{"Boolean", record.Boolean}, {"Short", record.Int16}, {"Integer", record.Int32}, {"Long", record.Int64}, {"Float", record.Float32}, {"Double", record.Float64}} {
		add(worker.Plugin{Class: "org.apache.kafka.connect.converters." + t.name + "Converter", Def: convert.PrimitiveDef(),
			NewConverter: convert.NewPrimitive(t.t), NewHeaderConverter: convert.NewPrimitiveHeader(t.t)})
	}
	return out
}

// titled gives an option the title and width that forms show.
func titled(d *configdef.Def, option, title string) *configdef.Def {
	if o := d.Find(option); o != nil {
		o.Display, o.Width = title, configdef.WidthMedium
	}
	return d
}

// transforms lists transforms and predicates.
func transforms() []worker.Plugin {
	var out []worker.Plugin
	for _, p := range append(transform.Plugins(), transform.Timescale(postgres.TimescaleCatalog)) {
		w := worker.Plugin{Class: p.Class, Def: p.Def, NewTransform: p.NewStep, NewPredicate: p.NewPredicate, Kind: worker.KindTransformation}
		if p.NewPredicate != nil {
			w.Kind = worker.KindPredicate
		}
		if p.Debezium {
			w.Version = debeziumVersion
		}
		out = append(out, w)
	}
	return out
}

func mysqlSource(flavor mysql.Flavor) func(worker.TaskEnv) (worker.Source, error) {
	return func(e worker.TaskEnv) (worker.Source, error) {
		return mysql.NewSource(flavor, e.Connector, e.Task, e.Props, e.Log, e.Metrics)
	}
}
