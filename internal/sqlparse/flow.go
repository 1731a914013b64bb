package sqlparse

import "strings"

// Flow tells, for each column of a query, which columns its values are made of:
// enough to say that a value cannot come from somewhere, never too little. What
// rows a query keeps, joins and orders by is no part of it.
type Flow struct {
	// Outputs are the columns of the query itself.
	Outputs []Item
	// Inner are the columns of its common table expressions and of the queries in
	// its FROM clauses, of all depths.
	Inner []Item
	// Relations are the tables that it names, wherever that is. One without an
	// alias is only known to be read somewhere; one without a schema is no common
	// table expression either.
	Relations []Relation
	// Derived are the names of what else stands in FROM clauses, lower case.
	Derived []string
	// Opaque: some column is made in a way that is not followed, such as by PIVOT
	// or by a union of stars, so that any column may hold anything. What is
	// followed is listed: whatever else an engine knows or learns is opaque.
	Opaque bool
}

// Item is one column of a SELECT, or all columns of something.
type Item struct {
	Name string     // lower case; "": the engine makes one up
	Refs [][]string // the columns that it is made of, each with its qualifiers, lower case
	Star bool       // all columns, of Refs[0] where there is one
	Any  bool       // made of any column of the query: a name in a list behind an alias
	Many bool       // any number of columns of any name, all made of Refs
}

// Relation is a table in a FROM clause.
type Relation struct {
	Alias        string // lower case; the name of the table where there is none
	Schema, Name string
}

// branches joins the columns of a union by their position. byName: by name.
func (f *Flow) branches(left, right []Item, byName bool) []Item {
	star := func(items []Item) bool {
		for _, i := range items {
			if i.Star || i.Many {
				return true
			}
		}
		return false
	}
	if byName {
		return append(left, right...)
	}
	if star(left) || star(right) || len(left) != len(right) {
		f.Opaque = true
		return append(left, right...)
	}
	out := make([]Item, len(left))
	for i := range left {
		out[i] = Item{Name: left[i].Name, Any: left[i].Any || right[i].Any}
		out[i].Refs = append(append(out[i].Refs, left[i].Refs...), right[i].Refs...)
	}
	return out
}

// value lists the columns that the value of a query inside an expression is made
// of; one without a name stands for any.
func (f *Flow) value(items []Item) [][]string {
	var out [][]string
	for _, i := range items {
		if i.Star || i.Any {
			out = append(out, nil)
		}
		out = append(out, i.Refs...)
	}
	return out
}

// many notes that something in a FROM clause has columns of any name, all made
// of refs.
func (f *Flow) many(refs [][]string) {
	if len(refs) > 0 {
		f.Inner = append(f.Inner, Item{Many: true, Refs: refs})
	}
}

// read notes the tables of the whole statement, those included that stand where
// no column is made, so that what is not followed may come from each.
func (f *Flow) read(refs []Ref) {
	for _, r := range refs {
		f.Relations = append(f.Relations, Relation{Schema: r.Schema, Name: r.Name})
	}
}

// list notes the names of a list behind an alias, which stand for columns by
// their position.
func (f *Flow) list(names ...string) {
	for _, n := range names {
		f.Inner = append(f.Inner, Item{Name: strings.ToLower(n), Any: true})
	}
}

// table notes a table with the list of names behind its alias.
func (f *Flow) table(schema, name, alias string, columns []string) {
	if alias == "" {
		alias = name
	}
	f.list(columns...)
	if schema == "" || len(columns) > 0 {
		f.Derived = append(f.Derived, strings.ToLower(alias))
	}
	if schema == "" { // a common table expression: tables are named with their schema
		return
	}
	f.Relations = append(f.Relations, Relation{Alias: strings.ToLower(alias), Schema: schema, Name: name})
}

func lower(parts []string) []string {
	out := make([]string, len(parts))
	for i, p := range parts {
		out[i] = strings.ToLower(p)
	}
	return out
}
