package schemahistory

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// Entry is one record of a history: a statement at a position, with what it did.
type Entry struct {
	Source   json.RawMessage // the source partition, e.g. {"server":"dbserver1"}
	Position json.RawMessage // the source offset at the statement
	TsMs     int64
	DB       string
	DDL      string
	Changes  []Change
}

type jsonEntry struct {
	Source   json.RawMessage `json:"source"`
	Position json.RawMessage `json:"position"`
	TsMs     int64           `json:"ts_ms,omitempty"`
	DB       *string         `json:"databaseName"`
	Schema   *string         `json:"schemaName,omitempty"`
	DDL      *string         `json:"ddl"`
	Changes  []jsonChange    `json:"tableChanges"`
}

type jsonChange struct {
	Type     string     `json:"type"`
	ID       string     `json:"id"`
	Previous string     `json:"previousId,omitempty"`
	Table    *jsonTable `json:"table,omitempty"`
}

type jsonTable struct {
	Charset    *string           `json:"defaultCharsetName"`
	PrimaryKey []string          `json:"primaryKeyColumnNames"`
	Columns    []jsonColumn      `json:"columns"`
	Attributes []json.RawMessage `json:"attributes"`
}

type jsonColumn struct {
	Name       string   `json:"name"`
	JDBCType   int      `json:"jdbcType"`
	TypeName   string   `json:"typeName"`
	TypeExpr   string   `json:"typeExpression"`
	Charset    *string  `json:"charsetName"`
	Length     *int     `json:"length,omitempty"`
	Scale      *int     `json:"scale,omitempty"`
	Position   int      `json:"position"`
	Optional   bool     `json:"optional"`
	AutoInc    bool     `json:"autoIncremented"`
	Generated  bool     `json:"generated"`
	Comment    *string  `json:"comment"`
	HasDefault *bool    `json:"hasDefaultValue,omitempty"`
	Default    *string  `json:"defaultValueExpression,omitempty"`
	Labels     []string `json:"enumValues"`
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func orAbsent(n int) *int {
	if n < 0 {
		return nil
	}
	return &n
}

func tableJSON(t *Table) *jsonTable {
	if t == nil {
		return nil
	}
	out := &jsonTable{Charset: orNull(t.Charset), PrimaryKey: append([]string{}, t.PrimaryKey...), Attributes: []json.RawMessage{}, Columns: []jsonColumn{}}
	for i := range t.Columns {
		c := &t.Columns[i]
		has := c.HasDefault
		out.Columns = append(out.Columns, jsonColumn{Name: c.Name, JDBCType: c.JDBCType, TypeName: c.TypeName, TypeExpr: c.TypeName, Charset: orNull(c.Charset),
			Length: orAbsent(c.Length), Scale: orAbsent(c.Scale), Position: i + 1, Optional: c.Optional, AutoInc: c.AutoIncremented, Generated: c.Generated,
			Comment: c.Comment, HasDefault: &has, Default: c.Default, Labels: append([]string{}, c.Labels...)})
	}
	return out
}

// Compact returns the entry as one line, the form of file histories.
func (e *Entry) Compact() ([]byte, error) {
	j := jsonEntry{Source: e.Source, Position: e.Position, TsMs: e.TsMs, DB: &e.DB, DDL: &e.DDL, Changes: []jsonChange{}}
	for _, c := range e.Changes {
		x := jsonChange{Type: string(c.Kind), ID: c.ID.String(), Table: tableJSON(c.Table)}
		if c.Previous != nil {
			x.Previous = c.Previous.String()
		}
		j.Changes = append(j.Changes, x)
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(j); err != nil {
		return nil, fmt.Errorf("write schema history: %w", err)
	}
	return withComments(bytes.TrimSuffix(buf.Bytes(), []byte("\n")), e.Changes), nil
}

// withComments adds the table comment behind each table, where the format has it:
// on creates and alterations only.
func withComments(line []byte, changes []Change) []byte {
	if !bytes.Contains(line, []byte(`"attributes":[]}`)) {
		return line
	}
	parts := bytes.SplitAfter(line, []byte(`"attributes":[]}`))
	out := parts[0]
	i := 0
	for _, p := range parts[1:] {
		for i < len(changes) && changes[i].Table == nil {
			i++
		}
		comment := []byte("null")
		if i < len(changes) && changes[i].Table.HasComment {
			comment, _ = json.Marshal(changes[i].Table.Comment)
		}
		i++
		out = append(append(append(out[:len(out):len(out)], `,"comment":`...), comment...), p...)
	}
	return out
}

// Pretty returns the entry as the history topic holds it: Jackson's default
// printer, two spaces and " : ".
func (e *Entry) Pretty() ([]byte, error) {
	line, err := e.Compact()
	if err != nil {
		return nil, err
	}
	return jacksonPretty(line), nil
}

// jacksonPretty prints compact JSON as Jackson's default pretty printer does:
// objects on lines of their own, arrays inline with spaces inside the brackets.
func jacksonPretty(p []byte) []byte {
	var out []byte
	var stack []byte
	depth := func() int { return bytes.Count(stack, []byte{'{'}) }
	line := func() {
		out = append(out, '\n')
		out = append(out, strings.Repeat("  ", depth())...)
	}
	for i := 0; i < len(p); i++ {
		switch c := p[i]; c {
		case '"':
			from := i
			for i++; p[i] != '"'; i++ {
				if p[i] == '\\' {
					i++
				}
			}
			out = append(out, p[from:i+1]...)
		case '{':
			if p[i+1] == '}' {
				out = append(out, "{ }"...)
				i++
				continue
			}
			out = append(out, c)
			stack = append(stack, c)
			line()
		case '[':
			if p[i+1] == ']' {
				out = append(out, "[ ]"...)
				i++
				continue
			}
			out = append(out, "[ "...)
			stack = append(stack, c)
		case '}':
			stack = stack[:len(stack)-1]
			line()
			out = append(out, c)
		case ']':
			stack = stack[:len(stack)-1]
			out = append(out, " ]"...)
		case ',':
			out = append(out, c)
			if stack[len(stack)-1] == '{' {
				line()
			} else {
				out = append(out, ' ')
			}
		case ':':
			out = append(out, " : "...)
		default:
			out = append(out, c)
		}
	}
	return out
}

// ParseEntry reads an entry of a history topic or file, ours or the real
// connector's, also of older versions (without ts_ms or hasDefaultValue).
func ParseEntry(p []byte) (*Entry, error) {
	var j jsonEntry
	if err := json.Unmarshal(p, &j); err != nil {
		return nil, fmt.Errorf("read schema history: %w", err)
	}
	var comments struct {
		Changes []struct {
			Comment *string `json:"comment"`
		} `json:"tableChanges"`
	}
	if err := json.Unmarshal(p, &comments); err != nil {
		return nil, fmt.Errorf("read schema history: %w", err)
	}
	e := &Entry{Source: j.Source, Position: j.Position, TsMs: j.TsMs}
	if j.DB != nil {
		e.DB = *j.DB
	}
	if j.DDL != nil {
		e.DDL = *j.DDL
	}
	for i, c := range j.Changes {
		id, err := parseID(c.ID)
		if err != nil {
			return nil, err
		}
		x := Change{Kind: Kind(c.Type), ID: id}
		if c.Previous != "" {
			prev, err := parseID(c.Previous)
			if err != nil {
				return nil, err
			}
			x.Previous = &prev
		}
		if c.Table != nil {
			x.Table = c.Table.table(id, comments.Changes[i].Comment)
		}
		e.Changes = append(e.Changes, x)
	}
	return e, nil
}

func (j *jsonTable) table(id TableID, comment *string) *Table {
	t := &Table{ID: id, PrimaryKey: j.PrimaryKey}
	if j.Charset != nil {
		t.Charset = *j.Charset
	}
	if comment != nil {
		t.Comment, t.HasComment = *comment, true
	}
	for _, c := range j.Columns {
		x := Column{Name: c.Name, JDBCType: c.JDBCType, TypeName: c.TypeName, Length: -1, Scale: -1, Optional: c.Optional,
			AutoIncremented: c.AutoInc, Generated: c.Generated, Default: c.Default, Labels: c.Labels, HasDefault: c.Default != nil || c.Optional}
		if c.HasDefault != nil {
			x.HasDefault = *c.HasDefault
		}
		if c.Charset != nil {
			x.Charset = *c.Charset
		}
		x.Comment = c.Comment
		if c.Length != nil {
			x.Length = *c.Length
		}
		if c.Scale != nil {
			x.Scale = *c.Scale
		}
		t.Columns = append(t.Columns, x)
	}
	return t
}

// parseID reads `"db"."table"`; names may hold dots and doubled quotes.
func parseID(s string) (TableID, error) {
	if len(s) >= 5 && s[0] == '"' && s[len(s)-1] == '"' {
		if i := strings.Index(s, `"."`); i > 0 {
			return TableID{s[1:i], s[i+3 : len(s)-1]}, nil
		}
	}
	if db, name, ok := strings.Cut(s, "."); ok {
		return TableID{db, name}, nil
	}
	return TableID{}, fmt.Errorf("read schema history: %q names no table", s)
}

// Replay moves the model by the entry: by its table changes when it has any, else
// by its DDL.
func (m *Model) Replay(e *Entry) {
	if len(e.Changes) == 0 {
		m.Apply(e.DB, e.DDL)
		return
	}
	for _, c := range e.Changes {
		if c.Previous != nil {
			m.Remove(*c.Previous)
		}
		if c.Table == nil {
			m.Remove(c.ID)
			continue
		}
		t := c.Table
		if old := m.Table(c.ID); old != nil {
			t = t.clone()
			t.Uniques = old.Uniques
		}
		m.Put(t)
	}
}
