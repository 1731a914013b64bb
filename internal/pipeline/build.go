package pipeline

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"time"

	"elt/internal/check"
	"elt/internal/event"
	"elt/internal/state"
	"elt/internal/warehouse"
	"elt/transform"
	"elt/window"
)

// build makes one model: aside, checked, and swapped in with its record.
func (p *Pipeline) build(ctx context.Context, m *transform.Model, w window.Window) (event.Result, error) {
	var res event.Result
	var findings []check.Finding
	var high time.Time
	var late []event.Warning
	due, all, err := p.due(ctx, m)
	if err != nil {
		return res, err
	}
	opts := transform.BuildOptions{
		Now: p.Now, FullRefresh: p.FullRefresh || all, DueFrom: due,
		Verify: func(ctx context.Context, tx *warehouse.Tx, rel warehouse.Table) (err error) {
			findings, high, err = p.judgeModel(ctx, tx, m, rel)
			if err == nil && failed(findings) {
				err = errCheck
			}
			return err
		},
		Record: func(ctx context.Context, tx *warehouse.Tx, r transform.Result) (err error) {
			if m.Windowed() && w.IsZero() {
				if late, err = p.late(ctx, tx, m, r.Window.Start); err != nil {
					return err
				}
			}
			if !due.IsZero() {
				if err := p.Store.SaveDueFrom(ctx, tx, m.FullName(), time.Time{}); err != nil {
					return err
				}
			}
			return p.recordBuild(ctx, tx, m, r, findings, high)
		},
	}
	built, err := transform.Build(ctx, p.DB, m, w, opts)
	if errors.Is(err, errCheck) {
		if err := p.Store.RecordFindings(ctx, p.record(findings)); err != nil {
			return res, err
		}
		res = event.Result{Status: event.CheckFailed}
		tell(&res, findings)
		if m.Materialized == transform.View {
			res.Note = "view"
			res.Warnings = append(res.Warnings, event.Warning{Subject: m.FullName(),
				Text: "a view holds no rows: if it was there before, its readers see these rows already, by its old definition",
				Hint: "check the table below it, or materialized: table"})
		}
		return res, nil
	}
	if err != nil {
		return res, err
	}
	p.setHigh(m.FullName(), high)
	res = event.Result{Note: built.Note}
	if m.Materialized != transform.View {
		res.Counts = []event.Count{{Label: "rows", N: built.Rows}}
	}
	tell(&res, findings)
	res.Warnings = append(res.Warnings, late...)
	for _, c := range built.Changes {
		res.Warnings = append(res.Warnings, event.Warning{Subject: m.FullName(), Text: c})
	}
	return res, nil
}

// judgeModel runs the declared checks on rel, the table or view before it is
// swapped in, and those that nobody has to ask for.
func (p *Pipeline) judgeModel(ctx context.Context, tx *warehouse.Tx, m *transform.Model, rel warehouse.Table) ([]check.Finding, time.Time, error) {
	declared, waiting, err := p.declared(ctx, tx, m.FullName())
	if err != nil {
		return nil, time.Time{}, err
	}
	row, table, err := splitChecks(declared, rel)
	if err != nil {
		return nil, time.Time{}, err
	}
	checks := append(row, table...)
	findings, err := p.evaluate(ctx, tx, checks, check.Relation{SQL: rel.String(), Name: m.FullName(), Dialect: tx.Dialect().Name}, p.Now)
	if err != nil {
		return nil, time.Time{}, err
	}
	findings = append(findings, waiting...)
	columns, err := tx.Schema(ctx, rel)
	if err != nil {
		return nil, time.Time{}, err
	}
	f, err := p.drift(ctx, m.FullName(), columns)
	if err != nil {
		return nil, time.Time{}, err
	}
	findings = append(findings, f)
	high, err := p.upstreamHigh(ctx, m.Needs)
	if err != nil {
		return nil, time.Time{}, err
	}
	fresh := check.Freshness(m.FullName(), high, p.Now, m.DecisionWindow)
	if fresh.Severity == check.Error {
		fresh.Severity = check.Warn
	}
	if m.DecisionWindow > 0 || !high.IsZero() {
		findings = append(findings, fresh)
	}
	return findings, high, nil
}

func (p *Pipeline) recordBuild(ctx context.Context, tx *warehouse.Tx, m *transform.Model, r transform.Result, findings []check.Finding, high time.Time) error {
	now, status := time.Now().UTC(), "ok"
	if f := check.Freshness(m.FullName(), high, p.Now, m.DecisionWindow); !f.OK && f.Severity == check.Error {
		status = "stale"
	}
	if err := p.Store.SaveColumns(ctx, tx, m.FullName(), r.Columns); err != nil {
		return err
	}
	if err := p.Store.SaveBuild(ctx, tx, state.Build{Model: m.FullName(), RunID: p.RunID, Fingerprint: fingerprint(m), At: now, Rows: r.Rows, HighWater: high}); err != nil {
		return err
	}
	fresh := state.Freshness{Relation: m.FullName(), UpdatedAt: now, HighWater: high, Rows: r.Rows, Status: status}
	if keeps, err := p.keeps(ctx, m); err != nil {
		return err
	} else if keeps {
		fresh.UpdatedAt = time.Time{}
	}
	if err := p.Store.SaveFreshness(ctx, tx, fresh); err != nil {
		return err
	}
	return p.Store.SaveFindings(ctx, tx, p.record(findings))
}

// fingerprint changes when the model's text does.
func fingerprint(m *transform.Model) string {
	sum := sha256.Sum256([]byte(m.Text))
	return hex.EncodeToString(sum[:8])
}
