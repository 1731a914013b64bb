// Package selector picks nodes of a graph by the selection syntax that dbt made known:
//
//	orders  staging.orders  staging.*     by name
//	+name  name+  2+name  name+1          with what is upstream, downstream, within so many steps
//	tag:x  path:models/marts  source:shop.orders  sync:crm  model:x  kind:extract
//	a b                                   the union
//	a,b                                   the intersection
package selector

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"elt/internal/yamlx"
)

// Node is what can be selected.
type Node struct {
	Name  string   // unique: shop.orders, marts.daily_revenue, crm_contacts
	Kind  string   // extract, model, sync
	Tags  []string // as declared
	Path  string   // of its file, relative to the project, with slashes; "" for none
	Needs []string // names of nodes directly upstream; others are ignored
}

// Error is a selector that is wrong or finds nothing.
type Error struct {
	Selector string
	Msg      string
	Hint     string
}

// Error names the selector, what is wrong and what was probably meant.
func (e *Error) Error() string {
	s := fmt.Sprintf("selector %q: %s", e.Selector, e.Msg)
	if e.Hint != "" {
		s += "; " + e.Hint
	}
	return s
}

// Select returns the nodes of include without those of exclude, in the order of
// nodes. An empty include means all. A selector that finds nothing is an
// [*Error], since a typing mistake must not turn a run into one of nothing;
// so is an exclude that names an unknown thing.
func Select(nodes []Node, include, exclude []string) ([]Node, error) {
	g := newGraph(nodes)
	in, err := g.union(include)
	if err != nil {
		return nil, err
	}
	if len(strings.Fields(strings.Join(include, " "))) == 0 {
		in = g.all()
	}
	out, err := g.union(exclude)
	if err != nil {
		return nil, err
	}
	var picked []Node
	for i, n := range nodes {
		if in[i] && !out[i] {
			picked = append(picked, n)
		}
	}
	return picked, nil
}

// set holds indexes of nodes.
type set map[int]bool

type graph struct {
	nodes    []Node
	up, down [][]int
}

func newGraph(nodes []Node) *graph {
	g := &graph{nodes: nodes, up: make([][]int, len(nodes)), down: make([][]int, len(nodes))}
	index := map[string]int{}
	for i, n := range nodes {
		index[n.Name] = i
	}
	for i, n := range nodes {
		for _, need := range n.Needs {
			if j, ok := index[need]; ok {
				g.up[i] = append(g.up[i], j)
				g.down[j] = append(g.down[j], i)
			}
		}
	}
	return g
}

func (g *graph) all() set {
	s := set{}
	for i := range g.nodes {
		s[i] = true
	}
	return s
}

func (g *graph) union(selectors []string) (set, error) {
	found := set{}
	for _, s := range selectors {
		for _, one := range strings.Fields(s) {
			part, err := g.intersection(one)
			if err != nil {
				return nil, err
			}
			maps.Copy(found, part)
		}
	}
	return found, nil
}

func (g *graph) intersection(s string) (set, error) {
	var found set
	for term := range strings.SplitSeq(s, ",") {
		part, err := g.term(term)
		if err != nil {
			return nil, err
		}
		if found == nil {
			found = part
			continue
		}
		maps.DeleteFunc(found, func(i int, _ bool) bool { return !part[i] })
	}
	if len(found) == 0 {
		return nil, &Error{Selector: s, Msg: "nothing is in all of its parts", Hint: "a comma means and, a space means or"}
	}
	return found, nil
}

// term is [N]+method:value+[N].
func (g *graph) term(s string) (set, error) {
	value, up, down, err := plus(s)
	if err != nil {
		return nil, err
	}
	start, err := g.match(s, value)
	if err != nil {
		return nil, err
	}
	found := maps.Clone(start)
	g.reach(found, start, g.up, up)
	g.reach(found, start, g.down, down)
	return found, nil
}

// plus takes the plus signs off s: how many steps to go up and down; -1 is all, 0 none.
func plus(s string) (value string, up, down int, err error) {
	value = s
	if before, after, ok := strings.Cut(value, "+"); ok && strings.Trim(before, "0123456789") == "" && after != "" {
		if up, err = steps(before); err != nil {
			return "", 0, 0, &Error{Selector: s, Msg: err.Error()}
		}
		value = after
	}
	if i := strings.LastIndexByte(value, '+'); i > 0 && strings.Trim(value[i+1:], "0123456789") == "" {
		if down, err = steps(value[i+1:]); err != nil {
			return "", 0, 0, &Error{Selector: s, Msg: err.Error()}
		}
		value = value[:i]
	}
	if value == "" || strings.Contains(value, "+") {
		return "", 0, 0, &Error{Selector: s, Msg: "a plus sign stands before or after a name", Hint: "such as +marts.orders, 2+marts.orders or staging.orders+"}
	}
	return value, up, down, nil
}

func steps(digits string) (int, error) {
	if digits == "" {
		return -1, nil
	}
	n, err := strconv.Atoi(digits)
	if err != nil || n > 1_000_000 {
		return 0, fmt.Errorf("%s steps are too many", digits)
	}
	return n, nil
}

// reach adds to found what lies within so many steps of start along edges.
func (g *graph) reach(found, start set, edges [][]int, limit int) {
	seen := maps.Clone(start)
	front := slices.Collect(maps.Keys(start))
	for step := 0; len(front) > 0 && (limit < 0 || step < limit); step++ {
		var ahead []int
		for _, i := range front {
			for _, j := range edges[i] {
				if !seen[j] {
					seen[j], found[j] = true, true
					ahead = append(ahead, j)
				}
			}
		}
		front = ahead
	}
}

// match finds the nodes of method:value or of a name.
func (g *graph) match(selector, term string) (set, error) {
	method, value, ok := strings.Cut(term, ":")
	if !ok {
		method, value = "", term
	}
	if value == "" {
		return nil, &Error{Selector: selector, Msg: "a value is missing", Hint: "such as tag:daily or staging.orders"}
	}
	var is func(n Node) bool
	switch method {
	case "":
		is = func(n Node) bool { return value == "all" || named(n.Name, value) }
	case "tag":
		is = func(n Node) bool { return slices.ContainsFunc(n.Tags, func(t string) bool { return glob(value, t) }) }
	case "path":
		is = func(n Node) bool { return under(n.Path, value) }
	case "kind":
		is = func(n Node) bool { return n.Kind == value }
	case "source":
		is = func(n Node) bool { return n.Kind == "extract" && named(n.Name, value) }
	case "model", "sync":
		is = func(n Node) bool { return n.Kind == method && named(n.Name, value) }
	default:
		return nil, &Error{Selector: selector, Msg: fmt.Sprintf("unknown method %q", method),
			Hint: hint(method, methods(), "methods")}
	}
	if _, err := path.Match(value, ""); err != nil {
		return nil, &Error{Selector: selector, Msg: "the pattern is wrong", Hint: "close every [ with a ]"}
	}
	found := set{}
	for i, n := range g.nodes {
		if is(n) {
			found[i] = true
		}
	}
	if len(found) == 0 {
		what, names := g.names(method)
		return nil, &Error{Selector: selector, Msg: fmt.Sprintf("there is no %s %q", what, value), Hint: hint(value, names, what+"s")}
	}
	return found, nil
}

func methods() []string { return []string{"kind", "model", "path", "source", "sync", "tag"} }

// names lists what could have been meant with a method, and what it is called.
func (g *graph) names(method string) (what string, names []string) {
	kinds := map[string]string{"source": "extract", "model": "model", "sync": "sync"}
	for _, n := range g.nodes {
		switch method {
		case "tag":
			names = append(names, n.Tags...)
		case "path":
			names = append(names, n.Path, path.Dir(n.Path))
		case "kind":
			names = append(names, n.Kind)
		default:
			if kind, ok := kinds[method]; ok && n.Kind != kind {
				continue
			}
			names = append(names, n.Name)
			if schema, _, ok := strings.Cut(n.Name, "."); ok {
				names = append(names, schema)
			}
		}
	}
	slices.Sort(names)
	names = slices.DeleteFunc(slices.Compact(names), func(s string) bool { return s == "" || s == "." })
	return cmp.Or(method, "name"), names
}

func hint(name string, names []string, what string) string {
	if h := yamlx.DidYouMean(name, names); h != "" {
		return h
	}
	switch {
	case len(names) == 0:
		return "the project has no " + what
	case len(names) > 12:
		return fmt.Sprintf("%s: %s, …", what, strings.Join(names[:12], ", "))
	}
	return fmt.Sprintf("%s: %s", what, strings.Join(names, ", "))
}

// named reports whether value means name: all of it, its part after the dot, or
// its schema. Case does not matter.
func named(name, value string) bool {
	name, value = strings.ToLower(name), strings.ToLower(value)
	schema, table, ok := strings.Cut(name, ".")
	return glob(value, name) || ok && (glob(value, table) || glob(value, schema))
}

// under reports whether file is value, or lies in the folder value.
func under(file, value string) bool {
	value = strings.TrimSuffix(strings.TrimPrefix(value, "./"), "/")
	return file != "" && (glob(value, file) || strings.HasPrefix(file, value+"/") || glob(value, path.Dir(file)))
}

func glob(pattern, s string) bool {
	ok, err := path.Match(pattern, s)
	return err == nil && ok || pattern == s
}
