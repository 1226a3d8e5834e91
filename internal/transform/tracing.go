package transform

import (
	"millrace/internal/configdef"
	"millrace/internal/errs"
	"millrace/internal/record"
)

// tracing is ActivateTracingSpan without OpenTelemetry's libraries, as Connect runs
// it where they are not installed: a change that would get a span is an error, the
// others pass.
type tracing struct {
	field string // of the row; holds the context of a span
	only  bool   // only rows that have one get a span
}

func tracingDef() *configdef.Def {
	return &configdef.Def{Options: []configdef.Option{
		dopt("tracing.span.context.field", configdef.String, "tracingspancontext", configdef.High, configdef.WidthMedium, "Serialized tracing span context field", "Column that holds the context of a span."),
		dopt("tracing.operation.name", configdef.String, "debezium-read", configdef.High, configdef.WidthMedium, "Tracing operation name", "Name of the spans."),
		dopt("tracing.with.context.field.only", configdef.Boolean, "false", configdef.High, configdef.WidthMedium, "Trace only events with context field present", "Only rows with a context get a span, so the others pass."),
	}}
}

func newTracing(v configdef.Values) (Step, error) {
	return &tracing{field: v.String("tracing.span.context.field"), only: v.Bool("tracing.with.context.field.only")}, nil
}

func (t *tracing) Apply(b *record.Batch, r *record.Record) (bool, error) {
	if r.Value.IsNull() || !isEnvelope(r.ValueSchema) || t.only && !t.hasContext(b, r) {
		return true, nil
	}
	const class = "io/opentelemetry/context/propagation/TextMapGetter"
	return true, &errs.Error{Java: errs.DebeziumException, Msg: "Failed to record tracing information, tracing libraries not available",
		Hint: "millrace writes no spans: take ActivateTracingSpan out of transforms. A span's context in an outbox row reaches consumers with EventRouter's table.fields.additional.placement=" + t.field + ":header",
		Cause: &errs.Error{Java: "java.lang.NoClassDefFoundError", Msg: class,
			Cause: &errs.Error{Java: "java.lang.ClassNotFoundException", Msg: "io.opentelemetry.context.propagation.TextMapGetter"}}}
}

func (t *tracing) hasContext(b *record.Batch, r *record.Record) bool {
	i, row := r.ValueSchema.Field("after")
	if i < 0 || row.Type != record.Struct {
		return false
	}
	c := b.Child(r.Value, i)
	k, _ := row.Field(t.field)
	return k >= 0 && !c.IsNull() && !b.Child(c, k).IsNull()
}

// lineage is OpenLineage with the integration off, which is all that millrace's
// connectors allow (openlineage.integration.enabled): records pass as they are.
type lineage struct{}

func (lineage) Apply(*record.Batch, *record.Record) (bool, error) { return true, nil }
