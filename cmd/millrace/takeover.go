package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"millrace/internal/metrics"
	"millrace/internal/worker"
)

const takeoverHelp = `Usage: millrace takeover --check worker.properties [flags]
       millrace takeover --shadow CONNECTOR worker.properties [--run 1m]

Reads the storage topics of the workers that share the group.id and the topics of
this file, Java's or millrace's, and reports for each connector and property what
works, what differs and what is refused, and from where each connector goes on. It
only looks: it joins no group and writes nothing, so it may run beside the workers.
The connectors' databases are asked what validation asks them.

--shadow runs a connector of PostgreSQL, MySQL or MariaDB a second time beside the one
that Java runs, with a replication slot or server id of its own, and keeps its records
to itself. Then it compares them with what Java has written to the topics meanwhile.
It makes no snapshot, registers no schema, and drops its slot at the end.

The exit status is 0 when nothing is refused, and nothing differs, else 1.

Afterwards: stop the Java workers, then start millrace with the same file. To give
back, stop millrace and start the Java workers.

Flags:
`

// takeover checks whether this binary can run what a group of workers runs.
func takeover(ctx context.Context, e *env, args []string) error {
	fs := e.flags("takeover", "")
	check := fs.Bool("check", false, "report what a take-over would find")
	beside := fs.String("shadow", "", "connector to run beside Java's, to compare its records")
	run := fs.Duration("run", time.Minute, "how long the shadow runs")
	asJSON := fs.Bool("json", false, "report as JSON")
	all := fs.Bool("all", false, "list the properties that work as well")
	wait := fs.Duration("timeout", time.Minute, "how long everything may take")
	fs.Usage = func() { fmt.Fprint(e.errOut, takeoverHelp+fs.FlagUsages()) }
	e.logLevel = "warn"
	if err := e.parse(fs, args); err != nil {
		return helpOr(err)
	}
	if fs.NArg() != 1 || *check == (*beside != "") {
		fs.Usage()
		return errUsage
	}
	ctx, cancel := context.WithTimeout(ctx, *wait+*run)
	defer cancel()
	if *beside != "" {
		cfg, err := worker.LoadConfig(fs.Arg(0), e.log)
		if err != nil {
			return err
		}
		r, err := shadow(ctx, e, cfg, *beside, *run)
		if err != nil {
			return err
		}
		if err := r.print(e, *asJSON); err != nil {
			return fmt.Errorf("write the report: %w", err)
		}
		if r.Different+r.OnlyJava+r.OnlyHere > 0 {
			return errors.New("the records differ")
		}
		return nil
	}
	cfg, problems, err := worker.InspectConfig(fs.Arg(0), e.log)
	if err != nil {
		return err
	}
	in := cfg.Inspection(problems)
	unread := inspect(ctx, e, cfg, in) // after the report, since it is about what the report lacks
	var out []byte
	if *asJSON {
		if out, err = json.MarshalIndent(in, "", "  "); err != nil {
			return fmt.Errorf("write the report: %w", err)
		}
		out = append(out, '\n')
	} else {
		out = inspectionText(in, *all, shaded(e.out))
	}
	if _, err := e.out.Write(out); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if unread != nil {
		return fmt.Errorf("the storage topics were not read, so nothing is said about the connectors: %w", unread)
	}
	if in.Verdict == worker.Refused {
		return errors.New("what is marked as refused must be changed before a take-over")
	}
	return nil
}

// inspect adds to the report what the storage topics say. Problems of the properties
// do not keep it from looking.
func inspect(ctx context.Context, e *env, cfg *worker.Config, in *worker.Inspection) error {
	if !cfg.Connects() {
		return errors.New("the settings of the connection to Kafka are refused, see above")
	}
	w := worker.New(cfg, worker.NewRegistry(plugins()), metrics.New(), worker.NewLoggers(e.level), e.log)
	found, err := w.Inspect(ctx)
	if err != nil {
		return err
	}
	in.Members, in.Connectors, in.Verdict = found.Members, found.Connectors, in.Verdict.Worse(found.Verdict)
	in.Read = true
	return nil
}

// inspectionText is the report for people: what needs a look first.
func inspectionText(in *worker.Inspection, all, color bool) []byte {
	var b bytes.Buffer
	shade := func(v worker.Verdict) string {
		word := fmt.Sprintf("%-7s", v)
		code := map[worker.Verdict]string{worker.Works: "32", worker.Differs: "33", worker.Refused: "31"}[v]
		if color {
			return "\x1b[" + code + "m" + word + "\x1b[0m"
		}
		return word
	}
	lines := func(indent string, ps []worker.PropertyReport) {
		for _, p := range ps {
			if p.Verdict == worker.Works && p.Text == "" && !all {
				continue
			}
			fmt.Fprintf(&b, "%s%s %s", indent, shade(p.Verdict), p.Property)
			if p.Text != "" {
				fmt.Fprintf(&b, ": %s", p.Text)
			}
			b.WriteByte('\n')
		}
	}
	if len(in.Worker) > 0 {
		b.WriteString("worker properties\n")
		lines("  ", in.Worker)
	}
	count := map[worker.Verdict]int{}
	for _, c := range in.Connectors {
		count[c.Verdict]++
		fmt.Fprintf(&b, "%s %s (%s), target state %s", shade(c.Verdict), c.Name, c.Class, c.Target)
		if c.State != "" {
			fmt.Fprintf(&b, ", last seen %s", c.State)
		}
		plain := 0
		for _, p := range c.Properties {
			if p.Verdict == worker.Works && p.Text == "" {
				plain++
			}
		}
		fmt.Fprintf(&b, ": %d properties work\n", plain)
		lines("  ", c.Properties)
	}
	if in.Members > 0 {
		fmt.Fprintf(&b, "%d workers of the group %s run at this moment: stop them before millrace starts with this group.\n", in.Members, in.Group)
	}
	if !in.Read {
		return b.Bytes()
	}
	fmt.Fprintf(&b, "%d connectors: %d work, %d differ in something, %d are refused\n", len(in.Connectors), count[worker.Works], count[worker.Differs], count[worker.Refused])
	return b.Bytes()
}
