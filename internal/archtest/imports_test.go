package archtest

import (
	"path"
	"slices"
	"strings"
	"testing"
)

// room is a set of packages and what they may import. Tests may import anything,
// because a test joins rooms on purpose.
type room struct {
	// dirs are directories; each covers what lies below it.
	dirs []string
	// may lists other rooms' directories inside the module that these packages may
	// import, beside their own directory. "*" is everything.
	may []string
	// modules lists prefixes of foreign modules; nil allows only the standard library, "*" everything
	// except Kafka clients, which have a rule of their own.
	modules []string
}

var (
	base = []string{"internal/record", "internal/errs", "internal/configdef", "internal/metrics", "internal/javaregex"}
	pure = append(slices.Clone(base), "decode", "schemahistory", "internal/convert", "internal/transform")
	mid  = append(slices.Clone(pure), "snapshot", "emit", "internal/store", "internal/kafkaconf")
)

// rooms is the import direction of the house, from the ground up. The first room whose directory fits counts.
var rooms = []room{
	{dirs: []string{"internal/record", "internal/errs"}},
	{dirs: []string{"internal/configdef"}, may: []string{"internal/errs", "internal/javaregex"}},
	{dirs: []string{"internal/metrics"}, modules: []string{"github.com/prometheus/"}},
	{dirs: []string{"internal/javaregex"}, modules: []string{"github.com/dlclark/regexp2"}},
	{dirs: []string{"internal/kafkaconf"}, may: base, modules: []string{"*"}},
	{dirs: []string{"decode"}, may: base, modules: []string{"golang.org/x/text"}}, // tables of character sets
	{dirs: []string{"schemahistory", "internal/convert", "internal/transform"}, may: append(slices.Clone(base), "internal/kafkaconf"), modules: []string{"*"}},
	{dirs: []string{"snapshot", "emit", "internal/store"}, may: mid, modules: []string{"*"}},
	{dirs: []string{"sinkers"}, may: append(slices.Clone(base), "internal/convert", "internal/kafkaconf"), modules: []string{"*"}},
	{dirs: []string{"capture"}, may: mid, modules: []string{"*"}},
	{dirs: []string{"internal/worker"}, may: mid, modules: []string{"*"}},
	{dirs: []string{"internal/remote"}}, // knows the REST API only
	{dirs: []string{"rest"}, may: append(slices.Clone(base), "internal/store", "internal/worker", "internal/remote"), modules: []string{"*"}},
	{dirs: []string{"cmd", "bench", "internal/testkit", "internal/demo", "internal/archtest", "scripts"}, may: []string{"*"}, modules: []string{"*"}},
}

// kafkaRooms are the only places that talk to Kafka.
var kafkaRooms = []string{"emit", "internal/store", "internal/worker", "internal/convert", "internal/kafkaconf", "schemahistory", "cmd", "bench", "internal/testkit", "internal/demo"}

// under reports whether directory dir is one of dirs or lies below one.
func under(dir string, dirs []string) bool {
	return slices.ContainsFunc(dirs, func(d string) bool { return d == "*" || dir == d || strings.HasPrefix(dir, d+"/") })
}

func roomOf(pkg string) *room {
	for i := range rooms {
		if under(pkg, rooms[i].dirs) {
			return &rooms[i]
		}
	}
	return nil
}

func TestImportDirection(t *testing.T) {
	r := newReport(t, "imports")
	for _, f := range module(t) {
		room := roomOf(f.pkg)
		if room == nil {
			if !f.test && f.pkg != "." {
				r.broken(f.path, "package %s belongs to no room; add it to the table of rooms", f.pkg)
			}
			continue
		}
		if f.test {
			continue
		}
		for _, imp := range f.imports {
			checkImport(r, room, f, imp)
		}
	}
}

func checkImport(r *report, room *room, f *file, imp string) {
	if own, ok := strings.CutPrefix(imp, "millrace/"); ok {
		if under(own, []string{"internal/testkit", "internal/archtest"}) && !under(f.pkg, []string{"internal/testkit", "bench"}) {
			r.broken(f.path, "imports %s, which is for tests only", imp)
		}
		// A room's own directory: the one of the list that holds the file.
		for _, d := range room.dirs {
			if under(f.pkg, []string{d}) && under(own, []string{d}) {
				return
			}
		}
		if !under(own, room.may) {
			r.broken(f.path, "imports %s; %s may import %s", imp, f.pkg, list(room.may))
		}
		return
	}
	if first, _, _ := strings.Cut(imp, "/"); !strings.Contains(first, ".") {
		return // standard library
	}
	if strings.HasPrefix(imp, "github.com/twmb/franz-go") && !under(f.pkg, kafkaRooms) {
		r.broken(f.path, "imports %s; only %s know Kafka", imp, list(kafkaRooms))
	}
	if !slices.ContainsFunc(room.modules, func(m string) bool { return m == "*" || strings.HasPrefix(imp, m) }) {
		r.broken(f.path, "imports %s; %s may use %s and the standard library", imp, f.pkg, list(room.modules))
	}
}

// TestPureDecoders: decoders turn bytes into values, without I/O, clocks of their own, loggers or goroutines.
func TestPureDecoders(t *testing.T) {
	r := newReport(t, "pure")
	banned := []string{"context", "log", "log/slog", "net", "net/http", "os", "os/exec", "database/sql", "io/fs", "syscall"}
	for _, f := range module(t) {
		if f.test || !under(f.pkg, []string{"decode"}) {
			continue
		}
		for _, imp := range f.imports {
			if slices.Contains(banned, imp) {
				r.broken(f.path, "a decoder imports %s", imp)
			}
		}
	}
}

// TestSinksNeverSeeTheLog: what reads a database's log and what writes to a target share only records.
func TestSinksNeverSeeTheLog(t *testing.T) {
	r := newReport(t, "sinks")
	for _, f := range module(t) {
		if !under(f.pkg, []string{"sinkers"}) || f.test {
			continue
		}
		for _, imp := range f.imports {
			if strings.HasPrefix(imp, "github.com/jackc/pglogrepl") || strings.HasPrefix(imp, "github.com/go-mysql-org") || under(strings.TrimPrefix(imp, "millrace/"), []string{"decode", "capture", "snapshot", "schemahistory"}) {
				r.broken(f.path, "a sink imports %s", imp)
			}
		}
	}
}

func list(s []string) string {
	if len(s) == 0 {
		return "nothing else"
	}
	out := make([]string, len(s))
	for i, x := range s {
		out[i] = path.Clean(x)
	}
	return strings.Join(out, ", ")
}
