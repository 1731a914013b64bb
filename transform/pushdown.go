package transform

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"elt/internal/rows"
	"elt/internal/warehouse"
	"elt/window"
)

// computesAll matches the operators whose result depends on rows that a filter
// above them throws away: grouping, windows, distinct, limits, set operations.
var computesAll = regexp.MustCompile(`(?i)group_by|aggregate|^group$|window|distinct|unique|limit|top_n|setop|except|intersect`)

// unpushed reports whether the engine filters the output of m, which stands as
// the view probe, by its window only after it has computed all of it. The engine
// is asked, with a window of the last days; where its statistics tell it that
// there is nothing in that window it says nothing, and nothing is told.
func (p *planner) unpushed(ctx context.Context, tx *warehouse.Tx, m *Model, probe warehouse.Table, cols []warehouse.Column) (bool, error) {
	if !m.Windowed() || slices.ContainsFunc(m.markers, func(k marker) bool { return k.name == "window_start" }) {
		return false, nil
	}
	b := &builder{m: m, opts: BuildOptions{Now: p.opts.Now}, res: Result{Columns: cols}}
	f, err := b.timeForm()
	if err != nil {
		return false, err
	}
	w := window.Window{Start: window.StartOfDay(p.opts.Now.AddDate(0, 0, -3), m.zone)}
	filter, err := b.filter(w)
	if err != nil {
		return false, err
	}
	day := w.Start.In(m.zone).Format("2006-01-02")
	if f == formInstant && tx.Dialect().Name != postgres { // shown in UTC
		day = w.Start.UTC().Format("2006-01-02")
	}
	var text string
	q := `EXPLAIN (FORMAT JSON) SELECT * FROM ` + probe.String() + ` WHERE ` + filter
	err = warehouse.Each(ctx, tx, q, func(r rows.Row) error {
		text = strings.Clone(r.String(r.Len() - 1))
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("how %s would be filtered: %w", m.FullName(), err)
	}
	var tree any
	if err := json.Unmarshal([]byte(text), &tree); err != nil {
		return false, fmt.Errorf("how %s would be filtered: read the engine's plan: %w", m.FullName(), err)
	}
	return filteredLate(tree, day), nil
}

// filteredLate looks for an operator that compares with day and stands above, or
// is, one that computes all rows.
func filteredLate(v any, day string) bool {
	switch v := v.(type) {
	case []any:
		return slices.ContainsFunc(v, func(item any) bool { return filteredLate(item, day) })
	case map[string]any:
		if compares(v, day) && computes(v) {
			return true
		}
		for _, item := range v {
			if filteredLate(item, day) {
				return true
			}
		}
	}
	return false
}

// compares reports whether an operator itself, not one below it, names day.
func compares(node map[string]any, day string) bool {
	for key, v := range node {
		switch v := v.(type) {
		case string:
			if strings.Contains(v, day) {
				return true
			}
		case map[string]any:
			if key == "extra_info" && compares(v, day) {
				return true
			}
		}
	}
	return false
}

// computes reports whether an operator or one below it computes all rows.
func computes(v any) bool {
	switch v := v.(type) {
	case []any:
		return slices.ContainsFunc(v, computes)
	case map[string]any:
		for key, item := range v {
			name, _ := item.(string)
			if (key == "name" || key == "Node Type") && computesAll.MatchString(name) || computes(item) {
				return true
			}
		}
	}
	return false
}
