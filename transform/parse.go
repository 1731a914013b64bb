package transform

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"elt/internal/sqlparse"
	"elt/internal/warehouse"
	"elt/internal/yamlx"
)

// Options say what surrounds the models.
type Options struct {
	// Dir is put before paths in errors and in Model.Path: models.
	Dir string
	// Tables are the tables of sources, as schema.table.
	Tables []string
	// Checks are the declared checks of tables of sources.
	Checks map[string][]yamlx.Check
	// Zone is the project's time zone; nil: UTC.
	Zone *time.Location
	// Owner is the owner of models that name none.
	Owner string
	// Place resolves a table to where it lives in this target; nil: where it says.
	Place func(schema, name string) warehouse.Table
}

// Parse reads all models of fsys, whose first folders are schemas and whose .sql
// files are tables. The error is [yamlx.Errors]: every mistake of every file.
func Parse(fsys fs.FS, p sqlparse.Parser, opts Options) (*Graph, error) {
	r := &reader{fsys: fsys, parser: p, opts: opts, names: map[string]string{}}
	r.opts.Zone = cmp.Or(opts.Zone, time.UTC)
	if r.opts.Place == nil {
		r.opts.Place = func(schema, name string) warehouse.Table { return warehouse.Table{Schema: schema, Name: name} }
	}
	files, err := r.list()
	if err != nil {
		return nil, fmt.Errorf("read the models: %w", err)
	}
	for _, t := range opts.Tables {
		r.names[strings.ToLower(t)] = t
	}
	var models []*Model
	for _, f := range files {
		if m := r.read(f); m != nil {
			models = append(models, m)
		}
	}
	for _, m := range models {
		r.resolve(m)
	}
	g := &Graph{tables: slices.Sorted(slices.Values(opts.Tables)), checks: r.allChecks(models)}
	r.arrange(g, models)
	if len(r.errs) > 0 {
		r.errs.Sort()
		return nil, r.errs
	}
	return g, nil
}

// reader collects models and mistakes.
type reader struct {
	fsys   fs.FS
	parser sqlparse.Parser
	opts   Options
	names  map[string]string // lower case -> as the project spells it: tables and models
	errs   yamlx.Errors
}

func (r *reader) shown(name string) string { return path.Join(r.opts.Dir, name) }

func (r *reader) fail(name string, line, col int, msg, expected, hint string) {
	r.errs = append(r.errs, &yamlx.Error{Pos: yamlx.Pos{File: r.shown(name), Line: line, Col: col}, Msg: msg, Expected: expected, Hint: hint})
}

// list returns the .sql files and registers the names of the models.
func (r *reader) list() ([]string, error) {
	var files, settings []string
	err := fs.WalkDir(r.fsys, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist) && name == ".":
			return nil // a project without models
		case err != nil:
			return err
		case name != "." && strings.HasPrefix(d.Name(), "."):
			if d.IsDir() {
				return fs.SkipDir
			}
		case d.IsDir():
		case path.Ext(name) == ".sql":
			files = append(files, name)
		case path.Ext(name) == ".yaml" || path.Ext(name) == ".yml":
			settings = append(settings, name)
		}
		return nil
	})
	for _, s := range settings {
		if base := strings.TrimSuffix(s, path.Ext(s)); !slices.Contains(files, base+".sql") {
			r.fail(s, 1, 1, "no model beside these settings", r.shown(base+".sql"), "")
		}
	}
	return files, err
}

// read parses one file; nil when its name or its query is no good.
func (r *reader) read(name string) *Model {
	src, err := fs.ReadFile(r.fsys, name)
	if err != nil {
		r.fail(name, 1, 1, err.Error(), "a readable file", "")
		return nil
	}
	m := &Model{Path: r.shown(name), Text: string(src), zone: r.opts.Zone, refs: map[string]sqlparse.Ref{}, places: map[string]warehouse.Table{}}
	if !r.name(m, name) {
		return nil
	}
	besidePath, beside := r.beside(name)
	s, pos, errs := settings(m.Path, m.Text, besidePath, beside)
	r.errs = append(r.errs, errs...)
	m.Settings, m.Pos = s, pos
	m.Materialized = cmp.Or(m.Materialized, FullTable)
	m.Owner = cmp.Or(m.Owner, r.opts.Owner)
	m.OnEmpty = cmp.Or(m.OnEmpty, "fail")
	m.query, err = r.parser.Parse(m.Text)
	if err != nil {
		r.sqlError(m, err)
		return nil
	}
	marks, bad := markers(m.Text)
	if len(marks) > 0 && m.Materialized == View {
		bad = append(bad, sqlparse.ErrorAt(m.Text, marks[0].offset, "a view has no window and no run date", "materialize it as table or incremental"))
	}
	m.markers = marks
	if len(bad) > 0 {
		r.sqlError(m, sqlparse.Errors(bad))
	}
	return m
}

// name derives schema and table from the path.
func (r *reader) name(m *Model, file string) bool {
	schema, _, nested := strings.Cut(file, "/")
	if !nested {
		r.fail(file, 1, 1, "this model has no schema", "its folder is its schema", fmt.Sprintf("move it to %s", r.shown("staging/"+file)))
		return false
	}
	m.Schema, m.Name = schema, strings.TrimSuffix(path.Base(file), ".sql")
	for _, part := range []string{m.Schema, m.Name} {
		if part == "" || strings.HasPrefix(part, warehouse.StateSchema) || strings.ContainsAny(part, ".\x00") {
			r.fail(file, 1, 1, fmt.Sprintf("%q is no name for a schema or a table", part), "a name without dots that does not begin with "+warehouse.StateSchema, "")
			return false
		}
	}
	full := m.FullName()
	if other, taken := r.names[strings.ToLower(full)]; taken {
		r.fail(file, 1, 1, fmt.Sprintf("a second table %s", other), "each table once, whether a source fills it or a model", "rename this file")
		return false
	}
	r.names[strings.ToLower(full)] = full
	m.Table = r.opts.Place(m.Schema, m.Name)
	return true
}

func (r *reader) beside(name string) (string, []byte) {
	for _, ext := range []string{".yaml", ".yml"} {
		file := strings.TrimSuffix(name, ".sql") + ext
		if src, err := fs.ReadFile(r.fsys, file); err == nil {
			return r.shown(file), append([]byte{}, src...)
		}
	}
	return "", nil
}

// sqlError records the mistakes of a query.
func (r *reader) sqlError(m *Model, err error) {
	mistakes, ok := errors.AsType[sqlparse.Errors](err)
	if !ok {
		mistakes = sqlparse.Errors{sqlparse.ErrorAt(m.Text, 0, err.Error(), "")}
	}
	for _, e := range mistakes {
		r.errs = append(r.errs, sqlMistake(m, e))
	}
}

// sqlMistake is e with the file and the line that it is about.
func sqlMistake(m *Model, e *sqlparse.Error) *yamlx.Error {
	f, _ := yamlx.Parse(m.Path, nil, []byte(m.Text))
	return f.Error(yamlx.Pos{Line: e.Line, Col: e.Col}, e.Msg, "", e.Hint)
}

// resolve finds the tables that a query names.
func (r *reader) resolve(m *Model) {
	known := r.known()
	for _, ref := range m.query.Refs {
		name, ok := r.names[strings.ToLower(ref.Display())]
		switch {
		case ref.Schema == "":
			r.sqlError(m, sqlparse.Errors{sqlparse.ErrorAt(m.Text, ref.Offset, fmt.Sprintf("table %s without its schema", ref.Name), inSchemas(ref.Name, known))})
		case !ok:
			r.sqlError(m, sqlparse.Errors{sqlparse.ErrorAt(m.Text, ref.Offset, fmt.Sprintf("unknown table %s", ref.Display()), unknownHint(ref, known))})
		case name == m.FullName():
			r.sqlError(m, sqlparse.Errors{sqlparse.ErrorAt(m.Text, ref.Offset, "this model reads itself",
				"an incremental model reads what is new through /* @window_start */ date '2026-03-01'")})
		default:
			m.Needs = append(m.Needs, name)
			m.refs[name] = ref
			schema, table, _ := strings.Cut(name, ".")
			m.places[name] = r.opts.Place(schema, table)
		}
	}
	slices.Sort(m.Needs)
	m.Needs = slices.Compact(m.Needs)
	m.edits = sqlparse.Edits(m.query, func(ref sqlparse.Ref) string {
		schema, table, _ := strings.Cut(r.names[strings.ToLower(ref.Display())], ".")
		if schema == "" {
			return ""
		}
		if at := r.opts.Place(schema, table); at.Schema != ref.Schema || at.Name != ref.Name {
			return at.String()
		}
		return ""
	})
}

// inSchemas names the tables of that name.
func inSchemas(name string, known []string) string {
	var same []string
	for _, k := range known {
		if _, table, _ := strings.Cut(k, "."); strings.EqualFold(table, name) {
			same = append(same, k)
		}
	}
	if len(same) > 0 {
		slices.Sort(same)
		return "write " + strings.Join(same, " or ")
	}
	return cmp.Or(yamlx.DidYouMean(name, known), "write schema.table")
}

// unknownHint names the table that was probably meant.
func unknownHint(ref sqlparse.Ref, known []string) string {
	if near := yamlx.DidYouMean(ref.Display(), known); near != "" {
		return near
	}
	var schema []string
	for _, k := range slices.Sorted(slices.Values(known)) {
		if s, _, _ := strings.Cut(k, "."); strings.EqualFold(s, ref.Schema) {
			schema = append(schema, k)
		}
	}
	if len(schema) > 0 {
		return fmt.Sprintf("schema %s has %s", ref.Schema, strings.Join(schema[:min(len(schema), 8)], ", "))
	}
	return "it is neither a model nor a stream of a source: add models/" + ref.Schema + "/" + ref.Name + ".sql or the stream"
}
