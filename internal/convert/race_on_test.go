//go:build race

package convert

// raceDetector: the tests were built with -race.
const raceDetector = true
