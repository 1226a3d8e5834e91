// Package browser tests the page in a real browser, as its users meet it: a daemon, a
// PostgreSQL of the test's own (it is stopped and started), Kafka, and Chromium driven
// by main.mjs. It has no code of its own to import.
//
// scripts/browser installs what it needs and names it in the environment. Screenshots
// of every page stay in MILLRACE_TEST_SHOTS.
package browser
