package worker

import "fmt"

// StatusError is an error with the HTTP status that Connect answers for it.
type StatusError struct {
	Code int
	Msg  string
}

func (e *StatusError) Error() string { return e.Msg }

func statusErrorf(code int, format string, args ...any) error {
	return &StatusError{Code: code, Msg: fmt.Sprintf(format, args...)}
}

func notFound(name string) error { return statusErrorf(404, "Connector %s not found", name) }
