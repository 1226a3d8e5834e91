package options

import (
	"fmt"
	"regexp"
	"sort"
	"strconv"
	"strings"

	"millrace/internal/javaregex"
)

// ColumnFilter decides which columns are in the value of a record.
type ColumnFilter struct {
	in, ex []*javaregex.Regexp
	sep    string
}

// NewColumnFilter compiles the lists on "space.table.column".
func NewColumnFilter(include, exclude string) (*ColumnFilter, error) {
	return newColumnFilter(include, exclude, ".")
}

// NewReselectFilter compiles the lists of a reselect post processor, which name
// columns as "space.table:column".
func NewReselectFilter(include, exclude string) (*ColumnFilter, error) {
	return newColumnFilter(include, exclude, ":")
}

func newColumnFilter(include, exclude, sep string) (*ColumnFilter, error) {
	in, err := compileList(include)
	if err != nil {
		return nil, err
	}
	ex, err := compileList(exclude)
	if err != nil {
		return nil, err
	}
	return &ColumnFilter{in, ex, sep}, nil
}

// Included reports whether the column is in the value.
func (f *ColumnFilter) Included(space, table, column string) bool {
	return passes(f.in, f.ex, space+"."+table+f.sep+column)
}

// ColumnRule is what the options ask to do to one column.
type ColumnRule struct {
	Truncate  int                   // greatest length; -1 none
	MaskChars int                   // number of asterisks; -1 none
	Hash      func(v []byte) []byte // the hex text for a value's UTF-8 text; nil none
	Propagate bool                  // source type, length and scale as schema parameters
}

// none is the rule of a column that no option names.
var none = ColumnRule{Truncate: -1, MaskChars: -1}

// ColumnRules are the column.truncate…, column.mask… and ….propagate.source.type
// options of a connector.
type ColumnRules struct{ rules []columnRule }

type columnRule struct {
	list   []*javaregex.Regexp
	byType bool // matches space.table.typename instead of the column
	make   func(length int) ColumnRule
}

var (
	truncateName = regexp.MustCompile(`^column\.truncate\.to\.(\d+)\.chars$`)
	maskName     = regexp.MustCompile(`^column\.mask\.with\.(\d+)\.chars$`)
	hashName     = regexp.MustCompile(`^column\.mask\.hash\.([^.]+)\.with\.salt\.(.+)$`)
	hash2Name    = regexp.MustCompile(`^column\.mask\.hash\.v2\.([^.]+)\.with\.salt\.(.+)$`)
)

// NewColumnRules reads the options of a connector's properties. Where several
// options name a column, the first in this order applies, as in Debezium:
// truncate, mask, propagate by column, propagate by type, hash, hash v2; options
// of one kind are tried in the order of their numbers or names.
func NewColumnRules(props map[string]string) (*ColumnRules, error) {
	names := make([]string, 0, len(props))
	for k := range props {
		names = append(names, k)
	}
	sort.Slice(names, func(i, j int) bool {
		if len(names[i]) != len(names[j]) {
			return len(names[i]) < len(names[j])
		}
		return names[i] < names[j]
	})
	r := &ColumnRules{}
	for _, kind := range []func(name string) (func(int) ColumnRule, bool, error){truncateRule, maskRule, propagateRule, hashRule, hash2Rule} {
		for _, k := range names {
			mk, byType, err := kind(k)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", k, err)
			}
			if mk == nil {
				continue
			}
			list, err := compileList(props[k])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", k, err)
			}
			r.rules = append(r.rules, columnRule{list, byType, mk})
		}
	}
	return r, nil
}

func truncateRule(name string) (func(int) ColumnRule, bool, error) {
	m := truncateName.FindStringSubmatch(name)
	if m == nil {
		return nil, false, nil
	}
	n, err := strconv.Atoi(m[1])
	return func(length int) ColumnRule {
		c := none
		if length < 0 || length > n {
			c.Truncate = n
		}
		return c
	}, false, err
}

func maskRule(name string) (func(int) ColumnRule, bool, error) {
	m := maskName.FindStringSubmatch(name)
	if m == nil {
		return nil, false, nil
	}
	n, err := strconv.Atoi(m[1])
	return func(int) ColumnRule {
		c := none
		c.MaskChars = n
		return c
	}, false, err
}

func propagateRule(name string) (func(int) ColumnRule, bool, error) {
	if name != "column.propagate.source.type" && name != "datatype.propagate.source.type" {
		return nil, false, nil
	}
	return func(int) ColumnRule {
		c := none
		c.Propagate = true
		return c
	}, strings.HasPrefix(name, "datatype"), nil
}

func hashRule(name string) (func(int) ColumnRule, bool, error) {
	return hashing(hashName.FindStringSubmatch(name), false)
}

func hash2Rule(name string) (func(int) ColumnRule, bool, error) {
	return hashing(hash2Name.FindStringSubmatch(name), true)
}

func hashing(m []string, v2 bool) (func(int) ColumnRule, bool, error) {
	if m == nil {
		return nil, false, nil
	}
	if newHash(m[1]) == nil {
		return nil, false, fmt.Errorf("%s MessageDigest not available", m[1])
	}
	return func(length int) ColumnRule {
		c := none
		c.Hash = hasher(m[1], m[2], v2, length)
		return c
	}, false, nil
}

// For returns what to do to a column. typeName is the database's name of its
// type; length is the declared length in characters (bytes for binary types),
// negative when unknown: a hash is cut to it, and a shorter column is not
// truncated.
func (r *ColumnRules) For(space, table, column, typeName string, length int) ColumnRule {
	for _, x := range r.rules {
		id := space + "." + table + "."
		if x.byType {
			id += typeName
		} else {
			id += column
		}
		if javaregex.AnyWhole(x.list, id) {
			return x.make(length)
		}
	}
	return none
}

// KeyColumns is message.key.columns: "pattern:c1,c2;pattern:c1".
type KeyColumns struct{ rules [][]*javaregex.Regexp }

// KeyColumnsFormat is the form that Debezium asks of each part, for messages.
const KeyColumnsFormat = `^\s*([^:]+):([^:,]+(,[^:,]+)*)\s*$`

var keyColumnsForm = javaregex.MustCompile(KeyColumnsFormat, 0)

// KeyColumnsProblems returns the parts of the text that are not of the form.
func KeyColumnsProblems(text string) []string {
	var bad []string
	for _, part := range splitSemicolons(text) {
		if !keyColumnsForm.Find(part) {
			bad = append(bad, part)
		}
	}
	return bad
}

// splitSemicolons splits as Java's String.split does: empty parts at the end are dropped.
func splitSemicolons(text string) []string {
	parts := strings.Split(text, ";")
	for len(parts) > 1 && parts[len(parts)-1] == "" {
		parts = parts[:len(parts)-1]
	}
	return parts
}

// NewKeyColumns parses the option; "" gives none.
func NewKeyColumns(text string) (*KeyColumns, error) {
	k := &KeyColumns{}
	if strings.TrimSpace(text) == "" {
		return k, nil
	}
	for _, part := range splitSemicolons(text) {
		table, columns, _ := strings.Cut(part, ":")
		for _, c := range strings.Split(columns, ",") {
			list, err := compileList(table + "." + strings.TrimSpace(c))
			if err != nil {
				return nil, err
			}
			k.rules = append(k.rules, list)
		}
	}
	return k, nil
}

// For returns the indexes of the columns that make a table's key in the order the
// option names them, or nil when the option does not name the table.
func (k *KeyColumns) For(space, table string, columns []string) []int {
	var out []int
	seen := map[int]bool{}
	for _, rule := range k.rules {
		for i, c := range columns {
			if !seen[i] && javaregex.AnyWhole(rule, space+"."+table+"."+c) {
				seen[i] = true
				out = append(out, i)
			}
		}
	}
	return out
}
