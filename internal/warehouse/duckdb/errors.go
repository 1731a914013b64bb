package duckdb

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"

	duckdb "github.com/duckdb/duckdb-go/v2"

	"elt/internal/retry"
	"elt/internal/warehouse"
)

// engineError shows the engine's words alone, once, and keeps what they came
// with: the driver joins them with the error of a cancelled context.
type engineError struct {
	text  string
	cause error
}

func (e *engineError) Error() string { return e.text }
func (e *engineError) Unwrap() error { return e.cause }

// isSyntax reports whether the engine could not parse a statement.
func isSyntax(err error) bool {
	var e *duckdb.Error
	return errors.As(err, &e) && (e.Type == duckdb.ErrorTypeParser || e.Type == duckdb.ErrorTypeSyntax)
}

// wrap gives err its kind. DuckDB's types are coarse: where several causes share
// one, its text is all that tells them apart.
func wrap(err error) error {
	var e *duckdb.Error
	if err == nil || !errors.As(err, &e) {
		return err
	}
	out := &warehouse.Error{Kind: warehouse.KindOther, Err: &engineError{text: strings.TrimSpace(e.Msg), cause: err}}
	has := func(parts ...string) bool {
		for _, p := range parts {
			if strings.Contains(e.Msg, p) {
				return true
			}
		}
		return false
	}
	switch {
	case has("No space left on device", "Disk quota exceeded", "File too large"):
		out.Kind, out.Hint = warehouse.KindDiskFull, "free some space and run again"
	case e.Type == duckdb.ErrorTypeConstraint && has("Duplicate key", "duplicate key"),
		e.Type == duckdb.ErrorTypeTransaction && has("duplicate key"):
		out.Kind = warehouse.KindUnique
	case e.Type == duckdb.ErrorTypeTransaction && has("onflict"):
		out.Kind = warehouse.KindConflict
		return retry.AsTransient(out)
	case e.Type == duckdb.ErrorTypeCatalog && has("write-write conflict"):
		out.Kind = warehouse.KindConflict
		return retry.AsTransient(out)
	case e.Type == duckdb.ErrorTypeCatalog, e.Type == duckdb.ErrorTypeBinder && has("not found", "does not have"):
		out.Kind = warehouse.KindNotFound
	case e.Type == duckdb.ErrorTypeConversion, e.Type == duckdb.ErrorTypeOutOfRange, e.Type == duckdb.ErrorTypeConstraint:
		out.Kind = warehouse.KindData
	case e.Type == duckdb.ErrorTypeOutOfMemory:
		out.Kind, out.Hint = warehouse.KindMemory, "raise memory: of the target, or --memory"
	case e.Type == duckdb.ErrorTypeIO && has("not a valid DuckDB database", "Could not read", "checksum"), e.Type == duckdb.ErrorTypeSerialization:
		out.Kind = warehouse.KindCorrupt
	case e.Type == duckdb.ErrorTypeIO && has("Read-only file system", "Permission denied"):
		out.Kind = warehouse.KindReadOnly
	case e.Type == duckdb.ErrorTypeIO && has("does not exist", "No such file"):
		out.Kind = warehouse.KindNotFound
	case e.Type == duckdb.ErrorTypeIO && has("newer version", "version number"):
		out.Kind, out.Hint = warehouse.KindNewer, "install the newest elt"
	case e.Type == duckdb.ErrorTypeFatal, e.Type == duckdb.ErrorTypeInternal:
		out.Kind = warehouse.KindUnavailable
		return retry.AsTransient(out)
	}
	return out
}

// isFatal reports whether the database must be opened again.
func isFatal(err error) bool {
	k := warehouse.KindOf(err)
	return k == warehouse.KindUnavailable || k == warehouse.KindDiskFull
}

var conflicting = regexp.MustCompile(`\(PID (\d+)\)`)

// locked turns DuckDB's words for a lock on path into an error that names who
// holds it.
func locked(err error, path string) error {
	var e *warehouse.Error
	if !errors.As(err, &e) || !strings.Contains(e.Err.Error(), "Could not set lock on file") {
		if err != nil {
			return fmt.Errorf("open warehouse %s: %w", path, err)
		}
		return nil
	}
	who := &warehouse.LockedError{Path: path}
	if m := conflicting.FindStringSubmatch(e.Err.Error()); m != nil {
		who.PID, _ = strconv.Atoi(m[1]) // digits by the pattern
		who.Command = commandOf(who.PID)
	}
	return &warehouse.Error{Kind: warehouse.KindLocked, Err: who, Hint: "wait for it, or set wait_for_lock: 5m on the target"}
}

// commandOf is the command line of a process; its number when that cannot be read.
func commandOf(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || len(text) == 0 {
		return fmt.Sprintf("process %d", pid)
	}
	return strings.TrimSpace(strings.ReplaceAll(string(text), "\x00", " "))
}
