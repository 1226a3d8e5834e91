// Package kafkaconf turns Kafka client properties in Java's spelling into options
// of franz-go, for the producers, consumers and admin clients that a worker makes.
//
// Nothing is accepted and ignored in silence: a property either takes effect, or
// is a Problem whose text says what to use instead, or is returned as a Note
// because it steers something inside the Java client that has no counterpart
// here. Unknown names are returned too; the caller logs both once, as Java does.
// No text this package makes contains the value of a secret.
package kafkaconf
