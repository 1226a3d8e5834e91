// Package suite is one behaviour suite for every source: the same scenarios, run
// against each kind and version of database with real servers, the source being
// restarted after every step and resumed behind every record. Nothing may be lost
// and nothing come twice.
//
// A source plugs in with two small interfaces. Its test is one call,
//
//	func TestSuite(t *testing.T) { suite.Run(t, driver{}) }
//
// where driver is a [Driver]: it says which dialect of SQL its server speaks and
// makes a [Database] of the test's own. A Database runs SQL in one session and runs
// the source from an offset into a [Sink], which has the methods that sources ask of
// emit.Pipeline (Send, Stored, Drain, Err, Cause), so an unexported run method takes
// it as it is. Whoever makes a database also removes it, with t.Cleanup.
//
// capture/postgres/suite_test.go is the model: forty lines.
//
// A scenario is a table: properties, what is there before the connector, and steps
// of SQL with the records that each must give ([Scenario]). What differs between
// dialects is written as {words}, see [Dialect]. Each scenario runs in three ways:
//
//   - live: the source runs while the steps are made;
//   - resumed: from the offset behind each single record of that run a new source
//     reads the rest, and must give exactly the rest;
//   - restarted: the source is down while a step is made, reads it, and is stopped
//     again, step by step.
package suite
