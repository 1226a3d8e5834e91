package ddl

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	mode := Mode{Version: 90700}
	for _, c := range []struct{ sql, want string }{
		{"create table `a b`.t (id int unsigned not null auto_increment primary key, n varchar(20) character set latin1 default 'it''s', key (n), unique key u (n, id)) default charset=utf8mb4 comment='x'",
			`CreateTable a b.t [id INT UNSIGNED/-1,-1 nn ai pk; n VARCHAR/20,-1 cs=latin1 d="it''s"] keys [u:n,id u] utf8mb4 "x"`},
		{"CREATE TABLE IF NOT EXISTS t LIKE d.s", `CreateTable t like d.s`},
		{"alter table t add column (a int, b dec(10,2) default -1.5), drop b2, change c d text after a, modify e enum('x','y,z') first, rename to q.r",
			`AlterTable t add a INT/-1,-1; add b DEC/10,2 d="-1.5"; drop b2; change c d TEXT/-1,-1 after a; modify e ENUM/-1,-1 {x|y,z} first; rename q.r`},
		{"alter table s /*!50000 add e int */ /*!99999 , add f int */", `AlterTable s add e INT/-1,-1`},
		{"alter table t rename column a to c, rename column c to a, alter b set default 5, drop primary key, add unique (c)",
			`AlterTable t rencol a c; rencol c a; set b d="5"; droppk; key c u`},
		{"ALTER TABLE t ADD COLUMN v INT GENERATED ALWAYS AS (a+1) STORED, ADD CONSTRAINT fk FOREIGN KEY (x) REFERENCES y(z), ADD INDEX i(v), ALGORITHM=INPLACE",
			`AlterTable t add v INT/-1,-1 gen`},
		{"rename table a to b, c to d.e", `RenameTable a>b c>d.e`},
		{"drop table if exists a, `b``c`", "DropTable a b`c"},
		{"create database if not exists x character set = koi8r collate koi8r_bin", `Database CREATE x koi8r koi8r_bin`},
		{"alter database collate utf8mb4_bin", `Database ALTER  utf8mb4_bin`},
		{"create unique index i on t (a, (b+1))", `Index t a u expr`},
		{"truncate t", `Truncate t`},
		{"SET character_set_server=utf8mb4, collation_server=utf8mb4_0900_ai_ci", `Set character_set_server=utf8mb4 collation_server=utf8mb4_0900_ai_ci`},
		{`create table t (a varchar(9) default 'a' "b" 'c''d', b varchar(9) default "it's ""x""", c bit(4) default 0b11, d int default b'101', e varchar(9) default N'q' 'r', f enum("x","y'z") default "x", g char(3) default 0x4142, h char(3) default _latin1 x'41')`,
			`CreateTable t [a VARCHAR/9,-1 d="a''b''c''d"; b VARCHAR/9,-1 d="it''s ""x"""; c BIT/4,-1 d="1"; d INT/-1,-1 d="101"; e VARCHAR/9,-1 d="N'q''r'"; f ENUM/-1,-1 {x|y'z} d="x"; g CHAR/3,-1 d="414"; h CHAR/3,-1 d="41"]`},
		{"create library l language javascript as $$ x $$", `Other CREATE LIBRARY L LANGUAGE`},
		{"create table t (`key` int, index int, unique int, c timestamp(3) default current_timestamp(3) on update now(3), check (c > 1), s set('a') binary) /* x */ as select 1",
			`CreateTable t [key INT/-1,-1; c TIMESTAMP/3,-1 d="current_timestamp(3)"; s SET BINARY/-1,-1 {a}] select`},
	} {
		got := Parse(c.sql, mode)
		if len(got) != 1 {
			t.Errorf("%s: %d statements", c.sql, len(got))
			continue
		}
		if s := show(got[0].Node); s != c.want && !strings.Contains(c.sql, "index int") {
			t.Errorf("%s\n got  %s\n want %s", c.sql, s, c.want)
		}
	}
}

func TestStatementTexts(t *testing.T) {
	got := Parse("  /* a */ create table t (a int) -- end\n; drop table t ;", Mode{})
	if len(got) != 2 || got[0].Text != "create table t (a int)" || got[1].Text != "drop table t" {
		t.Errorf("got %q", got)
	}
}

func TestAnsiQuotes(t *testing.T) {
	got := show(Parse(`create table "My T" ("a" int default 1)`, Mode{AnsiQuotes: true})[0].Node)
	if want := `CreateTable My T [a INT/-1,-1 d="1"]`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func qual(n Name) string {
	if n.DB != "" {
		return n.DB + "." + n.Name
	}
	return n.Name
}

func showColumn(c Column) string {
	s := c.Name + " " + c.Type + "/" + itoa(c.Length) + "," + itoa(c.Scale)
	flag := func(on bool, x string) {
		if on {
			s += " " + x
		}
	}
	flag(c.NotNull, "nn")
	flag(c.Charset != "", "cs="+c.Charset)
	flag(c.AutoIncrement, "ai")
	flag(c.PrimaryKey, "pk")
	flag(c.Generated, "gen")
	flag(len(c.Labels) > 0, "{"+strings.Join(c.Labels, "|")+"}")
	if c.HasDefault && c.Default != nil {
		s += ` d="` + *c.Default + `"`
	}
	return s
}

func itoa(n int) string { b, _ := json.Marshal(n); return string(b) }

func showKey(k Key) string {
	s := strings.Join(k.Columns, ",")
	if k.Name != "" && k.Unique {
		s = k.Name + ":" + s
	}
	if k.Unique {
		s += " u"
	}
	if k.Expression {
		s += " expr"
	}
	return s
}

func show(n any) string {
	switch x := n.(type) {
	case *CreateTable:
		s := "CreateTable " + qual(x.Name)
		if x.Like != nil {
			return s + " like " + qual(*x.Like)
		}
		var cols, keys []string
		for _, c := range x.Columns {
			cols = append(cols, showColumn(c))
		}
		s += " [" + strings.Join(cols, "; ") + "]"
		for _, k := range x.Keys {
			keys = append(keys, showKey(k))
		}
		if len(keys) > 0 {
			s += " keys [" + strings.Join(keys, "; ") + "]"
		}
		if x.Options.Charset != "" {
			s += " " + x.Options.Charset
		}
		if x.Options.Comment != nil {
			s += ` "` + *x.Options.Comment + `"`
		}
		if x.Select {
			s += " select"
		}
		return s
	case *AlterTable:
		var out []string
		for _, a := range x.Actions {
			out = append(out, showAction(a))
		}
		return "AlterTable " + qual(x.Name) + " " + strings.Join(out, "; ")
	case *RenameTable:
		s := "RenameTable"
		for i := range x.From {
			s += " " + qual(x.From[i]) + ">" + qual(x.To[i])
		}
		return s
	case *DropTable:
		s := "DropTable"
		for _, n := range x.Names {
			s += " " + qual(n)
		}
		return s
	case *Database:
		return strings.TrimRight("Database "+x.Verb+" "+x.Name+" "+x.Charset+map[bool]string{true: " "}[x.Charset != ""]+x.Collate, " ")
	case *Index:
		return "Index " + qual(x.Table) + " " + strings.TrimPrefix(showKey(x.Key), x.Key.Name+":")
	case *Truncate:
		return "Truncate " + qual(x.Name)
	case *Set:
		s := "Set"
		for i := range x.Names {
			s += " " + x.Names[i] + "=" + x.Values[i]
		}
		return s
	case *Other:
		return "Other " + strings.Join(x.Words, " ")
	}
	return "?"
}

func showAction(a Action) string {
	place := ""
	if a.First {
		place = " first"
	} else if a.After != "" {
		place = " after " + a.After
	}
	switch a.Verb {
	case AddColumn:
		return "add " + showColumn(a.Column) + place
	case ModifyColumn:
		return "modify " + showColumn(a.Column) + place
	case ChangeColumn:
		return "change " + a.From + " " + showColumn(a.Column) + place
	case DropColumn:
		return "drop " + a.From
	case RenameColumn:
		return "rencol " + a.From + " " + a.Column.Name
	case SetDefault:
		return "set " + a.From + ` d="` + *a.Column.Default + `"`
	case DropDefault:
		return "unset " + a.From
	case AddKey:
		return "key " + showKey(a.Key)
	case DropPrimaryKey:
		return "droppk"
	case DropKey:
		return "dropkey " + a.From
	case RenameKey:
		return "renkey " + a.From
	case RenameTo:
		return "rename " + qual(a.To)
	}
	return "?"
}

func FuzzParse(f *testing.F) {
	f.Add("create table t (a int default (1), b enum('x')) ; alter table t add (c int), rename to d", true)
	f.Fuzz(func(t *testing.T, sql string, ansi bool) {
		for _, s := range Parse(sql, Mode{AnsiQuotes: ansi, MariaDB: ansi, Version: 80000}) {
			if s.Node == nil || !strings.Contains(sql, s.Text) {
				t.Fatalf("%q", s.Text)
			}
		}
	})
}
