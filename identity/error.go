package identity

// A TextError says why a text was refused: an address, an endpoint or a PEM
// file. It never quotes what may be a secret.
type TextError struct {
	text  string
	hint  string
	cause error
}

// refuse makes a TextError of one sentence and a hint.
func refuse(text, hint string) *TextError { return &TextError{text: text, hint: hint} }

// Error returns one sentence without the hint.
func (e *TextError) Error() string { return e.text }

// Hint says what to do about it, in one sentence without a full stop.
func (e *TextError) Hint() string { return e.hint }

// Unwrap returns ErrBadKey where the text was well-formed and its key was not.
func (e *TextError) Unwrap() error { return e.cause }
