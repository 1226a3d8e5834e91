// Package ui is the web page of a worker, below /ui/. It is server-rendered HTML
// with htmx and server-sent events, and knows nothing that the REST API and /metrics
// do not tell: everything a page does can be scripted.
//
// Requests to the API are made in the process, with the browser's own credentials, so
// a page can do what its user may do and no more. Whatever changes something needs
// the token that the page carries (against forged requests), and is refused in
// read-only mode. Values of passwords never reach a page.
//
// static/ holds htmx, its SSE extension and uPlot as published (LICENSES.txt).
package ui
