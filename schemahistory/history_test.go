package schemahistory

import (
	"strings"
	"testing"
)

func columnsOf(t *Table) string {
	var out []string
	for _, c := range t.Columns {
		s := c.Name + ":" + c.TypeName
		if !c.Optional {
			s += "!"
		}
		out = append(out, s)
	}
	return strings.Join(out, " ") + " key " + strings.Join(t.Key(), ",")
}

func TestDDLMovesTheModel(t *testing.T) {
	m := NewModel()
	m.Server = "utf8mb4"
	id := TableID{"d", "t"}
	for _, c := range []struct{ sql, want string }{
		{"create table t (id int primary key, a varchar(10) not null, b text, unique (a))", "id:INT! a:VARCHAR! b:TEXT key id"},
		{"alter table t add c bigint unsigned after id, drop b", "id:INT! c:BIGINT UNSIGNED a:VARCHAR! key id"},
		{"alter table t drop primary key, change id ident int", "ident:INT c:BIGINT UNSIGNED a:VARCHAR! key "},
		{"alter table t rename column a to c, rename column c to a", "ident:INT a:BIGINT UNSIGNED c:VARCHAR! key "},
		{"alter table t modify a int not null first, add primary key (ident, a)", "a:INT! ident:INT! c:VARCHAR! key ident,a"},
		{"rename table t to x, x to t", "a:INT! ident:INT! c:VARCHAR! key ident,a"},
	} {
		for _, s := range m.Apply("d", c.sql) {
			if s.Unread != "" {
				t.Errorf("%s: %s", c.sql, s.Unread)
			}
		}
		if got := columnsOf(m.Table(id)); got != c.want {
			t.Errorf("%s\n got  %s\n want %s", c.sql, got, c.want)
		}
	}
	steps := m.Apply("d", "drop table if exists t, `u`")
	if len(steps) != 2 || steps[1].DDL != "DROP TABLE IF EXISTS `d`.`u`" || m.Table(id) != nil {
		t.Errorf("drop gave %+v", steps)
	}
}

// recorded is an entry as the real connector wrote it into its history topic.
const recorded = `{
  "source" : {
    "server" : "server1"
  },
  "position" : {
    "ts_sec" : 1795223425,
    "file" : "binlog.000007",
    "pos" : 2585551,
    "snapshot" : "INITIAL"
  },
  "ts_ms" : 1795223425537,
  "databaseName" : "inventory",
  "ddl" : "CREATE TABLE ` + "`t` (\\n  `id` int NOT NULL,\\n  `v` varchar(20) DEFAULT NULL,\\n  PRIMARY KEY (`id`)\\n)" + ` ENGINE=InnoDB DEFAULT CHARSET=utf8mb4",
  "tableChanges" : [ {
    "type" : "CREATE",
    "id" : "\"inventory\".\"t\"",
    "table" : {
      "defaultCharsetName" : "utf8mb4",
      "primaryKeyColumnNames" : [ "id" ],
      "columns" : [ {
        "name" : "id",
        "jdbcType" : 4,
        "typeName" : "INT",
        "typeExpression" : "INT",
        "charsetName" : null,
        "position" : 1,
        "optional" : false,
        "autoIncremented" : false,
        "generated" : false,
        "comment" : null,
        "hasDefaultValue" : false,
        "enumValues" : [ ]
      }, {
        "name" : "v",
        "jdbcType" : 12,
        "typeName" : "VARCHAR",
        "typeExpression" : "VARCHAR",
        "charsetName" : "utf8mb4",
        "length" : 20,
        "position" : 2,
        "optional" : true,
        "autoIncremented" : false,
        "generated" : false,
        "comment" : null,
        "hasDefaultValue" : true,
        "enumValues" : [ ]
      } ],
      "attributes" : [ ]
    },
    "comment" : null
  } ]
}`

func TestEntriesAreTheRealOnes(t *testing.T) {
	e, err := ParseEntry([]byte(recorded))
	if err != nil {
		t.Fatal(err)
	}
	got, err := e.Pretty()
	if err != nil || string(got) != recorded {
		t.Errorf("read and written again, %v:\n%s", err, got)
	}
	// The DDL of the entry gives the same table as its table changes.
	m := NewModel()
	steps := m.Apply("inventory", e.DDL)
	again := &Entry{Source: e.Source, Position: e.Position, TsMs: e.TsMs, DB: e.DB, DDL: steps[0].DDL, Changes: steps[0].Changes}
	if got, _ = again.Pretty(); string(got) != recorded {
		t.Errorf("from the DDL:\n%s", got)
	}
}

func FuzzParseEntry(f *testing.F) {
	f.Add([]byte(recorded))
	f.Fuzz(func(t *testing.T, p []byte) {
		e, err := ParseEntry(p)
		if err != nil {
			return
		}
		NewModel().Replay(e)
		out, err := e.Pretty()
		if err != nil {
			return // a source or position that is no JSON
		}
		if again, err := ParseEntry(out); err != nil || again.DDL != e.DDL {
			t.Fatalf("written and read again: %v", err)
		}
	})
}
