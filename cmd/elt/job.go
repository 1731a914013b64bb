package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"elt/internal/event"
	"elt/internal/pipeline"
	"elt/internal/project"
	"elt/internal/state"
	"elt/internal/warehouse"
	"elt/scheduler"
)

// wall is the clock on the wall, which schedules go by whatever the run's clock is.
func (a *app) wall() time.Time {
	if a.clockNow != nil {
		return a.clockNow()
	}
	return time.Now()
}

// forever is how long a job waits that is to take its turn however long that is.
const forever = 365 * 24 * time.Hour

// errNotMade says that a run was not made, for a reason that is no mistake and that
// has been told.
var errNotMade = errors.New("the run was not made")

// openRun opens the warehouse of s for a run, and closes s when that fails. A run of a
// job that is to be skipped while another one is on is so also where that one owns the
// warehouse: [errNotMade].
func (a *app) openRun(ctx context.Context, s *session, f runFlags) (*session, error) {
	job := s.project.Jobs[f.job]
	switch {
	case f.ifDue && f.job == "":
		return nil, errors.Join(usage("--if-due goes with --job: only a job has a schedule"), s.close())
	case f.ifDue && job != nil && job.Due.IsZero():
		return nil, errors.Join(usage("--if-due: job %s has no schedule", job.Name), s.close())
	case job == nil:
		return a.openWarehouse(ctx, s, false)
	case job.Overlap == "queue_one" || job.Overlap == "queue_all":
		s.target.WaitForLock = forever
		return a.openWarehouse(ctx, s, false)
	}
	wait := s.target.WaitForLock
	s.target.WaitForLock = 0
	try := *s
	try.closers = nil
	opened, err := a.openWarehouse(ctx, &try, false)
	s.target.WaitForLock = wait
	if err == nil {
		opened.closers = append(slices.Clone(s.closers), opened.closers...)
		return opened, nil
	}
	if warehouse.KindOf(err) != warehouse.KindLocked {
		return nil, errors.Join(err, s.close())
	}
	if by := a.runningOf(ctx, s, job.Name); by != "" {
		a.say("job %s: run %s is still on, so this one is skipped", job.Name, by)
		return nil, errors.Join(errNotMade, s.close())
	}
	return a.openWarehouse(ctx, s, false)
}

// runningOf asks the process that owns the warehouse which run of job is on; "" when
// there is none, or when it cannot be told.
func (a *app) runningOf(ctx context.Context, s *session, job string) string {
	look := *s
	look.closers = nil
	opened, err := a.openWarehouse(ctx, &look, true)
	if err != nil {
		return ""
	}
	defer func() { _ = opened.close() }() // it was only looked at
	return runningRun(ctx, opened.store, job)
}

// runningRun is the run of job that is recorded as on; "" when there is none.
func runningRun(ctx context.Context, store *state.Store, job string) string {
	list, err := store.Running(ctx)
	if err != nil {
		return ""
	}
	for _, r := range list {
		if r.Job == job && !r.Gone() {
			return r.ID
		}
	}
	return ""
}

// say tells people of a run that was not made; with --quiet it says nothing.
func (a *app) say(format string, args ...any) {
	if !a.flags.Quiet {
		fmt.Fprintf(a.out, format+"\n", args...)
	}
}

// errNotDue says that a run was not made because its job is not due.
var errNotDue = errors.New("not due")

// turn is the turn of a run among those of its job; without a job it is free.
type turn struct {
	job     *project.Job
	slots   *slots
	release func()
}

// turn waits for the turn of a run among those of its job. [errNotMade] says that it
// is not due, or is to be skipped.
func (a *app) turn(ctx context.Context, s *session, p *pipeline.Pipeline, f runFlags) (*turn, error) {
	job := s.project.Jobs[f.job]
	if job == nil {
		return &turn{release: func() {}}, nil
	}
	t := &turn{job: job, slots: &slots{app: a, store: s.store, job: job, zone: s.project.Timezone, run: p.RunID, ifDue: f.ifDue}}
	if f.ifDue {
		if _, _, err := t.slots.take(ctx); err != nil {
			return nil, t.slots.notDue(ctx, err)
		}
	}
	var err error
	t.release, err = p.Turn(ctx, job.Name, job.Overlap)
	if errors.Is(err, pipeline.ErrOverlap) {
		by := runningRun(ctx, s.store, job.Name)
		a.say("job %s: run %s is still on, so this one is skipped", job.Name, by)
		if err := t.slots.skip(ctx, by); err != nil {
			return nil, err
		}
		return nil, errNotMade
	}
	return t, err
}

// runJob runs steps as a job whose turn it is: within its timeout, with its retries,
// for the slot of its schedule that is due.
func (a *app) runJob(ctx context.Context, s *session, p *pipeline.Pipeline, steps []scheduler.Step, t *turn, opts pipeline.RunOptions) error {
	job := t.job
	opts.Retries, opts.Record.Owner, opts.Record.Runbook = job.Retries, job.Owner, job.Runbook
	if p.Backfill == nil { // which is of the past, and takes no slot
		opts.Slots = t.slots.take
	}
	began := a.wall()
	ctx, cancel := within(ctx, job)
	defer cancel()
	end, err := a.execute(ctx, s, p, steps, opts)
	if errors.Is(err, errNotDue) {
		if err = t.slots.notDue(ctx, err); errors.Is(err, errNotMade) {
			return nil
		}
		return err
	}
	if late := context.Cause(ctx); err != nil && end.Exit == exitOK && late != nil { // before its first step
		return errors.Join(late, err)
	}
	if job.Overlap == "skip" || job.Overlap == "cancel_running" {
		joinErr(&err, t.slots.skippedDuring(context.WithoutCancel(ctx), began))
	}
	return ended(end, err)
}

// within is ctx for a run of job, which ends after its timeout.
func within(ctx context.Context, job *project.Job) (context.Context, context.CancelFunc) {
	if job.Timeout <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, job.Timeout, &pipeline.LateError{Job: job.Name, Timeout: job.Timeout})
}

// slots is what a run has to do with the schedule of its job.
type slots struct {
	app   *app
	store *state.Store
	job   *project.Job
	zone  *time.Location
	run   string
	ifDue bool
}

// at is what the schedule asks for now.
func (s *slots) at(ctx context.Context) (scheduler.Slots, scheduler.Known, time.Time, error) {
	now := s.app.wall().In(s.zone)
	last, err := s.store.Slots(ctx, s.job.Name, 1)
	if err != nil {
		return scheduler.Slots{}, scheduler.Known{}, now, err
	}
	var known scheduler.Known
	if len(last) > 0 {
		known = scheduler.Known{At: last[0].At, Spec: last[0].Spec, Ran: last[0].Status == state.SlotRan}
	}
	return scheduler.SlotsAt(now, s.job.Due, s.spec(), s.job.Catchup, known), known, now, nil
}

// spec is the schedule with its zone, so that slots of another one are told apart.
func (s *slots) spec() string { return s.job.Schedule + " " + s.zone.String() }

// take implements [pipeline.RunOptions.Slots].
func (s *slots) take(ctx context.Context) (took state.Slot, missed []state.Slot, err error) {
	due, known, now, err := s.at(ctx)
	if err != nil {
		return took, nil, err
	}
	if s.ifDue && !due.IsDue(now, known) {
		return took, s.missed(due), errNotDue
	}
	if !due.Due.IsZero() {
		took = s.slot(due.Due, state.SlotRan, "")
		took.RunID = s.run
	}
	return took, s.missed(due), nil
}

func (s *slots) slot(at time.Time, status, reason string) state.Slot {
	return state.Slot{Job: s.job.Name, At: at, Status: status, Reason: reason, Spec: s.spec()}
}

// missed are the slots at which nothing was started, with the reason.
func (s *slots) missed(due scheduler.Slots) []state.Slot {
	var list []state.Slot
	for i, at := range due.Missed {
		reason := "no run was started"
		switch {
		case due.Late && i == len(due.Missed)-1:
			reason = fmt.Sprintf("no run was started within %s, and catchup is none", scheduler.Grace)
		case !due.Due.IsZero() && s.job.Catchup != "none":
			reason += "; that of " + due.Due.Format("2006-01-02 15:04 -07:00") + " covers it"
		}
		list = append(list, s.slot(at, state.SlotMissed, reason))
	}
	return list
}

// skip records that no run takes the slot that is due, because that of another run
// is still on.
func (s *slots) skip(ctx context.Context, by string) error {
	due, _, now, err := s.at(ctx)
	if err != nil {
		return err
	}
	at := due.Due
	due.Due = time.Time{} // it covers none of those before
	list := s.missed(due)
	if !at.IsZero() {
		list = append(list, s.slot(at, state.SlotSkipped, "run "+by+" was still on"))
	}
	return s.store.RecordSlots(ctx, list, now)
}

// skippedDuring records the slots that came due while the run was on: whoever was
// started for them has ended at once, and could not write to a file that is owned.
func (s *slots) skippedDuring(ctx context.Context, began time.Time) error {
	if s.job.Due.IsZero() {
		return nil
	}
	now := s.app.wall().In(s.zone)
	var list []state.Slot
	for _, at := range s.job.Due.Between(began.In(s.zone), now.Add(1), 1000) {
		list = append(list, s.slot(at, state.SlotSkipped, "run "+s.run+" was still on"))
	}
	return s.store.RecordSlots(ctx, list, now)
}

// notDue tells that a run is not made when err says that its job is not due, and
// records what was missed. It gives [errNotMade] then.
func (s *slots) notDue(ctx context.Context, err error) error {
	if !errors.Is(err, errNotDue) {
		return err
	}
	due, _, now, err := s.at(ctx)
	if err != nil {
		return err
	}
	s.app.say("job %s: not due; it is next at %s", s.job.Name, s.job.Due.Next(now).Format("2006-01-02 15:04 -07:00"))
	if err := s.store.RecordSlots(ctx, s.missed(due), now); err != nil {
		return err
	}
	return errNotMade
}

// lateExit is statusExit of a run that may have taken too long: that is a failure,
// not an interruption.
func lateExit(ctx context.Context, steps []event.Step, failed error) (event.Status, int) {
	status, exit := statusExit(steps, failed)
	var late *pipeline.LateError
	if status == event.Interrupted && errors.As(context.Cause(ctx), &late) {
		return event.Failed, exitFailed
	}
	return status, exit
}
