// Package pipeline turns a project into the steps of a run: read, stage, check,
// publish, build, plan, push. It is the one package that knows every stage, and
// the whole flow can be read here.
package pipeline

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"elt/activate"
	"elt/extract"
	"elt/internal/check"
	"elt/internal/event"
	"elt/internal/lineage"
	"elt/internal/project"
	"elt/internal/selector"
	"elt/internal/state"
	"elt/internal/warehouse"
	"elt/internal/yamlx"
	"elt/scheduler"
	"elt/transform"
	"elt/window"
)

// The kinds of steps.
const (
	Extract = "extract"
	Model   = "model"
	Sync    = "sync"
)

// Pipeline is a project opened on a target for one run. It is made by the
// command, which owns DB and closes it; Close ends what the pipeline opened.
type Pipeline struct {
	Project      *project.Project
	Target       *project.Target
	DB           *warehouse.DB
	Store        *state.Store
	Graph        *transform.Graph
	Sources      []extract.Kind
	Destinations []activate.Kind
	RunID        string
	Now          time.Time // the run's clock
	Push         string    // off, fake, live
	FullRefresh  bool
	ShowRows     int               // how many rows of each kind a plan of a sync tells
	Backfill     *Backfill         // nil: the run is none
	Approved     map[string]string // sync -> hash of the one plan that its guards let pass
	Emit         func(event.Event) // nil: nobody listens
	// Redact takes the secrets of the project out of an error's text, before it
	// is told, logged or recorded. nil: nothing is taken out.
	Redact func(string) string

	mu      sync.Mutex
	opened  map[string]extract.Source
	highs   map[string]time.Time // relation -> event-time high water, as far as this run knows
	closers []func() error
	drain   <-chan struct{} // of the run; closed by the first signal

	accounts activate.Accounts // that the syncs of the run push to

	personalOnce sync.Once
	personal     lineage.Tables
}

// Steps lists every step of the project: sources, models, syncs, each sorted by name.
func (p *Pipeline) Steps() []scheduler.Step {
	var steps []scheduler.Step
	for _, name := range slices.Sorted(maps.Keys(p.Project.Sources)) {
		src := p.Project.Sources[name]
		for _, stream := range slices.Sorted(maps.Keys(src.Streams)) {
			steps = append(steps, p.extractStep(src, src.Streams[stream]))
		}
	}
	for _, m := range p.Graph.Models {
		steps = append(steps, p.modelStep(m))
	}
	for _, name := range slices.Sorted(maps.Keys(p.Project.Syncs)) {
		steps = append(steps, p.syncStep(p.Project.Syncs[name]))
	}
	return steps
}

// Nodes describes the steps to selectors.
func (p *Pipeline) Nodes() []selector.Node {
	var nodes []selector.Node
	for _, src := range p.Project.Sources {
		for _, st := range src.Streams {
			nodes = append(nodes, selector.Node{Name: src.Name + "." + st.Name, Kind: Extract, Tags: slices.Concat(src.Tags, st.Tags), Path: st.Pos.File,
				Needs: p.Graph.Needs(src.Name + "." + st.Name)})
		}
	}
	for _, m := range p.Graph.Models {
		nodes = append(nodes, selector.Node{Name: m.FullName(), Kind: Model, Tags: m.Tags, Path: m.Path, Needs: p.Graph.Needs(m.FullName())})
	}
	for _, s := range p.Project.Syncs {
		nodes = append(nodes, selector.Node{Name: s.Name, Kind: Sync, Tags: s.Tags, Path: s.Pos.File, Needs: []string{s.Model}})
	}
	slices.SortFunc(nodes, func(a, b selector.Node) int { return strings.Compare(a.Name, b.Name) })
	return nodes
}

// Select narrows steps to those that sel names; no selectors: all. Without push
// no sync is selected.
func (p *Pipeline) Select(steps []scheduler.Step, sel, exclude []string) ([]scheduler.Step, error) {
	nodes, err := selector.Select(p.Nodes(), sel, exclude)
	if err != nil {
		return nil, err
	}
	wanted := map[string]bool{}
	for _, n := range nodes {
		wanted[n.Name] = true
	}
	var out []scheduler.Step
	for _, s := range steps {
		if wanted[s.Name] && (s.Kind != Sync || p.Push != "off") {
			out = append(out, s)
		}
	}
	return out, nil
}

// Close ends every connection that the steps opened.
func (p *Pipeline) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for _, c := range p.closers {
		errs = append(errs, c())
	}
	p.closers, p.opened = nil, nil
	return errors.Join(errs...)
}

func (p *Pipeline) extractStep(src *project.Source, st *project.Stream) scheduler.Step {
	name := src.Name + "." + st.Name
	return scheduler.Step{
		Name: name, Kind: Extract, Needs: p.Graph.Needs(name), Windowed: true, Pool: "source:" + src.Name,
		Run: func(ctx context.Context, _ window.Window) (event.Result, error) {
			byWindows, err := p.settle(ctx, name)
			if err != nil {
				return event.Result{}, err
			}
			if byWindows {
				return p.backfillStream(ctx, src, st)
			}
			return p.load(ctx, src, st)
		},
	}
}

func (p *Pipeline) modelStep(m *transform.Model) scheduler.Step {
	return scheduler.Step{
		Name: m.FullName(), Kind: Model, Needs: p.Graph.Needs(m.FullName()), Windowed: m.Windowed(),
		Run: func(ctx context.Context, w window.Window) (event.Result, error) {
			if p.byWindows(m.FullName()) {
				return p.backfillModel(ctx, m)
			}
			return p.build(ctx, m, w)
		},
	}
}

func (p *Pipeline) syncStep(s *project.Sync) scheduler.Step {
	return scheduler.Step{
		Name: s.Name, Kind: Sync, Needs: []string{s.Model}, Pool: "push:" + s.To,
		Run: func(ctx context.Context, _ window.Window) (event.Result, error) { return p.sync(ctx, s) },
	}
}

// source opens the source of this run once.
func (p *Pipeline) source(ctx context.Context, src *project.Source) (extract.Source, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.opened[src.Name]; s != nil {
		return s, nil
	}
	s, err := OpenSource(ctx, p.Sources, p.Project, src)
	if err != nil {
		return nil, fmt.Errorf("open source %s: %w", src.Name, err)
	}
	if p.opened == nil {
		p.opened = map[string]extract.Source{}
	}
	p.opened[src.Name] = s
	p.closers = append(p.closers, s.Close)
	return s, nil
}

// OpenSource opens src with its kind among kinds.
func OpenSource(ctx context.Context, kinds []extract.Kind, prj *project.Project, src *project.Source) (extract.Source, error) {
	i := slices.IndexFunc(kinds, func(k extract.Kind) bool { return k.Name == src.Type })
	if i < 0 {
		return nil, fmt.Errorf("no source of type %q in this binary", src.Type)
	}
	cfg := extract.Config{Source: src.Config, Dir: prj.Dir, Location: prj.Timezone}
	if src.Connection != nil {
		cfg.Connection = src.Connection.Config
		cfg.Place = fmt.Sprintf("%s (%s)", src.Connection.Name, src.Connection.Pos)
	}
	for _, name := range slices.Sorted(maps.Keys(src.Streams)) {
		st := src.Streams[name]
		cfg.Streams = append(cfg.Streams, extract.StreamConfig{
			Name: st.Name, Key: st.Key, Cursor: st.Cursor, Time: st.Time, Lookback: st.Lookback,
			NullCursor: st.NullCursor, Columns: st.Columns, Options: st.Options,
		})
	}
	return kinds[i].Open(ctx, cfg)
}

// setHigh notes the event-time high water of relation. That of what is not loaded
// in this run comes from the store.
func (p *Pipeline) setHigh(relation string, t time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.highs == nil {
		p.highs = map[string]time.Time{}
	}
	p.highs[relation] = t
}

// upstreamHigh is the high water of the stalest of relations; zero when none is known.
func (p *Pipeline) upstreamHigh(ctx context.Context, relations []string) (time.Time, error) {
	stored, err := p.Store.Freshness(ctx)
	if err != nil {
		return time.Time{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	known := map[string]time.Time{}
	for _, f := range stored {
		known[f.Relation] = f.HighWater
	}
	maps.Copy(known, p.highs)
	var oldest time.Time
	for _, r := range relations {
		if t := known[r]; !t.IsZero() && (oldest.IsZero() || t.Before(oldest)) {
			oldest = t
		}
	}
	return oldest, nil
}

// place is where a table of the project stands in this target.
func (p *Pipeline) place(schema, name string) warehouse.Table {
	return warehouse.Table{Schema: p.Target.SchemaPrefix + schema, Name: name}
}

func (p *Pipeline) progress(kind, name string) func(int64) {
	return func(n int64) {
		if p.Emit != nil {
			p.Emit(event.Event{At: time.Now(), Run: p.RunID, Progress: &event.Progress{Kind: kind, Name: name, Rows: n}})
		}
	}
}

// Validate refuses what only the whole project can tell: a sync of a model that
// does not exist, or one that would push personal data without leave.
func (p *Pipeline) Validate() error {
	var errs project.Errors
	var names []string
	for _, m := range p.Graph.Models {
		names = append(names, m.FullName())
	}
	for _, name := range slices.Sorted(maps.Keys(p.Project.Syncs)) {
		if s := p.Project.Syncs[name]; p.Graph.Model(s.Model) == nil {
			errs = append(errs, &project.Error{Pos: s.Pos, Msg: fmt.Sprintf("sync %s: unknown model %q", name, s.Model),
				Expected: "schema.table of a model", Hint: yamlx.DidYouMean(s.Model, names)})
		} else {
			errs = append(append(append(errs, p.leaks(s)...), p.lacking(s)...), p.undeliverable(s)...)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.Project.Jobs)) {
		j := p.Project.Jobs[name]
		if slices.Equal(j.Run, []string{"all"}) {
			continue
		}
		if _, err := selector.Select(p.Nodes(), j.Run, nil); err != nil {
			errs = append(errs, &project.Error{Pos: j.Pos, Msg: fmt.Sprintf("job %s: run: %v", name, err)})
		}
	}
	if _, err := Faults(p.Target); err != nil {
		errs = append(errs, &project.Error{Pos: p.Target.Pos, Msg: err.Error()})
	}
	errs.Sort()
	return errs.Err()
}

// record converts findings for the store.
func (p *Pipeline) record(findings []check.Finding) []state.Finding {
	out := make([]state.Finding, len(findings))
	for i, f := range findings {
		out[i] = state.Finding{RunID: p.RunID, Check: f.Check, Relation: f.Relation, Severity: string(f.Severity), OK: f.OK,
			Observed: f.Observed, Expected: f.Expected, Failed: f.Failed, Samples: f.Samples, At: p.Now}
	}
	return out
}
