package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"elt/internal/check"
	"elt/internal/event"
	"elt/internal/rows"
	"elt/internal/warehouse"
	"elt/transform"
)

// errCheck rolls a transaction back because a check of severity error failed.
// It never leaves this package.
var errCheck = errors.New("a check failed")

// splitChecks makes the declared checks: those that judge each row by itself can
// look at the stage, the others need the whole table, which stands in rel.
func splitChecks(declared []*transform.Check, rel warehouse.Table) (row, table []check.Check, err error) {
	for _, d := range declared {
		s, to := d.On(rel)
		c, err := check.New(check.Spec{Kind: s.Kind, Columns: s.Columns, Values: s.Values, Min: s.Min, Max: s.Max,
			To: s.To, ToTable: to, Rule: d.SQL, SQL: s.SQL, Severity: check.Severity(s.Severity), Where: s.Where})
		if err != nil {
			return nil, nil, fmt.Errorf("%s:%d: %w", s.Pos.File, s.Pos.Line, err)
		}
		if d.Whole() {
			table = append(table, c)
		} else {
			row = append(row, c)
		}
	}
	return row, table, nil
}

// evaluate runs checks against rel. What may be personal in their samples is
// hidden.
func (p *Pipeline) evaluate(ctx context.Context, q check.Querier, checks []check.Check, rel check.Relation, now time.Time) ([]check.Finding, error) {
	var out []check.Finding
	for _, c := range checks {
		f, err := c.Eval(ctx, q, rel, now)
		if err != nil {
			return out, p.unbuilt(ctx, rel.Name, err)
		}
		out = append(out, p.maskSamples(rel.Name, f))
	}
	return out, nil
}

// failed reports whether one of findings is an error that did not pass.
func failed(findings []check.Finding) bool {
	return slices.ContainsFunc(findings, func(f check.Finding) bool { return !f.OK && f.Severity == check.Error })
}

// tell adds findings to the result of a step: how many passed, and a warning for
// each that did not.
func tell(res *event.Result, findings []check.Finding) {
	for _, f := range findings {
		if f.OK {
			res.Checks++
			continue
		}
		w := event.Warning{Subject: f.Relation, Error: f.Severity == check.Error,
			Text: fmt.Sprintf("%s: %s, expected %s", f.Check, f.Observed, f.Expected)}
		if len(f.Samples) > 0 {
			w.Detail = f.Samples[0]
			w.Hint = "elt show " + f.Relation + " --failed"
			if f.Check == "quarantine" {
				w.Hint = "elt quarantine " + f.Relation
			}
		}
		if f.Check == "volume" {
			w.Hint = "if that is right: volume: warn (or off) in the settings of " + f.Relation + " or of its source"
			if !w.Error {
				w.Hint = "if that is right: volume: off in the settings of " + f.Relation + " or of its source"
			}
		}
		res.Warnings = append(res.Warnings, w)
	}
}

// highWater is the latest value of the time column of t; zero when there is none.
func highWater(ctx context.Context, q warehouse.Querier, t warehouse.Table, column string) (time.Time, error) {
	var high time.Time
	err := warehouse.Each(ctx, q, fmt.Sprintf("SELECT max(CAST(%s AS timestamp with time zone)) FROM %s", warehouse.Quote(column), t),
		func(r rows.Row) error { high = r.Time(0); return nil })
	if err != nil {
		return high, fmt.Errorf("high water of %s: %w", t.Display(), err)
	}
	return high, nil
}

// drift compares columns with those of the last publish.
func (p *Pipeline) drift(ctx context.Context, relation string, now []warehouse.Column) (check.Finding, error) {
	before, err := p.Store.Columns(ctx, relation)
	if err != nil {
		return check.Finding{}, err
	}
	return check.Drift(relation, spell(before), spell(now)), nil
}

func spell(cols []warehouse.Column) []string {
	out := make([]string, 0, len(cols))
	for _, c := range cols {
		if !strings.HasPrefix(c.Name, warehouse.Reserved) {
			out = append(out, c.Name+" "+c.Type)
		}
	}
	return out
}
