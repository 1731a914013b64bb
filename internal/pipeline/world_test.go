package pipeline_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"elt/activate"
	"elt/activate/activatetest"
	"elt/extract"
	"elt/internal/event"
	"elt/internal/pipeline"
	"elt/internal/project"
	"elt/internal/rows"
	"elt/internal/scan"
	"elt/internal/sqlparse"
	"elt/internal/state"
	"elt/internal/testdb"
	"elt/internal/warehouse"
	"elt/transform"
)

func TestMain(m *testing.M) { os.Exit(testdb.Run(m)) }

// clock is the run's clock of every test.
var clock = time.Date(2026, 3, 10, 2, 0, 0, 0, time.UTC)

// header begins the project file of a test.
const header = "version: 1\nname: tiny\ntimezone: Europe/Berlin\ntargets:\n  dev: {warehouse: \"duckdb:unused\", push: fake}\n"

// world is a project on a warehouse, with sources and destinations in memory.
type world struct {
	t       *testing.T
	db      *warehouse.DB
	store   *state.Store
	project *project.Project
	graph   *transform.Graph
	streams map[string]*stream // by name; all of source in
	dest    *activatetest.Memory
	events  []event.Event
	runs    int
	retries int
	redact  func(string) string
}

// newWorld reads a project whose source in has the streams that yaml declares.
func newWorld(t *testing.T, db *warehouse.DB, yaml string, models map[string]string) *world {
	t.Helper()
	w := &world{t: t, db: db, streams: map[string]*stream{}, dest: activatetest.NewMemory(100)}
	dir := t.TempDir()
	write := func(name, text string) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("elt.yaml", header+yaml)
	for name, text := range models {
		write("models/"+name+".sql", text)
	}
	var err error
	w.project, err = project.Load(dir, project.Options{Kinds: []project.Kind{
		{Name: "memory", Source: func() any { return &struct{}{} }}, {Name: "file", Connection: func() any { return &struct{}{} }},
	}})
	if err != nil {
		t.Fatal(err)
	}
	parser := sqlparse.Postgres()
	if db.Dialect().Name == "duckdb" {
		if parser, err = sqlparse.DuckDB(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = parser.Close() })
	}
	var known []string
	checks := map[string][]project.Check{}
	for _, st := range w.project.Sources["in"].Streams {
		known = append(known, "in."+st.Name)
		checks["in."+st.Name] = st.Checks
		w.streams[st.Name] = &stream{spec: extract.Spec{Name: st.Name, Schema: things, Key: st.Key, Cursor: st.Cursor, Time: st.Time}}
	}
	w.graph, err = transform.Parse(os.DirFS(filepath.Join(dir, "models")), parser, transform.Options{Dir: "models", Tables: known, Checks: checks, Zone: w.project.Timezone})
	if err != nil {
		t.Fatal(err)
	}
	if w.store, err = state.Open(t.Context(), db, "tiny", "dev"); err != nil {
		t.Fatal(err)
	}
	return w
}

// on is w on another handle of its warehouse.
func (w *world) on(db *warehouse.DB) *world {
	w.t.Helper()
	other := *w
	var err error
	if other.store, err = state.Open(w.t.Context(), db, "tiny", "dev"); err != nil {
		w.t.Fatal(err)
	}
	other.db = db
	return &other
}

// Emit implements [event.Sink].
func (w *world) Emit(e event.Event) { w.events = append(w.events, e) }

// pipeline makes the pipeline of the next run.
func (w *world) pipeline() *pipeline.Pipeline {
	w.runs++
	return &pipeline.Pipeline{
		Project: w.project, Target: w.project.Targets["dev"], DB: w.db, Store: w.store, Graph: w.graph,
		Sources: []extract.Kind{{Name: "memory", Open: func(context.Context, extract.Config) (extract.Source, error) { return source(w.streams), nil }}},
		Destinations: []activate.Kind{{Name: "file", Open: func(context.Context, activate.Config) (activate.Connector, error) {
			return activate.Connector{Destination: w.dest}, nil
		}}},
		RunID: fmt.Sprintf("run%d", w.runs), Now: clock, Push: "live", Redact: w.redact,
	}
}

// run runs every step and returns them by name.
func (w *world) run(p *pipeline.Pipeline, drain <-chan struct{}) (map[string]event.Step, error) {
	w.t.Helper()
	w.events = nil
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	_, err := p.Run(ctx, p.Steps(), pipeline.RunOptions{Parallel: 2, Retries: w.retries, Drain: drain, Sink: w,
		Exit: func([]event.Step, error) (event.Status, int) { return event.OK, 0 }})
	if cerr := p.Close(); err == nil {
		err = cerr
	}
	steps := map[string]event.Step{}
	for _, e := range w.events {
		if e.Step != nil {
			steps[e.Step.Name] = *e.Step
		}
	}
	return steps, err
}

// mustRun runs every step; all must end well.
func (w *world) mustRun() map[string]event.Step {
	w.t.Helper()
	steps, err := w.run(w.pipeline(), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, s := range steps {
		if s.Status != event.OK {
			w.t.Fatalf("%s is %s: %s %+v", s.Name, s.Status, s.Error, s.Result.Warnings)
		}
	}
	return steps
}

// texts runs a query for one text a row.
func (w *world) texts(q string) string {
	w.t.Helper()
	var out []string
	err := warehouse.Each(w.t.Context(), w.db, q, func(r rows.Row) error {
		out = append(out, strings.Clone(r.String(0)))
		return nil
	})
	if err != nil {
		w.t.Fatalf("%s: %v", q, err)
	}
	return strings.Join(out, " ")
}

var things = arrow.NewSchema([]arrow.Field{{Name: "id", Type: arrow.PrimitiveTypes.Int64, Nullable: true}}, nil)

// stream is a stream of numbers. Its cursor is the largest that was read.
type stream struct {
	spec extract.Spec
	mu   sync.Mutex
	ids  []int64
	// open, where set, is called for each opening and may fail it.
	open func(ctx context.Context) error
}

func (s *stream) Spec() extract.Spec { return s.spec }

func (s *stream) Open(ctx context.Context, r extract.Request) (scan.Scan, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open != nil {
		if err := s.open(ctx); err != nil {
			return nil, err
		}
	}
	from := int64(-1)
	if r.From != "" {
		if _, err := fmt.Sscan(string(r.From), &from); err != nil {
			return nil, err
		}
	}
	out := &snapshot{}
	for _, id := range s.ids {
		if s.spec.Cursor == "" || id > from {
			out.ids = append(out.ids, id)
		}
	}
	return out, nil
}

type source map[string]*stream

func (s source) Close() error { return nil }

func (s source) Streams(_ context.Context, names ...string) ([]extract.Stream, error) {
	var out []extract.Stream
	for _, n := range names {
		out = append(out, s[n])
	}
	return out, nil
}

type snapshot struct{ ids []int64 }

func (s *snapshot) Schema() *arrow.Schema  { return things }
func (s *snapshot) Counted() (int64, bool) { return int64(len(s.ids)), true }
func (s *snapshot) Close() error           { return nil }

func (s *snapshot) Cursor() scan.Cursor {
	if len(s.ids) == 0 {
		return ""
	}
	return scan.Cursor(fmt.Sprint(slices.Max(s.ids)))
}

func (s *snapshot) Parts() []scan.Part {
	if len(s.ids) == 0 {
		return nil
	}
	return []scan.Part{{Open: func(context.Context) (array.RecordReader, error) {
		b := array.NewRecordBuilder(memory.DefaultAllocator, things)
		defer b.Release()
		col, _ := b.Field(0).(*array.Int64Builder)
		col.AppendValues(s.ids, nil)
		return array.NewRecordReader(things, []arrow.RecordBatch{b.NewRecordBatch()})
	}}}
}
