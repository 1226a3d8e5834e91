package errs

import "fmt"

// RecordError tells which records of a batch are bad by themselves: the target
// refuses them however often they are sent. A sink returns it after everything
// else of the batch was dealt with, so the runner reports the bad ones (dead
// letter queue, log) and goes on, or stops the task under errors.tolerance=none.
type RecordError struct {
	Bad []BadRecord // at least one, in batch order
	// Done is how many records at the beginning of the batch are dealt with for good, so
	// that their offsets may be committed when the task stops at the first bad one.
	Done int
}

// BadRecord is one refused record.
type BadRecord struct {
	Index int   // in Batch.Records as it was given to the sink
	Err   error // why, for the reader
}

func (e *RecordError) Error() string {
	if len(e.Bad) == 1 {
		return e.Bad[0].Err.Error()
	}
	return fmt.Sprintf("%d records were refused, the first one: %v", len(e.Bad), e.Bad[0].Err)
}

// Unwrap returns the reason of the first bad record.
func (e *RecordError) Unwrap() error { return e.Bad[0].Err }
