package directory

// The bounds of the tables.
const (
	// GrantsMax bounds the grants. One that found no room costs a signature
	// check each time it comes, so a full table slows and loses nothing. At
	// about 400 bytes each this is 40 MB.
	GrantsMax = 100_000
	// HomesMax bounds the homes documents: one for each client that a home may
	// have (spec §12), and a margin for those that are being moved.
	HomesMax = 120_000
)
