package errs

import (
	"errors"
	"fmt"
	"testing"
)

func TestTrace(t *testing.T) {
	low := &Error{Java: DataException, Msg: "column \"a\" of public.t", Hint: "Fix a", Cause: errors.New("bad digit")}
	err := &Error{Msg: "Tolerance exceeded in error handler", Cause: fmt.Errorf("converting: %w", low)}
	want := ConnectException + ": Tolerance exceeded in error handler" +
		"\nCaused by: " + ConnectException + ": converting: column \"a\" of public.t: bad digit. Fix a" +
		"\nCaused by: " + DataException + ": column \"a\" of public.t\n\t... Fix a" +
		"\nCaused by: " + ConnectException + ": bad digit"
	if got := Trace(err); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestRetriableLooksThroughWrapping(t *testing.T) {
	if !Retriable(fmt.Errorf("reading: %w", &Error{Msg: "cut", Retriable: true})) {
		t.Error("a wrapped retriable error is not retriable")
	}
	if Retriable(errors.New("plain")) {
		t.Error("a plain error is retriable")
	}
}
