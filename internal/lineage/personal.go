// Package lineage follows columns from the streams through the models. Today it
// answers one question: which columns may hold personal data. It errs to one
// side only: what it calls free of personal data is free, as far as values go;
// that a row is there at all, or how many there are, it does not follow.
package lineage

import (
	"slices"
	"strings"

	"elt/internal/sqlparse"
)

// Model is a query with the name of its table.
type Model struct {
	Name string // schema.table
	Flow sqlparse.Flow
}

// Columns tells of one table which of its columns may be personal.
type Columns struct {
	marked map[string]string // lower case -> where it comes from
	free   map[string]bool   // known to be free, where unsure is set
	unsure string            // every column that is not free may come from here; "": none
}

// Origin is the marked column, as schema.table.column, that the values of column
// may come from; "" when they come from none.
func (c Columns) Origin(column string) string {
	name := strings.ToLower(column)
	if from := c.marked[name]; from != "" {
		return from
	}
	if c.free[name] {
		return ""
	}
	return c.unsure
}

// Unsure is a marked column that any column may come from that is not known to
// be free of it: the query cannot be followed. "": there is none.
func (c Columns) Unsure() string { return c.unsure }

// Any is one of the marked columns that the table's values may come from.
func (c Columns) Any() string {
	if c.unsure != "" {
		return c.unsure
	}
	least := ""
	for _, from := range c.marked {
		if least == "" || from < least {
			least = from
		}
	}
	return least
}

// Tables are the columns of many tables, by their names in lower case.
type Tables map[string]Columns

// Of are the columns of a table, as schema.table.
func (t Tables) Of(table string) Columns { return t[strings.ToLower(table)] }

// Mark notes columns of a table as personal.
func (t Tables) Mark(table string, columns ...string) {
	c := Columns{marked: map[string]string{}}
	for _, name := range columns {
		c.marked[strings.ToLower(name)] = table + "." + name
	}
	t[strings.ToLower(table)] = c
}

// Trace follows the marked columns through models, which come in the order in
// which they are built, and adds what it finds.
func (t Tables) Trace(models ...Model) {
	for _, m := range models {
		t[strings.ToLower(m.Name)] = t.follow(m.Flow)
	}
}

// follow tells of the columns of one query which may be personal.
func (t Tables) follow(f sqlparse.Flow) Columns {
	q := query{flow: f, inner: map[string]string{}}
	for _, r := range f.Relations {
		c := t.Of(r.Schema + "." + r.Name)
		q.relations = append(q.relations, relation{r.Alias, c})
		if from := c.Any(); q.any == "" || from != "" && from < q.any {
			q.any = from
		}
	}
	out := Columns{marked: map[string]string{}, free: map[string]bool{}}
	if q.any == "" {
		return out
	}
	if f.Opaque {
		out.unsure = q.any
		return out
	}
	q.fill()
	for _, item := range f.Inner {
		if from := q.item(item); item.Name == "" && from != "" { // whatever the engine calls it
			out.unsure = from
			return out
		}
	}
	q.outputs(&out)
	return out
}

// query is one query while it is followed.
type query struct {
	flow      sqlparse.Flow
	relations []relation
	inner     map[string]string // personal names within the query -> where they come from
	any       string            // one of the marked columns upstream
}

type relation struct {
	alias   string
	columns Columns
}

// fill gathers the personal names within the query. A column may be made of
// another one that stands below it, or, in DuckDB, beside it, so all are gone
// through until none is added.
func (q *query) fill() {
	for before := -1; before < len(q.inner); {
		before = len(q.inner)
		for _, item := range slices.Concat(q.flow.Inner, q.flow.Outputs) {
			if from := q.item(item); from != "" && item.Name != "" && q.inner[item.Name] == "" {
				q.inner[item.Name] = from
			}
		}
	}
}

// outputs judges the columns of the query itself. A named column is what its
// expression is made of; what a star brings keeps the name that it has.
func (q *query) outputs(out *Columns) {
	named := map[string]bool{}
	star := false
	for _, item := range q.flow.Outputs {
		from := q.item(item)
		switch {
		case item.Star:
			star = true
			q.star(item, out)
		case item.Name == "" && from != "":
			out.unsure = from
		case from != "":
			out.marked[item.Name] = from
		case item.Name != "":
			named[item.Name] = true
		}
	}
	if star {
		return // a star may bring a second column of a name that is free by itself
	}
	for name := range named {
		out.free[name] = out.marked[name] == ""
	}
}

// star takes over the names that a star may bring.
func (q *query) star(item sqlparse.Item, out *Columns) {
	of := ""
	if len(item.Refs) > 0 && len(item.Refs[0]) > 0 {
		of = item.Refs[0][len(item.Refs[0])-1]
	}
	found := of == "" || slices.Contains(q.flow.Derived, of)
	for _, r := range q.relations {
		if of != "" && r.alias != of && !slices.Contains(q.flow.Derived, of) {
			continue
		}
		found = true
		for name, from := range r.columns.marked {
			out.marked[name] = from
		}
		if r.columns.unsure != "" {
			out.unsure = r.columns.unsure
		}
	}
	if !found { // the fields of a struct
		out.unsure = q.any
	}
	for name, from := range q.inner {
		out.marked[name] = from
	}
}

// item is where the values of a column may come from, "" when they are free.
func (q *query) item(item sqlparse.Item) string {
	if item.Any {
		return q.any
	}
	if item.Star {
		return ""
	}
	for _, ref := range item.Refs {
		if from := q.ref(ref); from != "" {
			return from
		}
	}
	return ""
}

// ref is where the values of a reference may come from. A qualifier that can
// only be that of a table narrows it to its columns.
func (q *query) ref(parts []string) string {
	switch len(parts) {
	case 0:
		return q.any
	case 1:
		return q.name(parts[0])
	}
	if from := q.column(parts[0]); from != "" { // a field of a struct, whatever the alias
		return from
	}
	if known, from := q.qualified(parts[0], parts[1]); known {
		return from
	}
	for i, p := range parts { // schema.table.column, or a field of a struct
		if from := q.column(p); from != "" {
			return from
		}
		if i == len(parts)-1 {
			break
		}
		if _, from := q.qualified(p, parts[i+1]); from != "" {
			return from
		}
	}
	return q.row(parts[len(parts)-1], false)
}

// qualified is where a column of the table or tables of an alias may come from.
// known is false when the alias may also be that of something else.
func (q *query) qualified(alias, column string) (known bool, from string) {
	for _, r := range q.relations {
		if r.alias == alias {
			known = true
			if o := r.columns.Origin(column); o != "" {
				from = o
			}
			if o := r.columns.Any(); o != "" && slices.Contains(rowFunctions(), column) {
				from = o
			}
		}
	}
	return known && !slices.Contains(q.flow.Derived, alias), from
}

// rowFunctions are functions of a whole row that Postgres also takes as if they
// were columns: c.to_json is to_json(c).
func rowFunctions() []string {
	return []string{"to_json", "to_jsonb", "row_to_json", "hstore", "text", "varchar"}
}

// name is where a bare name may come from: a column, or a whole row.
func (q *query) name(name string) string {
	if from := q.column(name); from != "" {
		return from
	}
	return q.row(name, true)
}

// column is where a column of that name, of whatever table, may come from.
func (q *query) column(name string) string {
	if from := q.inner[name]; from != "" {
		return from
	}
	for _, r := range q.relations {
		if from := r.columns.Origin(name); from != "" {
			return from
		}
	}
	return ""
}

// row is where a whole row of a table, or, with derived, of a query in a FROM
// clause, may come from.
func (q *query) row(name string, derived bool) string {
	for _, r := range q.relations {
		if from := r.columns.Any(); r.alias == name && from != "" {
			return from
		}
	}
	if derived && slices.Contains(q.flow.Derived, name) {
		return q.any
	}
	return ""
}
