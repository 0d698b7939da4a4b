// Package metrics owns what monitoring sees: the metrics in Prometheus' text
// format and OpenMetrics, the answers to health checks, and the HTTP server
// that gives them.
//
// Invariant: everything is read when it is asked for, from the functions that
// main hands over. Nothing here is called on the way of a query, no time series
// is made of what a client sends, and how many there are does not grow with the
// number of zones beyond MaxZones.
package metrics
