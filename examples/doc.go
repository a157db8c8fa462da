// Package examples holds programs of under a hundred lines against the SDK, and a
// network to start by hand:
//
//   - hello: publish to a group and read it
//   - mail: write to one address
//   - writer: let somebody else write to a group
//   - three-routers: seven processes, with a page to follow
//
// It is no library: each directory is a program or a page of its own.
package examples
