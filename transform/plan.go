package transform

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"elt/internal/sqlparse"
	"elt/internal/warehouse"
	"elt/internal/yamlx"
	"elt/window"
)

// PlanOptions say what a plan may take for granted.
type PlanOptions struct {
	// Columns are those of tables that do not exist yet, as schema.table: streams
	// that this run will load first.
	Columns map[string][]warehouse.Column
	Now     time.Time
}

// Planned is what a plan learned about one model.
type Planned struct {
	Model   *Model
	Columns []warehouse.Column // of its query; none when it waits
	// Waiting is a table that exists only after this run has loaded it and whose
	// columns nobody knows yet; "" when the model was checked.
	Waiting string
	// Warnings are what costs more than it looks.
	Warnings []string
}

// planSchema holds the shadows of a plan; it is never committed.
const planSchema = warehouse.Reserved + "plan"

// errPlanned rolls a plan back.
var errPlanned = errors.New("planned")

// Plan type-checks models, which come in build order, against the warehouse as
// it is, with empty shadows of what this run is going to make. It writes
// nothing: all of it is rolled back. The error joins those of all models that
// fail, each with its place where the engine tells one; what reads a failed
// model is not planned.
func Plan(ctx context.Context, db *warehouse.DB, models []*Model, opts PlanOptions) ([]Planned, error) {
	p := &planner{opts: opts, failed: map[string]bool{}}
	var errs []error
	for {
		p.planned, p.at, p.text = nil, nil, statement{}
		p.places, p.waits = map[string]warehouse.Table{}, map[string]string{}
		err := db.Update(ctx, func(ctx context.Context, tx *warehouse.Tx) error { return p.run(ctx, tx, models) })
		switch {
		case errors.Is(err, errPlanned):
			return p.planned, errors.Join(errs...)
		case p.at == nil || ctx.Err() != nil:
			return nil, fmt.Errorf("plan the models: %w", err)
		}
		// One failed statement ends a transaction: note it and start over without.
		errs = append(errs, p.at.located("plan", err, p.text))
		p.failed[p.at.FullName()] = true
	}
}

type planner struct {
	opts    PlanOptions
	failed  map[string]bool
	places  map[string]warehouse.Table // shadows
	waits   map[string]string
	planned []Planned
	at      *Model
	text    statement
}

func (p *planner) run(ctx context.Context, tx *warehouse.Tx, models []*Model) error {
	if err := execAll(ctx, tx, `CREATE SCHEMA `+planSchema); err != nil {
		return err
	}
	for _, m := range models {
		if p.failed[m.FullName()] || slices.ContainsFunc(m.Needs, func(n string) bool { return p.failed[n] }) {
			p.failed[m.FullName()] = true
			continue
		}
		p.at = nil
		waiting, err := p.inputs(ctx, tx, m)
		if err != nil {
			return err
		}
		if waiting != "" {
			p.waits[m.FullName()] = waiting
			p.planned = append(p.planned, Planned{Model: m, Waiting: waiting})
			continue
		}
		p.at = m
		if err := p.model(ctx, tx, m); err != nil {
			return err
		}
	}
	p.at = nil
	return errPlanned
}

// inputs makes shadows of what m reads and does not exist. It returns the name
// of a table that nobody knows anything about yet.
func (p *planner) inputs(ctx context.Context, tx *warehouse.Tx, m *Model) (waiting string, err error) {
	for _, need := range m.Needs {
		if w, ok := p.waits[need]; ok {
			return w, nil
		}
		if _, ok := p.places[need]; ok {
			continue
		}
		kind, err := kindOf(ctx, tx, m.places[need])
		if err != nil {
			return "", err
		}
		cols := p.opts.Columns[need]
		switch {
		case kind != kindNone && len(cols) == 0:
			continue
		case len(cols) == 0:
			return need, nil
		}
		var defs []string
		for _, c := range cols {
			defs = append(defs, warehouse.Quote(c.Name)+" "+c.Type)
		}
		shadow := p.shadow(need)
		if err := execAll(ctx, tx, `CREATE TABLE `+shadow.String()+` (`+strings.Join(defs, ", ")+`)`); err != nil {
			return "", fmt.Errorf("shadow of %s: %w", need, err)
		}
	}
	return "", nil
}

// shadow is the place of a table's shadow. It has the table's own name where
// that is free, since engines name it in their hints.
func (p *planner) shadow(name string) warehouse.Table {
	_, table, _ := strings.Cut(name, ".")
	t := warehouse.Table{Schema: planSchema, Name: table}
	for _, taken := range p.places {
		if strings.EqualFold(taken.Name, table) || len(table) > 40 {
			t.Name = fmt.Sprintf("%st%d", warehouse.Reserved, len(p.places))
		}
	}
	p.places[name] = t
	return t
}

func (p *planner) model(ctx context.Context, tx *warehouse.Tx, m *Model) error {
	place := func(ref sqlparse.Ref) string {
		for name, r := range m.refs {
			if t, ok := p.places[name]; ok && strings.EqualFold(r.Display(), ref.Display()) {
				return t.String()
			}
		}
		return ""
	}
	shadowed := sqlparse.Edits(m.query, place)
	edits := shadowed
	for _, e := range m.editsFor(window.Window{}, p.opts.Now) {
		if !slices.ContainsFunc(shadowed, func(s sqlparse.Edit) bool { return s.Offset == e.Offset }) {
			edits = append(edits, e)
		}
	}
	shadow := p.shadow(m.FullName())
	probe := shadow
	if m.Materialized != View {
		probe = warehouse.Table{Schema: planSchema, Name: fmt.Sprintf("%sprobe%d", warehouse.Reserved, len(p.places))}
	}
	before := `CREATE VIEW ` + probe.String() + " AS\n"
	p.text = statement{sql: before + sqlparse.Apply(m.Text[:m.query.End], edits), before: len(before), edits: edits}
	if err := execAll(ctx, tx, p.text.sql); err != nil {
		return err
	}
	cols, err := tx.Schema(ctx, probe)
	if err != nil {
		return err
	}
	p.text = statement{}
	if err := m.fits(cols); err != nil {
		return err
	}
	done := Planned{Model: m, Columns: cols}
	late, err := p.unpushed(ctx, tx, m, probe, cols)
	if err != nil {
		return err
	}
	if late {
		done.Warnings = append(done.Warnings, fmt.Sprintf("each window computes all of the query and keeps its part, since the filter on %s cannot be pushed into it; "+
			"write where … >= /* @window_start */ date '2026-03-01' in the query", m.Time))
	}
	p.planned = append(p.planned, done)
	if m.Materialized == View {
		return nil
	}
	// What is downstream reads a table, not the query behind it.
	return execAll(ctx, tx, `CREATE TABLE `+shadow.String()+` AS SELECT * FROM `+probe.String()+` LIMIT 0`)
}

// fits holds the settings against the columns of the query.
func (m *Model) fits(cols []warehouse.Column) error {
	names := make([]string, len(cols))
	for i, c := range cols {
		names[i] = c.Name
	}
	fail := func(pos yamlx.Pos, what, column string) error {
		f, _ := yamlx.Parse(pos.File, nil, []byte(m.Text))
		return f.Error(pos, fmt.Sprintf("%s names the column %s, which the query does not have", what, column),
			yamlx.OneOf(names), yamlx.DidYouMean(column, names))
	}
	var errs []error
	for _, k := range m.Key {
		if find(cols, k) == nil {
			errs = append(errs, fail(m.Pos, "key", k))
		}
	}
	for _, c := range m.Checks {
		for _, column := range c.Columns {
			if find(cols, column) == nil {
				errs = append(errs, fail(c.Pos, "check "+c.Kind, column))
			}
		}
	}
	switch {
	case m.Time == "":
	case find(cols, m.Time) == nil:
		errs = append(errs, fail(m.Pos, "time", m.Time))
	default:
		b := &builder{m: m, res: Result{Columns: cols}}
		if _, err := b.timeForm(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", m.Pos, err))
		}
	}
	return errors.Join(errs...)
}
