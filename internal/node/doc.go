// Package node is the shell of a router: it wires the loop that runs the router's
// machine, the hub of its links and the store, carries out the machine's effects,
// and answers the control API. It holds no policy: it may not import the rooms
// that decide.
package node
