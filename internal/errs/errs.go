// Package errs types the errors that callers act on: may it be retried, whose
// fault is it, what should the reader do.
package errs

import (
	"errors"
	"strings"
)

// Error is an error with an answer. Its text is for the reader: what happened,
// where, why and what to do about it.
type Error struct {
	// Java is the Connect exception class that tools and alert rules grep for in
	// traces, e.g. org.apache.kafka.connect.errors.ConnectException.
	Java string
	// Msg says what happened and where.
	Msg string
	// Hint says what to do: the SQL or setting that fixes it. May be "".
	Hint string
	// Retriable: the same attempt may succeed later without anyone doing anything.
	Retriable bool
	// Cause is the underlying error, or nil.
	Cause error
}

// Java exception classes used in traces.
const (
	ConnectException       = "org.apache.kafka.connect.errors.ConnectException"
	DataException          = "org.apache.kafka.connect.errors.DataException"
	ConfigException        = "org.apache.kafka.common.config.ConfigException"
	RetriableException     = "org.apache.kafka.connect.errors.RetriableException"
	DebeziumException      = "io.debezium.DebeziumException"
	SerializationException = "org.apache.kafka.common.errors.SerializationException"
)

func (e *Error) Error() string {
	s := e.Msg
	if e.Cause != nil {
		if s != "" && !strings.HasSuffix(s, ": ") { // some of Java's texts end that way
			s += ": "
		}
		s += e.Cause.Error()
	}
	if e.Hint != "" {
		s = strings.TrimSuffix(s, ".") + ". " + e.Hint
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Retriable reports whether err, or an error it wraps, says that the same attempt
// may succeed later.
func Retriable(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Retriable
}

// Trace prints an error as tools expect a failed task's trace to begin: the Java
// class and message, then one "Caused by:" line per cause. A hint stands on a line of
// its own, indented as frames of a stack are, so that tools which compare messages
// find Java's. An error that is no
// *Error is printed whole as a ConnectException; the *Error it wraps, if any,
// follows as its cause.
func Trace(err error) string {
	var sb strings.Builder
	for err != nil {
		if sb.Len() > 0 {
			sb.WriteString("\nCaused by: ")
		}
		e, ok := err.(*Error) //nolint:errorlint // each link of the chain is printed by itself
		if !ok {
			sb.WriteString(ConnectException + ": " + err.Error())
			var inner *Error
			if !errors.As(err, &inner) {
				break
			}
			err = inner
			continue
		}
		sb.WriteString(e.class() + ": " + e.Msg)
		if e.Hint != "" { // where a stack would stand, so that the message is Java's
			sb.WriteString("\n\t... " + e.Hint)
		}
		err = e.Cause
	}
	return sb.String()
}

func (e *Error) class() string {
	if e.Java == "" {
		return ConnectException
	}
	return e.Java
}
