// Package upsycletest starts routers inside a test: real ones, in this process,
// linked by pipes instead of sockets, with the same TLS, the same checks and the
// same protocol as everywhere. One router and a connection to it are two lines:
//
//	r := upsycletest.NewRouter(t)
//	conn := r.Dial(t)
//
// NewNetwork starts several, in any graph, whose links can be cut and healed. All
// that is started ends with the test. Keys come from names, so a test has the same
// keys in every run; they are no secret.
//
// It is for tests: routers hold everything in memory and let everybody attach.
package upsycletest
