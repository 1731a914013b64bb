// Package retry says, as a property of an error, whether trying again may help.
// The edge that knows (a driver, an HTTP client) sets the class; everybody else asks.
package retry

import (
	"errors"
	"time"
)

// Class tells what another try could change.
type Class int

// The classes, least hopeful first.
const (
	// Permanent errors come again until somebody changes something. Errors that
	// nobody classified are permanent.
	Permanent Class = iota
	// Transient errors may go away by themselves: a reset, a lock, a time-out.
	Transient
)

type classified struct {
	err   error
	class Class
	after time.Duration
}

func (e *classified) Error() string { return e.err.Error() }
func (e *classified) Unwrap() error { return e.err }

// AsTransient marks err as worth another try. nil stays nil.
func AsTransient(err error) error {
	if err == nil {
		return nil
	}
	return &classified{err: err, class: Transient}
}

// After marks err as worth another try not before d has passed, as a server
// asked with Retry-After. nil stays nil.
func After(err error, d time.Duration) error {
	if err == nil {
		return nil
	}
	return &classified{err: err, class: Transient, after: d}
}

// Asked marks err, which no other try of the same may help, as the answer of a
// server that asked to be left alone until d has passed: whoever calls it next
// should heed that. nil stays nil.
func Asked(err error, d time.Duration) error {
	if err == nil {
		return nil
	}
	return &classified{err: err, after: d}
}

// Of returns the class of the outermost classified error in err's chain and the
// wait that it asks for.
func Of(err error) (Class, time.Duration) {
	var c *classified
	if errors.As(err, &c) {
		return c.class, c.after
	}
	return Permanent, 0
}
