package main

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"elt/internal/event"
	"elt/internal/retry"
	"elt/internal/warehouse"
	"elt/scheduler"
)

func TestStatusExit(t *testing.T) {
	t.Parallel()
	unknown := fmt.Errorf("extract a: %w", warehouse.ErrCommitUnknown)
	boom := errors.New("boom")
	away := fmt.Errorf("extract b: %w", retry.AsTransient(boom))
	full := retry.AsTransient(&warehouse.Error{Kind: warehouse.KindDiskFull, Err: boom})
	for _, c := range []struct {
		steps  []event.Status
		failed error
		status event.Status
		exit   int
	}{
		{[]event.Status{event.OK}, nil, event.OK, exitOK},
		{[]event.Status{event.OK}, boom, event.Failed, exitFailed}, // it could not be recorded
		{[]event.Status{event.OK, event.Blocked}, errors.Join(away), event.Failed, exitTryAgain},
		{[]event.Status{event.Failed, event.CheckFailed}, errors.Join(boom), event.Failed, exitFailed},
		{[]event.Status{event.Failed}, errors.Join(unknown), event.Failed, exitTryAgain},
		{[]event.Status{event.Failed, event.Failed}, errors.Join(unknown, boom), event.Failed, exitFailed},
		{[]event.Status{event.Failed, event.Failed, event.Blocked}, errors.Join(away, unknown), event.Failed, exitTryAgain},
		{[]event.Status{event.Failed, event.Failed}, errors.Join(away, boom), event.Failed, exitFailed},
		{[]event.Status{event.Failed, event.CheckFailed}, errors.Join(away), event.CheckFailed, exitCheck},
		{[]event.Status{event.Failed}, errors.Join(full), event.Failed, exitFailed},
		{[]event.Status{event.CheckFailed, event.Blocked}, nil, event.CheckFailed, exitCheck},
		{[]event.Status{event.Unfinished}, nil, event.Unfinished, exitUnfinished},
		{[]event.Status{event.Failed, event.Interrupted}, errors.Join(boom), event.Interrupted, exitInterrupted},
	} {
		var steps []event.Step
		for _, s := range c.steps {
			steps = append(steps, event.Step{Status: s})
		}
		if status, exit := statusExit(steps, c.failed); status != c.status || exit != c.exit {
			t.Errorf("%v, %v: %s and %d, want %s and %d", c.steps, c.failed, status, exit, c.status, c.exit)
		}
	}
}

// A lock that is lost cancels what it was taken for; nobody has interrupted that.
func TestALostLockIsNoInterruption(t *testing.T) {
	t.Parallel()
	lost := retry.AsTransient(errors.New("the connection that held the lock is lost"))
	for _, c := range []struct {
		err  error
		exit int
	}{
		{fmt.Errorf("start: %w: %w", lost, context.Canceled), exitTryAgain},
		{fmt.Errorf("start: %w: %w", scheduler.ErrInterrupted, lost), exitInterrupted},
		{context.Canceled, exitInterrupted},
	} {
		if got := exitCode(c.err); got != c.exit {
			t.Errorf("%v: exit %d, want %d", c.err, got, c.exit)
		}
	}
}
