// Package archtest holds the house rules as tests: who may import whom, how long
// files and functions may grow, what must be documented, what is banned. It has
// no code of its own to import; run it with go test ./internal/archtest.
//
// A rule that must be broken in one place is broken in the table of
// exceptions_test.go, with the reason, and nowhere else.
package archtest
