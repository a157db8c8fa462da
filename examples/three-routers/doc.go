// Package threerouters is the page README.md beside it, with the configuration of
// three routers, and the test that follows the page with real processes. It is no
// library.
package threerouters
