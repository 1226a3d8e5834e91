package mysql

import (
	"slices"
	"strings"

	"millrace/capture/options"
	"millrace/internal/configdef"
)

// Java classes of schema histories.
const (
	classKafkaHistory  = "io.debezium.storage.kafka.history.KafkaSchemaHistory"
	classFileHistory   = "io.debezium.storage.file.history.FileSchemaHistory"
	classMemoryHistory = "io.debezium.relational.history.MemorySchemaHistory"
)

// Def is the option table of MySqlConnector. Names, types, defaults, order and
// error texts are those of Debezium 3.6.1; the documentation is our own.
func Def() *configdef.Def { return DefOf(MySQL) }

// DefOf is the option table of MySqlConnector or MariaDbConnector: the latter spells
// its TLS modes otherwise, knows fewer locks, and has no Java driver to choose.
func DefOf(flavor Flavor) *configdef.Def {
	own, groups := append(append([]configdef.Option{}, ownOptions...), hiddenOptions...), slices.Clone(optionOrder)
	if flavor == MariaDB {
		own = slices.DeleteFunc(own, func(o configdef.Option) bool { return onlyMySQL[o.Name] })
		for i := range own {
			if o, ok := mariadbOptions[own[i].Name]; ok {
				own[i] = o
			}
		}
		own = append(own, configdef.Option{Name: "database.timezone", Type: configdef.String, Doc: "Accepted for compatibility: snapshots are read in UTC."})
		groups[0].Name = "MariaDB"
		for i := range groups {
			groups[i].Options = slices.DeleteFunc(slices.Clone(groups[i].Options), func(name string) bool { return onlyMySQL[name] })
		}
	}
	table := options.Table(groups, own)
	if i := slices.IndexFunc(table, func(o configdef.Option) bool { return o.Name == "table.include.list" }); i >= 0 {
		table[i] = twice(table[i], options.RegexList)
	}
	return &configdef.Def{
		Options:    table,
		Patterns:   options.Patterns(),
		TypeErrors: options.TypeErrors,
		HideValues: true,
	}
}

// onlyMySQL are the options that MariaDbConnector does not have.
var onlyMySQL = map[string]bool{"database.jdbc.driver": true, "database.protocol": true, "ddl.parser.type": true,
	"database.connectionTimeZone": true, "database.allowPublicKeyRetrieval": true}

// mariadbOptions are the options that it has with other values.
var mariadbOptions = map[string]configdef.Option{
	"database.ssl.mode": enum("database.ssl.mode", "disable", configdef.Medium, configdef.WidthMedium, "SSL mode",
		"How to use TLS: disable, trust (encrypt without checking), verify-ca (check the certificate) or verify-full (check the host name too).",
		"disable", "trust", "verify-ca", "verify-full"),
	"snapshot.locking.mode": enum("snapshot.locking.mode", "minimal", configdef.Low, configdef.WidthShort, "Snapshot locking mode",
		"Lock while the position is read: minimal (a global read lock for an instant), extended (until all rows are read), none.",
		"extended", "minimal", "custom", "none"),
}

// sslModes are MariaDB's TLS modes in MySQL's words.
var sslModes = map[string]string{"disable": "disabled", "trust": "required", "verify-ca": "verify_ca", "verify-full": "verify_identity"}

func timePrecision(in configdef.Input) []string {
	if strings.EqualFold(in.Value, "adaptive") {
		return []string{"The 'adaptive' time.precision.mode is no longer supported"}
	}
	return timePrecisionAgain(in)
}

// timePrecisionAgain is the second look that Debezium takes at the value.
var timePrecisionAgain = options.OneOf("adaptive", "adaptive_time_microseconds", "connect", "isostring", "microseconds", "nanoseconds")

// locking adds the text with which Debezium first refuses an unknown lock.
func locking(o configdef.Option) configdef.Option {
	check := o.Check
	o.Check = func(in configdef.Input) []string {
		out := check(in)
		if len(out) > 0 {
			out = append([]string{options.Invalid(in.Name, "Must be a valid snapshot.locking.mode value")}, out...)
		}
		return out
	}
	return o
}

func gtidExcludes(in configdef.Input) []string {
	if in.Set && strings.TrimSpace(in.Props["gtid.source.includes"]) != "" {
		return []string{"Cannot specify GTID excludes when includes are provided."}
	}
	return nil
}

func historyClass(in configdef.Input) []string {
	switch in.Value {
	case classKafkaHistory, classFileHistory, classMemoryHistory:
		return nil
	}
	return []string{"millrace cannot load the Java class " + in.Value + "; use " + classKafkaHistory + ", " + classFileHistory + " or " + classMemoryHistory}
}

func historyOf(props map[string]string) string {
	if c := strings.TrimSpace(props["schema.history.internal"]); c != "" {
		return c
	}
	return classKafkaHistory
}

func historyKafka(in configdef.Input) []string {
	if historyOf(in.Props) != classKafkaHistory {
		return nil
	}
	return options.Required(in)
}

func historyFile(in configdef.Input) []string {
	if historyOf(in.Props) != classFileHistory {
		return nil
	}
	return options.Required(in)
}
