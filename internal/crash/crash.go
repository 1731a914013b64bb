// Package crash carries a panic as an error: what happened, for people, and the
// stack, for whoever mends elt.
package crash

import (
	"errors"
	"fmt"
	"runtime/debug"
)

// Error is a panic that was recovered.
type Error struct {
	Value any
	Stack string
}

// Recovered makes an error of what recover returned. It is called in the
// deferred function that recovered, where the stack is still that of the panic.
func Recovered(value any) *Error { return &Error{Value: value, Stack: string(debug.Stack())} }

// Error tells no stack: it belongs into the log.
func (e *Error) Error() string {
	return fmt.Sprintf("internal error: %v; this is a mistake in elt: please report it with the log of the run, which has the stack", e.Value)
}

// Stack is the stack of the panic behind err, "" when there is none.
func Stack(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Stack
	}
	return ""
}

// Guarded is fn with a panic as its error: for a goroutine, whose panic nobody else
// can recover, so that it would end the process with no word of what it was at.
func Guarded(fn func() error) func() error {
	return func() (err error) {
		defer func() {
			if p := recover(); p != nil {
				err = Recovered(p)
			}
		}()
		return fn()
	}
}
