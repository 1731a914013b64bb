package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"elt/internal/warehouse"
	"elt/scheduler"
)

// signals are what the process does about SIGINT and SIGTERM, from its first
// moment until everything is closed: a run drains at the first and is cancelled
// at the second, everything before it is cancelled at the first, and what is
// closed after it is closed to its end.
type signals struct {
	cancel context.CancelCauseFunc

	mu             sync.Mutex
	draining, over bool
	drain          chan struct{} // of the run that is on; nil before there is one
}

// main is a run of the whole process: it catches signals until a has let go of
// everything, and returns the exit code.
func (a *app) main(ctx context.Context, args []string) int {
	ctx, cancel := context.WithCancelCause(ctx)
	a.signals = &signals{cancel: cancel}
	caught, stop := make(chan os.Signal, 2), make(chan struct{})
	signal.Notify(caught, os.Interrupt, syscall.SIGTERM)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-caught:
				a.signals.take()
			case <-stop:
				return
			}
		}
	})
	code := a.run(ctx, args)
	close(stop)
	wg.Wait()
	cancel(nil)
	return code // the signals stay caught: one that comes now must not change the exit code
}

// take acts on one signal.
func (s *signals) take() {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.over: // the run is recorded, and what it opened is being closed
	case s.drain != nil && !s.draining:
		s.draining = true
		close(s.drain)
	default:
		s.cancel(scheduler.ErrInterrupted)
	}
}

// begin tells that a run is on; its first signal closes the channel.
func (s *signals) begin() <-chan struct{} {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drain = make(chan struct{})
	return s.drain
}

// end tells that the run has ended and is recorded.
func (s *signals) end() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
}

// interruption is what to tell when a signal ended a command with err before its
// run began, or instead of one; nil when none did.
func interruption(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); err == nil || !errors.Is(cause, scheduler.ErrInterrupted) {
		return nil
	}
	var exit *exitError
	if errors.As(err, &exit) { // the run has told its story
		return nil
	}
	var lock *warehouse.LockedError
	if errors.As(err, &lock) {
		return &exitError{code: exitInterrupted, err: fmt.Errorf("interrupted while waiting: %w; nothing was changed, run again when it has ended", lock)}
	}
	return &exitError{code: exitInterrupted, err: errors.New("interrupted; what was not finished was undone, run the command again")}
}
