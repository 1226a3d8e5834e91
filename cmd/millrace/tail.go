package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/internal/convert"
	"millrace/internal/kafkaconf"
	"millrace/internal/record"
	"millrace/internal/remote"
	"millrace/internal/worker"
)

// kafkaFlags say how Kafka is reached by a command.
type kafkaFlags struct {
	servers, props *string
}

func (k kafkaFlags) options(consumer bool) ([]kgo.Opt, error) {
	props := map[string]string{}
	if *k.props != "" {
		data, err := os.ReadFile(*k.props)
		if err != nil {
			return nil, fmt.Errorf("read the worker's properties: %w", err)
		}
		all, err := worker.ParseProperties(data)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", *k.props, err)
		}
		for key, v := range all {
			if key == "bootstrap.servers" || strings.HasPrefix(key, "sasl.") || strings.HasPrefix(key, "ssl.") || key == "security.protocol" {
				props[key] = v
			}
		}
	}
	if *k.servers != "" {
		props["bootstrap.servers"] = *k.servers
	}
	if props["bootstrap.servers"] == "" {
		props["bootstrap.servers"] = "127.0.0.1:9092"
	}
	read := kafkaconf.Producer
	if consumer {
		read = kafkaconf.Consumer
	}
	r := read(props)
	return r.Opts, r.Err()
}

// tailer prints records.
type tailer struct {
	e      *env
	avro   convert.Converter
	json   convert.Converter
	asJSON bool
	schema bool // keep the schema beside the payload
	dim    string
	plain  string
	key    string
}

func tail(ctx context.Context, e *env, args []string) error {
	fs := e.flags("tail", "TOPIC")
	k := kafkaFlags{fs.String("kafka", "", "bootstrap servers; 127.0.0.1:9092 when neither this nor --worker is given"), fs.String("worker", "", "worker.properties with the address and security of Kafka")}
	registry := fs.String("registry", "", "address of the Schema Registry, for records in Avro")
	begin := fs.Bool("from-beginning", false, "from the first record that the topic has")
	most := fs.IntP("number", "n", 0, "end after so many records; 0: Ctrl-C ends")
	key := fs.String("key", "", "only records whose key holds this text")
	schema := fs.Bool("schema", false, "also the schema that JsonConverter puts beside each payload")
	asJSON := fs.Bool("json", false, "one JSON object per record, with topic, partition, offset, timestamp and headers")
	if err := e.parse(fs, args); err != nil {
		return helpOr(err)
	}
	if fs.NArg() != 1 {
		fs.Usage()
		return errUsage
	}
	opts, err := k.options(true)
	if err != nil {
		return err
	}
	at := kgo.NewOffset().AtEnd()
	if *begin {
		at = kgo.NewOffset().AtStart()
	}
	t := &tailer{e: e, asJSON: *asJSON, schema: *schema, key: *key}
	if shaded(e.out) {
		t.dim, t.plain = "\x1b[2m", "\x1b[0m"
	}
	if *registry != "" {
		if t.avro, err = convert.NewAvro(map[string]string{"schema.registry.url": *registry}, false); err != nil {
			return err
		}
		if t.json, err = convert.NewJSON(map[string]string{"schemas.enable": "false", "decimal.format": "NUMERIC"}, false); err != nil {
			return err
		}
	}
	cl, err := kgo.NewClient(append(opts, kgo.ConsumeTopics(fs.Arg(0)), kgo.ConsumeResetOffset(at))...)
	if err != nil {
		return err
	}
	defer cl.Close()
	if d, err := kadm.NewClient(cl).ListTopics(ctx, fs.Arg(0)); err != nil {
		return fmt.Errorf("reach Kafka: %w", err)
	} else if !d.Has(fs.Arg(0)) {
		return fmt.Errorf("there is no topic %s; curl the worker's /connectors/NAME/topics for those of a connector", fs.Arg(0))
	}
	return t.run(ctx, cl, *most)
}

func (t *tailer) run(ctx context.Context, cl *kgo.Client, most int) error {
	for shown := 0; ; {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil
		}
		for _, e := range fetches.Errors() {
			return fmt.Errorf("read %s: %w", e.Topic, e.Err)
		}
		for it := fetches.RecordIter(); !it.Done(); {
			r := it.Next()
			if t.key != "" && !bytes.Contains(r.Key, []byte(t.key)) {
				continue
			}
			if err := t.print(ctx, r); err != nil {
				return err
			}
			if shown++; most > 0 && shown >= most {
				return nil
			}
		}
	}
}

func (t *tailer) print(ctx context.Context, r *kgo.Record) error {
	key, err := t.text(ctx, r.Topic, r.Key)
	if err != nil {
		return err
	}
	value, err := t.text(ctx, r.Topic, r.Value)
	if err != nil {
		return err
	}
	if !t.asJSON {
		_, err := fmt.Fprintf(t.e.out, "%s%s[%d] @%d %s%s\n%s\n%s\n\n", t.dim, r.Topic, r.Partition, r.Offset, r.Timestamp.Format(time.RFC3339Nano), t.plain, key, indented(value))
		return err
	}
	headers := map[string]string{}
	for _, h := range r.Headers {
		headers[h.Key] = string(h.Value)
	}
	enc := json.NewEncoder(t.e.out)
	enc.SetEscapeHTML(false)
	return enc.Encode(map[string]any{"topic": r.Topic, "partition": r.Partition, "offset": r.Offset, "timestamp": r.Timestamp.UnixMilli(), "headers": headers, "key": rawOrText(key), "value": rawOrText(value)})
}

// text is a key or value as JSON or as it is.
func (t *tailer) text(ctx context.Context, topic string, data []byte) ([]byte, error) {
	if data == nil {
		return []byte("null"), nil
	}
	if len(data) < 5 || data[0] != 0 {
		return t.payload(data), nil
	}
	if t.avro == nil {
		return nil, errors.New("these records are not JSON but go by a Schema Registry: --registry http://host:8081")
	}
	at := &record.Topic{Name: topic}
	b := &record.Batch{}
	s, c, err := t.avro.Decode(ctx, at, data, b)
	if err != nil {
		return nil, err
	}
	enc, err := t.json.Encoder(ctx, at, s)
	if err != nil {
		return nil, err
	}
	out, _, err := enc.Append(nil, b, c)
	return out, err
}

// payload leaves out the schema of {"schema": …, "payload": …}.
func (t *tailer) payload(data []byte) []byte {
	var parts map[string]json.RawMessage
	if t.schema || !bytes.HasPrefix(data, []byte(`{"schema":`)) || json.Unmarshal(data, &parts) != nil || len(parts) != 2 || parts["payload"] == nil {
		return data
	}
	return parts["payload"]
}

func indented(data []byte) []byte {
	var out bytes.Buffer
	if json.Indent(&out, data, "", "  ") != nil {
		return data
	}
	return out.Bytes()
}

func rawOrText(data []byte) any {
	if json.Valid(data) {
		return json.RawMessage(data)
	}
	return string(data)
}

// snapshotAgain gives a source a signal.
func snapshotAgain(ctx context.Context, e *env, args []string) error {
	fs, client := remoteFlags(e, "snapshot", "NAME")
	tables := fs.StringSlice("table", nil, "tables to read, schema.table (PostgreSQL) or database.table (MySQL); may be given several times")
	where := fs.String("where", "", "only rows that meet this SQL condition")
	blocking := fs.Bool("blocking", false, "pause the stream and read at once, instead of beside it in chunks")
	pause, resume, stop := fs.Bool("pause", false, "pause the snapshot that runs"), fs.Bool("resume", false, "resume it"), fs.Bool("stop", false, "stop it, for --table or altogether")
	k := kafkaFlags{fs.String("kafka", "", "bootstrap servers, when the worker's name for them does not work from here"), fs.String("worker", "", "worker.properties with the address and security of Kafka")}
	if err := e.parse(fs, args); err != nil {
		return helpOr(err)
	}
	var signal remote.Signal
	switch {
	case fs.NArg() != 1:
		fs.Usage()
		return errUsage
	case *pause:
		signal = remote.Control("pause", nil)
	case *resume:
		signal = remote.Control("resume", nil)
	case *stop:
		signal = remote.Control("stop", *tables)
	case len(*tables) == 0:
		return errors.New("name the tables to read: --table schema.table")
	default:
		signal = remote.Snapshot(*tables, *where, *blocking)
	}
	cfg, err := client().Config(ctx, fs.Arg(0))
	if err != nil {
		return err
	}
	if *k.servers == "" && *k.props == "" {
		// A worker of Kafka Connect has no such resource: it is given the signal by the
		// connector's own channels.
		err := client().Do(ctx, http.MethodPost, remote.Path(fs.Arg(0), "/signals"), signal, nil)
		var e2 *remote.Error
		if !errors.As(err, &e2) || e2.Code != http.StatusNotFound && e2.Code != http.StatusMethodNotAllowed {
			if err == nil {
				_, err = fmt.Fprintf(e.out, "%s: %s taken; the connector's page and the log of the worker tell how it goes\n", fs.Arg(0), signal.Type)
			}
			return err
		}
	}
	ch := remote.ChannelOf(cfg)
	if ch.Topic == "" {
		if ch.Table == "" {
			return fmt.Errorf("%s listens to no signals. Set signal.enabled.channels=kafka (signals in the topic %s-signal), or signal.data.collection to a table", fs.Arg(0), cfg["topic.prefix"])
		}
		sql, err := signal.SQL(ch.Table)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(e.out, "%s takes its signals from a table. Run this in the source database:\n\n%s\n", fs.Arg(0), sql)
		return err
	}
	if *k.servers == "" && *k.props == "" {
		*k.servers = ch.Servers
	}
	opts, err := k.options(false)
	if err != nil {
		return err
	}
	cl, err := kgo.NewClient(append(opts, kgo.AllowAutoTopicCreation())...)
	if err != nil {
		return err
	}
	defer cl.Close()
	value, err := signal.Record()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := cl.ProduceSync(ctx, &kgo.Record{Topic: ch.Topic, Key: []byte(ch.Key), Value: value}).FirstErr(); err != nil {
		return fmt.Errorf("write the signal to %s: %w", ch.Topic, err)
	}
	_, err = fmt.Fprintf(e.out, "%s: %s sent to %s; millrace status and the log of the worker tell how it goes\n", fs.Arg(0), signal.Type, ch.Topic)
	return err
}
