package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"elt/internal/event"
	"elt/internal/pipeline"
	"elt/internal/report"
	"elt/internal/state"
	"elt/scheduler"
)

// selection are the flags that say which steps are meant.
type selection struct {
	sel, exclude []string
	job          string
}

func (s *selection) add(cmd *cobra.Command) {
	cmd.Flags().StringArrayVarP(&s.sel, "select", "s", nil, "selector: name, +name, name+, tag:x, path:x, source:shop.orders+, sync:x")
	cmd.Flags().StringArrayVar(&s.exclude, "exclude", nil, "selector of what to leave out")
	cmd.Flags().StringVar(&s.job, "job", "", "the selection of this job")
}

// steps are the selected steps of p.
func (s *selection) steps(p *pipeline.Pipeline, args []string) ([]scheduler.Step, error) {
	sel := slices.Concat(args, s.sel)
	if s.job != "" {
		job := p.Project.Jobs[s.job]
		if job == nil {
			return nil, usage("no job %q in the project", s.job)
		}
		if !slices.Equal(job.Run, []string{"all"}) {
			sel = append(sel, job.Run...)
		}
	}
	steps, err := p.Select(p.Steps(), sel, s.exclude)
	if err != nil {
		return nil, usage("%w", err)
	}
	if len(steps) == 0 {
		return nil, s.nothing(p, sel)
	}
	return steps, nil
}

// nothing says why no step is left.
func (s *selection) nothing(p *pipeline.Pipeline, sel []string) error {
	switch {
	case len(p.Nodes()) == 0:
		return usage("the project has no source, model or sync yet: there is nothing to run\n     %s", firstThing)
	case len(sel) > 0:
		return usage("nothing is selected by %s\n     see what there is: elt ls", strings.Join(sel, " "))
	case len(s.exclude) > 0:
		return usage("nothing is left without %s\n     see what there is: elt ls", strings.Join(s.exclude, " "))
	default:
		return usage("nothing is left: without push the syncs are not run\n     see what there is: elt ls")
	}
}

type runFlags struct {
	selection
	backfill            backfillFlags
	noPush, fullRefresh bool
	ifDue               bool
	ok                  string
}

func (a *app) cmdRun() *cobra.Command {
	var f runFlags
	cmd := command("day", "run [SELECTOR…]", "Extract, load, build, check and push what is selected; all by default",
		"elt run\nelt run marts.customers+ --no-push\nelt run source:shop.orders+ --target prod\nelt run --backfill 30d shop.orders+\nelt run --job nightly --quiet",
		[]int{exitOK, exitFailed, exitUsage, exitCheck, exitUnfinished, exitLocked, exitTryAgain, exitInterrupted},
		func(cmd *cobra.Command, args []string) error { return a.doRun(cmd.Context(), args, f) })
	f.add(cmd)
	f.backfill.add(cmd)
	f.backfill.addParallel(cmd)
	cmd.Flags().BoolVar(&f.noPush, "no-push", false, "leave out the syncs")
	cmd.Flags().BoolVar(&f.fullRefresh, "full-refresh", false, "read sources and build models from the beginning")
	cmd.Flags().BoolVar(&f.ifDue, "if-due", false, "with --job: do nothing unless the job is due and no run has taken its time; for lines of cron and timers")
	cmd.Flags().StringVar(&f.ok, "ok", "", "exit codes to turn into 0, such as 4,75")
	return cmd
}

// doRun runs, and takes the exit codes that --ok names for good ends, those of a
// run that never began included; what went wrong is told all the same.
func (a *app) doRun(ctx context.Context, args []string, f runFlags) error {
	return a.forgiving(ctx, f.ok, &f.job, func(ctx context.Context) error { return a.tryRun(ctx, args, f) })
}

// forgiving makes a run of job, which is known once run has returned.
func (a *app) forgiving(ctx context.Context, ok string, job *string, run func(context.Context) error) error {
	forgive, err := forgiven(ok)
	if err != nil {
		return err
	}
	err = run(ctx)
	if a.watch == nil && err != nil {
		a.tellNotStarted(ctx, *job, err)
	}
	failure := err
	if err != nil && ctx.Err() == nil && forgive[exitCode(err)] {
		a.tell(err)
		err = nil
	}
	a.heartbeat.end(ctx, exitCode(err), a.heartbeatBody(failure))
	return err
}

func (a *app) tryRun(ctx context.Context, args []string, f runFlags) (err error) {
	s, err := a.load()
	if err != nil {
		return err
	}
	prj, target := s.project, s.target
	s, err = a.openRun(ctx, s, f)
	if errors.Is(err, errNotMade) {
		return nil
	}
	if err != nil {
		a.heartbeat = a.startHeartbeat(ctx, prj, target, f.job)
		return err
	}
	defer func() { joinErr(&err, s.close()) }()
	p := a.pipeline(s)
	defer func() { joinErr(&err, p.Close()) }()
	turn, err := a.turn(ctx, s, p, f)
	if errors.Is(err, errNotMade) {
		return nil
	}
	a.heartbeat = a.startHeartbeat(ctx, prj, target, f.job)
	if err != nil {
		return err
	}
	defer turn.release()
	p.FullRefresh = f.fullRefresh
	if f.noPush {
		p.Push = "off"
	}
	steps, err := f.steps(p, args)
	if err != nil {
		return err
	}
	if err := p.Validate(); err != nil {
		return err
	}
	if err := f.backfill.apply(ctx, p, steps); err != nil {
		return err
	}
	if _, err := p.CheckModels(ctx, steps); err != nil {
		return err
	}
	opts := pipeline.RunOptions{Retries: defaultRetries, Record: state.Run{Command: commandOf(args, f), Job: f.job, Spec: specOf(args, f, p, steps)}}
	if turn.job != nil {
		return a.runJob(ctx, s, p, steps, turn, opts)
	}
	return ended(a.execute(ctx, s, p, steps, opts))
}

// defaultRetries is how often a step of a run that is no job's is tried again.
const defaultRetries = 3

// ended is the error of a run: its exit code, and what prevented it from being made
// or recorded.
func ended(end event.End, err error) error {
	if end.Exit != exitOK {
		return &exitError{code: end.Exit, err: err}
	}
	return err
}

// execute runs steps with the printers that the flags ask for and a log file.
func (a *app) execute(ctx context.Context, s *session, p *pipeline.Pipeline, steps []scheduler.Step, opts pipeline.RunOptions) (end event.End, err error) {
	logDir := filepath.Join(s.project.Dir, ".elt", "logs")
	log, err := openLog(logDir, p.RunID)
	if err != nil {
		return end, err
	}
	defer func() { joinErr(&err, log.Close()) }()
	drain := a.signals.begin()
	defer a.signals.end()
	_, shown, err := engine(s.target)
	if err != nil {
		return end, err
	}
	logged, seen := report.NewJSON(log), &watch{job: opts.Record.Job}
	sink := report.NewMany(a.printer(s), logged, seen)
	opts.Parallel, opts.Backoff, opts.Drain, opts.Warehouse, opts.Sink = parallel(s.target), a.backoff, drain, shown, sink
	opts.Record.Log = filepath.Join(".elt", "logs", p.RunID+".jsonl")
	opts.Exit = func(steps []event.Step, failed error) (event.Status, int) { return lateExit(ctx, steps, failed) }
	end, err = p.Run(ctx, steps, opts)
	if !seen.began.IsZero() {
		a.watch = seen
		a.tellPeople(ctx, s, seen, sink.Emit)
	}
	if lerr := logged.Err(); lerr != nil {
		err = errors.Join(err, fmt.Errorf("the log of the run is incomplete: %w\n     make room for it; what ran is recorded in the warehouse: elt runs", lerr))
	}
	return end, err
}

// printer is what the terminal, the pipe or the machine on the other side gets.
func (a *app) printer(s *session) event.Sink {
	asJSON, quiet := a.flags.JSON || a.flags.LogFormat == "json", a.flags.Quiet || a.flags.LogLevel == "error"
	switch out, isFile := a.out.(*os.File); {
	case asJSON && quiet:
		return report.NewQuietJSON(a.out)
	case asJSON:
		return report.NewJSON(a.out)
	case quiet:
		return report.NewQuiet(a.err, s.project.Timezone)
	case a.flags.LogLevel == "debug":
		return report.NewVerbose(a.out, s.project.Timezone)
	case !a.flags.NoColor && isFile && term.IsTerminal(int(out.Fd())):
		return report.NewBars(a.out, s.project.Timezone)
	default:
		return report.NewPlain(a.out, s.project.Timezone)
	}
}

// keepLogs is how many runs keep their log file.
const keepLogs = 200

// openLog makes the log file of a run and removes the oldest ones.
func openLog(dir, run string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("folder of the logs: %w\n     elt keeps its logs in .elt beside elt.yaml: let this user write there, or work on a copy of the project", err)
	}
	if err := pruneLogs(dir); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, run+".jsonl"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("log of run %s: %w", run, err)
	}
	return f, nil
}

func pruneLogs(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("prune the logs: %w", err)
	}
	type aged struct {
		name string
		at   int64
	}
	var logs []aged
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && strings.HasSuffix(e.Name(), ".jsonl") {
			logs = append(logs, aged{e.Name(), info.ModTime().UnixNano()})
		}
	}
	slices.SortFunc(logs, func(x, y aged) int { return int(y.at/1e6 - x.at/1e6) })
	for _, l := range logs[min(len(logs), keepLogs):] {
		if err := os.Remove(filepath.Join(dir, l.name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("prune the logs: %w", err)
		}
	}
	return nil
}
