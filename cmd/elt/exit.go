package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"elt/internal/event"
	"elt/internal/project"
	"elt/internal/retry"
	"elt/internal/warehouse"
	"elt/scheduler"
)

// The exit codes, each documented by the commands that use it. The first that
// applies wins, in this order.
const (
	exitUsage       = 2   // usage or project error; nothing was touched
	exitLocked      = 5   // another process owns the warehouse
	exitFailed      = 1   // a step failed
	exitCheck       = 3   // a check failed or data is stale
	exitUnfinished  = 4   // held, deferred, unknown, rejected over its guard or altogether
	exitTryAgain    = 75  // the outcome of a commit is unknown, or everything that failed may pass by itself
	exitOK          = 0   // done, warnings included
	exitInterrupted = 130 // a signal
	exitChange      = 10  // plan --exit-code: something would change
)

// exitError carries an exit code that no error's type tells. A nil err prints nothing.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// usage marks err as a mistake in what was typed.
func usage(format string, args ...any) error {
	return &exitError{code: exitUsage, err: fmt.Errorf(format, args...)}
}

// exitCode is the one place where an error becomes an exit code.
func exitCode(err error) int {
	var exit *exitError
	var mistakes project.Errors
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &exit):
		return exit.code
	case errors.As(err, &mistakes):
		return exitUsage
	case warehouse.KindOf(err) == warehouse.KindLocked:
		return exitLocked
	case errors.Is(err, scheduler.ErrInterrupted):
		return exitInterrupted
	case passing(err): // also where a lock that was lost cancelled what it was for
		return exitTryAgain
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	default:
		return exitFailed
	}
}

// statusExit is the status and exit code of a run that ended with the given
// steps; failed joins the errors of those that failed or could not be recorded.
func statusExit(steps []event.Step, failed error) (event.Status, int) {
	seen := map[event.Status]bool{}
	for _, s := range steps {
		seen[s.Status] = true
	}
	switch {
	case seen[event.Interrupted]:
		return event.Interrupted, exitInterrupted
	case seen[event.Failed] && !tryAgain(failed):
		return event.Failed, exitFailed
	case seen[event.CheckFailed]:
		return event.CheckFailed, exitCheck
	case seen[event.Held]:
		return event.Held, exitUnfinished
	case seen[event.Unfinished]:
		return event.Unfinished, exitUnfinished
	case seen[event.Failed]:
		return event.Failed, exitTryAgain
	case failed != nil && !tryAgain(failed): // a step that could not be recorded, or never ran
		return event.Failed, exitFailed
	case failed != nil:
		return event.Failed, exitTryAgain
	default:
		return event.OK, exitOK
	}
}

// tryAgain reports whether every error that failed joins is one of those that may
// pass by themselves.
func tryAgain(failed error) bool {
	all, ok := failed.(interface{ Unwrap() []error })
	return ok && !slices.ContainsFunc(all.Unwrap(), func(err error) bool { return !passing(err) })
}

// passing reports whether the same again may work later, though elt has tried it
// more than once already: something cannot be reached, is busy or was cut off, or
// nobody knows what became of a commit. Who has no room needs a person.
func passing(err error) bool {
	class, _ := retry.Of(err)
	return errors.Is(err, warehouse.ErrCommitUnknown) || class == retry.Transient && warehouse.KindOf(err) != warehouse.KindDiskFull
}

// forgiven parses --ok 4,75.
func forgiven(list string) (map[int]bool, error) {
	out := map[int]bool{}
	for _, s := range strings.Split(list, ",") {
		if s = strings.TrimSpace(s); s == "" {
			continue
		}
		n, err := strconv.Atoi(s)
		if err != nil {
			return nil, usage("--ok %q: %q is no exit code, expected numbers such as 4,75", list, s)
		}
		out[n] = true
	}
	return out, nil
}

// exitHelp lists the codes of a command in its help.
func exitHelp(codes ...int) string {
	text := map[int]string{
		exitOK: "done, warnings included", exitFailed: "failed", exitUsage: "usage or project error, nothing touched",
		exitCheck: "a check failed or data is stale; the old data stands", exitUnfinished: "unfinished: held, deferred, of unknown outcome, or rejected over its guard or altogether",
		exitLocked: "another process owns the warehouse", exitTryAgain: "try again later: a source or the warehouse cannot be reached or is busy, and nothing else failed", exitChange: "something would change (--exit-code)",
		exitInterrupted: "interrupted",
	}
	var b strings.Builder
	b.WriteString("\nExit codes:\n")
	for _, c := range codes {
		fmt.Fprintf(&b, "  %-4d %s\n", c, text[c])
	}
	return b.String()
}
