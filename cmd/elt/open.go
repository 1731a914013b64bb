package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"elt/extract/files"
	"elt/internal/pipeline"
	"elt/internal/project"
	"elt/internal/secret"
	"elt/internal/sqlparse"
	"elt/internal/state"
	"elt/internal/warehouse"
	"elt/internal/warehouse/duckdb"
	"elt/internal/warehouse/postgres"
	"elt/transform"
)

// session is a project opened on a target.
type session struct {
	project *project.Project
	target  *project.Target
	graph   *transform.Graph
	now     time.Time
	db      *warehouse.DB
	store   *state.Store
	closers []func() error
}

func (s *session) close() error {
	var errs []error
	for _, c := range slices.Backward(s.closers) {
		errs = append(errs, c())
	}
	s.closers = nil
	return errors.Join(errs...)
}

// load reads the files of the project, models included; it opens nothing.
func (a *app) load() (*session, error) {
	prj, err := project.Load(a.flags.Dir, project.Options{Kinds: a.kinds(), Env: a.env, EnvFile: a.flags.EnvFile, Target: a.flags.Target})
	if err != nil {
		return nil, err
	}
	a.project = prj
	for _, w := range prj.Warnings {
		a.warn("%s", w.Error())
	}
	a.warnOfShort(prj.Secrets)
	target, err := prj.Target(a.flags.Target)
	if err != nil {
		return nil, usage("%w", err)
	}
	if a.flags.Threads > 0 {
		target.Threads = a.flags.Threads
	}
	if a.flags.Memory != "" {
		target.Memory = a.flags.Memory
	}
	s := &session{project: prj, target: target}
	if s.now, err = a.clock(prj); err != nil {
		return nil, err
	}
	parser, err := parserFor(target)
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, parser.Close)
	if s.graph, err = parseModels(prj, target, parser); err != nil {
		return nil, &exitError{code: exitUsage, err: errors.Join(err, s.close())}
	}
	return s, nil
}

// tellNotActing names every key that the project sets though nothing acts on it
// yet, with what happens instead, no key is ignored in silence; and every check
// that cannot wait for what it reads.
func (a *app) tellNotActing(s *session) {
	for _, n := range s.project.NotActing {
		text := "note: " + n.Pos.String() + ": " + n.Msg
		if n.Hint != "" {
			text += ": " + n.Hint
		}
		fmt.Fprintln(a.err, text)
	}
	for _, c := range s.graph.Loosened() {
		read := strings.Join(c.Before, ", ")
		fmt.Fprintf(a.err, "note: %s: check %s of %s reads %s as the last run left it, and only warns, because %s waits for %s\n", c.Pos, c.Kind, c.Table(), read, read, c.Table())
	}
}

func parseModels(prj *project.Project, target *project.Target, parser sqlparse.Parser) (*transform.Graph, error) {
	var known []string
	checks := map[string][]project.Check{}
	for _, src := range prj.Sources {
		for _, st := range src.Streams {
			known = append(known, src.Name+"."+st.Name)
			checks[src.Name+"."+st.Name] = st.Checks
		}
	}
	slices.Sort(known)
	return transform.Parse(os.DirFS(filepath.Join(prj.Dir, "models")), parser, transform.Options{
		Dir: "models", Tables: known, Checks: checks, Owner: prj.Owner, Zone: prj.Timezone,
		Place: func(schema, name string) warehouse.Table {
			return warehouse.Table{Schema: target.SchemaPrefix + schema, Name: name}
		},
	})
}

// clock is now, or what --as-of, ELT_NOW or the project say.
func (a *app) clock(prj *project.Project) (time.Time, error) {
	if a.flags.AsOf == "" {
		if !prj.AsOf.IsZero() {
			return prj.AsOf, nil
		}
		return time.Now(), nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04", "2006-01-02T15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, a.flags.AsOf, prj.Timezone); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usage("--as-of %q is no time, expected 2026-03-31T02:00:00+02:00 or 2026-03-31", a.flags.AsOf)
}

// engine splits a warehouse address into its engine and what is shown of it.
func engine(t *project.Target) (name, shown string, err error) {
	addr := t.Warehouse.Reveal()
	switch {
	case strings.HasPrefix(addr, "duckdb:"):
		return "duckdb", strings.TrimPrefix(addr, "duckdb:"), nil
	case strings.HasPrefix(addr, "postgres://"), strings.HasPrefix(addr, "postgresql://"):
		u, perr := url.Parse(addr)
		if perr != nil {
			return "", "", usage("target %s: the warehouse is no valid postgres URL, expected postgres://user:password@host:5432/database", t.Name)
		}
		return "postgres", "postgres://" + u.Host + u.Path, nil
	default:
		return "", "", usage("target %s: unknown kind of warehouse, expected duckdb:PATH or postgres://…", t.Name)
	}
}

func parserFor(t *project.Target) (sqlparse.Parser, error) {
	name, _, err := engine(t)
	if err != nil {
		return nil, err
	}
	if name == "postgres" {
		return sqlparse.Postgres(), nil
	}
	return sqlparse.DuckDB()
}

// open loads the project and opens its warehouse. readOnly opens it for
// queries alone, through the process that owns it where there is one.
func (a *app) open(ctx context.Context, readOnly bool) (*session, error) {
	s, err := a.load()
	if err != nil {
		return nil, err
	}
	return a.openWarehouse(ctx, s, readOnly)
}

// openWarehouse opens the warehouse of s, which it closes when that fails.
func (a *app) openWarehouse(ctx context.Context, s *session, readOnly bool) (*session, error) {
	driver, err := a.driver(ctx, s, readOnly)
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	if a.wrap != nil {
		driver = a.wrap(driver)
	}
	if readOnly {
		s.db = warehouse.OpenReadOnly(driver)
		s.store = state.View(s.db, s.project.Name, s.target.Name)
		s.closers = append(s.closers, s.db.Close)
		if err := s.store.Check(ctx); err != nil { // written by a newer elt
			return nil, errors.Join(err, s.close())
		}
		return s, nil
	}
	if s.db, err = warehouse.Open(ctx, driver); err != nil {
		return nil, errors.Join(err, driver.Close(), s.close())
	}
	s.closers = append(s.closers, s.db.Close)
	if s.store, err = state.Open(ctx, s.db, s.project.Name, s.target.Name); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (a *app) driver(ctx context.Context, s *session, readOnly bool) (warehouse.Driver, error) {
	name, path, err := engine(s.target)
	if err != nil {
		return nil, err
	}
	if name == "postgres" {
		return postgres.Open(ctx, secret.New(s.target.Warehouse.Reveal()), postgres.Options{TimeZone: s.project.Timezone.String(), MaxConns: 2*parallel(s.target) + 4})
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(s.project.Dir, path)
	}
	if readOnly {
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("%s does not exist yet; run: elt run", path)
		}
	} else if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("folder of the warehouse: %w\n     let this user write there, or name another place in `warehouse:` of target %s", err, s.target.Name)
	}
	d, err := duckdb.Open(ctx, duckdb.Options{
		Path: path, Threads: s.target.Threads, Memory: s.target.Memory, TempDir: filepath.Join(s.project.Dir, ".elt", "tmp"),
		TimeZone: s.project.Timezone.String(), AllowedDirs: sourceDirs(s.project), ReadOnly: readOnly, WaitForLock: s.target.WaitForLock,
	})
	if err != nil || readOnly {
		return d, err
	}
	// Who owns the file answers the questions of others while it runs.
	if err := d.Serve(); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// parallel is how many steps run side by side. Each may hold a transaction and
// look something up beside it, so the warehouse must allow more connections.
func parallel(t *project.Target) int {
	if t.Threads > 0 {
		return max(2, t.Threads)
	}
	return max(2, runtime.NumCPU())
}

// sourceDirs are the folders that file sources read: the only ones that the
// warehouse engine may open.
func sourceDirs(prj *project.Project) []string {
	var dirs []string
	for _, name := range slices.Sorted(maps.Keys(prj.Sources)) {
		src := prj.Sources[name]
		if src.Type != files.Kind().Name {
			continue
		}
		dirs = append(dirs, files.Dirs(prj.Dir, src.Config, streamOptions(src)...)...)
	}
	slices.Sort(dirs)
	return slices.Compact(dirs)
}

func streamOptions(src *project.Source) []any {
	var out []any
	for _, st := range src.Streams {
		out = append(out, st.Options)
	}
	return out
}

// pipeline makes the pipeline of one run.
func (a *app) pipeline(s *session) *pipeline.Pipeline {
	return &pipeline.Pipeline{
		Project: s.project, Target: s.target, DB: s.db, Store: s.store, Graph: s.graph,
		Sources: a.sources(), Destinations: a.destinations(), RunID: strings.ToLower(rand.Text()[:6]), Now: s.now, Push: s.target.Push, Redact: a.redact,
	}
}
