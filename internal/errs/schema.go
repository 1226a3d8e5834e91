package errs

// SchemaBuilderException is what Connect throws for a schema that cannot be built.
const SchemaBuilderException = "org.apache.kafka.connect.errors.SchemaBuilderException"

// DuplicateField is the error of a table, two columns of which get one field name
// (by an adjustment of names). It stops a source, in Debezium's words.
func DuplicateField(field string) error {
	text := "Cannot create field because of field name duplication " + field
	return &Error{Java: ConnectException, Msg: "An exception occurred in the change event producer. This connector will be stopped.",
		Cause: &Error{Java: DebeziumException, Msg: SchemaBuilderException + ": " + text,
			Hint:  "Two columns of the table have this name once it is adjusted. Leave one out with column.exclude.list, rename it, or change field.name.adjustment.mode",
			Cause: &Error{Java: SchemaBuilderException, Msg: text}}}
}
