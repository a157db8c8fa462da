// Package demo is the example that the project grew from: three routers in a
// triangle, four services, and a story that ends with a table of what was
// published, expected, delivered, lost and duplicated. Everything is real: routers
// on loopback TCP, the SDK, a forger that speaks raw frames. Nothing is counted
// that did not cross a socket.
package demo
