package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"elt/internal/event"
	"elt/internal/project"
	"elt/internal/retry"
	"elt/internal/state"
	"elt/load"
	"elt/scheduler"
	"elt/transform"
	"elt/window"
)

// Backfill is what a run reads and builds again of the past: what is incremental
// window by window, and everything else once, as any run does.
//
// A window that has ended well is recorded with its rows and not done again by a
// backfill of the same range and chunk, whatever the selection, until Redo. A
// backfill moves no cursor and makes nothing look fresher than it is.
type Backfill struct {
	Range window.Window
	Chunk window.Span
	Redo  bool
	// Before, where set, keeps Redo from what was done since: by the run that this
	// one retries, and by retries of it.
	Before time.Time
	// Parallel is how many steps work at once; 0: as many as in any run. The windows
	// of one step take turns, since they write one table.
	Parallel int

	steps     map[string]bool // that work by windows, of those selected
	unsettled map[string]bool // streams whose source could not be asked before the run
	redo      map[string]bool // those that have not forgotten their windows yet
}

// ID names the backfill: the range as it was resolved, and how it was cut.
func (b *Backfill) ID() string { return b.Range.String() + " by " + b.Chunk.String() }

// The statuses of a window.
const (
	windowOK     = "ok"
	windowFailed = "failed"
)

// PrepareBackfill settles which of steps work by windows, and refuses, before
// anything is touched, those that are incremental and cannot. A source that
// cannot be asked now is asked again by its step.
func (p *Pipeline) PrepareBackfill(ctx context.Context, steps []scheduler.Step) error {
	b := p.Backfill
	b.steps, b.unsettled, b.redo = map[string]bool{}, map[string]bool{}, map[string]bool{}
	var errs project.Errors
	for _, s := range steps {
		windowed := false
		switch s.Kind {
		case Model:
			windowed = p.Graph.Model(s.Name).Windowed()
		case Extract:
			l, err := p.windowed(ctx, s.Name)
			var mistake *project.Error
			if errors.As(err, &mistake) {
				errs = append(errs, mistake)
			} else if err != nil && ctx.Err() != nil {
				return context.Cause(ctx)
			}
			windowed, b.unsettled[s.Name] = l != nil, err != nil
		}
		if windowed {
			b.steps[s.Name], b.redo[s.Name] = true, b.Redo
		}
	}
	errs.Sort()
	return errs.Err()
}

// windowed is the stream of a step that a backfill reads by windows; nil when it
// is read once, as any run does. A mistake is one of the project.
func (p *Pipeline) windowed(ctx context.Context, name string) (*loading, error) {
	source, stream, _ := strings.Cut(name, ".")
	src := p.Project.Sources[source]
	if src == nil || src.Streams[stream] == nil {
		return nil, fmt.Errorf("no such stream")
	}
	l := &loading{Pipeline: p, src: src, st: src.Streams[stream], relation: name, table: p.place(source, stream)}
	if _, err := l.stream(ctx); err != nil {
		return nil, err
	}
	if !l.incremental() {
		return nil, nil
	}
	mistake := &project.Error{Pos: l.st.Pos}
	if l.spec.Time == "" {
		mistake.Msg = name + " cannot be backfilled: it is read by what is new, and nothing says of which time its rows are"
		mistake.Expected = "time: COLUMN, that of the event, on the stream"
		mistake.Hint = "or leave it as it stands: --exclude " + name
		return nil, mistake
	}
	if l.declared() == load.Append {
		loads, err := p.Store.Loads(ctx, name, 1)
		if err != nil {
			return nil, err
		}
		if len(loads) == 0 {
			mistake.Msg = name + " cannot be backfilled yet: it is appended and was never loaded, so that its first load would add the same rows again"
			mistake.Expected = "a load"
			mistake.Hint = "run it first: elt run " + name
			return nil, mistake
		}
	}
	return l, nil
}

// incremental reports whether loads bring what is new alone: what is read in
// full each time needs no windows.
func (l *loading) incremental() bool {
	switch l.declared() {
	case load.Append, load.Merge, load.File:
		return l.spec.Files || l.spec.Cursor != ""
	}
	return false
}

// byWindows reports whether the backfill of this run, if it is one, does the step
// window by window.
func (p *Pipeline) byWindows(name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.Backfill != nil && p.Backfill.steps[name]
}

// settle is byWindows for a stream, once its source has said how it is read.
func (p *Pipeline) settle(ctx context.Context, name string) (byWindows bool, err error) {
	p.mu.Lock()
	open := p.Backfill != nil && p.Backfill.unsettled[name]
	p.mu.Unlock()
	if !open {
		return p.byWindows(name), nil
	}
	l, err := p.windowed(ctx, name)
	if err != nil {
		return false, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.Backfill
	delete(b.unsettled, name)
	b.steps[name], b.redo[name] = l != nil, l != nil && b.Redo
	return l != nil, nil
}

// windowsOf are all windows of a step, and how long each is: for a model, whose
// rows may be of days, whole days.
func (p *Pipeline) windowsOf(name string) ([]window.Window, window.Span) {
	b, zone := p.Backfill, p.Project.Timezone
	if p.Graph.Model(name) == nil {
		return b.Chunk.Cut(b.Range, zone), b.Chunk
	}
	chunk := b.Chunk
	if chunk.Unit == "h" {
		chunk = window.Span{N: 1, Unit: "d"}
	}
	return chunk.Cut(b.Range.WholeDays(zone), zone), chunk
}

// todo are the windows of a step that have not ended well, or that were done by
// another text of the model, or before a window of what it reads was.
func (p *Pipeline) todo(ctx context.Context, name, fingerprint string) (todo, all []window.Window, err error) {
	records, err := p.Store.Windows(ctx, p.Backfill.ID())
	if err != nil {
		return nil, nil, err
	}
	above := p.above(name)
	all, _ = p.windowsOf(name)
	for _, w := range all {
		i := slices.IndexFunc(records, func(r state.WindowRecord) bool {
			return r.Step == name && r.Window.Start.Equal(w.Start) && r.Window.End.Equal(w.End) && r.Status == windowOK && r.Fingerprint == fingerprint
		})
		if i < 0 || slices.ContainsFunc(records, func(r state.WindowRecord) bool {
			return slices.Contains(above, r.Step) && r.Window.Overlaps(w) && r.EndedAt.After(records[i].EndedAt)
		}) {
			todo = append(todo, w)
		}
	}
	return todo, all, nil
}

// above are the steps that name is made of, through any number of models, in this
// run or not: another one of the same backfill may have done their windows again.
func (p *Pipeline) above(name string) []string {
	var out []string
	seen := map[string]bool{name: true}
	for next := p.Graph.Needs(name); len(next) > 0; next = next[1:] {
		if seen[next[0]] {
			continue
		}
		seen[next[0]] = true
		out = append(out, next[0])
		next = append(next, p.Graph.Needs(next[0])...)
	}
	return out
}

// again forgets, once in a run, what a step has done, when it is to be done again.
func (p *Pipeline) again(ctx context.Context, name string) error {
	p.mu.Lock()
	due := p.Backfill.redo[name]
	p.mu.Unlock()
	if !due {
		return nil
	}
	if err := p.Store.ForgetWindows(ctx, p.Backfill.ID(), name, p.Backfill.Before); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.Backfill.redo, name)
	return nil
}

// windowRecord is the record of a window that ends now.
func (p *Pipeline) windowRecord(name, fingerprint string, w window.Window, rows int64) state.WindowRecord {
	return state.WindowRecord{Backfill: p.Backfill.ID(), Step: name, Window: w, Status: windowOK, RunID: p.RunID,
		EndedAt: time.Now().UTC(), Fingerprint: fingerprint, Rows: rows}
}

// eachWindow does the windows of a step one after the other, since they write one
// table; those of one group are done together. What fails is recorded, and the
// others go on; what may pass by itself ends the try, and the next one begins
// where it ended.
func (p *Pipeline) eachWindow(ctx context.Context, name string, groups [][]window.Window, do func(context.Context, []window.Window) error) error {
	var first error
	failed, all := 0, 0
	for _, ws := range groups {
		select {
		case <-p.drain:
			return scheduler.ErrInterrupted
		default:
		}
		all += len(ws)
		err := do(ctx, ws)
		if err == nil {
			continue
		}
		if class, _ := retry.Of(err); ctx.Err() != nil || class == retry.Transient {
			return err
		}
		failed += len(ws)
		if first == nil {
			first = fmt.Errorf("window %s: %w", p.days(window.Window{Start: ws[0].Start, End: ws[len(ws)-1].End}), err)
		}
		if err := p.recordFailed(ctx, name, ws, err); err != nil {
			return errors.Join(first, err)
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d windows failed, the others are done; the same command does these again\nfirst: %w", failed, all, first)
	}
	return nil
}

// recordFailed records why windows are not done.
func (p *Pipeline) recordFailed(ctx context.Context, name string, ws []window.Window, cause error) error {
	text := cause.Error()
	if p.Redact != nil {
		text = p.Redact(text)
	}
	for _, w := range ws {
		r := p.windowRecord(name, "", w, 0)
		r.Status, r.Error = windowFailed, text
		if err := p.Store.RecordWindow(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// days is a window in the project's time, without the clock where it is days.
func (p *Pipeline) days(w window.Window) string {
	side := func(t time.Time) string {
		if local := t.In(p.Project.Timezone); !window.StartOfDay(t, p.Project.Timezone).Equal(t) {
			return local.Format("2006-01-02T15:04:05Z07:00")
		}
		return t.In(p.Project.Timezone).Format(time.DateOnly)
	}
	return side(w.Start) + ".." + side(w.End)
}

// windowNote says how many of its windows a step did, where the others had been
// done before.
func windowNote(todo, all int) string {
	switch todo {
	case all:
		return several(int64(all), "window")
	case 0:
		return several(int64(all), "window") + " done before"
	}
	return fmt.Sprintf("%d of %s", todo, several(int64(all), "window"))
}

// unselected warns of the models that are built by windows, read what this step
// rebuilt, and are not in the run: no later run looks at days that have passed.
func (p *Pipeline) unselected(name string) []event.Warning {
	var below []string
	reads := map[string]bool{name: true}
	for _, m := range p.Graph.Models { // each after those that it reads
		if !slices.ContainsFunc(m.Needs, func(need string) bool { return reads[need] }) {
			continue
		}
		reads[m.FullName()] = true
		if m.Windowed() && !p.byWindows(m.FullName()) {
			below = append(below, m.FullName())
		}
	}
	if len(below) == 0 {
		return nil
	}
	return []event.Warning{{Subject: name, Text: "its past is new, but " + strings.Join(below, ", ") + " of it is not built again",
		Hint: "take them in: elt run --backfill " + p.days(p.Backfill.Range) + " " + name + "+"}}
}

// keeps reports whether a build in this run must leave what is known of how
// current its table is: in a backfill, of a table that was there.
func (p *Pipeline) keeps(ctx context.Context, m *transform.Model) (bool, error) {
	if p.Backfill == nil {
		return false, nil
	}
	known, err := p.Store.Freshness(ctx)
	return slices.ContainsFunc(known, func(f state.Freshness) bool { return f.Relation == m.FullName() }), err
}
