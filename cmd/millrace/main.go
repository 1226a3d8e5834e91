// Command millrace is change data capture in one binary: it runs connectors
// behind Kafka Connect's REST API.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	_ "time/tzdata" // named zones in images that have nothing but the binary

	"github.com/spf13/pflag"
)

// version is millrace's own version; the linker sets it for releases.
var version = "dev"

// command is one subcommand.
type command struct {
	name, args, short string
	run               func(ctx context.Context, e *env, args []string) error
}

// env is what every subcommand gets.
type env struct {
	out, errOut io.Writer
	logFormat   string
	logLevel    string
	level       *slog.LevelVar
	log         *slog.Logger
}

// commands is the table of subcommands, in the order --help shows them.
func commands() []command {
	return []command{
		{"run", "worker.properties [connector.json …]", "run a worker: connectors behind Kafka Connect's REST API", runWorker},
		{"plugins", "", "list the connectors, converters, transforms and predicates of this binary", listPlugins},
		{"validate", "connector.json …", "check connector configs as PUT …/config/validate does, without a worker", validateFiles},
		{"doctor", "connector.json", "check everything a connector needs, with the SQL that fixes what is missing", runDoctor},
		{"verify", "sink.json [source.json]", "compare a sink's tables with its topics, or with the source, key by key", verify},
		{"takeover", "--check worker.properties", "check what a take-over from Java workers would find, without touching anything", takeover},
		{"version", "", "print the version", printVersion},
	}
}

// errUsage ends the process with status 2; the text was printed already.
var errUsage = errors.New("usage")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(realMain(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// realMain runs a command line and returns the exit status: 0 fine, 1 failed, 2
// wrong usage.
func realMain(ctx context.Context, args []string, out, errOut io.Writer) int {
	e := &env{out: out, errOut: errOut, level: &slog.LevelVar{}}
	name, rest := "", args
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		name, rest = args[0], args[1:]
	}
	if name == "help" {
		help(out)
		return 0
	}
	for _, c := range allCommands() {
		if c.name != name {
			continue
		}
		err := c.run(ctx, e, rest)
		switch {
		case err == nil:
			return 0
		case errors.Is(err, errUsage):
			return 2
		}
		fmt.Fprintf(errOut, "millrace %s: %v\n", c.name, err)
		return 1
	}
	if name == "" && (len(args) == 0 || args[0] == "--help" || args[0] == "-h") {
		help(out)
		return 0
	}
	fmt.Fprintf(errOut, "millrace: unknown command %q; see millrace --help\n", strings.Join(args, " "))
	return 2
}

func help(w io.Writer) {
	fmt.Fprint(w, `millrace: change data capture in one binary. It reads a database's log, writes
Debezium's records to Kafka, and runs sinks, behind Kafka Connect's REST API.

Usage: millrace COMMAND [flags] [arguments]

Commands:
`)
	for _, c := range allCommands() {
		if c.short != "" {
			fmt.Fprintf(w, "  %-10s %s\n", c.name, c.short)
		}
	}
	fmt.Fprint(w, `
First steps:
  1. Write worker.properties, or take the file of a Kafka Connect worker:
       bootstrap.servers=localhost:9092
       group.id=connect-cluster
       key.converter=org.apache.kafka.connect.json.JsonConverter
       value.converter=org.apache.kafka.connect.json.JsonConverter
       config.storage.topic=connect-configs
       offset.storage.topic=connect-offsets
       status.storage.topic=connect-status
     (without Kafka topics for the state: offset.storage.file.filename=offsets.dat
     instead of group.id and the three topics)
  2. millrace run worker.properties
  3. curl -X POST -H 'Content-Type: application/json' -d @connector.json localhost:8083/connectors
     curl localhost:8083/connectors?expand=status
     curl localhost:8083/metrics

millrace COMMAND --help tells about the flags of a command.
`)
}

// flags makes the flag set of a command, with the flags that all have.
func (e *env) flags(c string, usage string) *pflag.FlagSet {
	fs := pflag.NewFlagSet(c, pflag.ContinueOnError)
	fs.SetOutput(e.errOut)
	fs.SortFlags = false
	fs.Usage = func() {
		about := ""
		if i := slices.IndexFunc(allCommands(), func(x command) bool { return x.name == c && x.short != "" }); i >= 0 {
			short := allCommands()[i].short
			about = strings.ToUpper(short[:1]) + short[1:] + ".\n\n"
		}
		fmt.Fprintf(e.errOut, "Usage: millrace %s %s\n\n%sFlags:\n%s", c, usage, about, fs.FlagUsages())
	}
	fs.StringVar(&e.logFormat, "log-format", "text", "text or json")
	fs.StringVar(&e.logLevel, "log-level", "info", "debug, info, warn or error; PUT /admin/loggers/root changes it while running")
	return fs
}

// parse parses flags and makes the logger.
func (e *env) parse(fs *pflag.FlagSet, args []string) error {
	if err := fs.Parse(args); err != nil {
		if !errors.Is(err, pflag.ErrHelp) {
			fmt.Fprintf(e.errOut, "millrace %s: %v; see millrace %s --help\n", fs.Name(), err, fs.Name())
			return errUsage
		}
		return pflag.ErrHelp
	}
	var l slog.Level
	if err := l.UnmarshalText([]byte(e.logLevel)); err != nil {
		fmt.Fprintf(e.errOut, "millrace: --log-level %q is none of debug, info, warn and error\n", e.logLevel)
		return errUsage
	}
	e.level.Set(l)
	opt := &slog.HandlerOptions{Level: e.level}
	switch e.logFormat {
	case "text":
		e.log = slog.New(slog.NewTextHandler(e.errOut, opt))
	case "json":
		e.log = slog.New(slog.NewJSONHandler(e.errOut, opt))
	default:
		fmt.Fprintf(e.errOut, "millrace: --log-format %q is neither text nor json\n", e.logFormat)
		return errUsage
	}
	return nil
}
