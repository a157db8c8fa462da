//go:build race

package sim

// racing is true under the race detector, which makes a run ten times slower: lists
// are shorter then, and the full ones run without it.
const racing = true
