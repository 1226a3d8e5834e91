package postgres

import (
	"encoding/hex"
	"regexp"
	"strings"

	"millrace/capture/options"
	"millrace/internal/configdef"
	"millrace/internal/javaregex"
)

// Def is the option table of PostgresConnector. Names, types, defaults, order and
// error texts are those of Debezium 3.6.1; the documentation is our own.
func Def() *configdef.Def {
	return &configdef.Def{
		Options:    options.Table(optionOrder, append(append([]configdef.Option{}, ownOptions...), hiddenOptions...)),
		Patterns:   options.Patterns(),
		TypeErrors: options.TypeErrors,
		HideValues: true,
	}
}

var slotNameForm = regexp.MustCompile(`^[a-z0-9_]{1,63}$`)

func slotName(in configdef.Input) []string {
	if slotNameForm.MatchString(in.Value) {
		return nil
	}
	return []string{"Valid replication slot name must contain only digits, lowercase characters and underscores with length <= 63"}
}

// decoderPlugin refuses decoderbufs when it is asked for. Debezium's default is
// decoderbufs, which few servers have; when nothing is said pgoutput is used.
func decoderPlugin(in configdef.Input) []string {
	if in.Set && strings.EqualFold(in.Value, "decoderbufs") {
		return []string{"decoderbufs is not supported by millrace: set plugin.name to pgoutput, which is part of PostgreSQL, and use a new slot.name or drop the old slot first"}
	}
	return nil
}

// streamParams refuses options of pgoutput whose messages cannot be read.
func streamParams(in configdef.Input) []string {
	var out []string
	pairs, _ := options.ParsePairs(in.Value, ";")
	for _, p := range pairs {
		name := strings.ToLower(p.Key)
		switch off := p.Value == "0" || strings.EqualFold(p.Value, "off") || strings.EqualFold(p.Value, "false"); {
		case name == "binary" && !off:
			out = append(out, "binary is not supported by millrace: values come as text; leave it out")
		case name == "two_phase" && !off:
			out = append(out, "two_phase is not supported by millrace: transactions come when they are committed; leave it out")
		}
	}
	return out
}

// identityForm is the form of an entry of replica.identity.autoset.values.
const identityForm = `(?i)^\s*(?<tablepredicate>[^\s:]+):(?<replicaidentity>DEFAULT|(INDEX) (?<indexname>.\w*)|FULL|NOTHING)\s*$`

var identityRegexp = javaregex.MustCompile(identityForm, 0)

func replicaIdentities(in configdef.Input) []string {
	if !in.Set {
		return nil
	}
	var out []string
	if in.Value == "" {
		out = append(out, "Must not be empty")
	}
	for _, e := range strings.Split(in.Value, ",") {
		if !identityRegexp.Find(e) {
			out = append(out, e+" has an invalid format (expecting '"+identityForm+"')")
		}
	}
	return out
}

// Java socket factories with a known meaning.
const (
	factoryTrustAll = "org.postgresql.ssl.NonValidatingFactory"
	factoryLibPQ    = "org.postgresql.ssl.LibPQFactory"
	factoryDefault  = "org.postgresql.ssl.DefaultJavaSSLFactory"
)

func socketFactory(in configdef.Input) []string {
	switch in.Value {
	case "", factoryTrustAll, factoryLibPQ, factoryDefault:
		return nil
	}
	return []string{"millrace cannot load the Java class " + in.Value + "; set database.sslmode, database.sslrootcert, database.sslcert and database.sslkey instead"}
}

func connectionFactory(in configdef.Input) []string {
	if in.Value == "" {
		return nil
	}
	return []string{"millrace cannot load the Java class " + in.Value + "; give a password or client certificate instead"}
}

func placeholder(in configdef.Input) []string {
	if h, ok := strings.CutPrefix(in.Value, "hex:"); ok {
		if _, err := hex.DecodeString(h); err != nil {
			return []string{"hexadecimal digits are expected after hex:"}
		}
	}
	return nil
}

// hiddenOptions are read by the real connector and not listed by it.
var hiddenOptions = []configdef.Option{
	{Name: "database.connection.factory.class", Type: configdef.String, Doc: "Java class that makes connections. millrace cannot load one.", Check: options.Checks(connectionFactory)},
	{Name: "internal.create.slot.command.timeout", Type: configdef.Long, Default: "90", HasDefault: true, Doc: "Time limit for making slots and publications, in seconds."},
	{Name: "internal.slot.seek.to.known.offset.on.start", Type: configdef.Boolean, Default: "false", HasDefault: true, Doc: "Old form of offset.mismatch.strategy: true for trust_offset."},
	{Name: "offset.mismatch.strategy", Type: configdef.String, Default: "no_validation", HasDefault: true, Doc: "What to do when the stored position and the slot's differ: trust_slot and trust_greater_lsn go on from a slot that is ahead, which loses what is between; trust_offset and trust_greater_lsn advance a slot that is behind. no_validation, the default, streams from the stored position. A slot that is ahead is an error unless it is trusted."},
	{Name: "read.only", Type: configdef.Boolean, Default: "false", HasDefault: true, Doc: "Take incremental snapshots without writing to the database. Needs PostgreSQL 13."},
	{Name: "money.fraction.digits", Type: configdef.Short, Default: "2", HasDefault: true, Doc: "Fraction digits of money values."},
	{Name: "incremental.snapshot.allow.schema.changes", Type: configdef.Boolean, Default: "false", HasDefault: true, Doc: "Not for this connector.",
		Unsupported: "the real connector does not support it for PostgreSQL either; leave it false"},
}
