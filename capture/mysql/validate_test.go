package mysql

import (
	"maps"
	"strings"
	"testing"

	"millrace/internal/configdef"
)

// TestValidateServer compares the texts of the checks that need the server with
// those that Debezium 3.6.1 answered.
func TestValidateServer(t *testing.T) {
	servers(t, func(t *testing.T, r *rig) {
		for _, c := range []struct {
			name string
			set  map[string]string
			text string // part of the one problem, under database.hostname; "" for none
		}{
			{"good", nil, ""},
			{"query timeout", map[string]string{"database.query.timeout.ms": "-1"}, "Unable to connect: Illegal value for setQueryTimeout()."},
			{"port", map[string]string{"database.port": "1"}, "Failed to establish connection with the database: "},
			{"password", map[string]string{"database.password": "another-word"}, "Unable to connect: Access denied for user"},
		} {
			t.Run(c.name, func(t *testing.T) {
				props := maps.Clone(r.props)
				maps.Copy(props, c.set)
				v, err := DefOf(r.flavor).Parse(props)
				if err != nil {
					t.Fatal(err)
				}
				ps := Validate(r.flavor)(t.Context(), v)
				switch {
				case c.text == "" && len(ps) > 0, c.text != "" && len(ps) != 1:
					t.Errorf("problems: %v", ps)
				case c.text != "" && (ps[0].Property != "database.hostname" || !strings.Contains(ps[0].Text, c.text)):
					t.Errorf("got %s: %s, want %s", ps[0].Property, ps[0].Text, c.text)
				}
				for _, p := range ps {
					if strings.Contains(p.Text, "-word") {
						t.Errorf("a password is in %q", p.Text)
					}
				}
			})
		}
	})
}

// TestGTIDFilters that exclude each other are refused, an empty one too, as recorded.
func TestGTIDFilters(t *testing.T) {
	for _, excludes := range []string{"", "b.*"} {
		in := configdef.Input{Name: "gtid.source.excludes", Value: excludes, Set: true, Props: map[string]string{"gtid.source.includes": "a.*"}}
		if got := gtidExcludes(in); len(got) != 1 {
			t.Errorf("%q beside includes: %q", excludes, got)
		}
		in.Props = nil
		if got := gtidExcludes(in); got != nil {
			t.Errorf("%q alone: %q", excludes, got)
		}
	}
}
