package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"elt/internal/lineage"
	"elt/internal/pipeline"
	"elt/internal/scan"
	"elt/internal/sqlparse"
	"elt/internal/state"
)

// What commands print of the data is masked where it may be personal, unless
// --show-pii asks for it.

func addShowPII(cmd *cobra.Command, into *bool) {
	cmd.Flags().BoolVar(into, "show-pii", false, "print values that may be personal; they are masked otherwise")
}

// personal tells which columns may be personal, those of elt's own tables
// included that hold values of rows.
func (a *app) personal(s *session) lineage.Tables {
	p := pipeline.Pipeline{Project: s.project, Graph: s.graph}
	tables := p.Personal()
	if len(s.marked()) > 0 {
		for name, columns := range state.PersonalColumns() {
			tables.Mark(name, columns...)
		}
	}
	return tables
}

// marked are the streams with marks.
func (s *session) marked() []string {
	var out []string
	for _, src := range s.project.Sources {
		for _, st := range src.Streams {
			if len(st.PII) > 0 {
				out = append(out, src.Name+"."+st.Name)
			}
		}
	}
	return out
}

// maskTable hides the columns of a table of the project that may be personal.
func (a *app) maskTable(s *session, table string) func(string) bool {
	columns := a.personal(s).Of(table)
	return func(name string) bool { return columns.Origin(name) != "" }
}

// maskQuery hides the columns of a query that may be personal.
func (a *app) maskQuery(s *session, flow sqlparse.Flow) func(string) bool {
	const answer = "query"
	flow.Relations = slices.Clone(flow.Relations)
	for i, r := range flow.Relations { // people query the places of this target
		flow.Relations[i].Schema = strings.TrimPrefix(r.Schema, s.target.SchemaPrefix)
	}
	tables := a.personal(s)
	tables.Trace(lineage.Model{Name: answer, Flow: flow})
	columns := tables.Of(answer)
	return func(name string) bool { return columns.Origin(name) != "" }
}

// maskReject hides what may be personal in a quarantined row. A row of a stream
// that the project has no longer is hidden where anything is marked.
func maskReject(s *session, q state.Quarantined) scan.Reject {
	source, name, _ := strings.Cut(q.Stream, ".")
	src := s.project.Sources[source]
	if src == nil || src.Streams[name] == nil {
		if len(s.marked()) == 0 {
			return q.Reject
		}
		return scan.Reject{Locator: pipeline.Masked, Reason: pipeline.Masked, Payload: pipeline.Masked}
	}
	return pipeline.MaskReject(src.Streams[name], q.Reject)
}
