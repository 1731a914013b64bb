package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"elt/activate"
	"elt/internal/event"
	"elt/internal/retry"
	"elt/internal/state"
	"elt/internal/warehouse"
	"elt/scheduler"
	"elt/window"
)

// RunOptions say how a run is made and who hears of it.
type RunOptions struct {
	Parallel int
	Retries  int
	Backoff  retry.Backoff   // between the tries of a step
	Drain    <-chan struct{} // closed: start nothing more
	Sink     event.Sink
	// Record is what the record of the run says of it from the start: Job, Command,
	// Owner, Runbook, RetryOf, Spec, and as Log the path of its log file, for people.
	Record state.Run
	// Slots are asked, under the lock of the start of runs, what a run of a job takes
	// of its schedule; an error keeps the run from being made. nil: it has none.
	Slots func(ctx context.Context) (took state.Slot, missed []state.Slot, err error)
	// Note is told with the start of the run; "": nothing.
	Note string
	// Warehouse names the warehouse without credentials.
	Warehouse string
	// Exit gives a run its status and exit code, by its steps and by the errors of
	// those that failed or could not be recorded.
	Exit func(ended []event.Step, failed error) (event.Status, int)
}

// Run runs steps, records the run and each step in the warehouse, and returns
// how it ended. Its error is what prevented the run from being made or recorded;
// failed steps are in the outcome, not in the error.
func (p *Pipeline) Run(ctx context.Context, steps []scheduler.Step, opts RunOptions) (event.End, error) {
	began := time.Now()
	p.Emit, p.drain = opts.Sink.Emit, opts.Drain
	run := opts.Record
	run.ID, run.StartedAt, run.AsOf = p.RunID, began, p.asOf()
	if run.Trigger == "" {
		run.Trigger = "manual"
	}
	ended, err := p.start(ctx, run, opts)
	if err != nil {
		return event.End{}, err
	}
	defer ended()
	p.Emit(event.Event{At: began, Run: p.RunID, Start: &event.Start{Project: p.Project.Name, Target: p.Target.Name,
		Warehouse: opts.Warehouse, Push: p.Push, AsOf: p.asOf(), Steps: len(steps), Job: run.Job, Note: opts.Note}})
	for i := range steps {
		steps[i].Run = p.locked(steps[i])
	}
	if p.Backfill != nil && p.Backfill.Parallel > 0 {
		opts.Parallel = p.Backfill.Parallel
	}
	results, failed := scheduler.Run(ctx, steps, scheduler.Options{
		Parallel: opts.Parallel, Retries: opts.Retries, Backoff: opts.Backoff,
		Drain: opts.Drain, Ended: p.ended,
	})
	return p.finish(ctx, run, results, failed, opts)
}

// start closes runs whose process is gone, sweeps what they left behind when no
// other run is on, and records the new one; all under one lock, so that no run
// sweeps away what another has just staged. Until ended is called other processes
// see that the run lives.
func (p *Pipeline) start(ctx context.Context, run state.Run, opts RunOptions) (ended func(), err error) {
	ctx, release, err := p.lock(ctx, "start")
	if err != nil {
		return nil, err
	}
	defer release()
	if err := p.clear(ctx, run); err != nil {
		return nil, err
	}
	if ended, err = p.Store.Hold(ctx, run.ID); err != nil {
		return nil, fmt.Errorf("start run %s: %w", run.ID, err)
	}
	if err := p.begin(ctx, run, opts); err != nil {
		ended()
		return nil, err
	}
	return ended, nil
}

// begin records that run has begun, with what it takes of a schedule.
func (p *Pipeline) begin(ctx context.Context, run state.Run, opts RunOptions) error {
	if opts.Slots == nil {
		return p.Store.StartRun(ctx, run)
	}
	slot, missed, err := opts.Slots(ctx)
	if err != nil {
		return err
	}
	_, err = p.Store.StartJob(ctx, run, slot, missed)
	return err
}

// clear makes the warehouse ready for run.
func (p *Pipeline) clear(ctx context.Context, run state.Run) error {
	if _, err := p.Store.CloseOrphans(ctx, run.StartedAt, p.RunID); err != nil {
		return err
	}
	others, err := p.Store.Running(ctx)
	if err != nil {
		return err
	}
	if len(others) == 0 {
		if err := p.sweep(ctx); err != nil {
			return err
		}
	}
	if err := p.makeSchemas(ctx); err != nil {
		return err
	}
	if keep := p.Project.Retention; keep > 0 {
		if _, err := p.Store.Prune(ctx, run.StartedAt.Add(-keep)); err != nil {
			return err
		}
	}
	return nil
}

// makeSchemas makes the schemas of all sources and models before any step runs:
// on Postgres two transactions that make the same schema side by side, even IF
// NOT EXISTS, fail with a duplicate key.
func (p *Pipeline) makeSchemas(ctx context.Context) error {
	var schemas []string
	for _, src := range p.Project.Sources {
		schemas = append(schemas, p.place(src.Name, "").Schema)
	}
	for _, m := range p.Graph.Models {
		schemas = append(schemas, m.Table.Schema)
	}
	slices.Sort(schemas)
	return p.DB.Update(ctx, func(ctx context.Context, tx *warehouse.Tx) error {
		for _, schema := range slices.Compact(schemas) {
			if _, err := tx.Exec(ctx, "CREATE SCHEMA IF NOT EXISTS "+warehouse.Quote(schema)); err != nil {
				return fmt.Errorf("make schema %s: %w", schema, err)
			}
		}
		return nil
	})
}

// asOf is the run's clock when it is not the wall clock.
func (p *Pipeline) asOf() time.Time {
	if d := time.Since(p.Now); d > -time.Minute && d < time.Hour {
		return time.Time{}
	}
	return p.Now
}

// ended tells of a step and records it.
func (p *Pipeline) ended(ctx context.Context, s event.Step) error {
	now := time.Now()
	p.redact(&s)
	p.Emit(event.Event{At: now, Run: p.RunID, Step: &s})
	result, err := json.Marshal(s.Result)
	if err != nil {
		return err
	}
	return p.Store.SaveStep(ctx, state.StepRecord{RunID: p.RunID, Name: s.Name, Kind: s.Kind, Status: string(s.Status),
		StartedAt: now.Add(-s.Result.Took), EndedAt: now, Result: result, Error: s.Error, Freshness: p.freshness(s)})
}

// redact takes the secrets out of what a step tells.
func (p *Pipeline) redact(s *event.Step) {
	if p.Redact == nil {
		return
	}
	s.Error = p.Redact(s.Error)
	s.Result.Warnings = slices.Clone(s.Result.Warnings)
	for i := range s.Result.Warnings {
		w := &s.Result.Warnings[i]
		w.Text, w.Detail = p.Redact(w.Text), p.Redact(w.Detail)
	}
}

// freshness is what the end of a step makes of its table when it published
// nothing: the rows that stand are those of before. A step that ended well has
// said so in its transaction, and after an interruption nothing is known. A
// backfill says nothing of what it does by windows, or did not come to.
func (p *Pipeline) freshness(s event.Step) string {
	if p.byWindows(s.Name) || p.Backfill != nil && s.Status == event.Blocked {
		return ""
	}
	switch s.Status {
	case event.Failed, event.CheckFailed:
		return "failed"
	case event.Blocked:
		return "stale"
	}
	return ""
}

// finish records the end of the run. After an interruption nothing else is
// written (invariant 14).
func (p *Pipeline) finish(ctx context.Context, run state.Run, ended []event.Step, failed error, opts RunOptions) (event.End, error) {
	status, exit := opts.Exit(ended, failed)
	now := time.Now()
	end := event.End{Status: status, Exit: exit, Took: now.Sub(run.StartedAt), AsOf: stalest(ended), Log: run.Log}
	var late *LateError
	if errors.As(context.Cause(ctx), &late) && exit != 0 {
		end.Reason = late.Error()
		failed = errors.Join(late, failed)
	}
	run.Status, run.Exit, run.EndedAt = string(status), exit, now
	if failed != nil {
		if run.Error = failed.Error(); p.Redact != nil {
			run.Error = p.Redact(run.Error)
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	err := p.Store.EndRun(ctx, run)
	p.Emit(event.Event{At: now, Run: p.RunID, End: &end})
	return end, unrecorded(run.ID, failed, err)
}

// unrecorded is the error of a run of which a step, or the end, could not be
// recorded; nil when all was. It is told beside the errors of the steps, so a
// cause that one of them has told, such as a full disk, is not told again.
func unrecorded(run string, failed, ending error) error {
	err := ending
	var step *scheduler.RecordError
	if errors.As(failed, &step) {
		err = step
	}
	if err == nil {
		return nil
	}
	what, stands := "is recorded as failed, without all of its steps", "what its steps published stands"
	if ending != nil {
		what, stands = "could not be recorded", stands+", and the next run lists it as interrupted"
	}
	if all, ok := failed.(interface{ Unwrap() []error }); ok {
		for _, told := range all.Unwrap() {
			kind := warehouse.KindOf(told)
			if !errors.As(told, &step) && kind != warehouse.KindOther && kind == warehouse.KindOf(err) {
				return fmt.Errorf("run %s %s, for the reason above: %s", run, what, stands)
			}
		}
	}
	return fmt.Errorf("%w\n     the record of run %s is incomplete: %s", err, run, stands)
}

// stalest is the oldest high water among the steps that loaded something.
func stalest(steps []event.Step) time.Time {
	var oldest time.Time
	for _, s := range steps {
		if t := s.Result.AsOf; !t.IsZero() && (oldest.IsZero() || t.Before(oldest)) {
			oldest = t
		}
	}
	return oldest
}

// locked runs a step under its own lock, so that two runs of one project and
// target never work on one table at the same time. A lock that is lost cancels
// the step.
func (p *Pipeline) locked(s scheduler.Step) func(context.Context, window.Window) (event.Result, error) {
	return func(ctx context.Context, w window.Window) (event.Result, error) {
		held, release, err := p.lock(ctx, s.Name)
		if err != nil {
			return event.Result{}, fmt.Errorf("another run works on %s: %w", s.Name, err)
		}
		defer release()
		res, err := s.Run(held, w)
		return res, hinted(err)
	}
}

// hinted is err with what to do next, where the warehouse or the destination knows
// that: the text of a step's error is all that is told of it.
func hinted(err error) error {
	hint := ""
	var known *warehouse.Error
	var barred *activate.BarredError
	switch {
	case errors.As(err, &known):
		hint = known.Hint
	case errors.As(err, &barred):
		hint = barred.Hint
	}
	if hint == "" || strings.Contains(err.Error(), hint) {
		return err
	}
	return fmt.Errorf("%w\n%s", err, hint)
}

// lock takes the lock of name among the runs of this project and target, and
// waits for whoever has it until ctx ends: two runs that overlap take turns.
func (p *Pipeline) lock(ctx context.Context, name string) (context.Context, func(), error) {
	backoff := retry.Backoff{Base: 50 * time.Millisecond, Max: 2 * time.Second}
	for try := 1; ; try++ {
		held, release, err := p.DB.Lock(ctx, p.lockName(name))
		if warehouse.KindOf(err) != warehouse.KindLocked {
			return held, release, err
		}
		select {
		case <-p.drain:
			return nil, nil, errors.Join(scheduler.ErrInterrupted, err)
		case <-ctx.Done():
			return nil, nil, errors.Join(context.Cause(ctx), err)
		case <-time.After(backoff.Wait(try, 0)):
		}
	}
}
