package lineage

import (
	"slices"
	"strings"

	"elt/internal/sqlparse"
)

// Origin is a column of a table that no model makes.
type Origin struct{ Table, Column string }

// Follower follows a column back through the models that it is made by.
type Follower struct {
	Models map[string]sqlparse.Flow // by schema.table, lower case
	// Has reports whether a table has a column; both in lower case.
	Has func(table, column string) bool
}

// Origins are the columns that column of table is made of, as far as names tell:
// each reference is followed, whatever the expression around it does. none says
// where the trail ends without an origin; "" when it does not.
func (f Follower) Origins(table, column string) (found []Origin, none string) {
	w := walk{Follower: f, seen: map[Origin]bool{}}
	w.column(strings.ToLower(table), strings.ToLower(column))
	return w.found, w.none
}

type walk struct {
	Follower
	seen  map[Origin]bool
	found []Origin
	none  string
}

func (w *walk) column(table, column string) {
	at := Origin{table, column}
	if w.seen[at] {
		return
	}
	w.seen[at] = true
	flow, model := w.Models[table]
	switch {
	case !model:
		w.found = append(w.found, at)
	case flow.Opaque:
		w.lost(table, column)
	default:
		before := len(w.seen) + len(w.found)
		trail{w, flow, map[string]bool{}}.items(flow.Outputs, column)
		if len(w.seen)+len(w.found) == before {
			w.lost(table, column)
		}
	}
}

func (w *walk) lost(table, column string) {
	if w.none == "" {
		w.none = table + "." + column
	}
}

// trail is a query with the references in it that have been followed.
type trail struct {
	*walk
	flow sqlparse.Flow
	done map[string]bool
}

// items follows the column of that name among items of the query; what a star
// brings keeps its name.
func (t trail) items(items []sqlparse.Item, column string) {
	star := false
	for _, item := range items {
		star = star || item.Star
		if item.Name != column || item.Star {
			continue
		}
		for _, ref := range item.Refs {
			t.ref(ref)
		}
	}
	if star {
		t.ref([]string{column})
	}
}

// ref follows one reference: to a table of its alias, or to any that has such a
// column, and into the queries of FROM clauses.
func (t trail) ref(ref []string) {
	name := strings.Join(ref, "\x00")
	if len(ref) == 0 || t.done[name] {
		return
	}
	t.done[name] = true
	column, alias := ref[len(ref)-1], ""
	if len(ref) > 1 {
		alias = ref[len(ref)-2]
	}
	for _, r := range t.flow.Relations {
		table := strings.ToLower(r.Schema + "." + r.Name)
		if r.Alias != "" && (alias == "" || r.Alias == alias) && t.Has(table, column) {
			t.column(table, column)
		}
	}
	if alias == "" || slices.Contains(t.flow.Derived, alias) {
		t.items(t.flow.Inner, column)
	}
}
