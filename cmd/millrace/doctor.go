package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"millrace/capture"
	"millrace/capture/mysql"
	"millrace/capture/postgres"
	"millrace/emit"
	"millrace/internal/metrics"
	"millrace/internal/store"
	"millrace/internal/worker"
	"millrace/rest"
)

// examine makes the preflight of one connector on its database.
type examine func(ctx context.Context, name string, props map[string]string, offset []byte) (*capture.Checkup, error)

// doctors lists the connectors whose databases can be examined, by class. Their
// examination covers what their validation asks the server.
func doctors() map[string]examine {
	return map[string]examine{
		"io.debezium.connector.postgresql.PostgresConnector": func(ctx context.Context, name string, props map[string]string, offset []byte) (*capture.Checkup, error) {
			o, err := postgres.ParseOptions(name, 0, props)
			if err != nil {
				return nil, err
			}
			return postgres.Doctor(ctx, o, offset), nil
		},
		"io.debezium.connector.mysql.MySqlConnector":     mysqlDoctor(mysql.MySQL),
		"io.debezium.connector.mariadb.MariaDbConnector": mysqlDoctor(mysql.MariaDB),
	}
}

func mysqlDoctor(flavor mysql.Flavor) examine {
	return func(ctx context.Context, name string, props map[string]string, offset []byte) (*capture.Checkup, error) {
		o, err := mysql.ParseOptions(flavor, name, 0, props)
		if err != nil {
			return nil, err
		}
		return mysql.Doctor(ctx, o, offset), nil
	}
}

// doctorHelp teaches the command.
const doctorHelp = `Usage: millrace doctor connector.json [flags]

Looks at everything a connector needs before it runs: its config, the connection,
the role's rights, wal_level, slots, publication, every captured table, topics and
Schema Registry. Each problem comes with the SQL or the setting that fixes it.
It only looks: nothing is changed in the database, Kafka or the registry.

The file is what POST /connectors takes ({"name": …, "config": {…}}), a flat JSON
object with "name", or .properties. Paste this to try it:

  cat > shop.json <<'END'
  {
    "name": "shop",
    "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
    "database.hostname": "localhost", "database.port": "5432",
    "database.user": "postgres", "database.password": "postgres", "database.dbname": "postgres",
    "topic.prefix": "shop", "plugin.name": "pgoutput",
    "table.include.list": "public.orders"
  }
  END
  millrace doctor shop.json
  millrace doctor shop.json --worker worker.properties      # Kafka, topics, registry and stored offset too
  millrace doctor shop.json --json | jq -r '.findings[] | select(.state == "failed") | .sql[]? + ";"'

Exit status: 0 nothing failed (there may be warnings), 1 something failed, 2 wrong usage.

Flags:
`

// diagnosis is everything that was found, and the document of --json.
type diagnosis struct {
	Connector string            `json:"connector"`
	OK        bool              `json:"ok"` // nothing failed
	Failed    int               `json:"failed"`
	Warnings  int               `json:"warnings"`
	Findings  []capture.Finding `json:"findings"`
	// Notes say what was not looked at.
	Notes []string `json:"notes,omitempty"`
	// Topics are those that the captured tables go to, before transforms.
	Topics []string `json:"topics,omitempty"`
	// Sample is an event as a new source would write it.
	Sample *sample `json:"sample,omitempty"`
}

func (d *diagnosis) add(fs ...capture.Finding) { d.Findings = append(d.Findings, fs...) }

func (d *diagnosis) count() {
	for i := range d.Findings {
		switch d.Findings[i].State {
		case capture.StateFailed:
			d.Failed++
		case capture.StateWarning:
			d.Warnings++
		}
	}
	d.OK = d.Failed == 0
}

// runDoctor is the command.
func runDoctor(ctx context.Context, e *env, args []string) error {
	fs := e.flags("doctor", "connector.json")
	workerFile := fs.String("worker", "", "worker.properties: its Kafka, topics, converters and stored offsets are looked at too")
	asJSON := fs.Bool("json", false, "print one JSON document, for scripts")
	limit := fs.Duration("timeout", time.Minute, "give up after this time")
	fs.Usage = func() { fmt.Fprint(e.errOut, doctorHelp, fs.FlagUsages()) }
	if err := fs.Set("log-level", "error"); err != nil {
		return err
	}
	fs.Lookup("log-level").DefValue = "error"
	if err := e.parse(fs, args); err != nil {
		return helpOr(err)
	}
	if fs.NArg() != 1 {
		fs.Usage()
		return errUsage
	}
	f, err := readConnector(fs.Arg(0))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, *limit)
	defer cancel()
	d, err := diagnose(ctx, e, f, *workerFile)
	if err != nil {
		return err
	}
	if *asJSON {
		enc := json.NewEncoder(e.out)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		err = enc.Encode(d)
	} else {
		_, err = e.out.Write(d.text(shaded(e.out)))
	}
	if err == nil && !d.OK {
		err = fmt.Errorf("%d of %d checks failed", d.Failed, len(d.Findings))
	}
	return err
}

// diagnose makes all checks.
func diagnose(ctx context.Context, e *env, f *connectorFile, workerFile string) (*diagnosis, error) {
	if workerFile == "" {
		cfg, err := offlineConfig(e)
		if err != nil {
			return nil, err
		}
		return examineConnector(ctx, e, cfg, f, nil)
	}
	cfg, err := worker.LoadConfig(workerFile, e.log)
	if err != nil {
		return nil, err
	}
	return examineConnector(ctx, e, cfg, f, func(d *diagnosis, p *worker.Plugin, props map[string]string) []byte {
		return d.offset(ctx, e, cfg, p, f.name, props)
	})
}

// liveDoctor examines connectors for the REST API of a running worker.
func liveDoctor(e *env, cfg *worker.Config, w *worker.Worker) rest.Doctor {
	return func(ctx context.Context, name string, config *store.Map) (any, error) {
		d, err := examineConnector(ctx, e, cfg, &connectorFile{name: name, config: config}, func(d *diagnosis, _ *worker.Plugin, _ map[string]string) []byte {
			stored, err := w.Offsets(ctx, name)
			if err != nil || len(stored) != 1 {
				d.add(capture.Finding{Check: "stored offset", State: capture.StateOK, Found: "none: this will be the connector's first start"})
				return nil
			}
			return stored[0].Offset
		})
		if _, missing := w.Info(name); err != nil || !d.OK || missing == nil {
			return d, err // of a connector that is there the page shows real events
		}
		if d.Sample, err = sampleEvent(ctx, cfg, config, d.Topics); err != nil {
			d.Notes = append(d.Notes, "There is no sample event: "+err.Error())
		}
		return d, nil
	}
}

// examineConnector makes all checks. stored reads the stored offset of a source, with
// what it finds; nil: there is no worker, so Kafka is not looked at either.
func examineConnector(ctx context.Context, e *env, cfg *worker.Config, f *connectorFile, stored func(*diagnosis, *worker.Plugin, map[string]string) []byte) (*diagnosis, error) {
	reg := worker.NewRegistry(plugins())
	var doctor examine
	p := reg.Find(f.config.Value("connector.class"), worker.KindSource)
	if p != nil {
		doctor = doctors()[p.Class]
	}
	list := plugins()
	for i := range list {
		if doctor != nil && list[i].Class == p.Class {
			list[i].Validate = nil // the doctor asks the server himself
		}
	}
	w := worker.New(cfg, worker.NewRegistry(list), metrics.New(), worker.NewLoggers(e.level), e.log)
	d := &diagnosis{Connector: f.name, Findings: []capture.Finding{}}
	infos, err := w.ValidateConfig(ctx, f.config.Value("connector.class"), f.config)
	if err != nil {
		d.add(capture.Finding{Check: "config", State: capture.StateFailed, Found: err.Error(), Do: "Correct connector.class: millrace plugins lists the classes"})
		d.count()
		return d, nil
	}
	if d.config(infos) > 0 {
		d.Notes = append(d.Notes, "The config is not valid, so nothing else was looked at.")
		d.count()
		return d, nil
	}
	raw := map[string]string{}
	for _, x := range f.config.Entries() {
		if !f.config.IsNull(x.Key) {
			raw[x.Key] = x.Value
			if stored == nil && strings.Contains(x.Value, "${") {
				d.Notes = append(d.Notes, x.Key+" names a config provider; those are in worker.properties, so add --worker for its value.")
			}
		}
	}
	props, err := cfg.Providers.Resolve(raw)
	if err != nil {
		return nil, err
	}
	var offset []byte
	if stored != nil && p != nil {
		offset = stored(d, p, props)
	}
	if doctor == nil {
		d.Notes = append(d.Notes, "There is no examination of the database for "+f.config.Value("connector.class")+"; only its validation ran.")
	} else {
		c, err := doctor(ctx, f.name, props, offset)
		if err != nil {
			return nil, err
		}
		d.add(c.Findings...)
		d.Topics = c.Topics
	}
	if stored != nil {
		d.kafka(ctx, cfg, props, d.Topics)
	} else {
		d.Notes = append(d.Notes, "Kafka, topics and the stored offset were not looked at: add --worker worker.properties.")
	}
	for _, key := range []string{"key.converter", "value.converter"} {
		d.registry(ctx, w, props, key)
	}
	d.count()
	return d, nil
}

// offlineConfig is the config of a worker for checks that need none.
func offlineConfig(e *env) (*worker.Config, error) {
	json := "org.apache.kafka.connect.json.JsonConverter"
	return worker.NewConfig(map[string]string{"bootstrap.servers": "localhost:9092", "key.converter": json, "value.converter": json,
		"offset.storage.file.filename": "unused"}, e.log)
}

// config adds what the table of options found and returns the number of errors.
func (d *diagnosis) config(infos *worker.ConfigInfos) int {
	for _, c := range infos.Configs {
		if c.Value == nil {
			continue
		}
		for _, text := range c.Value.Errors {
			d.add(capture.Finding{Check: "config", Subject: c.Value.Name, State: capture.StateFailed, Found: text, Do: "Correct " + c.Value.Name})
		}
	}
	if infos.ErrorCount == 0 {
		d.add(capture.Finding{Check: "config", State: capture.StateOK, Found: "every property is valid"})
	}
	return infos.ErrorCount
}

// offset reads the stored offset of a source.
func (d *diagnosis) offset(ctx context.Context, e *env, cfg *worker.Config, p *worker.Plugin, name string, props map[string]string) []byte {
	src, err := p.NewSource(worker.TaskEnv{Connector: name, Props: props, Log: e.log})
	if err != nil {
		return nil // the examination says it
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	offset, err := cfg.StoredOffset(ctx, name, src.Partition(), e.log)
	switch {
	case err != nil:
		d.add(capture.Finding{Check: "stored offset", State: capture.StateWarning, Found: "cannot be read: " + err.Error(), Do: "Check bootstrap.servers and offset.storage.* in the worker's properties"})
	case offset == nil:
		d.add(capture.Finding{Check: "stored offset", State: capture.StateOK, Found: "none: this will be the connector's first start"})
	}
	return offset
}

// kafka checks that the brokers answer and that topics exist or will.
func (d *diagnosis) kafka(ctx context.Context, cfg *worker.Config, props map[string]string, topics []string) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	servers := cfg.Props["bootstrap.servers"]
	r, err := cfg.CheckKafka(ctx, props, topics)
	if err != nil {
		d.add(capture.Finding{Check: "kafka", Subject: servers, State: capture.StateFailed, Found: "no answer with the settings of the connector's producer: " + err.Error(),
			Do: "Check bootstrap.servers, security.protocol, sasl.* and ssl.* in the worker's properties (producer.* goes over them, producer.override.* over that)"})
		return
	}
	d.add(capture.Finding{Check: "kafka", Subject: servers, State: capture.StateOK, Found: fmt.Sprintf("brokers that answer: %d", r.Brokers)})
	if len(topics) > 0 {
		rules, _ := emit.ParseTopicRules(props) // the config was found valid
		d.add(topicsFinding(r, servers, len(topics), cfg.TopicCreation && rules != nil, props["transforms"] != ""))
	}
}

// topicsFinding judges topics that do not exist. creates tells that the connector
// makes topics, routed that transforms may send records elsewhere.
func topicsFinding(r *worker.TopicsReport, servers string, all int, creates, routed bool) capture.Finding {
	f := capture.Finding{Check: "topics", State: capture.StateOK, Found: fmt.Sprintf("all %d exist", all)}
	if len(r.Missing) == 0 {
		return f
	}
	missing := strings.Join(r.Missing[:min(3, len(r.Missing))], ", ")
	if len(r.Missing) > 3 {
		missing += fmt.Sprintf(" and %d more", len(r.Missing)-3)
	}
	f.Found = fmt.Sprintf("%d of %d do not exist: %s", len(r.Missing), all, missing)
	switch {
	case creates:
		f.Found += "; the connector makes them (topic.creation.*)"
	case r.AutoCreate == "true":
		f.Found += "; the broker makes them (auto.create.topics.enable)"
	default:
		f.State = capture.StateFailed
		f.Found += ", and neither the connector nor the broker makes them"
		f.Do = fmt.Sprintf("Set topic.creation.default.partitions and topic.creation.default.replication.factor, or make them: kafka-topics.sh --bootstrap-server %s --create --topic %s", servers, r.Missing[0])
		if routed || r.AutoCreate == "" {
			f.State = capture.StateWarning
		}
	}
	if routed {
		f.Found += " (names before transforms)"
	}
	return f
}

// registry checks that a converter's Schema Registry answers.
func (d *diagnosis) registry(ctx context.Context, w *worker.Worker, props map[string]string, key string) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	at, err := w.CheckRegistry(ctx, props, key)
	switch {
	case err != nil:
		d.add(capture.Finding{Check: "schema registry", Subject: key, State: capture.StateFailed, Found: strings.TrimSpace(at + " cannot be used: " + err.Error()),
			Do: "Check " + key + ".schema.registry.url, its user (basic.auth.*) and that the registry runs"})
	case at != "":
		d.add(capture.Finding{Check: "schema registry", Subject: key, State: capture.StateOK, Found: at + " answers"})
	}
}
