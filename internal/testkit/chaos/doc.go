// Package chaos tests that nothing is lost: it kills the daemon with SIGKILL at
// random moments while a writer keeps committing, and then looks whether every
// committed change is in Kafka, for each key in the order of the commits.
package chaos
