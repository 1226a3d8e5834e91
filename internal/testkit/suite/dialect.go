package suite

import (
	"strings"
)

// Dialect is what a kind of database says differently: {word} in a scenario's SQL
// and records is replaced by Words["word"].
type Dialect struct {
	Name  string // postgres, mysql, mariadb
	Words map[string]string
}

// The dialects.
var (
	Postgres = &Dialect{"postgres", map[string]string{
		"blob": "bytea", "double": "double precision", "doc read": `{"a": 1}`, "datetime": "timestamp(6)", "zoned": "timestamptz(6)", "json": "jsonb", "text": "text",
		"hex deadbeef": `'\xdeadbeef'`, "true": "true", "false": "false", "doc": `{"a": 1}`, "q": `"`,
		"full": "alter table a replica identity full", "instant": "timestamptz '2024-02-29 12:34:56.123456+00'", "trunc": "alter table a replica identity default",
	}}
	MySQL = &Dialect{"mysql", map[string]string{
		"blob": "blob", "double": "double", "datetime": "datetime(6)", "zoned": "timestamp(6) null", "json": "json", "text": "longtext", "doc read": `{"a": 1}`,
		"hex deadbeef": "x'deadbeef'", "true": "1", "false": "0", "doc": `{"a":1}`, "q": "`",
		"full": "select 1", "instant": "timestamp '2024-02-29 12:34:56.123456'", "trunc": "select 1",
	}}
	MariaDB = &Dialect{"mariadb", with(MySQL.Words, "doc", `{"a": 1}`)}
)

func with(words map[string]string, more ...string) map[string]string {
	out := map[string]string{}
	for k, v := range words {
		out[k] = v
	}
	for i := 0; i+1 < len(more); i += 2 {
		out[more[i]] = more[i+1]
	}
	return out
}

// say replaces the words.
func (d *Dialect) say(s string) string {
	if !strings.ContainsRune(s, '{') {
		return s
	}
	for k, v := range d.Words {
		s = strings.ReplaceAll(s, "{"+k+"}", v)
	}
	return s
}

// Lines are texts per dialect: the first that is not nil of the dialect's own and All.
type Lines struct{ All, Postgres, MySQL, MariaDB []string }

func (l Lines) in(d *Dialect) []string {
	own := map[string][]string{"postgres": l.Postgres, "mysql": l.MySQL, "mariadb": l.MariaDB}[d.Name]
	if own == nil && d.Name == "mariadb" {
		own = l.MySQL
	}
	if own == nil {
		own = l.All
	}
	out := make([]string, len(own))
	for i, s := range own {
		out[i] = d.say(s)
	}
	return out
}

// Step is SQL and the records that it must give.
type Step struct{ SQL, Want []string }

// Scenario is a scenario in one dialect.
type Scenario struct {
	Name  string
	Props map[string]string
	// Setup is made before the connector first starts; its records are the snapshot's.
	Setup Step
	Steps []Step
	// Show adds to Record.String, which is what is compared. May be nil.
	Show func(Record) string
	// Beats: heartbeats must have come.
	Beats bool
	// Foreign: the log holds the transactions of other tests too.
	Foreign bool
}

// sink makes a sink for a run of the scenario.
func (s *Scenario) sink() *Sink {
	out := NewSink(s.Show)
	out.foreign = s.Foreign
	return out
}

// script is a scenario in all dialects.
type script struct {
	name  string
	only  string // the one dialect that has it; "" all
	props map[string]string
	setup action
	steps []action
	show  func(Record) string
	beats bool
}

type action struct{ sql, want Lines }

// do is an action that is the same in each dialect: statements, "=>", records.
func do(lines ...string) action {
	a := action{sql: Lines{All: lines}, want: Lines{All: []string{}}}
	for i, l := range lines {
		if l == "=>" {
			a.sql.All, a.want.All = lines[:i:i], lines[i+1:]
		}
	}
	return a
}

// in makes the scenario of a dialect; nil when it is not for it.
func (s *script) in(d *Dialect) *Scenario {
	if s.only != "" && s.only != d.Name {
		return nil
	}
	out := &Scenario{Name: s.name, Props: map[string]string{}, Show: s.show, Beats: s.beats, Foreign: d != Postgres}
	for k, v := range s.props {
		out.Props[k] = d.say(v)
	}
	step := func(a action) Step { return Step{a.sql.in(d), a.want.in(d)} }
	out.Setup = step(s.setup)
	for _, a := range s.steps {
		out.Steps = append(out.Steps, step(a))
	}
	// One row behind the last step.
	end := Step{[]string{"insert into " + endTable + " values (1)"}, []string{endTable + " c {id:1} {id:1}"}}
	if out.Props["provide.transaction.metadata"] == "true" {
		end.Want = []string{"transaction BEGIN", end.Want[0] + " 1/1", "transaction END 1 " + endTable + ":1"}
	}
	out.Steps = append(out.Steps, end)
	return out
}
