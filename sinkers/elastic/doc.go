// Package elastic writes topics into Elasticsearch and OpenSearch by their bulk
// API, as Confluent's ElasticsearchSinkConnector and Aiven's OpenSearchSinkConnector
// do: one sender, two front ends (options.go).
//
// Put turns records into bulk actions (action.go) and documents (document.go) and
// sends them in requests of bounded size (bulk.go). Actions of one document stay in
// one lane, so that they are applied in the records' order however many requests
// are in flight. Put returns when every action was answered, so Flush has nothing
// to do. Items that the cluster is too busy for (429, 5xx) are sent again by
// themselves.
package elastic
