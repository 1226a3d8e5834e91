package suite

import "strings"

func before(r Record) string {
	if r.Before == "null" || r.Before == "" {
		return ""
	}
	return "was " + r.Before
}

func headers(r Record) string { return r.Headers }
func order(r Record) string   { return r.Tx }

// long is a text that no database keeps inside of a row.
const long = "(select string_agg(md5(cast(g as text)), '') from generate_series(1, 400) g)"

// scenarios are what every source must do.
var scenarios = []script{
	{
		name:  "create update delete",
		setup: do("create table a (id int primary key, v varchar(20) not null, n {text})", "insert into a values (1, 'one', null)", "=>", "a r {id:1} {id:1 n:null v:one}"),
		steps: []action{
			do("insert into a values (2, 'two', 'x')", "=>", "a c {id:2} {id:2 n:x v:two}"),
			do("update a set v = 'ONE' where id = 1", "=>", "a u {id:1} {id:1 n:null v:ONE}"),
			do("update a set n = null where id = 2", "=>", "a u {id:2} {id:2 n:null v:two}"),
			do("delete from a where id = 1", "=>", "a d {id:1} null", "a tombstone {id:1}"),
			do("insert into a values (1, 'again', '')", "=>", "a c {id:1} {id:1 n: v:again}"),
			do("update a set v = 'nobody' where id = 77"),
			{sql: Lines{All: []string{"delete from a"}}, want: Lines{All: []string{"a d {id:2} null", "a tombstone {id:2}", "a d {id:1} null", "a tombstone {id:1}"},
				MySQL: []string{"a d {id:1} null", "a tombstone {id:1}", "a d {id:2} null", "a tombstone {id:2}"}}}, // by the key
		},
	},
	{
		name:  "transactions",
		setup: do("create table a (id int primary key, v int)", "create table b (id int primary key)", "insert into a values (1, 1)", "insert into b values (1)", "=>", "a r {id:1} {id:1 v:1}", "b r {id:1} {id:1}"),
		steps: []action{
			do("begin", "insert into a values (2, 2)", "insert into b values (2)", "update a set v = v + 1 where id < 3", "commit", "=>",
				"a c {id:2} {id:2 v:2}", "b c {id:2} {id:2}", "a u {id:1} {id:1 v:2}", "a u {id:2} {id:2 v:3}"),
			do("begin", "insert into a values (3, 3)", "rollback"),
			do("begin", "insert into a values (3, 4)", "savepoint s", "insert into a values (4, 4)", "rollback to savepoint s", "insert into a values (5, 5)", "commit", "=>",
				"a c {id:3} {id:3 v:4}", "a c {id:5} {id:5 v:5}"),
			do("begin", "insert into b values (9)", "delete from b where id = 9", "insert into b values (9)", "commit", "=>",
				"b c {id:9} {id:9}", "b d {id:9} null", "b tombstone {id:9}", "b c {id:9} {id:9}"),
		},
	},
	{
		name:  "many rows in one statement",
		setup: do("create table a (id int primary key, v int)", "insert into a values (1, 0), (2, 0), (3, 0), (4, 0)", "=>", "a r {id:1} {id:1 v:0}", "a r {id:2} {id:2 v:0}", "a r {id:3} {id:3 v:0}", "a r {id:4} {id:4 v:0}"),
		steps: []action{
			do("insert into a values (11, 1), (12, 1), (13, 1), (14, 1)", "=>", "a c {id:11} {id:11 v:1}", "a c {id:12} {id:12 v:1}", "a c {id:13} {id:13 v:1}", "a c {id:14} {id:14 v:1}"),
			do("update a set v = 7 where id < 5", "=>", "a u {id:1} {id:1 v:7}", "a u {id:2} {id:2 v:7}", "a u {id:3} {id:3 v:7}", "a u {id:4} {id:4 v:7}"),
			do("delete from a where id > 10", "=>", "a d {id:11} null", "a tombstone {id:11}", "a d {id:12} null", "a tombstone {id:12}", "a d {id:13} null", "a tombstone {id:13}", "a d {id:14} null", "a tombstone {id:14}"),
		},
	},
	{
		name:  "key change",
		show:  headers,
		setup: do("create table a (id int primary key, v int)", "insert into a values (1, 1)", "=>", "a r {id:1} {id:1 v:1}"),
		steps: []action{
			do("update a set id = 2 where id = 1", "=>",
				"a d {id:1} null __debezium.newkey={id:2}", "a tombstone {id:1} __debezium.newkey={id:2}", "a c {id:2} {id:2 v:1} __debezium.oldkey={id:1}"),
			do("begin", "insert into a values (5, 5)", "update a set id = 6, v = 6 where id = 5", "commit", "=>",
				"a c {id:5} {id:5 v:5}", "a d {id:5} null __debezium.newkey={id:6}", "a tombstone {id:5} __debezium.newkey={id:6}", "a c {id:6} {id:6 v:6} __debezium.oldkey={id:5}"),
			do("delete from a where id = 2", "insert into a values (2, 2)", "=>", "a d {id:2} null", "a tombstone {id:2}", "a c {id:2} {id:2 v:2}"),
		},
	},
	{
		name: "types", props: map[string]string{"decimal.handling.mode": "string", "binary.handling.mode": "hex"},
		setup: do("create table a (id bigint primary key, i2 smallint, n numeric(12,3), d {double}, ok boolean, t {text}, c char(3), b {blob}, day date, tod time(6), at {datetime}, j {json})",
			"insert into a values (1, -32768, 123456789.125, 0.1, true, 'Zoë ✓', 'abc', {hex deadbeef}, date '2024-02-29', time '12:34:56.123456', timestamp '2024-02-29 12:34:56.123456', '{doc}')", "=>",
			"a r {id:1} "+strings.Replace(typesRow(1), "{doc}", "{doc read}", 1)),
		steps: []action{
			do("insert into a values (2, -32768, 123456789.125, 0.1, true, 'Zoë ✓', 'abc', {hex deadbeef}, date '2024-02-29', time '12:34:56.123456', timestamp '2024-02-29 12:34:56.123456', '{doc}')", "=>",
				"a c {id:2} "+typesRow(2)),
			do("insert into a (id) values (3)", "=>", "a c {id:3} "+nullRow(3)),
			do("update a set i2 = null, n = null, d = null, ok = null, t = null, c = null, b = null, day = null, tod = null, at = null, j = null where id = 1", "=>", "a u {id:1} "+nullRow(1)),
			do("update a set n = -0.001, d = -1.5e300, t = '', day = date '1969-12-31', ok = false where id = 3", "=>",
				"a u {id:3} {at:null b:null c:null d:-1.5e+300 day:-1 i2:null id:3 j:null n:-0.001 ok:{false} t: tod:null}"),
		},
	},
	{
		name:  "columns change in mid-stream",
		setup: do("create table a (id int primary key, v varchar(20))", "insert into a values (1, 'one')", "=>", "a r {id:1} {id:1 v:one}"),
		steps: []action{
			do("insert into a values (2, 'two')", "alter table a add column w int", "insert into a values (3, 'three', 3)", "=>",
				"a c {id:2} {id:2 v:two}", "a c {id:3} {id:3 v:three w:3}"),
			do("update a set w = 1 where id = 1", "=>", "a u {id:1} {id:1 v:one w:1}"),
			do("alter table a rename column v to name", "insert into a values (4, 'four', 4)", "=>", "a c {id:4} {id:4 name:four w:4}"),
			{sql: Lines{All: []string{"insert into a values (5, 'five', 5)", "alter table a modify column w varchar(10)", "insert into a values (6, 'six', 'w6')"},
				Postgres: []string{"insert into a values (5, 'five', 5)", "alter table a alter column w type varchar(10)", "insert into a values (6, 'six', 'w6')"}},
				want: Lines{All: []string{"a c {id:5} {id:5 name:five w:5}", "a c {id:6} {id:6 name:six w:w6}"}}},
			do("alter table a drop column name", "insert into a values (7, 'w7')", "alter table a add column name {text}", "insert into a values (8, 'w8', 'eight')", "=>",
				"a c {id:7} {id:7 w:w7}", "a c {id:8} {id:8 name:eight w:w8}"),
			do("delete from a where id = 2", "=>", "a d {id:2} null", "a tombstone {id:2}"),
		},
	},
	{
		name:  "tables come and go",
		setup: do("create table a (id int primary key)", "insert into a values (1)", "=>", "a r {id:1} {id:1}"),
		steps: []action{
			do("create table b (k int primary key, v int)", "insert into b values (1, 1)", "=>", "b c {k:1} {k:1 v:1}"),
			do("insert into b values (2, 2)", "drop table b", "create table b (k varchar(5) primary key, x int)", "insert into b values ('k', 3)", "=>",
				"b c {k:2} {k:2 v:2}", "b c {k:k} {k:k x:3}"),
			do("insert into a values (2)", "=>", "a c {id:2} {id:2}"),
		},
	},
	{
		name: "full rows before", show: before,
		setup: do("create table a (id int primary key, v int, w int)", "{full}", "insert into a values (1, 1, 1)", "=>", "a r {id:1} {id:1 v:1 w:1}"),
		steps: []action{
			do("update a set v = 2 where id = 1", "=>", "a u {id:1} {id:1 v:2 w:1} was {id:1 v:1 w:1}"),
			do("delete from a where id = 1", "=>", "a d {id:1} null was {id:1 v:2 w:1}", "a tombstone {id:1}"),
		},
	},
	{
		name:  "values outside of the row",
		setup: action{sql: Lines{All: []string{"create table a (id int primary key, v int, t {text})", "insert into a values (1, 1, concat('begins', repeat('x', 30000), 'ends'))"}, Postgres: []string{"create table a (id int primary key, v int, t text)", "insert into a values (1, 1, " + long + ")"}}, want: Lines{All: []string{"a r {id:1} {id:1 t:beginsxx…xxxxends(30010) v:1}"}, Postgres: []string{"a r {id:1} {id:1 t:c4ca4238…df0205c8(12800) v:1}"}}},
		steps: []action{
			{sql: Lines{All: []string{"update a set v = 2 where id = 1"}}, want: Lines{All: []string{"a u {id:1} {id:1 t:beginsxx…xxxxends(30010) v:2}"}, Postgres: []string{"a u {id:1} {id:1 t:__debezium_unavailable_value v:2}"}}},
			do("update a set t = 'short' where id = 1", "=>", "a u {id:1} {id:1 t:short v:2}"),
			do("delete from a where id = 1", "=>", "a d {id:1} null", "a tombstone {id:1}"),
		},
	},
	{
		name: "truncate", props: map[string]string{"skipped.operations": "none"},
		setup: do("create table a (id int primary key)", "insert into a values (1)", "=>", "a r {id:1} {id:1}"),
		steps: []action{
			do("truncate table a", "=>", "a t null null"),
			do("insert into a values (1)", "truncate table a", "insert into a values (2)", "=>", "a c {id:1} {id:1}", "a t null null", "a c {id:2} {id:2}"),
		},
	},
	{
		name: "truncate is skipped", props: map[string]string{"tombstones.on.delete": "false"},
		setup: do("create table a (id int primary key)", "insert into a values (1)", "=>", "a r {id:1} {id:1}"),
		steps: []action{
			do("truncate table a"),
			do("insert into a values (5)", "delete from a where id = 5", "=>", "a c {id:5} {id:5}", "a d {id:5} null"),
		},
	},
	{
		name: "skipped operations", props: map[string]string{"skipped.operations": "u,t"},
		setup: do("create table a (id int primary key, v int)", "insert into a values (1, 1)", "=>", "a r {id:1} {id:1 v:1}"),
		steps: []action{
			do("update a set v = 2 where id = 1", "insert into a values (2, 2)", "=>", "a c {id:2} {id:2 v:2}"),
			do("truncate table a", "insert into a values (3, 3)", "delete from a where id = 3", "=>", "a c {id:3} {id:3 v:3}", "a d {id:3} null", "a tombstone {id:3}"),
		},
	},
	{
		name: "transaction metadata", props: map[string]string{"provide.transaction.metadata": "true"}, show: order,
		setup: do("create table a (id int primary key)", "create table b (id int primary key)", "insert into a values (1)", "insert into b values (1)", "=>", "a r {id:1} {id:1}", "b r {id:1} {id:1}"),
		steps: []action{
			do("insert into a values (2)", "=>", "transaction BEGIN", "a c {id:2} {id:2} 1/1", "transaction END 1 a:1"),
			do("begin", "insert into a values (3)", "insert into b values (3)", "insert into b values (4)", "delete from a where id = 3", "commit", "=>",
				"transaction BEGIN", "a c {id:3} {id:3} 1/1", "b c {id:3} {id:3} 2/1", "b c {id:4} {id:4} 3/2", "a d {id:3} null 4/2", "a tombstone {id:3}", "transaction END 4 a:2 b:2"),
		},
	},
	{
		name: "tables and columns are filtered", props: map[string]string{"table.include.list": `{db}\.a,{db}\.` + endTable, "column.exclude.list": `{db}\.a\.secret`, "message.key.columns": "{db}.a:k"},
		setup: do("create table a (id int primary key, k int not null, secret int)", "create table b (id int primary key)", "insert into a values (1, 10, 5)", "insert into b values (1)", "=>", "a r {k:10} {id:1 k:10}"),
		steps: []action{
			do("insert into b values (2)", "insert into a values (2, 20, 6)", "=>", "a c {k:20} {id:2 k:20}"),
			do("insert into b values (3)"),
			do("begin", "insert into b values (4)", "update a set secret = 7 where id = 2", "insert into b values (5)", "commit", "=>", "a u {k:20} {id:2 k:20}"),
			do("create table c (id int primary key)", "insert into c values (1)"),
		},
	},
	{
		name:  "no key",
		setup: do("create table a (v int, w varchar(5))", "{full}", "insert into a values (1, 'x')", "=>", "a r null {v:1 w:x}"),
		steps: []action{
			do("insert into a values (1, 'x'), (1, 'x')", "=>", "a c null {v:1 w:x}", "a c null {v:1 w:x}"),
			do("update a set w = 'y'", "=>", "a u null {v:1 w:y}", "a u null {v:1 w:y}", "a u null {v:1 w:y}"),
			do("delete from a where v = 1", "=>", "a d null null", "a tombstone null", "a d null null", "a tombstone null", "a d null null", "a tombstone null"),
		},
	},
	{
		name:  "key of two columns, names to be quoted",
		setup: do("create table {q}Odd Name-1{q} ({q}B b{q} int, {q}select{q} varchar(9), {q}a{q} int not null, primary key ({q}select{q}, {q}a{q}))", "insert into {q}Odd Name-1{q} values (0, 'é', 1)", "=>", "Odd_Name-1 r {a:1 select:é} {B b:0 a:1 select:é}"),
		steps: []action{
			do("insert into {q}Odd Name-1{q} values (1, 'k', 2)", "=>", "Odd_Name-1 c {a:2 select:k} {B b:1 a:2 select:k}"),
			do("update {q}Odd Name-1{q} set {q}a{q} = 3 where {q}a{q} = 2", "=>", "Odd_Name-1 d {a:2 select:k} null", "Odd_Name-1 tombstone {a:2 select:k}", "Odd_Name-1 c {a:3 select:k} {B b:1 a:3 select:k}"),
		},
	},
	{
		name: "heartbeats", props: map[string]string{"heartbeat.interval.ms": "1"}, beats: true,
		setup: do("create table a (id int primary key)", "insert into a values (1)", "=>", "a r {id:1} {id:1}"),
		steps: []action{
			do("insert into a values (2)", "=>", "a c {id:2} {id:2}"),
			do("begin", "insert into a values (3)", "insert into a values (4)", "commit", "=>", "a c {id:3} {id:3}", "a c {id:4} {id:4}"),
			do("delete from a where id = 2", "=>", "a d {id:2} null", "a tombstone {id:2}"),
		},
	},
}

// typesRow is the row of the scenario "types"; nullRow the one without values.
func typesRow(id int) string {
	return strings.NewReplacer("ID", string(rune('0'+id))).Replace("{at:1709210096123456 b:deadbeef c:abc d:0.1 day:19782 i2:-32768 id:ID j:{doc} n:123456789.125 ok:{true} t:Zoë ✓ tod:45296123456}")
}

func nullRow(id int) string {
	return strings.NewReplacer("ID", string(rune('0'+id))).Replace("{at:null b:null c:null d:null day:null i2:null id:ID j:null n:null ok:null t:null tod:null}")
}
