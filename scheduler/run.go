package scheduler

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"elt/internal/crash"
	"elt/internal/event"
	"elt/internal/retry"
	"elt/window"
)

// ErrInterrupted is the cause of a context that a signal cancelled.
var ErrInterrupted = errors.New("interrupted")

// Options say how steps are run. The zero value runs one step at a time, once.
type Options struct {
	Parallel int            // steps side by side; at least 1
	Pools    map[string]int // limits by pool; a pool that is not named has none
	Retries  int            // more tries of a step whose error is transient
	Backoff  retry.Backoff
	// Drain, when closed, lets running steps end and starts no more. nil: never.
	Drain <-chan struct{}
	// Ended is told of every step, in the order in which they end, from one
	// goroutine at a time. An error of it, which names the step, cancels the run.
	Ended func(ctx context.Context, s event.Step) error
	Now   func() time.Time // nil: time.Now
}

// RecordError is an error of [Options.Ended]: what became of a step could not be
// recorded, so the run starts nothing more.
type RecordError struct {
	Step string // the one that could not be recorded
	Err  error
}

func (e *RecordError) Error() string { return e.Err.Error() }

func (e *RecordError) Unwrap() error { return e.Err }

// outcome is what became of one step.
type outcome struct {
	step *Step
	event.Step
	err error
}

// Run runs every step whose needs ended well, and reports the others as blocked
// or, after Drain or a cancelled context, as interrupted. It returns the steps in
// the order in which they ended, and the joined errors of those that failed. It
// returns only when every goroutine that it started has ended.
//
// Needs that name no step of this run count as met: what is not selected is
// taken as it stands in the warehouse.
func Run(ctx context.Context, steps []Step, opts Options) ([]event.Step, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r := &runner{opts: opts, state: make(map[string]event.Status, len(steps)), inPool: map[string]int{}, done: make(chan outcome)}
	if r.opts.Now == nil {
		r.opts.Now = time.Now
	}
	r.opts.Parallel = max(1, r.opts.Parallel)
	for i := range steps {
		if _, twice := r.state[steps[i].Name]; twice {
			return nil, fmt.Errorf("two steps are called %q", steps[i].Name)
		}
		r.state[steps[i].Name] = pending
		r.waiting = append(r.waiting, &steps[i])
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	return r.loop(ctx, cancel, &wg)
}

// pending is the state of a step that has not ended; it never leaves this package.
const pending event.Status = "pending"

type runner struct {
	opts    Options
	waiting []*Step // in the order given
	state   map[string]event.Status
	inPool  map[string]int
	running int
	done    chan outcome
	ended   []event.Step
	errs    []error
	// unrecorded is the first step that could not be recorded.
	unrecorded *RecordError
}

func (r *runner) loop(ctx context.Context, cancel context.CancelCauseFunc, wg *sync.WaitGroup) ([]event.Step, error) {
	wake := r.opts.Drain // nil once it has woken the loop, so that it does so once
	for len(r.waiting) > 0 || r.running > 0 {
		stopped := ctx.Err() != nil || isClosed(r.opts.Drain)
		r.start(ctx, wg, stopped, cancel)
		if r.running == 0 {
			if len(r.waiting) > 0 && !stopped {
				return r.ended, fmt.Errorf("the steps wait for each other: %s", r.waiting[0].Name)
			}
			continue
		}
		select {
		case o := <-r.done:
			r.running--
			if o.step.Pool != "" {
				r.inPool[o.step.Pool]--
			}
			r.settle(ctx, o, cancel)
		case <-wake:
			wake = nil
		}
	}
	return r.ended, errors.Join(r.errs...)
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// start starts what is ready and settles what can no longer run.
func (r *runner) start(ctx context.Context, wg *sync.WaitGroup, stopped bool, cancel context.CancelCauseFunc) {
	for again := true; again; {
		again = false
		rest := r.waiting[:0:0]
		for _, s := range r.waiting {
			blocker, ready := r.ready(s)
			switch {
			case blocker != "":
				r.settle(ctx, outcome{step: s, Step: event.Step{Kind: s.Kind, Name: s.Name, Status: event.Blocked, Needs: blocker}}, cancel)
				again = true
			case r.unrecorded != nil:
				r.settle(ctx, outcome{step: s, Step: event.Step{Kind: s.Kind, Name: s.Name, Status: event.Blocked, Needs: r.unrecorded.Step}}, cancel)
			case stopped:
				r.settle(ctx, outcome{step: s, Step: event.Step{Kind: s.Kind, Name: s.Name, Status: event.Interrupted}}, cancel)
			case ready && r.running < r.opts.Parallel && r.poolFree(s.Pool):
				r.launch(ctx, wg, s)
			default:
				rest = append(rest, s)
			}
		}
		r.waiting = rest
	}
}

func (r *runner) poolFree(pool string) bool {
	limit, limited := r.opts.Pools[pool]
	return pool == "" || !limited || r.inPool[pool] < limit
}

// ready tells whether all needs of s ended well, or which one did not.
func (r *runner) ready(s *Step) (blocker string, ready bool) {
	ready = true
	for _, need := range s.Needs {
		switch st, known := r.state[need]; {
		case !known || st == event.OK || st == event.Unfinished || st == event.Held:
		case st == pending:
			ready = false
		default:
			return need, false
		}
	}
	return "", ready
}

func (r *runner) launch(ctx context.Context, wg *sync.WaitGroup, s *Step) {
	r.running++
	if s.Pool != "" {
		r.inPool[s.Pool]++
	}
	wg.Go(func() { r.done <- r.attempt(ctx, s) })
}

// attempt runs s, and again while its error is transient and tries are left.
func (r *runner) attempt(ctx context.Context, s *Step) outcome {
	began := r.opts.Now()
	o := outcome{step: s, Step: event.Step{Kind: s.Kind, Name: s.Name}}
	for try := 1; ; try++ {
		o.Result, o.err = once(ctx, s)
		class, after := retry.Of(o.err)
		if o.err == nil || class != retry.Transient || try > r.opts.Retries || !r.wait(ctx, r.opts.Backoff.Wait(try, after)) {
			break
		}
	}
	o.Result.Took = r.opts.Now().Sub(began)
	var unrecorded *RecordError
	switch {
	case o.err != nil && errors.As(context.Cause(ctx), &unrecorded): // cut short, whatever it makes of that
		o.Status, o.Needs, o.err = event.Blocked, unrecorded.Step, nil
	case o.err != nil && (ctx.Err() != nil || errors.Is(o.err, ErrInterrupted)): // or ended early, as Drain asks
		o.Status = event.Interrupted
	case o.err != nil:
		o.Status = event.Failed
	case o.Result.Status != "":
		o.Status = o.Result.Status
	default:
		o.Status = event.OK
	}
	if o.err != nil {
		o.Error, o.Stack = o.err.Error(), crash.Stack(o.err)
	}
	return o
}

// wait lets d pass before another try; false when there should be none: the run
// ends, or a signal has come, however short d is.
func (r *runner) wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
	case <-r.opts.Drain:
	case <-time.After(d):
	}
	return ctx.Err() == nil && !isClosed(r.opts.Drain)
}

// once runs s one time, within its timeout; a panic becomes an error.
func once(ctx context.Context, s *Step) (res event.Result, err error) {
	if s.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, s.Timeout, fmt.Errorf("%s %s: timeout of %s", s.Kind, s.Name, s.Timeout))
		defer cancel()
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%s %s: %w", s.Kind, s.Name, crash.Recovered(p))
		}
		if cause := context.Cause(ctx); err != nil && errors.Is(err, ctx.Err()) && cause != nil && !errors.Is(err, cause) {
			err = fmt.Errorf("%w: %w", cause, err)
		}
	}()
	return s.Run(ctx, window.Window{})
}

// settle notes the end of a step and tells of it.
func (r *runner) settle(ctx context.Context, o outcome, cancel context.CancelCauseFunc) {
	r.state[o.step.Name] = o.Status
	r.ended = append(r.ended, o.Step)
	if o.err != nil {
		r.errs = append(r.errs, fmt.Errorf("%s %s: %w", o.step.Kind, o.step.Name, o.err))
	}
	if r.opts.Ended == nil {
		return
	}
	if err := r.opts.Ended(context.WithoutCancel(ctx), o.Step); err != nil {
		unrecorded := &RecordError{Step: o.step.Name, Err: err}
		if r.unrecorded == nil { // the others fail for the same reason
			r.unrecorded = unrecorded
			r.errs = append(r.errs, unrecorded)
		}
		cancel(unrecorded)
	}
}
