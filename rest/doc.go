// Package rest answers the Kafka Connect REST API, /health and /metrics. It
// knows the worker through small interfaces and holds no state of its own.
//
// Router matches paths and content types the way Connect's server does: JSON
// bodies for 404 and 405, percent-encoded names, trailing slashes, HEAD and
// OPTIONS. Handlers turn requests into calls and errors into Connect's bodies.
package rest
