package duckdb

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
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

// opening says what keeps the file at path from being opened, and what to do
// about it. DuckDB's own words name the path again and tell no next step.
func opening(err error, path string) error {
	var e *warehouse.Error
	if err == nil || !errors.As(err, &e) {
		return err
	}
	text := e.Err.Error()
	out := &warehouse.Error{Kind: e.Kind, Err: &engineError{text: fmt.Sprintf("open warehouse %s: %s", path, plain(text)), cause: err}, Hint: e.Hint}
	say := func(what, hint string) {
		out.Err = &engineError{text: fmt.Sprintf("open warehouse %s: %s", path, what), cause: err}
		out.Hint = hint
	}
	switch info, serr := os.Stat(path); {
	case strings.Contains(text, "Could not set lock on file"):
		return locked(text, path)
	case serr == nil && info.IsDir():
		out.Kind = warehouse.KindNotFound
		say("it is a folder, and the warehouse is one file", "name a file in it in `warehouse:` of the target: duckdb:"+filepath.Join(path, "warehouse.duckdb"))
	case strings.Contains(text, "not a valid DuckDB database"):
		say("the file is no DuckDB database", "correct the path in `warehouse:` of the target, or move the file away: mv "+path+" "+path+".old")
	case e.Kind == warehouse.KindCorrupt:
		say("the file is damaged or cut short ("+plain(text)+")",
			"put a backup in its place; or move it away, mv "+path+" "+path+".broken, and `elt run` reads everything anew")
	case e.Kind == warehouse.KindReadOnly:
		say("it cannot be written ("+lastPart(text)+")",
			"let this user write the file and its folder, or name another place in `warehouse:` of the target; `elt status` and `elt query` only read")
	}
	return out
}

// plain is an engine's message without the name of its class.
func plain(text string) string {
	if class, rest, ok := strings.Cut(text, " Error: "); ok && !strings.Contains(class, ":") {
		return rest
	}
	return text
}

// lastPart is the operating system's reason at the end of a message.
func lastPart(text string) string {
	if i := strings.LastIndex(text, ": "); i >= 0 {
		return text[i+2:]
	}
	return text
}

var conflicting = regexp.MustCompile(`\(PID (\d+)\)`)

// locked is the error that names who holds the lock on path, by DuckDB's words.
func locked(text, path string) error {
	who := &warehouse.LockedError{Path: path}
	if m := conflicting.FindStringSubmatch(text); m != nil {
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
