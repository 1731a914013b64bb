// Package transform owns the models: SQL files with a YAML header, the graph of
// what they read, and how each becomes a view or a table of the warehouse.
package transform

import (
	"maps"
	"slices"
	"strings"
	"time"

	"elt/internal/selector"
	"elt/internal/sqlparse"
	"elt/internal/warehouse"
	"elt/internal/yamlx"
	"elt/window"
)

// Materialization is what a model becomes in the warehouse.
type Materialization string

// The materializations.
const (
	View        Materialization = "view"        // its query, run by whoever reads it
	FullTable   Materialization = "table"       // all rows, built anew on every run; the default
	Incremental Materialization = "incremental" // whole days by its time column, or rows by its key
)

// Model is one .sql file under models/.
type Model struct {
	Schema, Name string // first folder and file
	Path         string // of the .sql file, as shown in errors
	Text         string // the whole file; it runs as it stands in any SQL client
	Pos          yamlx.Pos
	Settings

	// Needs are the tables that the query reads, as schema.table in the
	// project's spelling, sorted: models and tables of sources.
	Needs []string
	// Table is where the model lives in this target.
	Table warehouse.Table

	query   sqlparse.Query
	edits   []sqlparse.Edit            // references that this target resolves to another place
	refs    map[string]sqlparse.Ref    // by the project's name of the table
	places  map[string]warehouse.Table // of what it reads, likewise
	markers []marker
	zone    *time.Location
	graph   *Graph
}

// Settings are what the header of a model says.
type Settings struct {
	Description    string          `yaml:"description" json:"description,omitempty" jsonschema:"description=What a row is; for people"`
	Materialized   Materialization `yaml:"materialized" json:"materialized,omitempty" jsonschema:"enum=view,enum=table,enum=incremental,default=table,description=What it becomes: a view; a table that every run builds anew; a table of which a run replaces whole days or rows by key"`
	Time           string          `yaml:"time" json:"time,omitempty" jsonschema:"description=Column of the event time of an incremental model: a run replaces whole days of it; for people on any other model"`
	Lookback       time.Duration   `yaml:"lookback" json:"lookback,omitempty" jsonschema:"description=How far before the newest day an incremental model is built again; needs time; none by default"`
	Key            []string        `yaml:"key" json:"key,omitempty" jsonschema:"description=Columns that identify a row: an incremental model without time replaces rows by them; for people on any other model"`
	Checks         yamlx.Checks    `yaml:"checks" json:"checks,omitempty" jsonschema:"description=What must hold of the rows; judged before readers see them"`
	Tags           []string        `yaml:"tags" json:"tags,omitempty" jsonschema:"description=Names for selectors such as tag:nightly"`
	Owner          string          `yaml:"owner" json:"owner,omitempty" jsonschema:"description=Who answers for it; the owner of the project by default; for people"`
	DecisionWindow time.Duration   `yaml:"decision_window" json:"decision_window,omitempty" jsonschema:"description=How old the data may be when they are used; a warning comes at three quarters of it and staleness beyond it"`
	OnEmpty        string          `yaml:"on_empty" json:"on_empty,omitempty" jsonschema:"enum=fail,enum=replace,default=fail,description=What a query without rows does to a table that has rows: fails the build; empties the table"`
}

// FullName is schema.table in the project's spelling, whatever the target.
func (m *Model) FullName() string { return m.Schema + "." + m.Name }

// Windowed reports whether the model is built by windows of its time column.
func (m *Model) Windowed() bool { return m.Materialized == Incremental && m.Time != "" }

// SQL is the model's query for this target: references resolved to their
// places, two-way literals set to w and to the day of now.
func (m *Model) SQL(w window.Window, now time.Time) string {
	return sqlparse.Apply(m.Text[:m.query.End], m.editsFor(w, now))
}

func (m *Model) editsFor(w window.Window, now time.Time) []sqlparse.Edit {
	edits := slices.Clone(m.edits)
	for _, k := range m.markers {
		edits = append(edits, sqlparse.Edit{Offset: k.offset, End: k.end, Text: k.literal(w, now, m.zone)})
	}
	return edits
}

// Graph is all models of a project.
type Graph struct {
	Models []*Model // each after those that it reads
	tables []string // of sources
	checks map[string][]*Check
}

// Checks are the declared checks of a table of the project.
func (g *Graph) Checks(table string) []*Check { return g.checks[table] }

// Loosened are the checks that read a table as the last run left it, because that
// table waits for the one that they judge; by table, in the order of the project.
func (g *Graph) Loosened() []*Check {
	var out []*Check
	for _, table := range slices.Sorted(maps.Keys(g.checks)) {
		for _, c := range g.checks[table] {
			if len(c.Before) > 0 {
				out = append(out, c)
			}
		}
	}
	return out
}

// Needs are the tables that come before one of the project, sorted: those that a
// model's query reads, and those that the checks of a model or a stream name.
func (g *Graph) Needs(table string) []string {
	var needs []string
	if m := g.Model(table); m != nil {
		needs = slices.Clone(m.Needs)
	}
	for _, c := range g.checks[table] {
		needs = append(needs, c.Needs...)
	}
	slices.Sort(needs)
	return slices.Compact(needs)
}

// Model returns the model of that name, or nil. Case does not matter.
func (g *Graph) Model(name string) *Model {
	i := slices.IndexFunc(g.Models, func(m *Model) bool { return strings.EqualFold(m.FullName(), name) })
	if i < 0 {
		return nil
	}
	return g.Models[i]
}

// Nodes are the graph's nodes for [selector.Select]: its sources' tables and its models.
func (g *Graph) Nodes() []selector.Node {
	var nodes []selector.Node
	for _, t := range g.tables {
		nodes = append(nodes, selector.Node{Name: t, Kind: "extract", Needs: g.Needs(t)})
	}
	for _, m := range g.Models {
		nodes = append(nodes, selector.Node{Name: m.FullName(), Kind: "model", Tags: m.Tags, Path: m.Path, Needs: g.Needs(m.FullName())})
	}
	return nodes
}

// Select returns the models that the selectors pick, in build order; all
// without selectors.
func (g *Graph) Select(sel ...string) ([]*Model, error) {
	picked, err := selector.Select(g.Nodes(), sel, nil)
	if err != nil {
		return nil, err
	}
	var models []*Model
	for _, n := range picked {
		if n.Kind == "model" {
			models = append(models, g.Model(n.Name))
		}
	}
	return models, nil
}
