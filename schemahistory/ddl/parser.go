package ddl

import "strings"

// Parse reads a text of one or more statements. It never fails: a statement that
// it cannot follow comes back as *Other.
func Parse(src string, mode Mode) []Statement {
	var out []Statement
	for _, toks := range tokenize(src, mode) {
		p := &parser{src: src, toks: toks, mariaDB: mode.MariaDB}
		if p.take("SET", "STATEMENT") { // MariaDB: SET STATEMENT v=x FOR statement
			for !p.end() && !p.take("FOR") {
				p.at++
			}
			if !p.end() {
				p.toks = p.toks[p.at:]
			}
			p.at = 0
		}
		text := p.singleQuoted()
		node := p.statement()
		if node == nil || p.lost {
			node = &Other{Words: p.words()}
		}
		out = append(out, Statement{Text: text, Node: node})
	}
	return out
}

// singleQuoted is the statement's source, on MySQL with "text" written as 'text'.
func (p *parser) singleQuoted() string {
	from, end := p.toks[0].from, p.toks[len(p.toks)-1].to
	out := ""
	for _, t := range p.toks {
		if t.kind == tokString && p.src[t.from] == '"' && !p.mariaDB {
			out += p.src[from:t.from] + "'" + p.stringText(t) + "'"
			from = t.to
		}
	}
	return out + p.src[from:end]
}

type parser struct {
	src  string
	toks []token
	at   int
	lost bool // the statement is not what its first words promised

	mariaDB bool
}

func (p *parser) words() []string {
	var w []string
	for _, t := range p.toks {
		if t.kind != tokWord || len(w) == 4 {
			break
		}
		w = append(w, strings.ToUpper(t.text))
	}
	return w
}

func (p *parser) peek() token {
	if p.at < len(p.toks) {
		return p.toks[p.at]
	}
	return token{kind: tokEnd}
}

func (p *parser) peekAt(n int) token {
	if p.at+n < len(p.toks) {
		return p.toks[p.at+n]
	}
	return token{kind: tokEnd}
}

func (p *parser) next() token {
	t := p.peek()
	p.at++
	return t
}

func (p *parser) end() bool { return p.at >= len(p.toks) }

// take passes the words if they all come next.
func (p *parser) take(words ...string) bool {
	for i, w := range words {
		if !p.peekAt(i).is(w) {
			return false
		}
	}
	p.at += len(words)
	return true
}

// any passes one of the words.
func (p *parser) any(words ...string) bool {
	for _, w := range words {
		if p.take(w) {
			return true
		}
	}
	return false
}

func (p *parser) ident() string {
	t := p.next()
	if t.kind != tokWord && t.kind != tokName && t.kind != tokString {
		p.lost = true
	}
	return t.text
}

func (p *parser) name() Name {
	n := Name{Name: p.ident()}
	if p.take(".") {
		n.DB, n.Name = n.Name, p.ident()
	}
	return n
}

func (p *parser) ifExists() bool { return p.take("IF", "NOT", "EXISTS") || p.take("IF", "EXISTS") }

// skipParens passes a bracketed run, the opening bracket being next, and returns
// its source without the brackets.
func (p *parser) skipParens() string {
	from, depth := p.peek().to, 0
	for !p.end() {
		t := p.next()
		switch {
		case t.is("("):
			depth++
		case t.is(")"):
			if depth--; depth == 0 {
				return p.src[from:t.from]
			}
		}
	}
	p.lost = true
	return ""
}

// skipTo passes everything up to a comma or closing bracket of this level.
func (p *parser) skipTo() {
	for !p.end() {
		switch t := p.peek(); {
		case t.is(",") || t.is(")"):
			return
		case t.is("("):
			p.skipParens()
		default:
			p.at++
		}
	}
}

func (p *parser) statement() any {
	switch {
	case p.take("CREATE"):
		return p.create()
	case p.take("ALTER"):
		return p.alter()
	case p.take("DROP"):
		return p.drop()
	case p.take("RENAME", "TABLE"), p.take("RENAME", "TABLES"):
		return p.rename()
	case p.take("TRUNCATE"):
		p.take("TABLE")
		return &Truncate{p.name()}
	case p.take("USE"):
		return &Use{p.ident()}
	case p.take("SET"):
		return p.set()
	}
	return nil
}

func (p *parser) create() any {
	replace := p.take("OR", "REPLACE")
	temporary := p.take("TEMPORARY")
	unique := false
	switch {
	case p.take("TABLE"):
		c := &CreateTable{OrReplace: replace, Temporary: temporary, IfNotExists: p.ifExists()}
		p.createTable(c)
		return c
	case p.any("DATABASE", "SCHEMA"):
		return p.database("CREATE")
	case p.take("UNIQUE"):
		unique = true
		fallthrough
	case p.any("FULLTEXT", "SPATIAL", "ONLINE", "OFFLINE"), p.peek().is("INDEX"):
		if p.take("INDEX") {
			return p.createIndex(unique)
		}
	}
	return nil
}

func (p *parser) createIndex(unique bool) any {
	x := &Index{Key: Key{Unique: unique}}
	p.ifExists()
	x.Key.Name = p.ident()
	for !p.end() && !p.take("ON") {
		p.at++
	}
	x.Table = p.name()
	p.keyColumns(&x.Key)
	return x
}

func (p *parser) alter() any {
	p.any("ONLINE", "OFFLINE")
	p.take("IGNORE")
	switch {
	case p.take("TABLE"):
		p.ifExists()
		a := &AlterTable{Name: p.name()}
		p.alterTable(a)
		return a
	case p.any("DATABASE", "SCHEMA"):
		return p.database("ALTER")
	}
	return nil
}

func (p *parser) drop() any {
	temporary := p.take("TEMPORARY")
	switch {
	case p.any("TABLE", "TABLES"):
		d := &DropTable{Temporary: temporary, IfExists: p.ifExists()}
		for {
			d.Names = append(d.Names, p.name())
			if !p.take(",") {
				return d
			}
		}
	case p.any("DATABASE", "SCHEMA"):
		return p.database("DROP")
	case p.take("INDEX"):
		x := &Index{Drop: true}
		p.ifExists()
		x.Key.Name = p.ident()
		if p.take("ON") {
			x.Table = p.name()
			return x
		}
	}
	return nil
}

func (p *parser) database(verb string) any {
	d := &Database{Verb: verb, Exists: p.ifExists()}
	if t := p.peek(); t.kind == tokName || t.kind == tokWord && !p.databaseOption() {
		d.Name = p.ident()
	}
	for !p.end() {
		p.any("DEFAULT", "=", ",")
		switch {
		case p.take("CHARACTER", "SET"), p.any("CHARSET"):
			p.take("=")
			d.Charset = strings.ToLower(p.ident())
		case p.take("COLLATE"):
			p.take("=")
			d.Collate = strings.ToLower(p.ident())
		default:
			p.at++
		}
	}
	return d
}

// databaseOption reports whether an option follows at once: ALTER DATABASE
// without a name means the current one.
func (p *parser) databaseOption() bool {
	t, u := p.peek(), p.peekAt(1)
	return t.is("DEFAULT") || t.is("CHARACTER") && u.is("SET") || (t.is("CHARSET") || t.is("COLLATE") || t.is("ENCRYPTION")) && !p.atEnd(1) ||
		t.is("READ") && u.is("ONLY") || t.is("COMMENT") && u.kind == tokString
}

func (p *parser) atEnd(n int) bool { return p.at+n >= len(p.toks) }

func (p *parser) rename() any {
	r := &RenameTable{}
	p.ifExists()
	start := p.toks[0].from
	for {
		at := p.peek().from - start
		from := p.name()
		for !p.end() && !p.peek().is("TO") && !p.peek().is(",") {
			p.at++ // MariaDB: WAIT n, NOWAIT
		}
		if !p.take("TO") {
			p.lost = true
			return r
		}
		r.From, r.To = append(r.From, from), append(r.To, p.name())
		r.Pairs = append(r.Pairs, [2]int{at, p.toks[min(p.at, len(p.toks))-1].to - start})
		if !p.take(",") {
			return r
		}
	}
}

func (p *parser) set() any {
	s := &Set{}
	if p.any("PASSWORD", "ROLE", "RESOURCE", "TRANSACTION") || p.take("DEFAULT", "ROLE") {
		return nil
	}
	if p.take("NAMES") || p.take("CHARACTER", "SET") || p.take("CHARSET") {
		s.Names, s.Values = []string{"names"}, []string{p.value()}
		return s
	}
	for !p.end() {
		p.any("GLOBAL", "SESSION", "LOCAL", "PERSIST", "PERSIST_ONLY")
		name := p.ident()
		for p.take(".") {
			name = p.ident()
		}
		p.take(":")
		if !p.take("=") {
			p.lost = true
			return s
		}
		name = strings.ToLower(strings.TrimLeft(name, "@"))
		s.Names, s.Values = append(s.Names, name), append(s.Values, p.value())
		for !p.end() && !p.take(",") {
			p.at++
		}
	}
	return s
}

// value returns the text of a literal or word, or the source of anything longer.
func (p *parser) value() string {
	t := p.peek()
	if n := p.peekAt(1); n.kind == tokEnd || n.is(",") {
		p.at++
		return t.text
	}
	from := p.at
	p.skipTo()
	if p.at == from {
		p.at++
		return t.text
	}
	return p.src[p.toks[from].from:p.toks[p.at-1].to]
}
