package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"elt/activate"
	"elt/internal/check"
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

// Planned is what a plan tells of one step.
type Planned struct {
	Kind, Name    string
	Would, Detail string
	// Changes reports whether something that people care about would be different
	// afterwards: rows that are new at the source, a model whose text or columns
	// are not those of its last build, rows to push. What cannot be told without
	// reading the source does not count.
	Changes bool
	Rows    []activate.Shown // of a sync: some of the rows to push, of each kind
}

// unplanned is the line of a step whose error stands below.
const unplanned = "cannot be planned"

// Plan tells what steps would do, as far as that can be known without reading the
// sources. It plans what it can: the error joins those of the steps that cannot be
// planned, which have a line too.
func (p *Pipeline) Plan(ctx context.Context, steps []scheduler.Step) ([]Planned, error) {
	planned, err := p.CheckModels(ctx, steps)
	errs := []error{err}
	models := map[string]transform.Planned{}
	for _, m := range planned {
		models[m.Model.FullName()] = m
	}
	var lines []Planned
	for _, s := range steps {
		line := Planned{Kind: s.Kind, Name: s.Name, Would: unplanned}
		m, checked := models[s.Name]
		switch {
		case s.Kind == Extract && p.byWindows(s.Name):
			line, err = p.planStream(ctx, s.Name)
		case s.Kind == Extract:
			line, err = p.planExtract(ctx, s.Name)
		case s.Kind == Model && checked:
			line, err = p.planModel(ctx, m)
		case s.Kind == Model: // its error, or that of what it reads, is among those above
			err = nil
		case s.Kind == Sync:
			line, err = p.planSync(ctx, s.Name, models)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s %s: %w", s.Kind, s.Name, err))
			line = Planned{Kind: s.Kind, Name: s.Name, Would: unplanned}
		}
		lines = append(lines, line)
	}
	return lines, errors.Join(errs...)
}

func (p *Pipeline) planExtract(ctx context.Context, name string) (Planned, error) {
	source, stream, _ := strings.Cut(name, ".")
	src := p.Project.Sources[source]
	if src == nil || src.Streams[stream] == nil {
		return Planned{}, fmt.Errorf("no such stream")
	}
	l := &loading{Pipeline: p, src: src, st: src.Streams[stream], relation: name, table: p.place(src.Name, stream)}
	sc, err := l.open(ctx)
	if err != nil {
		return Planned{}, err
	}
	defer func() { _ = sc.Close() }() // nothing was read
	line := Planned{Kind: Extract, Name: name, Would: "read and " + l.disposition()}
	before, err := p.Store.Loads(ctx, name, 1)
	if err != nil {
		return Planned{}, err
	}
	n, counted := sc.Counted()
	count := ""
	if counted {
		count = ": " + several(n, "row")
	}
	switch {
	case len(before) == 0:
		line.Detail, line.Changes = "from the beginning"+count, true
	case l.from != "" && len(sc.Parts()) == 0:
		line.Would, line.Detail = "read nothing", "nothing is new"
	case l.spec.Files:
		line.Detail, line.Changes = "what is new", true
	case l.from == "":
		line.Detail, line.Changes = "all of it again"+count, counted && n != before[0].Read
	case l.st.Lookback > 0: // reads rows again each time
		line.Detail = fmt.Sprintf("what is new, and the last %s again%s", short(l.st.Lookback), count)
	default:
		line.Detail, line.Changes = "what is new"+count, true
	}
	return line, nil
}

func (p *Pipeline) planModel(ctx context.Context, m transform.Planned) (Planned, error) {
	line := Planned{Kind: Model, Name: m.Model.FullName(), Would: "build " + string(m.Model.Materialized)}
	facts := []string{several(int64(len(m.Columns)), "column")}
	if m.Waiting != "" {
		facts[0] = "checked when " + m.Waiting + " has been loaded"
	}
	builds, err := p.Store.Builds(ctx, line.Name, 1)
	if err != nil {
		return line, err
	}
	switch {
	case len(builds) == 0:
		line.Changes, facts = true, append(facts, "not built yet")
	case builds[0].Fingerprint != fingerprint(m.Model):
		line.Changes, facts = true, append(facts, "its text has changed")
	case m.Waiting == "":
		before, err := p.Store.Columns(ctx, line.Name)
		if err != nil {
			return line, err
		}
		if diff := check.Drift(line.Name, spell(before), spell(m.Columns)); !diff.OK {
			line.Changes, facts = true, append(facts, diff.Observed)
		}
	}
	if p.byWindows(line.Name) {
		if facts[0], line.Changes, err = p.planByWindows(ctx, m.Model); err != nil {
			return line, err
		}
		line.Would = "backfill"
	}
	line.Detail = strings.Join(append(facts, m.Warnings...), "; ")
	return line, nil
}

func (p *Pipeline) planSync(ctx context.Context, name string, models map[string]transform.Planned) (Planned, error) {
	s := p.Project.Syncs[name]
	line := Planned{Kind: Sync, Name: name, Would: "push to " + p.Push, Changes: true}
	sync, err := p.activation(s)
	if err != nil {
		return line, err
	}
	columns, err := p.columns(ctx, sync.Model)
	if err != nil {
		return line, err
	}
	if len(columns) == 0 {
		line.Detail = "all rows of " + s.Model + ", which is not built yet"
		return line, nil
	}
	if lacks(sync, columns) {
		if m, ok := models[s.Model]; ok && (m.Waiting != "" || !lacks(sync, m.Columns)) {
			line.Detail = "counted when " + s.Model + " has been built anew: it has other columns yet"
			return line, nil
		}
	}
	v, err := activate.NewPreview(ctx, p.DB, p.Store, sync, activate.PreviewOptions{Samples: p.ShowRows})
	if err != nil {
		return line, err
	}
	r := v.Result
	line.Detail = fmt.Sprintf("%d read: %d unchanged, %d to send, %d invalid", r.Read, r.Unchanged, r.Deferred, r.Invalid)
	line.Changes = v.Outline.Sends() > 0
	line.Detail += p.forecast(s, sync, v)
	if line.Changes {
		wait, err := p.waits(ctx, s)
		if err != nil {
			return line, err
		}
		if wait != nil {
			line.Detail += fmt.Sprintf("; %s asks to be left alone until %s: nothing is sent before", wait.Connection, wait.Until.Format("2006-01-02 15:04"))
		}
	}
	line.Rows = v.Rows
	return line, nil
}

// short is a duration without the zeros at its end: 2h, not 2h0m0s.
func short(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// lacks reports whether columns do not hold all that sync needs.
func lacks(sync activate.Sync, columns []warehouse.Column) bool {
	needs := slices.Clone(sync.Key)
	for _, f := range sync.Fields {
		needs = append(needs, f.Column)
	}
	return slices.ContainsFunc(needs, func(name string) bool {
		return !slices.ContainsFunc(columns, func(c warehouse.Column) bool { return c.Name == name })
	})
}

// sweep removes what a killed run left behind in the schemas of the project.
func (p *Pipeline) sweep(ctx context.Context) error {
	var schemas []string
	for _, src := range p.Project.Sources {
		schemas = append(schemas, p.place(src.Name, "").Schema)
	}
	return errors.Join(load.Sweep(ctx, p.DB, schemas), activate.Sweep(ctx, p.DB))
}
