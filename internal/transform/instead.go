package transform

import "strings"

// Instead says what to use in place of a transform that people have in their
// configs and that is none of millrace's; "" when there is nothing to say.
func Instead(class string) string {
	name, _, _ := strings.Cut(class, "$")
	short := name[strings.LastIndexByte(name, '.')+1:]
	switch {
	case name == "io.debezium.transforms.UnwrapFromEnvelope":
		return "It was renamed: use io.debezium.transforms.ExtractNewRecordState."
	case strings.HasPrefix(name, "io.debezium.connector.mongodb."):
		return "millrace has no MongoDB source, so there are no such records."
	case strings.HasPrefix(name, "io.debezium.ai."):
		return "millrace makes no embeddings; let a consumer of the topic make them."
	case strings.HasPrefix(name, "io.confluent.connect.transforms."):
		return confluentInstead(short)
	case strings.HasPrefix(name, "com.github.jcustenborder.") || strings.HasPrefix(name, "io.aiven.kafka.connect.") || strings.HasPrefix(name, "io.lenses."):
		return "millrace runs no Java, so transforms of other projects must be replaced: GET /connector-plugins?connectorsOnly=false lists what there is."
	}
	return ""
}

func confluentInstead(short string) string {
	switch short {
	case "Drop":
		return "Use org.apache.kafka.connect.transforms.ReplaceField, or Filter to drop records."
	case "Filter":
		return "Use io.debezium.transforms.Filter with language cel or jsr223.groovy."
	case "ExtractTopic":
		return "Use io.debezium.transforms.ContentBasedRouter, or ExtractNewRecordState's route.by.field."
	case "MessageTimestampRouter":
		return "Use org.apache.kafka.connect.transforms.TimestampRouter."
	case "TombstoneHandler":
		return "Use org.apache.kafka.connect.transforms.Filter with the predicate RecordIsTombstone."
	case "GzipDecompress", "FromXml":
		return "millrace cannot read such values."
	}
	return "The transforms of Apache Kafka and Debezium are there: GET /connector-plugins?connectorsOnly=false lists them."
}
