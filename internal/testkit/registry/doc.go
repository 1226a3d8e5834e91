// Package registry is a Schema Registry in this process for tests: the part of
// Confluent's REST API that converters use, with its ids, versions, subjects,
// compatibility rules for Avro and the texts of its errors as they were recorded
// on Confluent's server 8.3.1. Schemas of other types are stored without a check.
//
// TestRealServer holds its verdicts against those of a real server.
package registry
