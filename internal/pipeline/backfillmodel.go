package pipeline

import (
	"context"
	"time"

	"elt/internal/check"
	"elt/internal/event"
	"elt/internal/warehouse"
	"elt/transform"
	"elt/window"
)

// backfillModel builds the windows of a model that are to be done, each with its
// record, and judges the table once.
func (p *Pipeline) backfillModel(ctx context.Context, m *transform.Model) (res event.Result, err error) {
	name := m.FullName()
	if err := p.again(ctx, name); err != nil {
		return res, err
	}
	todo, all, err := p.todo(ctx, name, fingerprint(m))
	if err != nil {
		return res, err
	}
	res.Note, res.Windows = windowNote(len(todo), len(all)), len(todo)
	if len(todo) > 0 {
		if err := p.keepDue(ctx, m); err != nil {
			return res, err
		}
	}
	built := event.Count{Label: "rows"}
	var alone [][]window.Window // a window is what the model's query is asked for
	for _, w := range todo {
		alone = append(alone, []window.Window{w})
	}
	err = p.eachWindow(ctx, name, alone, func(ctx context.Context, ws []window.Window) error {
		w := ws[0]
		done, err := transform.Build(ctx, p.DB, m, w, transform.BuildOptions{Now: p.Now,
			Record: func(ctx context.Context, tx *warehouse.Tx, r transform.Result) error {
				return p.Store.SaveWindow(ctx, tx, p.windowRecord(name, fingerprint(m), w, r.Rows))
			}})
		built.N += done.Rows
		for _, c := range done.Changes {
			res.Warnings = append(res.Warnings, event.Warning{Subject: name, Text: c})
		}
		p.progress(Model, name)(built.N)
		return err
	})
	if err != nil {
		return res, err
	}
	res.Counts = append(res.Counts, built)
	findings, err := p.judgeBackfilled(ctx, m)
	if err != nil {
		return res, err
	}
	tell(&res, findings)
	if failed(findings) {
		res.Status = event.CheckFailed
	}
	res.Warnings = append(res.Warnings, p.unselected(name)...)
	return res, nil
}

// judgeBackfilled judges the table as the windows have left it, and says nothing
// new about how current it is.
func (p *Pipeline) judgeBackfilled(ctx context.Context, m *transform.Model) (findings []check.Finding, err error) {
	err = p.DB.Update(ctx, func(ctx context.Context, tx *warehouse.Tx) error {
		columns, err := tx.Schema(ctx, m.Table)
		if err != nil || len(columns) == 0 {
			return err
		}
		if findings, _, err = p.judgeModel(ctx, tx, m, m.Table); err != nil {
			return err
		}
		if err := p.Store.SaveColumns(ctx, tx, m.FullName(), columns); err != nil {
			return err
		}
		if err := countRows(ctx, tx, m.Table, func(n int64) error { return p.Store.SaveRowCount(ctx, tx, m.FullName(), n) }); err != nil {
			return err
		}
		return p.Store.SaveFindings(ctx, tx, p.record(findings))
	})
	return findings, err
}

// unbuilt is from when a model is due that was never built but by a backfill.
func unbuilt() time.Time { return time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC) }

// keepDue notes from when the model is due before a backfill builds its rows: the
// next run begins at the newest row, and must not take one of a backfill for it.
func (p *Pipeline) keepDue(ctx context.Context, m *transform.Model) error {
	due, err := p.Store.DueFrom(ctx, m.FullName())
	if err != nil || !due.IsZero() {
		return err
	}
	return p.DB.Update(ctx, func(ctx context.Context, tx *warehouse.Tx) error {
		newest, err := transform.Newest(ctx, tx, m)
		if err != nil {
			return err
		}
		if newest.IsZero() {
			newest = unbuilt()
		}
		return p.Store.SaveDueFrom(ctx, tx, m.FullName(), newest)
	})
}

// due is from when m is due, where a backfill has built rows of it since its last
// build; all says that everything is.
func (p *Pipeline) due(ctx context.Context, m *transform.Model) (from time.Time, all bool, err error) {
	if !m.Windowed() {
		return from, false, nil
	}
	from, err = p.Store.DueFrom(ctx, m.FullName())
	return from, from.Equal(unbuilt()), err
}
