// Package transform runs single message transforms and predicates by their Java
// class names. A Step works on the records of a batch in place; what depends on
// the schema only is compiled once per schema pointer and cached in the step.
package transform

import "millrace/internal/record"

// Step rewrites one record of b in place: topic, partition, timestamp, key,
// value, schemas and headers. keep false drops the record. A step belongs to one
// task and is used by one goroutine.
type Step interface {
	Apply(b *record.Batch, r *record.Record) (keep bool, err error)
}

// Predicate decides whether a step applies to a record.
type Predicate interface {
	Test(b *record.Batch, r *record.Record) bool
}

// Stage is a configured step of a connector's chain.
type Stage struct {
	Alias     string // transforms.<alias>
	Class     string // Java class name, for errors
	Step      Step
	Predicate Predicate // nil: always
	Negate    bool
}

// Apply runs the stage on a record, honouring its predicate.
func (s *Stage) Apply(b *record.Batch, r *record.Record) (keep bool, err error) {
	if s.Predicate != nil && s.Predicate.Test(b, r) == s.Negate {
		return true, nil
	}
	return s.Step.Apply(b, r)
}
