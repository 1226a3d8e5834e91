package transform

import (
	"millrace/internal/configdef"
)

// Plugin is one transform or predicate by its Java class name. Exactly one of
// NewStep and NewPredicate is set.
type Plugin struct {
	Class string
	Def   *configdef.Def
	// NewStep makes a step from the transform's own options (without the prefix).
	NewStep func(props map[string]string) (Step, error)
	// NewPredicate makes a predicate likewise.
	NewPredicate func(props map[string]string) (Predicate, error)
	// Debezium: the class is one of Debezium's, not Apache's.
	Debezium bool
}

const (
	apache   = "org.apache.kafka.connect.transforms."
	debezium = "io.debezium.transforms."
)

// Plugins lists every transform and predicate.
func Plugins() []Plugin {
	var out []Plugin
	for _, p := range []struct {
		name string
		def  *configdef.Def
		make func(s side, v configdef.Values) (Step, error)
	}{
		{"Cast", castDef(), newCast},
		{"ExtractField", extractFieldDef(), newExtractField},
		{"Flatten", flattenDef(), newFlatten},
		{"HeaderFrom", headerFromDef(), newHeaderFrom},
		{"HoistField", hoistFieldDef(), newHoistField},
		{"InsertField", insertFieldDef(), newInsertField},
		{"MaskField", maskFieldDef(), newMaskField},
		{"ReplaceField", replaceFieldDef(), newReplaceField},
		{"SetSchemaMetadata", setSchemaDef(), newSetSchema},
		{"TimestampConverter", timestampConverterDef(), newTimestampConverter},
	} {
		for _, half := range []struct {
			suffix string
			side   side
		}{{"$Key", onKey}, {"$Value", onValue}} {
			out = append(out, step(apache+p.name+half.suffix, p.def, func(v configdef.Values) (Step, error) { return p.make(half.side, v) }))
		}
	}
	out = append(out,
		step(apache+"DropHeaders", dropHeadersDef(), newDropHeaders),
		step(apache+"Filter", &configdef.Def{}, func(configdef.Values) (Step, error) { return filter{}, nil }),
		step(apache+"InsertHeader", insertHeaderDef(), newInsertHeader),
		step(apache+"RegexRouter", regexRouterDef(), newRegexRouter),
		step(apache+"TimestampRouter", timestampRouterDef(), newTimestampRouter),
		step(apache+"ValueToKey", valueToKeyDef(), newValueToKey),
		predicate(apache+"predicates.HasHeaderKey", hasHeaderKeyDef(), newHasHeaderKey),
		predicate(apache+"predicates.RecordIsTombstone", &configdef.Def{}, func(configdef.Values) (Predicate, error) { return recordIsTombstone{}, nil }),
		predicate(apache+"predicates.TopicNameMatches", topicNameMatchesDef(), newTopicNameMatches),
	)
	return append(out, debeziumPlugins()...)
}

func step(class string, def *configdef.Def, make func(configdef.Values) (Step, error)) Plugin {
	return Plugin{Class: class, Def: def, NewStep: func(props map[string]string) (Step, error) {
		v, err := def.Parse(props)
		if err != nil {
			return nil, err
		}
		return make(v)
	}}
}

func predicate(class string, def *configdef.Def, make func(configdef.Values) (Predicate, error)) Plugin {
	return Plugin{Class: class, Def: def, NewPredicate: func(props map[string]string) (Predicate, error) {
		v, err := def.Parse(props)
		if err != nil {
			return nil, err
		}
		return make(v)
	}}
}
