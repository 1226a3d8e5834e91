package convert

import (
	"context"
	"regexp"

	"millrace/internal/configdef"
	"millrace/internal/record"
)

// Delegating is Debezium's BinaryDataConverter or ByteArrayConverter: bytes as
// they are, everything else through another converter.
type Delegating struct {
	delegate Converter // nil: none is configured
	// bytesToo sends bytes through the delegate as well: Debezium's
	// ByteArrayConverter only takes Java byte arrays for itself, and its connectors
	// never make any.
	bytesToo bool
	own      Bytes
}

// DelegatingDef is the option table of Debezium's BinaryDataConverter and
// ByteArrayConverter.
func DelegatingDef() *configdef.Def {
	d := converterTypeDef()
	d.Options = append(d.Options, configdef.Option{Name: "delegate.converter.type", Type: configdef.String, Importance: configdef.Low, Order: -1, Width: configdef.WidthNone,
		Doc: "Class of the converter for what is no bytes; its own options have the prefix delegate.converter.type.",
		Check: func(in configdef.Input) []string {
			if !in.Set {
				return nil
			}
			if _, err := NewByClass(in.Value, configdef.Prefixed(in.Props, "delegate.converter.type."), false); err != nil {
				return []string{"Invalid value " + in.Value + " for configuration " + in.Name + ": " + err.Error()}
			}
			return nil
		}})
	d.Patterns = append(d.Patterns, configdef.Pattern{Regexp: delegateOption, Doc: "Options of the delegate."})
	return d
}

var delegateOption = regexp.MustCompile(`^delegate\.converter\.type\..+$`)

// NewBinaryData makes a BinaryDataConverter.
func NewBinaryData(props map[string]string, isKey bool) (Converter, error) {
	return newDelegating(props, isKey, false)
}

// NewBinaryDataHeader makes a BinaryDataConverter for header values.
func NewBinaryDataHeader(props map[string]string) (HeaderConverter, error) {
	return newDelegating(props, false, false)
}

// NewDebeziumBytes makes Debezium's ByteArrayConverter.
func NewDebeziumBytes(props map[string]string, isKey bool) (Converter, error) {
	return newDelegating(props, isKey, true)
}

// NewDebeziumBytesHeader makes Debezium's ByteArrayConverter for header values.
func NewDebeziumBytesHeader(props map[string]string) (HeaderConverter, error) {
	return newDelegating(props, false, true)
}

func newDelegating(props map[string]string, isKey, bytesToo bool) (*Delegating, error) {
	v, err := DelegatingDef().Parse(props)
	if err != nil {
		return nil, configError("%s", err.Error())
	}
	d := &Delegating{bytesToo: bytesToo}
	if class := v.String("delegate.converter.type"); class != "" {
		if d.delegate, err = NewByClass(class, v.Prefixed("delegate.converter.type."), isKey); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// Encoder implements Converter.
func (d *Delegating) Encoder(ctx context.Context, topic *record.Topic, s *record.Schema) (Encoder, error) {
	if d.delegate != nil && (d.bytesToo || s != nil && s.Type != record.Bytes) {
		e, err := d.delegate.Encoder(ctx, topic, s)
		if err != nil || s == nil || s.Type != record.Bytes {
			return e, err
		}
		return &nullOr{e}, nil
	}
	if s != nil && s.Type != record.Bytes {
		return nil, dataError(topic, "A schema of type '"+s.Type.String()+"' requires a delegate.converter.type to be configured", nil)
	}
	own, err := d.own.Encoder(ctx, topic, s)
	if err != nil || s != nil || d.delegate == nil {
		return own, err
	}
	other, err := d.delegate.Encoder(ctx, topic, nil)
	return &byKind{own, other}, err
}

// nullOr writes a null of a bytes schema as a null, whatever the delegate does.
type nullOr struct{ other Encoder }

// Append implements Encoder.
func (e *nullOr) Append(dst []byte, b *record.Batch, c record.Cell) ([]byte, bool, error) {
	if c.IsNull() {
		return dst, true, nil
	}
	return e.other.Append(dst, b, c)
}

// byKind writes schemaless values: bytes as they are, others by the delegate.
type byKind struct{ own, other Encoder }

// Append implements Encoder.
func (e *byKind) Append(dst []byte, b *record.Batch, c record.Cell) ([]byte, bool, error) {
	if c.IsNull() || c.Kind() == record.Bytes {
		return e.own.Append(dst, b, c)
	}
	return e.other.Append(dst, b, c)
}

// Decode implements Converter: optional bytes, without the delegate.
func (d *Delegating) Decode(ctx context.Context, topic *record.Topic, data []byte, b *record.Batch) (*record.Schema, record.Cell, error) {
	return d.own.Decode(ctx, topic, data, b)
}

// AppendHeader implements HeaderConverter.
func (d *Delegating) AppendHeader(dst []byte, topic *record.Topic, b *record.Batch, h record.Header) ([]byte, bool, error) {
	e, err := d.Encoder(context.Background(), topic, h.Schema)
	if err != nil {
		return dst, false, err
	}
	return e.Append(dst, b, h.Value)
}

// DecodeHeader implements HeaderConverter.
func (d *Delegating) DecodeHeader(topic *record.Topic, key string, data []byte, b *record.Batch) (record.Header, error) {
	return d.own.DecodeHeader(topic, key, data, b)
}
