package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"elt/internal/event"
	"elt/internal/report"
	"elt/load"
	"elt/transform"
	"elt/window"
)

// planStream tells what a backfill would read of a stream.
func (p *Pipeline) planStream(ctx context.Context, name string) (Planned, error) {
	line := Planned{Kind: Extract, Name: name, Would: "backfill"}
	todo, err := p.todoAnew(ctx, name, "")
	if err != nil {
		return line, err
	}
	line.Detail = p.planWindows(name, todo)
	if len(todo) == 0 {
		return line, nil
	}
	line.Changes = true
	l, err := p.windowed(ctx, name)
	if err != nil || l == nil {
		return line, err
	}
	if from, err := p.Store.Cursor(ctx, p.DB, name); err != nil {
		return line, err
	} else if from == "" && l.declared() == load.Append {
		line.Detail, line.Changes = line.Detail+": nothing of it was loaded yet", false
		return line, nil
	}
	n, counted, err := l.countWindows(ctx, todo)
	if err != nil {
		return line, err
	}
	if counted {
		line.Detail += ": " + several(n, "row")
	} else {
		line.Detail += ": the rows are counted when the files are read"
	}
	steps, err := p.lately(ctx, name)
	if err != nil {
		return line, err
	}
	var most event.Result // the largest load says most about how long one takes
	for _, s := range steps {
		if read(s) >= read(most) {
			most = s
		}
	}
	took := most.Took
	if rows := read(most); counted && rows > 0 {
		took = time.Duration(float64(took) * float64(n) / float64(rows))
	}
	line.Detail += about(took)
	return line, nil
}

// countWindows counts the rows of windows at the source.
func (l *loading) countWindows(ctx context.Context, windows []window.Window) (n int64, counted bool, err error) {
	for _, w := range window.Join(windows) {
		sc, err := l.openWindow(ctx, w)
		if err != nil {
			return 0, false, err
		}
		more, known := sc.Counted()
		if err := sc.Close(); err != nil || !known {
			return 0, false, err
		}
		n += more
	}
	return n, true, nil
}

// planByWindows tells what a backfill would build of a model.
func (p *Pipeline) planByWindows(ctx context.Context, m *transform.Model) (detail string, changes bool, err error) {
	todo, err := p.todoAnew(ctx, m.FullName(), fingerprint(m))
	if err != nil {
		return "", false, err
	}
	steps, err := p.lately(ctx, m.FullName())
	if err != nil {
		return "", false, err
	}
	took := perWindow(steps) * time.Duration(len(todo))
	detail = p.planWindows(m.FullName(), todo)
	if len(todo) > 0 {
		detail += about(took)
	}
	return detail, len(todo) > 0, nil
}

// perWindow is how long a window takes, by the last good steps, newest first: of
// backfills, or else a build of what was due counts as one.
func perWindow(steps []event.Result) time.Duration {
	for _, s := range steps {
		if s.Windows > 0 {
			return s.Took / time.Duration(s.Windows)
		}
	}
	if len(steps) == 0 {
		return 0
	}
	return steps[0].Took
}

// todoAnew is todo as it will be once --redo has forgotten what was done, and what
// the step reads has done its windows.
func (p *Pipeline) todoAnew(ctx context.Context, name, text string) ([]window.Window, error) {
	todo, all, err := p.todo(ctx, name, text)
	if err != nil || p.Backfill.Redo {
		return all, err
	}
	for _, above := range p.above(name) {
		if !p.byWindows(above) {
			continue
		}
		text := ""
		if m := p.Graph.Model(above); m != nil {
			text = fingerprint(m)
		}
		before, _, err := p.todo(ctx, above, text)
		if err != nil {
			return nil, err
		}
		for _, w := range all {
			if !slices.Contains(todo, w) && slices.ContainsFunc(before, w.Overlaps) {
				todo = append(todo, w)
			}
		}
	}
	slices.SortFunc(todo, func(a, b window.Window) int { return a.Start.Compare(b.Start) })
	return todo, nil
}

// planWindows says which windows of a step are to be done.
func (p *Pipeline) planWindows(name string, todo []window.Window) string {
	all, chunk := p.windowsOf(name)
	text := fmt.Sprintf("%s of %s, %s", several(int64(len(all)), "window"), chunk, p.days(window.Window{Start: all[0].Start, End: all[len(all)-1].End}))
	switch done := len(all) - len(todo); done {
	case 0:
		return text
	case len(all):
		return text + ", all done before"
	default:
		return fmt.Sprintf("%s, %d done before", text, done)
	}
}

// lately are the results of the last good steps of that name, newest first.
func (p *Pipeline) lately(ctx context.Context, name string) ([]event.Result, error) {
	records, err := p.Store.StepsNamed(ctx, name, 50)
	if err != nil {
		return nil, err
	}
	var out []event.Result
	for _, r := range records {
		var res event.Result
		if err := json.Unmarshal(r.Result, &res); err != nil {
			return nil, fmt.Errorf("read the result of step %s of run %s: %w", name, r.RunID, err)
		}
		if r.Status == string(event.OK) {
			out = append(out, res)
		}
	}
	return out, nil
}

// read is how many rows a step has read.
func read(r event.Result) int64 {
	for _, c := range r.Counts {
		if c.Label == "read" {
			return c.N
		}
	}
	return 0
}

// about says how long something may take; nothing when nobody has done it yet.
func about(d time.Duration) string {
	if d <= 0 {
		return ", time not known yet"
	}
	return ", about " + report.Seconds(d)
}
