package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/spf13/pflag"

	"millrace/internal/remote"
)

// remoteCommands act on a running worker by its REST API.
func remoteCommands() []command {
	out := []command{
		{"status", "[NAME …]", "show the connectors of a running worker; exit status 1 when one has failed", showStatus},
		{"apply", "connector.json …", "create connectors, or update the ones that are there", apply},
		{"config", "NAME", "print a connector's config", showConfig},
		{"offsets", "NAME", "show the stored position of a connector, set it or forget it", offsets},
		{"snapshot", "NAME", "read tables of a running source again, or pause, resume or stop that", snapshotAgain},
		{"tail", "TOPIC", "print the records of a topic as they come", tail},
	}
	for _, a := range remoteActions {
		out = append(out, command{a.name, "NAME …", a.short, a.run})
	}
	return append(out, command{"completion", "bash|zsh|fish", "print what a shell needs to complete these commands", completion})
}

// remoteAction is a command that makes one request per connector.
type remoteAction struct {
	name, short, method, path string
}

var remoteActions = []remoteAction{
	{"pause", "pause connectors: their tasks stay and do nothing", http.MethodPut, "/pause"},
	{"resume", "resume connectors that are paused or stopped", http.MethodPut, "/resume"},
	{"stop", "stop connectors: their tasks end, their offsets stay", http.MethodPut, "/stop"},
	{"restart", "restart connectors and their tasks", http.MethodPost, "/restart?includeTasks=true"},
	{"delete", "delete connectors; slots and positions in the source are not touched", http.MethodDelete, ""},
}

func (a remoteAction) run(ctx context.Context, e *env, args []string) error {
	fs, client := remoteFlags(e, a.name, "NAME …")
	failed, patience := false, time.Duration(0)
	path := a.path
	switch a.name {
	case "restart":
		fs.BoolVar(&failed, "failed", false, "only what has failed")
	case "stop":
		fs.DurationVar(&patience, "wait", time.Minute, "how long to wait until the tasks have ended and their offsets are stored; 0: not at all")
	}
	if err := e.parse(fs, args); err != nil {
		return helpOr(err)
	}
	if fs.NArg() == 0 {
		fs.Usage()
		return errUsage
	}
	if failed {
		path += "&onlyFailed=true"
	}
	var problems []error
	for _, name := range fs.Args() {
		err := client().Do(ctx, a.method, remote.Path(name, path), nil, nil)
		if err == nil && patience > 0 {
			err = awaitStopped(ctx, client(), name, patience)
		}
		if err != nil {
			problems = append(problems, err)
			continue
		}
		fmt.Fprintf(e.out, "%s: %s\n", name, a.name)
	}
	return errors.Join(problems...)
}

// awaitStopped waits until a connector that was asked to stop has no task any more:
// what `millrace offsets` then shows is final.
func awaitStopped(ctx context.Context, c *remote.Client, name string, patience time.Duration) error {
	for end := time.Now().Add(patience); ; {
		var st remote.Status
		if err := c.Do(ctx, http.MethodGet, remote.Path(name, "/status"), nil, &st); err != nil {
			return err
		}
		if st.Connector.State == "STOPPED" && len(st.Tasks) == 0 {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s is to stop, and after %s %d of its tasks have not ended yet; millrace status %s tells when they have", name, patience, len(st.Tasks), name)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// remoteFlags are the flags of every command that asks a worker.
func remoteFlags(e *env, name, usage string) (*pflag.FlagSet, func() *remote.Client) {
	fs := e.flags(name, usage)
	address := cmp.Or(os.Getenv("MILLRACE_URL"), "http://127.0.0.1:8083")
	at := fs.String("url", address, "the worker's REST API; MILLRACE_URL in the environment")
	user := fs.String("user", "", "NAME:PASSWORD for basic authentication; MILLRACE_USER in the environment, which no process list shows")
	return fs, func() *remote.Client {
		u, p, _ := strings.Cut(cmp.Or(*user, os.Getenv("MILLRACE_USER")), ":")
		return &remote.Client{URL: *at, User: u, Password: p}
	}
}

// shaded reports whether out is a terminal that shows colours.
func shaded(out io.Writer) bool {
	f, ok := out.(*os.File)
	return ok && isatty.IsTerminal(f.Fd()) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

func showStatus(ctx context.Context, e *env, args []string) error {
	fs, client := remoteFlags(e, "status", "[NAME …]")
	asJSON := fs.Bool("json", false, "print JSON")
	watch := fs.Bool("watch", false, "again every two seconds, until Ctrl-C")
	if err := e.parse(fs, args); err != nil {
		return helpOr(err)
	}
	for {
		failed, err := printStatus(ctx, e, client(), fs.Args(), *asJSON)
		if err != nil {
			return err
		}
		if !*watch {
			if failed > 0 {
				return fmt.Errorf("%d failed", failed)
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(2 * time.Second):
		}
	}
}

func printStatus(ctx context.Context, e *env, c *remote.Client, names []string, asJSON bool) (failed int, err error) {
	all, err := c.All(ctx)
	if err != nil {
		return 0, err
	}
	var list []remote.Status
	for name, x := range all {
		if len(names) == 0 || slices.Contains(names, name) {
			list = append(list, x.Status)
		}
	}
	for _, n := range names {
		if all[n] == nil {
			return 0, fmt.Errorf("there is no connector %q", n)
		}
	}
	slices.SortFunc(list, func(a, b remote.Status) int { return cmp.Compare(a.Name, b.Name) })
	for i := range list {
		if list[i].Failed() {
			failed++
		}
	}
	if asJSON {
		enc := json.NewEncoder(e.out)
		enc.SetIndent("", "  ")
		if list == nil {
			list = []remote.Status{}
		}
		return failed, enc.Encode(list)
	}
	if len(list) == 0 {
		_, err := fmt.Fprintln(e.out, "There are no connectors. millrace apply connector.json makes one.")
		return 0, err
	}
	return failed, statusTable(e.out, list, len(names) > 0)
}

func statusTable(out io.Writer, list []remote.Status, whole bool) error {
	tw := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(tw, "CONNECTOR\tTYPE\tSTATE\tTASKS\tWORKER")
	for i := range list {
		s := &list[i]
		running := 0
		for _, t := range s.Tasks {
			if t.State == "RUNNING" {
				running++
			}
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%d of %d\t%s\n", s.Name, s.Type, s.Overall(), running, len(s.Tasks), s.Connector.Worker)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	red, plain := "", ""
	if shaded(out) {
		red, plain = "\x1b[31m", "\x1b[0m"
	}
	for i := range list {
		s := &list[i]
		for j, t := range append([]remote.State{s.Connector}, s.Tasks...) {
			if t.State != "FAILED" {
				continue
			}
			what := s.Name
			if j > 0 {
				what = fmt.Sprintf("%s, task %d", s.Name, t.ID)
			}
			trace := strings.TrimSpace(t.Trace)
			if !whole {
				c := remote.Causes(trace)
				if trace = c.Text(); c.Fix() != "" {
					trace += "\n  what to do: " + c.Fix()
				}
			}
			if _, err := fmt.Fprintf(out, "\n%s%s: %s%s\n", red, what, trace, plain); err != nil {
				return err
			}
		}
	}
	return nil
}

func apply(ctx context.Context, e *env, args []string) error {
	fs, client := remoteFlags(e, "apply", "connector.json …")
	if err := e.parse(fs, args); err != nil {
		return helpOr(err)
	}
	if fs.NArg() == 0 {
		fs.Usage()
		return errUsage
	}
	c := client()
	for _, path := range fs.Args() {
		f, err := readConnector(path)
		if err != nil {
			return err
		}
		was := true
		if _, err := c.Config(ctx, f.name); err != nil {
			var missing *remote.Error
			if !errors.As(err, &missing) || missing.Code != http.StatusNotFound {
				return err
			}
			was = false
		}
		if err := c.Do(ctx, http.MethodPut, remote.Path(f.name, "/config"), f.config.Strings(), nil); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		what := "created"
		if was {
			what = "updated"
		}
		fmt.Fprintf(e.out, "%s: %s\n", f.name, what)
	}
	return nil
}

func showConfig(ctx context.Context, e *env, args []string) error {
	fs, client := remoteFlags(e, "config", "NAME")
	if err := e.parse(fs, args); err != nil {
		return helpOr(err)
	}
	if fs.NArg() != 1 {
		fs.Usage()
		return errUsage
	}
	cfg, err := client().Config(ctx, fs.Arg(0))
	if err != nil {
		return err
	}
	enc := json.NewEncoder(e.out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(cfg)
}

func offsets(ctx context.Context, e *env, args []string) error {
	fs, client := remoteFlags(e, "offsets", "NAME")
	set := fs.String("set", "", "file with {\"offsets\": […]}, as this command prints it, to store; the connector must be stopped")
	reset := fs.Bool("reset", false, "forget the position; the connector must be stopped")
	if err := e.parse(fs, args); err != nil {
		return helpOr(err)
	}
	if fs.NArg() != 1 || *set != "" && *reset {
		fs.Usage()
		return errUsage
	}
	path := remote.Path(fs.Arg(0), "/offsets")
	var answer struct{ Message string }
	switch {
	case *reset:
		if err := client().Do(ctx, http.MethodDelete, path, nil, &answer); err != nil {
			return err
		}
	case *set != "":
		data, err := os.ReadFile(*set)
		if err != nil {
			return fmt.Errorf("read the offsets: %w", err)
		}
		if !json.Valid(data) {
			return fmt.Errorf("%s holds no JSON", *set)
		}
		if err := client().Do(ctx, http.MethodPatch, path, json.RawMessage(data), &answer); err != nil {
			return err
		}
	default:
		var raw json.RawMessage
		if err := client().Do(ctx, http.MethodGet, path, nil, &raw); err != nil {
			return err
		}
		enc := json.NewEncoder(e.out)
		enc.SetIndent("", "  ")
		return enc.Encode(raw)
	}
	_, err := fmt.Fprintln(e.out, answer.Message)
	return err
}

// completion prints a script that completes commands and connector names.
func completion(_ context.Context, e *env, args []string) error {
	fs := e.flags("completion", "bash|zsh|fish")
	if err := e.parse(fs, args); err != nil {
		return helpOr(err)
	}
	var names []string
	for _, c := range allCommands() {
		if c.short != "" {
			names = append(names, c.name)
		}
	}
	list := strings.Join(names, " ")
	var err error
	switch fs.Arg(0) {
	case "bash":
		_, err = fmt.Fprintf(e.out, `_millrace() {
  local word=${COMP_WORDS[COMP_CWORD]}
  case $COMP_CWORD in
    1) COMPREPLY=($(compgen -W %q -- "$word")) ;;
    *) case ${COMP_WORDS[1]} in
         pause|resume|stop|restart|delete|status|config|offsets|snapshot)
           COMPREPLY=($(compgen -W "$(millrace status 2>/dev/null | awk 'NR>1 && NF>=5 {print $1}')" -- "$word")) ;;
         *) COMPREPLY=($(compgen -f -- "$word")) ;;
       esac ;;
  esac
}
complete -F _millrace millrace
`, list)
	case "zsh":
		_, err = fmt.Fprintf(e.out, "#compdef millrace\n_arguments '1:command:(%s)' '*:connector:_files'\n", list)
	case "fish":
		_, err = fmt.Fprintf(e.out, "complete -c millrace -n __fish_use_subcommand -f -a %q\n", list)
	default:
		fs.Usage()
		return errUsage
	}
	return err
}
