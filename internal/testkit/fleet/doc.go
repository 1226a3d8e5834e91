// Package fleet tests a group of workers as processes: they are killed, stopped and
// started while connectors come and go, and then every connector must be where it
// should be, and every record in its topic.
package fleet
