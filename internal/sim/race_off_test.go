//go:build !race

package sim

// racing: see race_on_test.go.
const racing = false
