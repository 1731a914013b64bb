package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"elt/internal/event"
	"elt/internal/report"
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
	sc, err := l.openWindow(ctx, window.Window{Start: todo[0].Start, End: todo[len(todo)-1].End})
	if err != nil {
		return line, err
	}
	defer func() { _ = sc.Close() }() // nothing was read
	n, counted := sc.Counted()
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
	var took time.Duration
	if len(steps) > 0 {
		took = steps[0].Took * time.Duration(len(todo))
	}
	detail = p.planWindows(m.FullName(), todo)
	if len(todo) > 0 {
		detail += about(took)
	}
	return detail, len(todo) > 0, nil
}

// todoAnew is todo as it will be once --redo has forgotten what was done.
func (p *Pipeline) todoAnew(ctx context.Context, name, fingerprint string) ([]window.Window, error) {
	todo, all, err := p.todo(ctx, name, fingerprint)
	if p.Backfill.Redo {
		todo = all
	}
	return todo, err
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
