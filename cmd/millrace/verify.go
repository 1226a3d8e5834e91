package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"sort"
	"strings"
	"time"

	"millrace/internal/metrics"
	"millrace/internal/worker"
	"millrace/sinkers/sqlsink"
)

const verifyHelp = `Usage: millrace verify SINK.json [SOURCE.json] [flags]

Compares the tables of a JDBC sink with what they should hold, key by key, and names
the keys that differ. PostgreSQL, MySQL, MariaDB and SQLite.

With the sink's file alone, what they should hold are the topics: they are read from
their beginning to their present end, through the sink's converters and transforms.
With the source's file as well (PostgreSQL, MySQL, MariaDB), it is the source's tables:
a snapshot is read beside the running connector, with a slot or server id of its own,
through the transforms of both; nothing of it goes into your Kafka.

The records are written by the sink's own code into temporary tables of the target
database, which then compares: so every value goes through the conversions of the
sink. The tables themselves are only read. The database needs room for the copy, and
the sink's user the right to make temporary tables.

While the connector works, its tables lag behind. So when keys differ, verify waits
until the sink's group has committed what was read (offset.flush.interval.ms), and
looks again, up to --rounds times; only keys that differ each time are reported, and
not those that records keep changing meanwhile.

Files are what POST /connectors takes, or a flat JSON object with "name". Paste this:

  millrace verify shop-sink.json --worker worker.properties
  millrace verify shop-sink.json shop.json --worker worker.properties --json | jq '.tables[] | .keys[]?.key'

A key is "missing" (the table lacks it), "extra" (only the table has it) or
"different" (its row has other values in the columns that are named). When a topic no
longer has its first records, extra keys are shown, but are no difference.

Exit status: 0 everything is equal, 1 something differs or could not be compared,
2 wrong usage.

Flags:
`

// verification is everything that was found, and the document of --json.
type verification struct {
	Connector string                 `json:"connector"`
	Source    string                 `json:"source,omitempty"`
	Equal     bool                   `json:"equal"`
	Records   int64                  `json:"records"` // read from topics, or rows of the snapshot
	Rounds    int                    `json:"rounds"`
	Tables    []*sqlsink.TableReport `json:"tables"`
	Refused   int                    `json:"refused,omitempty"` // records that the target's types do not take
	Notes     []string               `json:"notes,omitempty"`
}

// verifier runs a comparison.
type verifier struct {
	e      *env
	cfg    *worker.Config
	sink   *connectorFile
	source *connectorFile // nil: the topics are compared
	rounds int
	wait   time.Duration
	keys   int
	extra  bool // extra keys count
	quiet  bool
	moving map[string]map[string]bool // by table and key: differences whose row is another one than in the round before
	out    verification
}

func verify(ctx context.Context, e *env, args []string) error {
	fs := e.flags("verify", "")
	props := fs.String("worker", "", "worker.properties with Kafka's address and security, converters and config providers")
	kafka := fs.String("kafka", "", "bootstrap servers instead of those of --worker; 127.0.0.1:9092 when neither is given")
	asJSON := fs.Bool("json", false, "report as JSON")
	keys := fs.Int("keys", 20, "most keys that are listed per table; all are counted")
	ignore := fs.Bool("ignore-extra", false, "rows that only the table has are no difference (others write to it too)")
	wait := fs.Duration("wait", 90*time.Second, "how long to wait for the sink to write what was read")
	rounds := fs.Int("rounds", 4, "how often keys that differ are looked at")
	fs.Usage = func() { fmt.Fprint(e.errOut, verifyHelp+fs.FlagUsages()) }
	e.logLevel = "warn"
	if err := e.parse(fs, args); err != nil {
		return helpOr(err)
	}
	if fs.NArg() < 1 || fs.NArg() > 2 {
		fs.Usage()
		return errUsage
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent) // a sixth less memory for a source's snapshot
	}
	v := &verifier{e: e, rounds: max(1, *rounds), wait: *wait, keys: *keys, extra: !*ignore, quiet: *asJSON}
	if err := v.load(*props, *kafka, fs.Args()); err != nil {
		return err
	}
	if err := v.run(ctx); err != nil {
		return err
	}
	if err := v.print(*asJSON); err != nil {
		return err
	}
	if !v.out.Equal {
		return errors.New("the tables are not what they should be")
	}
	return nil
}

// load reads the files; their order does not matter.
func (v *verifier) load(props, kafka string, paths []string) (err error) {
	p := map[string]string{"bootstrap.servers": "127.0.0.1:9092", "offset.storage.file.filename": "unused",
		"key.converter": "org.apache.kafka.connect.json.JsonConverter", "value.converter": "org.apache.kafka.connect.json.JsonConverter"}
	if kafka != "" {
		p["bootstrap.servers"] = kafka
	}
	v.cfg, err = worker.NewConfig(p, v.e.log)
	if props != "" {
		v.cfg, err = worker.LoadConfig(props, v.e.log)
	}
	if err != nil {
		return err
	}
	if kafka != "" {
		v.cfg.Props["bootstrap.servers"] = kafka
	}
	reg := worker.NewRegistry(plugins())
	for _, path := range paths {
		f, err := readConnector(path)
		if err != nil {
			return err
		}
		pl := reg.Connector(strings.TrimSpace(f.config.Value("connector.class")))
		switch {
		case pl == nil:
			return fmt.Errorf("%s: millrace has no connector of the class %q", path, f.config.Value("connector.class"))
		case pl.Kind == worker.KindSink && v.sink == nil:
			v.sink = f
			v.sink.config.Put("connector.class", pl.Class)
		case pl.Kind == worker.KindSource && v.source == nil:
			v.source = f
			v.source.config.Put("connector.class", pl.Class)
		default:
			return fmt.Errorf("%s: verify takes one sink, and one source at most", path)
		}
	}
	if v.sink == nil {
		return errors.New("name the file of the sink, whose tables are compared; the source's alone does not say where they are")
	}
	return nil
}

// run compares and looks again while something differs.
func (v *verifier) run(ctx context.Context) error {
	w := worker.New(v.cfg, worker.NewRegistry(plugins()), metrics.New(), worker.NewLoggers(v.e.level), v.e.log)
	props, err := w.Resolve(v.sink.config.Strings())
	if err != nil {
		return err
	}
	v.out.Connector = v.sink.name
	if v.source != nil {
		return v.runSource(ctx, props)
	}
	tables, err := sqlsink.NewVerifier(props["connector.class"], props, v.e.log)
	if err != nil {
		return err
	}
	defer func() { _ = tables.Stop() }()
	if err := tables.Start(ctx); err != nil {
		return err
	}
	r, err := w.NewReplay(v.sink.name, props, v.e.log)
	if err != nil {
		return err
	}
	defer r.Close()
	for round := 1; ; round++ {
		if _, err := r.Read(ctx, tables, v.progress("records")); err != nil {
			return err
		}
		reports, err := tables.Compare(ctx)
		if err != nil {
			return err
		}
		v.merge(round, reports)
		if !v.differs() || round >= v.rounds {
			break
		}
		// What the sink has not written yet is no difference.
		if err := errors.Join(v.await(ctx, r), wait(ctx, 500*time.Millisecond)); err != nil {
			return err
		}
	}
	v.out.Records = r.Records
	v.cut(r.Cut)
	v.conclude(tables)
	return nil
}

// await waits until the sink has committed what was read.
func (v *verifier) await(ctx context.Context, r *worker.Replay) error {
	until := time.Now().Add(v.wait)
	for {
		behind, err := r.Behind(ctx)
		switch {
		case err != nil:
			return err
		case behind == 0:
			return nil
		case behind < 0:
			v.note("the group " + r.Group() + " has committed nothing; the sink has not run yet, or under another name")
			return nil
		case time.Now().After(until):
			v.note(fmt.Sprintf("the sink is %d records behind; differences may be what it has not written yet", behind))
			return nil
		}
		if err := wait(ctx, 250*time.Millisecond); err != nil {
			return err
		}
	}
}

func (v *verifier) note(text string) {
	for _, n := range v.out.Notes {
		if n == text {
			return
		}
	}
	v.out.Notes = append(v.out.Notes, text)
}

// progress tells every two seconds how far reading is.
func (v *verifier) progress(what string) func(done, all int64) {
	last := time.Now()
	return func(done, all int64) {
		if v.quiet || time.Since(last) < 2*time.Second {
			return
		}
		last = time.Now()
		fmt.Fprintf(v.e.errOut, "read %d of %d %s\n", done, all, what)
	}
}

// merge keeps of the differences those that were there in every round.
func (v *verifier) merge(round int, now []*sqlsink.TableReport) {
	v.out.Rounds, v.moving = round, map[string]map[string]bool{}
	if round > 1 {
		before := map[string]*sqlsink.TableReport{}
		for _, t := range v.out.Tables {
			before[t.Table] = t
		}
		for _, t := range now {
			if b := before[t.Table]; b != nil {
				v.moving[t.Table] = still(b, t)
			}
		}
	}
	v.out.Tables = now
}

// still takes those differences out of now that were not there before. Beyond what
// is listed all count. It returns which of the others are about another row than before.
func still(before, now *sqlsink.TableReport) map[string]bool {
	full := map[string]bool{"missing": before.Missing >= sqlsink.Most, "extra": before.Extra >= sqlsink.Most, "different": before.Different >= sqlsink.Most}
	had := map[string]*sqlsink.KeyDiff{}
	for i := range before.Keys {
		had[before.Keys[i].ID()] = &before.Keys[i]
	}
	moving := map[string]bool{}
	remove(now, func(k *sqlsink.KeyDiff) bool {
		b := had[k.ID()]
		if b != nil && b.Row != k.Row {
			moving[k.ID()] = true
		}
		return b == nil && !full[k.Kind]
	})
	return moving
}

// remove takes differences out of a report, also out of its counts, and returns how many.
func remove(t *sqlsink.TableReport, gone func(*sqlsink.KeyDiff) bool) int {
	counts := map[string]*int{"missing": &t.Missing, "extra": &t.Extra, "different": &t.Different}
	before := len(t.Keys)
	t.Keys = slices.DeleteFunc(t.Keys, func(k sqlsink.KeyDiff) bool {
		out := gone(&k)
		if out {
			*counts[k.Kind]--
		}
		return out
	})
	return before - len(t.Keys)
}

// leave takes the differences out of the reports that the last round found in rows which
// records had changed since the round before: nothing tells that the sink has not
// written those by now.
func (v *verifier) leave() {
	n := 0
	for _, t := range v.out.Tables {
		n += remove(t, func(k *sqlsink.KeyDiff) bool { return v.moving[t.Table][k.ID()] })
	}
	if n > 0 {
		v.note(fmt.Sprintf("%d keys are left out: they were changed while they were compared. To have all compared, run verify again when they rest", n))
	}
}

func (v *verifier) differs() bool {
	for _, t := range v.out.Tables {
		if t.Problem != "" || t.Missing+t.Different > 0 || v.extra && t.Extra > 0 {
			return true
		}
	}
	return false
}

// cut: where the first records of a topic are gone, extra rows prove nothing.
func (v *verifier) cut(topics []string) {
	if len(topics) > 0 {
		sort.Strings(topics)
		v.extra = false
		v.note("extra rows do not count: the first records are gone from " + strings.Join(topics, ", "))
	}
}

func (v *verifier) conclude(tables *sqlsink.Verifier) {
	v.out.Refused = tables.Refusals()
	for _, err := range tables.Refused {
		v.note("refused: " + err.Error())
	}
	v.leave()
	v.out.Equal = !v.differs()
	if len(v.out.Tables) == 0 {
		v.note("there were no records, so there was no table to compare")
	}
	for _, t := range v.out.Tables {
		t.Keys = t.Keys[:min(len(t.Keys), v.keys)]
	}
}

func (v *verifier) print(asJSON bool) error {
	if asJSON {
		b, err := json.MarshalIndent(&v.out, "", "  ")
		if err == nil {
			_, err = fmt.Fprintf(v.e.out, "%s\n", b)
		}
		return err
	}
	for _, t := range v.out.Tables {
		state := "equal"
		if t.Missing+t.Extra+t.Different > 0 {
			state = fmt.Sprintf("%d missing, %d extra, %d different", t.Missing, t.Extra, t.Different)
		}
		fmt.Fprintf(v.e.out, "%s: %s (%d rows expected, %d in the table)\n", t.Table, state, t.Expected, t.Rows)
		if t.Problem != "" {
			fmt.Fprintf(v.e.out, "  %s\n", t.Problem)
		}
		for _, k := range t.Keys {
			fmt.Fprintf(v.e.out, "  %-9s %s", k.Kind, keyText(k.Key))
			if len(k.Columns) > 0 {
				fmt.Fprintf(v.e.out, "  in %s", strings.Join(k.Columns, ", "))
			}
			fmt.Fprintln(v.e.out)
		}
		if n := t.Missing + t.Extra + t.Different - len(t.Keys); n > 0 {
			fmt.Fprintf(v.e.out, "  and %d more\n", n)
		}
	}
	for _, n := range v.out.Notes {
		fmt.Fprintf(v.e.out, "note: %s\n", n)
	}
	return nil
}

func keyText(key map[string]string) string {
	var parts []string
	for k, x := range key {
		parts = append(parts, k+"="+x)
	}
	sort.Strings(parts)
	return strings.Join(parts, ", ")
}
