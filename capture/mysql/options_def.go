package mysql

import (
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

// Def is the option table of MySqlConnector and MariaDbConnector. Names, types,
// defaults, order and error texts are those of Debezium 3.6.1; the documentation
// is our own.
func Def() *configdef.Def {
	return &configdef.Def{
		Options:    options.Table(optionOrder, append(append([]configdef.Option{}, ownOptions...), hiddenOptions...)),
		Patterns:   options.Patterns(),
		TypeErrors: options.TypeErrors,
		HideValues: true,
	}
}

func timePrecision(in configdef.Input) []string {
	if strings.EqualFold(in.Value, "adaptive") {
		return []string{"The 'adaptive' time.precision.mode is no longer supported"}
	}
	return options.OneOf("adaptive_time_microseconds", "connect", "isostring", "microseconds", "nanoseconds")(in)
}

func gtidExcludes(in configdef.Input) []string {
	if in.Set && in.Value != "" && strings.TrimSpace(in.Props["gtid.source.includes"]) != "" {
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
