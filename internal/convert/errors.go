package convert

import (
	"fmt"

	"millrace/internal/errs"
	"millrace/internal/record"
)

// valueError is a value that a plan cannot write or read. The path grows while
// the error passes through the fields; the converter turns it into a
// DataException that says where.
type valueError struct {
	path string
	msg  string
	java bool // the text is Java's
	text bool // the bytes are not what the format is: Java has such an error in another one
}

func (e *valueError) Error() string {
	if e.path == "" {
		return e.msg
	}
	return e.msg + " (field " + e.path + ")"
}

func valueErrorf(format string, args ...any) error {
	return &valueError{msg: fmt.Sprintf(format, args...)}
}

// javaError is a value error in Java's words, which goes out without a beginning of
// our own.
func javaError(msg string) error { return &valueError{msg: msg, java: true} }

// within adds a field name to the path of a value error.
func within(name string, err error) error {
	if e, ok := err.(*valueError); ok { //nolint:errorlint // made right here, never wrapped
		if e.path == "" {
			e.path = name
		} else {
			e.path = name + "." + e.path
		}
	}
	return err
}

func errNullRequired() error {
	return javaError("Conversion error: null value for field that is required and has no default value")
}

func errKind(want, got record.Type) error {
	return valueErrorf("Invalid type for %s: the value is of type %s", want, got)
}

// dataError makes the DataException of a topic out of what a plan reports.
func dataError(topic *record.Topic, what string, cause error) error {
	if v, ok := cause.(*valueError); ok && v.java && topic != nil { //nolint:errorlint // made right here, never wrapped
		hint := "for topic " + topic.Name
		if v.path != "" {
			hint = "in field " + v.path + " " + hint
		}
		return &errs.Error{Java: errs.DataException, Msg: v.msg, Hint: hint}
	}
	if v, ok := cause.(*valueError); ok && v.text { //nolint:errorlint // see above
		hint := ""
		if topic != nil && topic.Name != "" {
			hint = "for topic " + topic.Name
		}
		return &errs.Error{Java: errs.DataException, Msg: what + " due to serialization error: ",
			Cause: &errs.Error{Java: errs.SerializationException, Msg: v.Error(), Hint: hint}}
	}
	msg := what
	if topic != nil && topic.Name != "" {
		msg += " (topic " + topic.Name + ")"
	}
	if _, ok := cause.(*errs.Error); !ok && cause != nil { //nolint:errorlint // only an error that is already worded goes out as it is
		return &errs.Error{Java: errs.DataException, Msg: msg + ": " + cause.Error()}
	}
	return &errs.Error{Java: errs.DataException, Msg: msg, Cause: cause}
}

// configError reports a converter setting that cannot be used.
func configError(format string, args ...any) error {
	return &errs.Error{Java: errs.ConfigException, Msg: fmt.Sprintf(format, args...)}
}
