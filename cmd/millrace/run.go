package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"

	"github.com/spf13/pflag"

	"millrace/internal/metrics"
	"millrace/internal/worker"
)

// allCommands is the whole table: this file's and the demo's.
func allCommands() []command {
	return append(append(demoCommands(), commands()...), remoteCommands()...)
}

func runWorker(ctx context.Context, e *env, args []string) error {
	fs := e.flags("run", "worker.properties [connector.json …]")
	addr := fs.String("pprof", "", "serve Go profiles on this address, e.g. 127.0.0.1:6060")
	if err := e.parse(fs, args); err != nil {
		return helpOr(err)
	}
	if fs.NArg() < 1 {
		fs.Usage()
		return errUsage
	}
	cfg, err := worker.LoadConfig(fs.Arg(0), e.log)
	if err != nil {
		return err
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	end, err := profile(*addr)
	if err != nil {
		return err
	}
	defer end()
	return serve(ctx, e, cfg, fs.Args()[1:])
}

func helpOr(err error) error {
	if errors.Is(err, pflag.ErrHelp) {
		return nil
	}
	return err
}

// gcPercent trades a little CPU for memory: a drain peaks some MiB lower (make
// bench), at the same rate. GOGC overrides it.
const gcPercent = 70

// serve runs a worker until ctx ends. The listener is open before the storage is
// read, so that probes get an answer at once.
func serve(ctx context.Context, e *env, cfg *worker.Config, files []string) (err error) {
	set := metrics.New()
	set.Process()
	w := worker.New(cfg, worker.NewRegistry(plugins()), set, worker.NewLoggers(e.level), e.log)
	set.Registry.MustRegister(w)
	srv, err := listen(e, cfg, w, set)
	if err != nil {
		return err
	}
	defer srv.close()
	if err := w.Start(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	trimText()
	e.log.Info("worker started", "rest", cfg.AdvertisedURL, "group.id", cfg.GroupID, "connectors", len(w.Names()))
	if err = createFromFiles(ctx, w, files); err == nil {
		err = srv.wait(ctx)
	}
	e.log.Info("stopping")
	if serr := w.Stop(); err == nil {
		err = serr
	}
	return err
}

func printVersion(_ context.Context, e *env, args []string) error {
	fs := e.flags("version", "")
	if err := e.parse(fs, args); err != nil {
		return helpOr(err)
	}
	v := version
	if bi, ok := debug.ReadBuildInfo(); ok && v == "dev" {
		for _, s := range bi.Settings {
			if s.Key == "vcs.revision" && len(s.Value) >= 12 {
				v += "-" + s.Value[:12]
			}
		}
	}
	_, err := fmt.Fprintf(e.out, "millrace %s (Kafka Connect REST API %s)\n", v, worker.ConnectVersion)
	return err
}

func listPlugins(_ context.Context, e *env, args []string) error {
	fs := e.flags("plugins", "")
	if err := e.parse(fs, args); err != nil {
		return helpOr(err)
	}
	for _, p := range worker.NewRegistry(plugins()).List() {
		if _, err := fmt.Fprintf(e.out, "%-16s %-12s %s\n", p.Kind, worker.VersionOf(p), p.Class); err != nil {
			return err
		}
	}
	return nil
}
