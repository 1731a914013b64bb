package duckread

import "strings"

// plain takes the engine's excerpt of a statement out of an error's text: nobody
// wrote that statement, so it explains nothing. The chain stays.
func plain(err error) error {
	text, _, found := strings.Cut(err.Error(), "\n\nLINE ")
	if !found {
		return err
	}
	return &plainError{text: strings.TrimSpace(text), err: err}
}

type plainError struct {
	text string
	err  error
}

func (e *plainError) Error() string { return e.text }

func (e *plainError) Unwrap() error { return e.err }
