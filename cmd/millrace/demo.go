package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/mattn/go-isatty"

	"millrace/internal/demo"
	"millrace/internal/worker"
)

// demoCommands are `millrace demo` and, without a description and so left out of
// the help, the process that runs its PostgreSQL.
func demoCommands() []command {
	return []command{
		{"demo", "", "see it work: a real PostgreSQL (or MySQL), Kafka, a connector and a sink in this process", runDemo},
		{demo.HelperCommand, "", "", func(_ context.Context, e *env, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("%s is started by `millrace demo`, not by hand", demo.HelperCommand)
			}
			return demo.RunHelper(args[0], os.Stdin, e.out)
		}},
	}
}

func runDemo(ctx context.Context, e *env, args []string) error {
	fs := e.flags("demo", "[flags]")
	o := demo.Options{Out: e.out}
	fs.StringVar(&o.Postgres, "postgres", "", "URL of an existing PostgreSQL (postgres://user:password@host:port/postgres, wal_level logical); a database of its own is made and dropped")
	fs.StringVar(&o.MySQL, "mysql", "", "show MySQL or MariaDB instead: URL of an existing server (mysql://user:password@host:port), or \"embedded\" to run the mysqld or mariadbd of this machine")
	fs.StringVar(&o.Kafka, "kafka", "", "bootstrap servers of an existing Kafka; its topics are deleted in the end")
	fs.StringVar(&o.Registry, "registry", "", "URL of an existing Schema Registry")
	fs.IntVar(&o.Rate, "rate", 100, "transactions per second that the shop makes")
	fs.IntVar(&o.Seconds, "seconds", 0, "stop after so many seconds; 0 runs until Ctrl-C")
	fs.BoolVar(&o.JSON, "json", false, "print one JSON object a line, for scripts")
	if err := fs.Set("log-level", "warn"); err != nil {
		return err
	}
	fs.Lookup("log-level").DefValue = "warn"
	if err := e.parse(fs, args); err != nil {
		return helpOr(err)
	}
	if fs.NArg() > 0 || o.MySQL != "" && o.Postgres != "" || o.Rate < 1 || o.Seconds < 0 {
		fs.Usage()
		return errUsage
	}
	if f, ok := e.out.(*os.File); ok {
		o.Terminal = isatty.IsTerminal(f.Fd())
	}
	o.Color = o.Terminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	o.Log = e.log
	o.Worker = func(ctx context.Context, props map[string]string, log *slog.Logger) (func() error, error) {
		return startInProcess(ctx, e, props)
	}
	// The first Ctrl-C ends the demo in good order, a second one at once: the helper
	// process sees this one die and stops PostgreSQL.
	again := make(chan os.Signal, 2)
	signal.Notify(again, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(again)
	done := make(chan struct{})
	defer close(done)
	go func() {
		for n := 0; n < 2; n++ {
			select {
			case <-again:
			case <-done:
				return
			}
		}
		os.Exit(130)
	}()
	return demo.Run(ctx, o)
}

// startInProcess runs a worker in this process and returns once its REST server
// answers about connectors.
func startInProcess(ctx context.Context, e *env, props map[string]string) (stop func() error, err error) {
	cfg, err := worker.NewConfig(props, e.log)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, e, cfg, nil) }()
	stop = func() error {
		cancel()
		return <-ended
	}
	for limit := time.Now().Add(30 * time.Second); ; {
		if answers(ctx, props["listeners"]+"/connectors") {
			return stop, nil
		}
		select {
		case err := <-ended:
			cancel()
			return nil, errors.Join(errors.New("the worker stopped while it started"), err)
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(limit) {
			return nil, errors.Join(errors.New("the worker's REST server did not answer within 30 s"), stop())
		}
	}
}

func answers(ctx context.Context, url string) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	_ = res.Body.Close()
	return res.StatusCode == http.StatusOK
}
