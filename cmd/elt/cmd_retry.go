package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"elt/internal/event"
	"elt/internal/pipeline"
	"elt/internal/report"
	"elt/internal/state"
	"elt/scheduler"
	"elt/window"
)

func (a *app) cmdRetry() *cobra.Command {
	var ok string
	cmd := command("day", "retry [RUN]", "Run what failed, was blocked, held or cut off in a run, the last that did not end well by default, and nothing that ended well",
		"elt retry\nelt retry 7f3a2c\nelt retry --target prod --ok 4",
		[]int{exitOK, exitFailed, exitUsage, exitCheck, exitUnfinished, exitLocked, exitTryAgain, exitInterrupted},
		func(cmd *cobra.Command, args []string) error {
			var job string
			return a.forgiving(cmd.Context(), ok, &job, func(ctx context.Context) error { return a.tryRetry(ctx, args, &job) })
		})
	cmd.Args = atMostOne
	cmd.Flags().StringVar(&ok, "ok", "", "exit codes to turn into 0, such as 4,75")
	return cmd
}

// tryRetry makes a run of the steps of another one that did not end well. job is set
// to that of the other one.
func (a *app) tryRetry(ctx context.Context, args []string, job *string) (err error) {
	s, err := a.open(ctx, false)
	if err != nil {
		return err
	}
	defer func() { joinErr(&err, s.close()) }()
	p := a.pipeline(s)
	defer func() { joinErr(&err, p.Close()) }()
	if _, err := s.store.CloseOrphans(ctx, time.Now(), p.RunID); err != nil {
		return err
	}
	r, err := a.toRetry(ctx, s, args)
	if err != nil || r.ID == "" {
		return err
	}
	*job = r.Job
	again, err := a.planRetry(ctx, s, p, r)
	if err != nil {
		return err
	}
	if len(again.steps) == 0 {
		a.say("%s", again.nothing())
		return nil
	}
	a.heartbeat = a.startHeartbeat(ctx, s.project, s.target, r.Job)
	if err := a.asBefore(ctx, p, again); err != nil {
		return err
	}
	opts := pipeline.RunOptions{Retries: defaultRetries, Note: again.note(), Record: state.Run{
		Command: "elt retry " + r.ID, Job: r.Job, Trigger: "retry", RetryOf: r.ID, Spec: again.again(p)}}
	if j := s.project.Jobs[r.Job]; j != nil {
		opts.Retries, opts.Record.Owner, opts.Record.Runbook = j.Retries, j.Owner, j.Runbook
		var cancel context.CancelFunc
		ctx, cancel = within(ctx, j)
		defer cancel()
	}
	return ended(a.execute(ctx, s, p, again.steps, opts))
}

// toRetry is the run that args name, or the last one that did not end well. It has no
// id when there is nothing to retry, which has been told.
func (a *app) toRetry(ctx context.Context, s *session, args []string) (state.Run, error) {
	if len(args) == 0 {
		list, err := s.store.Runs(ctx, 1000)
		if err != nil {
			return state.Run{}, err
		}
		for _, r := range list {
			if r.Status != state.Running && r.Status != string(event.OK) {
				return r, nil
			}
		}
		a.say("nothing to retry: no run has ended badly")
		return state.Run{}, nil
	}
	r, found, err := s.store.Run(ctx, args[0])
	switch {
	case err != nil:
		return state.Run{}, err
	case !found:
		return state.Run{}, usage("no run %q, or more than one that begins so; list them: elt runs", args[0])
	case r.Status == state.Running:
		return state.Run{}, usage("run %s is still on; wait for its end, or stop it first", r.ID)
	case r.Status == string(event.OK):
		a.say("nothing to retry: run %s ended well", r.ID)
		return state.Run{}, nil
	}
	return r, nil
}

// retryPlan is what a retry of a run does.
type retryPlan struct {
	of      state.Run
	spec    runSpec
	total   int // steps of the run
	steps   []scheduler.Step
	mended  map[string]string // name -> run that has done it since
	gone    []string          // no longer in the project
	changed []string          // whose text is another one now
	fresh   []string          // what the selection of the run takes in now
}

func (a *app) planRetry(ctx context.Context, s *session, p *pipeline.Pipeline, r state.Run) (*retryPlan, error) {
	plan := &retryPlan{of: r, spec: readSpec(r.Spec), mended: map[string]string{}}
	records, err := s.store.Steps(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	done := map[string]bool{}
	if plan.spec.Steps == nil { // of a version that kept no spec
		plan.spec.Steps = map[string]string{}
	}
	for _, st := range records {
		if _, ok := plan.spec.Steps[st.Name]; !ok {
			plan.spec.Steps[st.Name] = ""
		}
		done[st.Name] = st.Status == string(event.OK)
	}
	plan.total = len(plan.spec.Steps)
	since, err := doneSince(ctx, s.store, r, plan.spec)
	if err != nil {
		return nil, err
	}
	now, all := map[string]scheduler.Step{}, p.Steps()
	for _, step := range all {
		now[step.Name] = step
	}
	for _, name := range slices.Sorted(maps.Keys(plan.spec.Steps)) {
		step, there := now[name]
		switch {
		case done[name]:
		case since[name] != "":
			plan.mended[name] = since[name]
		case !there:
			plan.gone = append(plan.gone, name)
		case step.Kind == pipeline.Sync && p.Push == "off":
			plan.gone = append(plan.gone, name+" (push: off)")
		default:
			plan.steps = append(plan.steps, step)
		}
	}
	plan.compare(p, all)
	return plan, nil
}

// compare finds what has changed in the project since the run.
func (r *retryPlan) compare(p *pipeline.Pipeline, all []scheduler.Step) {
	for name, print := range p.Fingerprints(r.steps) {
		if before := r.spec.Steps[name]; before != "" && before != print {
			r.changed = append(r.changed, name)
		}
	}
	slices.Sort(r.changed)
	sel := r.spec.Select
	if job := p.Project.Jobs[r.of.Job]; job != nil && r.of.RetryOf == "" && !slices.Equal(job.Run, []string{"all"}) {
		sel = slices.Concat(sel, job.Run)
	}
	steps, err := p.Select(all, sel, r.spec.Exclude)
	if err != nil || r.of.Spec == "" { // the selection finds nothing any more: then nothing is new
		return
	}
	for _, s := range steps {
		if _, known := r.spec.Steps[s.Name]; !known && (s.Kind != pipeline.Sync || !r.spec.NoPush) {
			r.fresh = append(r.fresh, s.Name)
		}
	}
}

// doneSince are the steps that later runs have done, with the last run that did.
func doneSince(ctx context.Context, store *state.Store, r state.Run, spec runSpec) (map[string]string, error) {
	list, err := store.RunsSince(ctx, r.StartedAt)
	if err != nil {
		return nil, err
	}
	steps, err := store.StepsSince(ctx, r.StartedAt)
	if err != nil {
		return nil, err
	}
	done := map[string]string{}
	for _, later := range list {
		if !readSpec(later.Spec).covers(spec) {
			continue
		}
		for _, st := range steps[later.ID] {
			if delete(done, st.Name); st.Status == string(event.OK) {
				done[st.Name] = later.ID
			}
		}
	}
	return done, nil
}

// asBefore sets p to the clock and the flags of the run that is retried.
func (a *app) asBefore(ctx context.Context, p *pipeline.Pipeline, r *retryPlan) error {
	if a.flags.AsOf == "" && !r.of.AsOf.IsZero() {
		p.Now = r.of.AsOf
	}
	p.FullRefresh = r.spec.FullRefresh
	if err := p.Validate(); err != nil {
		return err
	}
	if r.spec.Backfill != nil {
		if err := r.backfill(ctx, p); err != nil {
			return err
		}
	}
	_, err := p.CheckModels(ctx, r.steps)
	return err
}

// backfill makes the run of p the backfill that r retries. What that was to do
// again is what had been done before it began.
func (r *retryPlan) backfill(ctx context.Context, p *pipeline.Pipeline) error {
	b := r.spec.Backfill
	chunk := window.Span{N: 1, Unit: "d"}
	if b.Chunk != "" {
		var err error
		if chunk, err = window.ParseSpan(b.Chunk); err != nil {
			return fmt.Errorf("retry of run %s: %w", r.of.ID, err)
		}
	}
	first := r.of
	for first.RetryOf != "" {
		before, found, err := p.Store.Run(ctx, first.RetryOf)
		if err != nil {
			return err
		}
		if !found {
			break
		}
		first = before
	}
	p.Backfill = &pipeline.Backfill{Range: window.Window{Start: b.From, End: b.To}, Chunk: chunk, Redo: b.Redo, Before: first.StartedAt, Parallel: b.Parallel}
	return p.PrepareBackfill(ctx, r.steps)
}

// again is the spec of the retry itself.
func (r *retryPlan) again(p *pipeline.Pipeline) string {
	spec := r.spec
	spec.Select, spec.Exclude, spec.Steps = nil, nil, p.Fingerprints(r.steps)
	spec.Select = slices.Sorted(maps.Keys(spec.Steps))
	return spec.text()
}

// note says what a retry does and what it saves.
func (r *retryPlan) note() string {
	text := fmt.Sprintf("retry of run %s: %d of %s, %d saved", r.of.ID, len(r.steps), report.Several(r.total, "step"), r.total-len(r.steps))
	return strings.Join(append([]string{text}, r.remarks()...), "\n")
}

// remarks are what is different from the run.
func (r *retryPlan) remarks() []string {
	var out []string
	by := slices.Compact(slices.Sorted(maps.Values(r.mended)))
	if len(by) > 0 {
		out = append(out, fmt.Sprintf("done since by run %s: %s", strings.Join(by, ", "), strings.Join(slices.Sorted(maps.Keys(r.mended)), ", ")))
	}
	if len(r.changed) > 0 {
		out = append(out, "changed since: "+strings.Join(r.changed, ", "))
	}
	if len(r.fresh) > 0 {
		out = append(out, "new since, and not part of the retry: "+strings.Join(r.fresh, ", "))
	}
	if len(r.gone) > 0 {
		out = append(out, "left out, since it is not in the project any more: "+strings.Join(r.gone, ", "))
	}
	return out
}

// nothing says why no step is left to retry.
func (r *retryPlan) nothing() string {
	text := fmt.Sprintf("nothing to retry of run %s: every step ended well", r.of.ID)
	if len(r.mended)+len(r.gone) > 0 {
		text = fmt.Sprintf("nothing to retry of run %s", r.of.ID)
	}
	return strings.Join(append([]string{text}, r.remarks()...), "\n")
}
