package ddl

import (
	"strconv"
	"strings"
)

func (p *parser) createTable(c *CreateTable) {
	c.Name = p.name()
	if p.take("LIKE") {
		like := p.name()
		c.Like = &like
		return
	}
	if p.peek().is("(") {
		if p.peekAt(1).is("LIKE") {
			p.at += 2
			like := p.name()
			c.Like = &like
			return
		}
		if !p.peekAt(1).is("SELECT") && !p.peekAt(1).is("(") && !p.peekAt(1).is("WITH") {
			p.at++
			p.definitions(c)
		}
	}
	for !p.end() {
		if p.any("SELECT", "WITH", "VALUES", "TABLE") || p.peek().is("(") {
			c.Select = true
			return
		}
		if !p.tableOption(&c.Options) {
			if p.peek().is("PARTITION") {
				return
			}
			p.at++
		}
	}
}

// definitions reads the bracketed list of columns and keys, the opening bracket
// being passed already.
func (p *parser) definitions(c *CreateTable) {
	for !p.end() {
		if k, ok := p.key(); ok {
			c.Keys = append(c.Keys, k)
		} else if !p.skipConstraint() {
			c.Columns = append(c.Columns, p.column())
		}
		p.skipTo()
		if p.take(")") {
			return
		}
		if !p.take(",") {
			p.lost = true
			return
		}
	}
	p.lost = true
}

// skipConstraint passes CHECK, FOREIGN KEY and index definitions that make no key.
func (p *parser) skipConstraint() bool {
	at := p.at
	if p.take("CONSTRAINT") && !p.peek().is("CHECK") && !p.peek().is("FOREIGN") {
		p.at++
	}
	t, u := p.peek(), p.peekAt(1)
	switch {
	case t.is("FOREIGN") && u.is("KEY"), t.is("CHECK") && u.is("("),
		(t.is("INDEX") || t.is("KEY")) && !p.columnTypeFollows(),
		(t.is("FULLTEXT") || t.is("SPATIAL")) && (u.is("INDEX") || u.is("KEY") || u.is("(") || p.peekAt(2).is("(")),
		t.is("PERIOD") && u.is("FOR"), t.is("LIKE"):
		return true
	}
	p.at = at
	return false
}

// columnTypeFollows tells a column named key or index from an index definition:
// "key (…" and "key name (…" and "key name using" are indexes.
func (p *parser) columnTypeFollows() bool {
	if p.peek().kind == tokName {
		return true
	}
	u, v := p.peekAt(1), p.peekAt(2)
	if u.is("(") || v.is("(") && !isTypeWord(u.text) || v.is("USING") || u.is("USING") || u.is("IF") {
		return false
	}
	return u.kind == tokWord && isTypeWord(u.text)
}

// key reads a PRIMARY or UNIQUE key definition.
func (p *parser) key() (Key, bool) {
	at := p.at
	k := Key{}
	if p.take("CONSTRAINT") && !p.peek().is("PRIMARY") && !p.peek().is("UNIQUE") {
		k.Name = p.ident()
	}
	switch {
	case p.take("PRIMARY", "KEY"):
		k.Primary = true
	case p.peek().is("UNIQUE") && (p.peekAt(1).kind == tokName || !isTypeWord(p.peekAt(1).text) || p.peekAt(2).is("(") && !hasLength(p.peekAt(1).text)):
		p.at++
		k.Unique = true
		p.any("INDEX", "KEY")
	default:
		p.at = at
		return Key{}, false
	}
	p.ifExists()
	if !p.peek().is("(") && !p.peek().is("USING") {
		k.Name = p.ident()
	}
	if p.take("USING") {
		p.at++
	}
	p.keyColumns(&k)
	return k, true
}

func (p *parser) keyColumns(k *Key) {
	for !p.end() && !p.peek().is("(") {
		p.at++
	}
	if !p.take("(") {
		p.lost = true
		return
	}
	for !p.end() && !p.take(")") {
		if p.peek().is("(") {
			k.Expression = true
		} else {
			k.Columns = append(k.Columns, p.ident())
		}
		p.skipTo()
		p.take(",")
	}
}

// tableOption reads one table option that matters.
func (p *parser) tableOption(o *Options) bool {
	at := p.at
	p.take("DEFAULT")
	switch {
	case p.take("CHARACTER", "SET"), p.take("CHARSET"):
		p.take("=")
		o.Charset = strings.ToLower(p.ident())
	case p.take("COLLATE"):
		p.take("=")
		o.Collate = strings.ToLower(p.ident())
	case p.take("COMMENT"):
		p.take("=")
		text := p.stringText(p.next())
		o.Comment = &text
	default:
		p.at = at
		return false
	}
	return true
}

func (p *parser) alterTable(a *AlterTable) {
	for !p.end() {
		p.specification(a)
		p.skipTo()
		if p.peek().is(")") {
			p.at++
		}
		p.take(",")
	}
}

func (p *parser) specification(a *AlterTable) {
	add := func(x Action) { a.Actions = append(a.Actions, x) }
	switch {
	case p.take("ADD"):
		p.addSpec(a)
	case p.take("MODIFY"):
		p.take("COLUMN")
		x := Action{Verb: ModifyColumn, IfExists: p.ifExists()}
		x.From = p.peek().text
		x.Column = p.column()
		p.place(&x)
		add(x)
	case p.take("CHANGE"):
		p.take("COLUMN")
		x := Action{Verb: ChangeColumn, IfExists: p.ifExists(), From: p.ident()}
		x.Column = p.column()
		p.place(&x)
		add(x)
	case p.take("DROP"):
		p.dropSpec(a)
	case p.take("ALTER"):
		if p.any("INDEX", "CHECK", "CONSTRAINT") {
			return
		}
		p.take("COLUMN")
		x := Action{Verb: DropDefault, IfExists: p.ifExists(), From: p.ident()}
		if p.take("SET", "DEFAULT") {
			x.Verb = SetDefault
			p.defaultValue(&x.Column)
		} else if !p.take("DROP", "DEFAULT") {
			return
		}
		add(x)
	case p.take("RENAME"):
		p.renameSpec(a)
	case p.take("CONVERT", "TO"):
		a.Options.ConvertTo = true
		p.tableOption(&a.Options)
		p.tableOption(&a.Options)
	default:
		for p.tableOption(&a.Options) {
		}
	}
}

func (p *parser) addSpec(a *AlterTable) {
	if k, ok := p.key(); ok {
		a.Actions = append(a.Actions, Action{Verb: AddKey, Key: k})
		return
	}
	if p.peek().is("PARTITION") || p.peek().is("SYSTEM") && p.peekAt(1).is("VERSIONING") || p.skipConstraint() {
		return
	}
	p.take("COLUMN")
	exists := p.ifExists()
	if !p.take("(") {
		x := Action{Verb: AddColumn, Column: p.column(), IfExists: exists}
		p.place(&x)
		a.Actions = append(a.Actions, x)
		return
	}
	for !p.end() {
		if k, ok := p.key(); ok {
			a.Actions = append(a.Actions, Action{Verb: AddKey, Key: k})
		} else if !p.skipConstraint() {
			a.Actions = append(a.Actions, Action{Verb: AddColumn, Column: p.column(), IfExists: exists})
		}
		p.skipTo()
		if p.take(")") || !p.take(",") {
			return
		}
	}
}

func (p *parser) dropSpec(a *AlterTable) {
	switch {
	case p.take("PRIMARY", "KEY"):
		a.Actions = append(a.Actions, Action{Verb: DropPrimaryKey})
	case p.take("FOREIGN", "KEY"), p.peek().is("PARTITION"), p.take("SYSTEM", "VERSIONING"), p.take("CHECK"):
	case (p.peek().is("INDEX") || p.peek().is("KEY") || p.peek().is("CONSTRAINT")) && !p.peekAt(1).is(",") && !p.atEnd(1):
		p.at++
		p.ifExists()
		a.Actions = append(a.Actions, Action{Verb: DropKey, From: p.ident()})
	default:
		p.take("COLUMN")
		x := Action{Verb: DropColumn, IfExists: p.ifExists()}
		x.From = p.ident()
		a.Actions = append(a.Actions, x)
	}
}

func (p *parser) renameSpec(a *AlterTable) {
	switch {
	case p.take("COLUMN"):
		x := Action{Verb: RenameColumn, IfExists: p.ifExists(), From: p.ident()}
		p.take("TO")
		x.Column.Name = p.ident()
		a.Actions = append(a.Actions, x)
	case p.any("INDEX", "KEY"):
		x := Action{Verb: RenameKey, From: p.ident()}
		p.take("TO")
		x.Key.Name = p.ident()
		a.Actions = append(a.Actions, x)
	default:
		p.any("TO", "AS", "=")
		a.Actions = append(a.Actions, Action{Verb: RenameTo, To: p.name()})
	}
}

func (p *parser) place(x *Action) {
	switch {
	case p.take("FIRST"):
		x.First = true
	case p.take("AFTER"):
		x.After = p.ident()
	}
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return -1
	}
	return n
}
