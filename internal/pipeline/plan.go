package pipeline

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"elt/activate"
	"elt/internal/warehouse"
	"elt/load"
	"elt/scheduler"
	"elt/transform"
)

// PlanOptions are what a plan of the models takes for granted.
func (p *Pipeline) PlanOptions() transform.PlanOptions {
	return transform.PlanOptions{Now: p.Now}
}

// CheckModels type-checks the models among steps against the warehouse as it is.
// Nothing is written. What reads tables that this run is the first to load is
// checked when it is built.
func (p *Pipeline) CheckModels(ctx context.Context, steps []scheduler.Step) ([]transform.Planned, error) {
	names := map[string]bool{}
	for _, s := range steps {
		names[s.Name] = s.Kind == Model
	}
	return transform.Plan(ctx, p.DB, p.planned(names), p.PlanOptions())
}

// Plan tells what steps would do, a line each: kind, name, what, detail. changes
// reports whether anything would be different afterwards, as far as that can be
// known without reading the sources.
func (p *Pipeline) Plan(ctx context.Context, steps []scheduler.Step) (lines [][]string, changes bool, err error) {
	planned, err := p.CheckModels(ctx, steps)
	if err != nil {
		return nil, false, err
	}
	models := map[string]transform.Planned{}
	for _, m := range planned {
		models[m.Model.FullName()] = m
	}
	var errs []error
	for _, s := range steps {
		var would, detail string
		var some bool
		switch s.Kind {
		case Extract:
			would, detail, some, err = p.planExtract(ctx, s.Name)
		case Model:
			m := models[s.Name]
			would, detail, some = "build "+string(m.Model.Materialized), fmt.Sprintf("%d columns", len(m.Columns)), true
			if len(m.Warnings) > 0 {
				detail += "; " + strings.Join(m.Warnings, "; ")
			}
			if m.Waiting != "" {
				detail = "checked when " + m.Waiting + " has been loaded"
			}
		case Sync:
			would, detail, some, err = p.planSync(ctx, s.Name)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s %s: %w", s.Kind, s.Name, err))
		}
		changes = changes || some
		lines = append(lines, []string{s.Kind, s.Name, would, detail})
	}
	return lines, changes, errors.Join(errs...)
}

func (p *Pipeline) planExtract(ctx context.Context, name string) (would, detail string, changes bool, err error) {
	for _, src := range p.Project.Sources {
		for _, st := range src.Streams {
			if src.Name+"."+st.Name != name {
				continue
			}
			l := &loading{Pipeline: p, src: src, st: st, relation: name, table: p.place(src.Name, st.Name)}
			sc, err := l.open(ctx)
			if err != nil {
				return "", "", false, err
			}
			defer func() { _ = sc.Close() }() // nothing was read
			if l.from != "" && len(sc.Parts()) == 0 {
				return "read nothing", "nothing is new", false, nil
			}
			since := "from the beginning"
			if l.from != "" {
				since = "what is new"
			}
			return "read and " + l.disposition(), since, true, nil
		}
	}
	return "", "", false, fmt.Errorf("no such stream")
}

func (p *Pipeline) planSync(ctx context.Context, name string) (would, detail string, changes bool, err error) {
	sync, err := p.activation(p.Project.Syncs[name])
	if err != nil {
		return "", "", false, err
	}
	r, err := activate.Preview(ctx, p.DB, p.Store, sync)
	if warehouse.KindOf(err) == warehouse.KindNotFound {
		return "push", "counted when the model has been built", true, nil
	}
	if err != nil {
		return "", "", false, err
	}
	return "push to " + p.Push, fmt.Sprintf("%d read: %d unchanged, %d to send, %d invalid", r.Read, r.Unchanged, r.Deferred, r.Invalid), r.Deferred > 0, nil
}

// sweep removes what a killed run left behind in the schemas of the project.
func (p *Pipeline) sweep(ctx context.Context) error {
	var schemas []string
	for _, src := range p.Project.Sources {
		schemas = append(schemas, p.place(src.Name, "").Schema)
	}
	return errors.Join(load.Sweep(ctx, p.DB, schemas), activate.Sweep(ctx, p.DB))
}
