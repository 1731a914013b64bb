package transform

import (
	"slices"
	"strings"

	"elt/internal/sqlparse"
)

// Flow tells what each column of the model is made of; its tables are named as
// the model's text names them.
func (m *Model) Flow() sqlparse.Flow { return m.query.Flow }

// OutputColumns are the columns of the model as far as its text tells them, in
// lower case and perhaps more than there are. false: it does not tell, such as
// for a star over a table of a source, or for an expression without a name.
func (m *Model) OutputColumns() ([]string, bool) {
	flow := m.query.Flow
	if flow.Opaque || len(flow.Outputs) == 0 {
		return nil, false
	}
	var names []string
	for _, item := range flow.Outputs {
		switch {
		case item.Star:
			below, ok := m.star(item)
			if !ok {
				return nil, false
			}
			names = append(names, below...)
		case item.Name == "" || item.Many:
			return nil, false
		default:
			names = append(names, item.Name)
		}
	}
	return names, true
}

// star are the columns that a star brings from models, where it can come from
// nothing else.
func (m *Model) star(item sqlparse.Item) ([]string, bool) {
	flow := m.query.Flow
	of := ""
	switch {
	case len(item.Refs) > 0 && len(item.Refs[0]) == 1:
		of = item.Refs[0][0]
	case len(item.Refs) > 0:
		return nil, false
	}
	if of == "" && (len(flow.Inner) > 0 || len(flow.Derived) > 0) || slices.Contains(flow.Derived, of) {
		return nil, false
	}
	var names []string
	found := false
	for _, r := range flow.Relations {
		if of != "" && r.Alias != of {
			continue
		}
		below := m.graph.Model(r.Schema + "." + r.Name)
		if below == nil {
			return nil, false
		}
		columns, ok := below.OutputColumns()
		if !ok {
			return nil, false
		}
		names, found = append(names, columns...), true
	}
	return names, found
}

// Lacks reports whether the model cannot have a column of that name, and which
// it has, sorted. A name that comes twice gets another one from the engine.
func (m *Model) Lacks(column string) (known []string, lacks bool) {
	known, ok := m.OutputColumns()
	slices.Sort(known)
	twice := len(slices.Compact(slices.Clone(known))) < len(known)
	return known, ok && !twice && !slices.Contains(known, strings.ToLower(column))
}
