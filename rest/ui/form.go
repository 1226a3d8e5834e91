package ui

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"millrace/internal/remote"
)

// kind is a card of the first step of a new connector.
type kind struct {
	pluginBody
	Title, About string
}

// about says in a few words what the connectors are for.
var about = map[string][2]string{
	"io.debezium.connector.postgresql.PostgresConnector":            {"PostgreSQL", "changes of a PostgreSQL database, by logical replication"},
	"io.debezium.connector.mysql.MySqlConnector":                    {"MySQL", "changes of a MySQL server, by its binary log"},
	"io.debezium.connector.mariadb.MariaDbConnector":                {"MariaDB", "changes of a MariaDB server, by its binary log"},
	"org.apache.kafka.connect.file.FileStreamSourceConnector":       {"File", "lines of a text file"},
	"io.debezium.connector.jdbc.JdbcSinkConnector":                  {"JDBC (Debezium)", "rows in PostgreSQL, MySQL, MariaDB or SQLite"},
	"io.confluent.connect.jdbc.JdbcSinkConnector":                   {"JDBC (Confluent)", "rows, with the settings of Confluent's sink"},
	"io.aiven.connect.jdbc.JdbcSinkConnector":                       {"JDBC (Aiven)", "rows, with the settings of Aiven's sink"},
	"io.confluent.connect.elasticsearch.ElasticsearchSinkConnector": {"Elasticsearch (Confluent)", "documents in Elasticsearch"},
	"io.aiven.connect.elasticsearch.ElasticsearchSinkConnector":     {"Elasticsearch (Aiven)", "documents, with the settings of Aiven's sink"},
	"io.aiven.kafka.connect.opensearch.OpenSearchSinkConnector":     {"OpenSearch", "documents in OpenSearch"},
	"io.confluent.connect.s3.S3SinkConnector":                       {"S3 (Confluent)", "files in S3 or a directory"},
	"io.aiven.kafka.connect.s3.AivenKafkaConnectS3SinkConnector":    {"S3 (Aiven)", "files in S3, with the settings of Aiven's sink"},
	"org.apache.kafka.connect.file.FileStreamSinkConnector":         {"File", "lines of a text file"},
}

// newData is the first step of a new connector, or its form.
type newData struct {
	Sources, Sinks []kind
	Form           *formData
}

func (s *Server) newConnector(r *http.Request) (string, any, error) {
	if class := r.URL.Query().Get("class"); class != "" {
		f, err := s.form(r, class)
		return "New connector", newData{Form: f}, err
	}
	var all []pluginBody
	if err := s.get(r, "/connector-plugins", &all); err != nil {
		return "", nil, err
	}
	var d newData
	for _, p := range all {
		k := kind{pluginBody: p, Title: shortClass(p.Class)}
		if a, ok := about[p.Class]; ok {
			k.Title, k.About = a[0], a[1]
		}
		switch p.Type {
		case "source":
			d.Sources = append(d.Sources, k)
		case "sink":
			d.Sinks = append(d.Sinks, k)
		}
	}
	known := func(a, b kind) int {
		return cmp.Or(cmp.Compare(b2i(a.About == ""), b2i(b.About == "")), cmp.Compare(a.Title, b.Title))
	}
	slices.SortFunc(d.Sources, known)
	slices.SortFunc(d.Sinks, known)
	return "New connector", d, nil
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// field is an input of the form.
type field struct {
	keyBody
	ID      string
	Input   string // text, number, password, choice
	Choices []string
	Value   string
	Hint    string // the default
}

// group is a part of the form.
type group struct {
	Name   string
	Fields []field
}

// formData is a form made from a plugin's definition.
type formData struct {
	Class, Title, About string
	Source              bool
	First               []field
	Groups              []group
	Text                string // the same to begin with, as JSON
}

// starts are values that a new connector begins with.
var starts = map[string]string{"plugin.name": "pgoutput", "database.hostname": "localhost"}

// wanted come first in this order; most definitions call them optional, and nothing
// works without them.
var wanted = []string{"name", "topics", "topics.regex", "topic.prefix", "database.hostname", "database.port", "database.user", "database.password", "database.dbname", "database.server.id", "table.include.list",
	"plugin.name", "schema.history.internal.kafka.bootstrap.servers", "schema.history.internal.kafka.topic", "connection.url", "connection.username", "connection.user", "connection.password"}

// form makes the form of a class: what is needed first, the rest by group.
func (s *Server) form(r *http.Request, class string) (*formData, error) {
	var keys []keyBody
	if err := s.get(r, "/connector-plugins/"+url.PathEscape(class)+"/config", &keys); err != nil {
		return nil, err
	}
	d := &formData{Class: class, Title: shortClass(class)}
	if a, ok := about[class]; ok {
		d.Title, d.About = a[0], a[1]
	}
	var v validationBody // what may be chosen; that the rest is missing does not matter yet
	_ = s.send(r, http.MethodPut, "/connector-plugins/"+url.PathEscape(class)+"/config/validate", map[string]string{"connector.class": class, "name": "new"}, &v)
	choices := map[string][]string{}
	for _, c := range v.Configs {
		if c.Value != nil {
			choices[c.Value.Name] = c.Value.Recommended
		}
	}
	start := map[string]string{"connector.class": class, "name": "", "tasks.max": "1"}
	at := map[string]int{}
	for _, k := range keys {
		if k.Name == "connector.class" || k.Name == "plugin.path" {
			continue
		}
		f := inputOf(k, choices[k.Name])
		rank := slices.Index(wanted, k.Name)
		if rank >= 0 || k.Required && k.Default == nil {
			start[k.Name] = f.Value
			d.First = append(d.First, f)
			continue
		}
		d.Source = d.Source || k.Name == "topic.creation.groups"
		name := cmp.Or(k.Group, "Other")
		i, ok := at[name]
		if !ok {
			i = len(d.Groups)
			at[name] = i
			d.Groups = append(d.Groups, group{Name: name})
		}
		d.Groups[i].Fields = append(d.Groups[i].Fields, f)
	}
	if strings.Contains(class, ".mysql.") || strings.Contains(class, ".mariadb.") || strings.Contains(class, ".postgresql.") {
		d.Source = true
	}
	rank := func(f *field) int {
		if i := slices.Index(wanted, f.Name); i >= 0 {
			return i
		}
		return len(wanted)
	}
	slices.SortStableFunc(d.First, func(a, b field) int { return cmp.Compare(rank(&a), rank(&b)) })
	importance := map[string]int{"HIGH": 0, "MEDIUM": 1, "LOW": 2}
	for _, g := range d.Groups {
		slices.SortStableFunc(g.Fields, func(a, b field) int { return cmp.Compare(importance[a.Priority], importance[b.Priority]) })
	}
	d.Text = text(start)
	return d, nil
}

func inputOf(k keyBody, choices []string) field {
	f := field{keyBody: k, ID: "f." + k.Name, Input: "text", Choices: choices, Value: starts[k.Name]}
	if k.Default != nil {
		f.Hint = *k.Default
	}
	switch {
	case k.Type == "PASSWORD":
		f.Input = "password"
	case k.Type == "BOOLEAN":
		f.Input, f.Choices = "choice", []string{"true", "false"}
	case len(choices) > 0 && k.Type != "LIST" && k.Type != "CLASS":
		f.Input = "choice"
	case k.Type == "INT" || k.Type == "LONG" || k.Type == "SHORT":
		f.Input = "number"
	}
	return f
}

// filled reads the form: the fields that were filled in, and the further settings. It
// is the config as JSON when the form was left for that.
func filled(r *http.Request) (name string, cfg map[string]string, err error) {
	if err := r.ParseForm(); err != nil {
		return "", nil, fmt.Errorf("read the form: %w", err)
	}
	if strings.TrimSpace(r.PostFormValue("config")) != "" {
		return posted(r)
	}
	cfg = map[string]string{"connector.class": r.PostFormValue("class")}
	for k, v := range r.PostForm {
		if key, ok := strings.CutPrefix(k, "f."); ok && len(v) > 0 && strings.TrimSpace(v[0]) != "" {
			cfg[key] = strings.TrimSpace(v[0])
		}
	}
	for _, line := range strings.Split(r.PostFormValue("more"), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		k, v, ok := strings.Cut(line, "=")
		if !ok {
			return "", nil, fmt.Errorf("further settings: %q is not of the form name=value", line)
		}
		cfg[strings.TrimSpace(k)] = strings.TrimSpace(v)
	}
	return cfg["name"], cfg, nil
}

// checkedField is what validation says of an input, for its place in the form.
type checkedField struct{ ID, Text string }

type checkData struct {
	problemsData
	Fields []checkedField
	JSON   string
}

// check validates the form as it is filled in.
func (s *Server) check(r *http.Request) (string, any, error) {
	name, cfg, err := filled(r)
	if err != nil {
		return "", checkData{problemsData: problemsData{Problems: []problem{{"", err.Error()}}}}, nil
	}
	d := checkData{JSON: text(s.mask(r, cfg))}
	if d.problemsData, err = s.problems(r, name, cfg); err != nil {
		return "", nil, err
	}
	said := map[string]string{}
	for _, p := range d.Problems {
		said[p.Property] += p.Text + " "
	}
	for k := range r.PostForm {
		if key, ok := strings.CutPrefix(k, "f."); ok {
			d.Fields = append(d.Fields, checkedField{k, strings.TrimSpace(said[key])})
		}
	}
	return "", d, nil
}

// planData is what a new connector would do.
type planData struct {
	Doctor diagnosis
	Name   string
}

// plan runs the doctor on the form.
func (s *Server) plan(r *http.Request) (string, any, error) {
	name, cfg, err := filled(r)
	if err != nil {
		return "", nil, err
	}
	if name == "" {
		return "", nil, errors.New("a connector needs a name")
	}
	d := planData{Name: name}
	if err := s.get(r, remote.Path(name, "/config"), nil); err == nil {
		return "", nil, fmt.Errorf("there is a connector %q already: choose another name", name)
	}
	if err := s.send(r, http.MethodPut, "/connector-plugins/"+url.PathEscape(cfg["connector.class"])+"/config/doctor", cfg, &d.Doctor); err != nil {
		return "", nil, err
	}
	d.Doctor.arrange()
	return "", d, nil
}

// create makes the connector of the form and goes to its page.
func (s *Server) create(w http.ResponseWriter, r *http.Request) {
	name, cfg, err := filled(r)
	if err == nil && name == "" {
		err = errors.New("a connector needs a name")
	}
	if err == nil {
		err = s.send(r, http.MethodPost, "/connectors", map[string]any{"name": name, "config": cfg}, nil)
	}
	if err != nil {
		s.render(w, http.StatusOK, "failed-part", s.view("", "", err))
		return
	}
	w.Header().Set("HX-Redirect", "/ui/connectors/"+url.PathEscape(name))
}
