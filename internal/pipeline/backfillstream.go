package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"elt/extract"
	"elt/internal/check"
	"elt/internal/event"
	"elt/internal/project"
	"elt/internal/rows"
	"elt/internal/scan"
	"elt/internal/state"
	"elt/internal/warehouse"
	"elt/load"
	"elt/window"
)

// backfillStream reads the windows of a stream that are to be done in one
// snapshot, stages them, judges the rows, and publishes window by window, each
// with its record. The step's lock keeps other runs from the table meanwhile: the
// snapshot is younger than all that they have published.
func (p *Pipeline) backfillStream(ctx context.Context, src *project.Source, st *project.Stream) (res event.Result, err error) {
	l := &loading{Pipeline: p, src: src, st: st, relation: src.Name + "." + st.Name, table: p.place(src.Name, st.Name)}
	if err := p.again(ctx, l.relation); err != nil {
		return res, err
	}
	declared, waiting, err := p.declared(ctx, p.DB, l.relation)
	if err != nil {
		return res, err
	}
	if l.rowChecks, l.tableChecks, err = splitChecks(declared, l.table); err != nil {
		return res, err
	}
	l.judged = waiting
	todo, all, err := p.todo(ctx, l.relation, "")
	if err != nil {
		return res, err
	}
	if len(todo) > 0 {
		if refused, err := l.rebuild(ctx, todo); err != nil || refused {
			return l.backfilled(len(todo), len(all), refused), err
		}
	}
	if err := l.judgeOnce(ctx); err != nil {
		return res, err
	}
	return l.backfilled(len(todo), len(all), false), nil
}

// rebuild reads and publishes windows. refused says that a check kept all of
// them from being published.
func (l *loading) rebuild(ctx context.Context, todo []window.Window) (refused bool, err error) {
	if _, err := l.stream(ctx); err != nil {
		return false, err
	}
	if from, err := l.Store.Cursor(ctx, l.DB, l.relation); err != nil || from == "" && l.declared() == load.Append {
		return false, err // no load has brought a row yet: the next one brings all of them
	}
	sc, err := l.openWindow(ctx, l.wider(window.Window{Start: todo[0].Start, End: todo[len(todo)-1].End}))
	if err != nil {
		return false, err
	}
	c := l.contract()
	c.Divided, c.Replaces = true, false
	staged, err := load.Stage(ctx, l.DB, sc, c)
	if err = errors.Join(err, sc.Close()); err != nil { // the source need not wait for the publishing
		return false, err
	}
	defer func() { err = warehouse.Also(err, staged.Drop(context.WithoutCancel(ctx))) }()
	if f, ok := l.quarantine(staged); ok { // of all that was read: a file is read whole
		l.judged = append(l.judged, f)
	}
	to := load.Target{Time: l.spec.Time, Cursor: l.spec.Cursor}
	if l.declared() == load.Merge {
		to.Key = l.key()
	}
	divided, err := staged.Divide(ctx, to, todo)
	if err != nil {
		return false, err
	}
	l.done = divided.Result()
	if staged.Rows() > 0 {
		rel := check.Relation{SQL: staged.Relation().String(), Name: l.relation, Dialect: l.DB.Dialect().Name}
		findings, err := l.evaluate(ctx, l.DB, l.rowChecks, rel, l.Now)
		if err != nil {
			return false, err
		}
		l.judged = append(l.judged, findings...)
	}
	rejects, err := l.newRejects(ctx)
	if err != nil {
		return false, err
	}
	if failed(l.judged) {
		return true, l.DB.Update(ctx, func(ctx context.Context, tx *warehouse.Tx) error {
			if err := l.Store.SaveRejects(ctx, tx, l.relation, l.loadID, l.RunID, rejects); err != nil {
				return err
			}
			return l.Store.SaveFindings(ctx, tx, l.record(l.judged))
		})
	}
	return false, l.eachWindow(ctx, l.relation, divided.Groups(todo), func(ctx context.Context, ws []window.Window) error {
		var done load.Result
		err := l.DB.Update(ctx, func(ctx context.Context, tx *warehouse.Tx) error {
			var err error
			done, err = l.publishWindows(ctx, tx, divided, ws, rejects)
			return err
		})
		if err != nil {
			return err
		}
		l.done.Published += done.Published
		l.done.Deleted += done.Deleted
		l.done.Changes = append(l.done.Changes, done.Changes...)
		if len(done.Gone) > 0 {
			l.done.Gone = done.Gone // the same in each window
		}
		rejects = nil
		return nil
	})
}

// publishWindows publishes windows that meet; it runs inside Update.
func (l *loading) publishWindows(ctx context.Context, tx *warehouse.Tx, d *load.Divided, ws []window.Window, rejects []scan.Reject) (load.Result, error) {
	done, err := d.Publish(ctx, tx, window.Window{Start: ws[0].Start, End: ws[len(ws)-1].End})
	if err != nil {
		return done, err
	}
	sum := l.done
	sum.Published += done.Published
	sum.Staged = sum.Published + sum.Superseded // so far: what is not published counts for the load that does
	sum.Read = sum.Staged + sum.Quarantined + sum.Discarded
	err = l.Store.SaveLoad(ctx, tx, state.Load{ID: l.loadID, RunID: l.RunID, Stream: l.relation, Table: l.table.Display(),
		Disposition: load.Window, Window: l.Backfill.Range, Read: sum.Read, Staged: sum.Staged, Quarantined: sum.Quarantined,
		Discarded: sum.Discarded, Published: sum.Published, Superseded: sum.Superseded, Deleted: sum.Deleted + done.Deleted,
		Status: "ok", At: time.Now().UTC()})
	if err != nil {
		return done, err
	}
	if err := l.Store.SaveRejects(ctx, tx, l.relation, l.loadID, l.RunID, rejects); err != nil {
		return done, err
	}
	if d.Moved() { // from windows that were done before, too
		if err := l.Store.TouchWindows(ctx, tx, l.Backfill.ID(), l.relation, time.Now()); err != nil {
			return done, err
		}
	}
	counts, err := d.Count(ctx, tx, ws)
	if err != nil {
		return done, err
	}
	for i, w := range ws {
		if err := l.Store.SaveWindow(ctx, tx, l.windowRecord(l.relation, "", w, counts[i])); err != nil {
			return done, err
		}
	}
	return done, nil
}

// wider is w with a day on both sides where times have no zone: source and
// warehouse may not agree on one that the clocks left out, and the warehouse decides.
func (l *loading) wider(w window.Window) window.Window {
	if l.spec.Schema != nil {
		if fields, ok := l.spec.Schema.FieldsByName(l.spec.Time); ok {
			if at, ok := fields[0].Type.(*arrow.TimestampType); !ok || at.TimeZone == "" {
				return window.Window{Start: w.Start.AddDate(0, 0, -1), End: w.End.AddDate(0, 0, 1)}
			}
		}
	}
	return w
}

// openWindow opens the scan of the rows of w.
func (l *loading) openWindow(ctx context.Context, w window.Window) (scan.Scan, error) {
	stream, err := l.stream(ctx)
	if err != nil {
		return nil, err
	}
	l.loadID = LoadID(time.Now())
	l.rejects = load.NewRejects(0)
	r := extract.Request{Window: w, Reject: l.rejects.Add}
	if l.declared() == load.Append { // what the next load adds is left to it
		if r.Until, err = l.Store.Cursor(ctx, l.DB, l.relation); err != nil {
			return nil, err
		}
	}
	return stream.Open(ctx, r)
}

// newRejects are the rows that were rejected now and are not in the quarantine:
// files are read again with the lines that were bad before.
func (l *loading) newRejects(ctx context.Context) ([]scan.Reject, error) {
	rejects := l.rejects.Rows()
	if len(rejects) == 0 {
		return nil, nil
	}
	list, err := l.Store.Quarantine(ctx, l.relation, 0)
	if err != nil {
		return nil, err
	}
	known := map[[2]string]bool{}
	for _, q := range list {
		known[[2]string{q.Locator, q.Payload}] = true
	}
	var fresh []scan.Reject
	for _, r := range rejects {
		if !known[[2]string{r.Locator, r.Payload}] {
			fresh = append(fresh, r)
		}
	}
	return fresh, nil
}

// judgeOnce judges the table as the windows have left it, and says nothing new
// about how current it is.
func (l *loading) judgeOnce(ctx context.Context) error {
	return l.DB.Update(ctx, func(ctx context.Context, tx *warehouse.Tx) error {
		columns, err := tx.Schema(ctx, l.table)
		if err != nil {
			return err
		}
		if len(columns) > 0 {
			if err := l.judgeRebuilt(ctx, tx, columns); err != nil {
				return err
			}
		}
		return l.Store.SaveFindings(ctx, tx, l.record(l.judged))
	})
}

func (l *loading) judgeRebuilt(ctx context.Context, tx *warehouse.Tx, columns []warehouse.Column) error {
	findings, err := l.evaluate(ctx, tx, l.tableChecks, check.Relation{SQL: l.table.String(), Name: l.relation, Dialect: tx.Dialect().Name}, l.Now)
	if err != nil {
		return err
	}
	l.judged = append(l.judged, findings...)
	f, err := l.drifted(ctx, columns)
	if err != nil {
		return err
	}
	l.judged = append(append(l.judged, f), l.unmarked(columns)...)
	known, err := l.Store.Freshness(ctx)
	if err != nil {
		return err
	}
	for _, k := range known {
		if k.Relation == l.relation {
			l.high = k.HighWater
			f := check.Freshness(l.relation, l.high, l.Now, l.window())
			if f.Severity == check.Error {
				f.Severity = check.Warn
			}
			l.judged = append(l.judged, f)
		}
	}
	if err := l.Store.SaveColumns(ctx, tx, l.relation, columns); err != nil {
		return err
	}
	return countRows(ctx, tx, l.table, func(n int64) error { return l.Store.SaveRowCount(ctx, tx, l.relation, n) })
}

// countRows counts the rows of t and hands the number on.
func countRows(ctx context.Context, tx *warehouse.Tx, t warehouse.Table, to func(int64) error) error {
	var n int64
	err := warehouse.Each(ctx, tx, "SELECT count(*) FROM "+t.String(), func(r rows.Row) error { n = r.Int(0); return nil })
	if err != nil {
		return fmt.Errorf("count %s: %w", t.Display(), err)
	}
	return to(n)
}

// backfilled is what the step tells.
func (l *loading) backfilled(todo, all int, refused bool) event.Result {
	res := l.result(l.judged)
	if !refused {
		res.Note, res.Windows = windowNote(todo, all), todo
	}
	res.AsOf = l.high
	if todo == 0 {
		res.Warnings = append(res.Warnings, event.Warning{Subject: l.relation, Text: "nothing was read: this backfill has done all of its windows before", Hint: "do them again: --redo"})
	}
	res.Warnings = append(res.Warnings, l.unselected(l.relation)...)
	if failed(l.judged) {
		res.Status = event.CheckFailed
	}
	return res
}
