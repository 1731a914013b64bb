package transform

import (
	"maps"
	"slices"
	"strings"

	"elt/internal/sqlparse"
	"elt/internal/yamlx"
)

// allChecks resolves the checks of all tables.
func (r *reader) allChecks(models []*Model) map[string][]*Check {
	out := map[string][]*Check{}
	for _, t := range slices.Sorted(maps.Keys(r.opts.Checks)) {
		out[t] = r.checks(t, r.opts.Checks[t], func(at yamlx.Pos, msg, hint string) {
			r.errs = append(r.errs, &yamlx.Error{Pos: at, Msg: msg, Hint: hint})
		})
	}
	for _, m := range models {
		out[m.FullName()] = r.checks(m.FullName(), m.Checks, func(at yamlx.Pos, msg, hint string) {
			text := m.Text
			if at.File != m.Path { // the settings stand in a file beside the model
				text = ""
			}
			f, _ := yamlx.Parse(at.File, nil, []byte(text))
			r.errs = append(r.errs, f.Error(at, msg, "", hint))
		})
	}
	return out
}

// arrange puts the models in build order. A cycle leads through models, and
// through tables whose checks name others: there it is broken at a check.
func (r *reader) arrange(g *Graph, models []*Model) {
	byName := map[string]*Model{}
	for _, m := range models {
		byName[m.FullName()] = m
	}
	needs := g.waits(byName)
	sorted, cyclic := order(needs)
	for len(cyclic) > 0 && g.loosen(byName, cycle(cyclic, needs)) {
		needs = g.waits(byName)
		sorted, cyclic = order(needs)
	}
	for _, name := range sorted {
		if m := byName[name]; m != nil {
			m.graph = g
			g.Models = append(g.Models, m)
		}
	}
	if len(cyclic) > 0 {
		r.cycle(byName, cycle(cyclic, needs))
	}
}

// waits are the tables that each table with any waits for: those that the query
// of a model reads and those that checks name.
func (g *Graph) waits(models map[string]*Model) map[string][]string {
	needs := map[string][]string{}
	for name, m := range models {
		needs[name] = slices.Clone(m.Needs)
	}
	for table, checks := range g.checks {
		for _, c := range checks {
			needs[table] = append(needs[table], c.Needs...)
		}
	}
	for table := range needs {
		slices.Sort(needs[table])
		needs[table] = slices.Compact(needs[table])
	}
	return needs
}

// loosen breaks a circle at the first of its tables that only checks make wait for
// the next: these checks read what is there before. It reports whether there is one.
func (g *Graph) loosen(models map[string]*Model, round []string) bool {
	for i, table := range round[:len(round)-1] {
		next := round[i+1]
		if m := models[table]; m != nil && slices.Contains(m.Needs, next) {
			continue
		}
		for _, c := range g.checks[table] {
			if slices.Contains(c.Needs, next) {
				c.Needs = slices.DeleteFunc(c.Needs, func(n string) bool { return n == next })
				c.Before = append(c.Before, next)
				slices.Sort(c.Before)
			}
		}
		return true
	}
	return false
}

// order sorts names so that each comes after those that it needs, by name where
// that leaves a choice. Those on a cycle, and behind one, are returned apart.
func order(needs map[string][]string) (sorted, cyclic []string) {
	waits := maps.Clone(needs)
	for len(waits) > 0 {
		var ready []string
		for _, name := range slices.Sorted(maps.Keys(waits)) {
			if !slices.ContainsFunc(waits[name], func(n string) bool { _, ok := waits[n]; return ok }) {
				ready = append(ready, name)
			}
		}
		if len(ready) == 0 {
			return sorted, slices.Sorted(maps.Keys(waits))
		}
		for _, name := range ready {
			delete(waits, name)
		}
		sorted = append(sorted, ready...)
	}
	return sorted, nil
}

// cycle is one cycle through names, all of which wait for each other or for one
// that does, as a path whose last element is its first.
func cycle(names []string, needs map[string][]string) []string {
	var path []string
	for at := names[0]; ; {
		if i := slices.Index(path, at); i >= 0 {
			return append(path[i:], at)
		}
		path = append(path, at)
		i := slices.IndexFunc(needs[at], func(n string) bool { return slices.Contains(names, n) })
		at = needs[at][i]
	}
}

// cycle reports a circle of queries, at a reference in it.
func (r *reader) cycle(models map[string]*Model, round []string) {
	// The path leads from reader to read; people follow the data.
	names := slices.Clone(round)
	slices.Reverse(names)
	circle := strings.Join(names, " → ")
	first := models[round[0]]
	ref := first.refs[round[1]]
	r.sqlError(first, sqlparse.Errors{sqlparse.ErrorAt(first.Text, ref.Offset, "models read each other in a circle: "+circle, "remove one of these references")})
}
