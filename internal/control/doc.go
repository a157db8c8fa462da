// Package control is the control API of a router: HTTP and JSON over a unix
// socket that only the router's own user and root can open. Command line, console
// and scripts use nothing else. It is a leaf: it compiles without a router and is
// tested against a fake Backend.
//
// The JSON only grows: fields are added, never renamed or removed.
package control
