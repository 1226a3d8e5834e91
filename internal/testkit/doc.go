// Package testkit is what tests share: the real servers they run against, a
// running millrace daemon to drive by REST, and (in oracle) the comparison with
// what the real Debezium recorded. Only tests and benchmarks import it.
//
// Servers are named by the environment: MILLRACE_TEST_PG (a postgres:// URL of a
// superuser), MILLRACE_TEST_KAFKA (host:port), MILLRACE_TEST_MYSQL and
// MILLRACE_TEST_MARIADB (mysql:// URLs). `make test` sets them. A test that needs
// one that is not named is skipped, except where CI is set: there it fails.
//
// Whatever a test makes through this package (databases, slots, topics, processes)
// is removed when the test ends.
package testkit
