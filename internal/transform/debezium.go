package transform

import (
	"strings"

	"millrace/internal/configdef"
	"millrace/internal/record"
)

func debeziumPlugins() []Plugin {
	out := []Plugin{
		step(debezium+"ByLogicalTableRouter", logicalRouterDef("__dbz__physicalTableIdentifier", "logical.table.cache.size"), newLogicalRouter),
		step(debezium+"ContentBasedRouter", scriptedDef("topic.expression", "Topic name expression", "Expression for the name of the topic; null leaves it."), newScripted("topic.expression", true)),
		step(debezium+"Filter", scriptedDef("condition", "Filtering condition", "Expression that is true for the records to keep."), newScripted("condition", false)),
		step(debezium+"EnforceRecordSize", recordSizeDef(), newRecordSize),
		step(debezium+"GeometryFormatTransformer", geometryFormatDef(), newGeometryFormat),
		step(debezium+"SwapGeometryCoordinates", swapDef(), newSwap),
		step(debezium+"VectorToJsonConverter", &configdef.Def{}, func(configdef.Values) (Step, error) { return &vectorToJSON{}, nil }),
		step(debezium+"ExtractChangedRecordState", changedDef(), newChanged),
		step(debezium+"ExtractNewRecordState", unwrapDef(), newUnwrap),
		step(debezium+"ExtractSchemaToNewRecord", &configdef.Def{}, func(configdef.Values) (Step, error) { return &sourceSchema{}, nil }),
		step(debezium+"HeaderToValue", headerToValueDef(), newHeaderToValue),
		step(debezium+"SchemaChangeEventFilter", schemaChangeFilterDef(), newSchemaChangeFilter),
		timezonePlugin(),
		step(debezium+"ToLogicalTopicRouter", logicalRouterDef("__dbz__sourceIdentifier", "logical.topic.cache.size"), newLogicalRouter),
		step(debezium+"openlineage.OpenLineage", &configdef.Def{}, func(configdef.Values) (Step, error) { return lineage{}, nil }),
		step(debezium+"tracing.ActivateTracingSpan", tracingDef(), newTracing),
		step(debezium+"outbox.EventRouter", outboxDef(), newOutbox),
		step(debezium+"partitions.PartitionRouting", partitionDef(), newPartition),
		step("io.debezium.connector.jdbc.transforms.CollectionNameTransformation", namingDef("collection", "Collection"), newCollectionNames),
		step("io.debezium.connector.jdbc.transforms.FieldNameTransformation", namingDef("column", "Column"), newFieldNames),
		step("io.debezium.connector.mysql.transforms.ReadToInsertEvent", &configdef.Def{}, func(configdef.Values) (Step, error) { return &readToInsert{}, nil }),
		step("io.debezium.connector.postgresql.transforms.DecodeLogicalDecodingMessageContent", decodeMessageDef(), newDecodeMessage),
	}
	for i := range out {
		out[i].Debezium = true
		switch strings.TrimPrefix(out[i].Class, debezium) {
		case "ExtractNewRecordState", // the one that looks at its values before it runs
			"ContentBasedRouter", "Filter": // what cannot be read as an expression is not there at all
		default:
			out[i].Def.LateChecks()
		}
	}
	return out
}

// isEnvelope reports whether a value's schema is that of a change event.
func isEnvelope(s *record.Schema) bool {
	return s != nil && strings.HasSuffix(s.Name, ".Envelope")
}

// dopt is one option as Debezium's transforms declare theirs.
func dopt(name string, t configdef.Type, def string, imp configdef.Importance, width configdef.Width, display, doc string, checks ...func(configdef.Input) []string) configdef.Option {
	o := opt(name, t, def, imp, doc, checks...)
	o.Width, o.Display, o.Order = width, display, 1
	return o
}
