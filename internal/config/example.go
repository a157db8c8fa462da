package config

import _ "embed"

//go:embed example.yaml
var example string

// Example returns a configuration file in which every setting stands with a
// comment and its default.
func Example() string { return example }
