package warehouse

import (
	"errors"
	"fmt"
)

// Kind is what a caller can do about a database error.
type Kind int

// The kinds that callers tell apart.
const (
	KindOther       Kind = iota // the statement is wrong, or the engine says no
	KindUnique                  // a key exists already
	KindConflict                // another transaction was faster; the same again may work
	KindUnavailable             // the connection is lost or was refused; nothing is known
	KindAuth                    // wrong user or password
	KindLocked                  // another process owns the database or the lock
	KindDiskFull                // no space for data, log or spill
	KindReadOnly                // the file or its folder cannot be written
	KindCorrupt                 // the file is no database, or a damaged one
	KindNewer                   // written by a newer version
	KindExists                  // a schema, table or type of that name does
	KindNotFound                // table, column or function does not exist
	KindData                    // a value does not fit its type
	KindMemory                  // over the memory limit
)

// Error is a database error with its kind and what to do about it. It never
// holds a secret: drivers remove them from Err's text.
type Error struct {
	Kind Kind
	Err  error
	Hint string // what to type next; "" when nothing helps
	// Position is the character of the statement that the error is about, from 1;
	// 0 where the engine does not say.
	Position int
}

func (e *Error) Error() string { return e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the kind of the first *Error in err's chain, else KindOther.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return KindOther
}

// Also is errors.Join for the error of a cleanup after err: where both have the
// same cause, such as a full disk or a lost connection, err alone says it.
func Also(err, cleanup error) error {
	if err != nil && KindOf(err) != KindOther && KindOf(err) == KindOf(cleanup) {
		return err
	}
	return errors.Join(err, cleanup)
}

// ErrCommitUnknown means that COMMIT failed and the warehouse could not be asked
// afterwards: the transaction may be there or not.
var ErrCommitUnknown = errors.New("outcome of COMMIT unknown: the warehouse cannot be reached")

// ErrNotCommitted means that COMMIT failed and the warehouse has none of it.
var ErrNotCommitted = errors.New("not committed")

// Raced tells whether err is what one of two gets that create a thing if it does
// not exist, at the same time: whoever looks again finds it.
func Raced(err error) bool {
	switch KindOf(err) {
	case KindUnique, KindConflict, KindExists:
		return true
	default:
		return false
	}
}

// LockedError names who holds a warehouse.
type LockedError struct {
	Path    string
	PID     int    // 0: not known
	Command string // "": not known
}

func (e *LockedError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("%s is locked by another process", e.Path)
	}
	return fmt.Sprintf("%s is in use by %s (pid %d)", e.Path, e.Command, e.PID)
}
