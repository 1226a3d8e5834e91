// Package loss holds, as tests, the ways in which change data capture has lost
// data in the field: a PostgreSQL source and its pipeline to Kafka run in this
// process, both behind proxies that cut, slow and hang their connections, and are
// killed and started anew from the offset that was stored by then. Each test is one
// scenario and says what Debezium does in it.
//
// What is written carries one number that grows by one with every change, so a gap
// in a topic is a loss, whatever its cause, and a step back is a repeat.
//
// The ways, and their tests:
//
//	rows that share a log position               TestRowsThatShareOnePosition
//	BEGIN, row and COMMIT at one position        TestBeginRowAndCommitShareOnePosition
//	skipping to a resume point that never comes  TestResumePointThatNeverComes
//	confirmed before it is durable               TestNothingIsConfirmedBeforeItIsStored
//	slot ahead of the offset, or made anew       TestGapIsAnError
//	keepalives that pass unread changes          TestKeepalivesDoNotPassUnreadChanges
//	logical messages at the resume point         TestLogicalMessages
//	snapshot connections that see two moments    TestParallelSnapshotUnderWrites
//	snapshot rows that were never acknowledged   TestSnapshotThatKafkaDidNotTake
//	a key change as the last of a transaction    TestKeyChangeAtTheEndOfATransaction
//	log that was removed while nobody read       TestLogRemovedWhileDown, in capture/postgres
//	ad-hoc snapshots that are interrupted        TestAdHocSnapshotsInterrupted
package loss
