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
	exact  bool              // no column has a name that the engine made up
	unsure string            // every column may come from here; "": none
}

// Origin is the marked column, as schema.table.column, that the values of column
// may come from; "" when they come from none.
func (c Columns) Origin(column string) string { return c.origin(column, !c.exact) }

// origin also takes a column for a marked one, with renamed, when its name is
// what DuckDB makes of the second column of a name: name_1.
func (c Columns) origin(column string, renamed bool) string {
	if from := lookup(c.marked, strings.ToLower(column), renamed); from != "" {
		return from
	}
	return c.unsure
}

func lookup(marked map[string]string, name string, renamed bool) string {
	for ok := true; ok; {
		if from := marked[name]; from != "" {
			return from
		}
		rest := strings.TrimRight(name, "0123456789")
		ok = renamed && rest != name && (strings.HasSuffix(rest, "_") || strings.HasSuffix(rest, ":"))
		if ok {
			name = rest[:len(rest)-1]
		}
	}
	return ""
}

// Unsure is a marked column that any column may come from: the query cannot be
// followed. "": there is none.
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
	c := Columns{marked: map[string]string{}, exact: true}
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
		if anywhere(r) {
			c.unsure = t.any()
			f.Opaque = f.Opaque || r.Schema == ""
		}
		q.relations = append(q.relations, relation{r.Alias, c})
		if from := c.Any(); q.any == "" || from != "" && from < q.any {
			q.any = from
		}
	}
	out := Columns{marked: map[string]string{}}
	if q.any == "" {
		return out
	}
	if f.Opaque {
		out.unsure = q.any
		return out
	}
	q.fill()
	// An engine makes up the name of a column that has none, and may choose one that
	// another column has.
	for _, item := range slices.Concat(f.Inner, f.Outputs) {
		if from := q.item(item); item.Name == "" && from != "" {
			out.unsure = from
			return out
		}
	}
	q.outputs(&out)
	return out
}

// anywhere reports whether a table may hold values of any other one: where it is
// found depends on the session, or Postgres keeps frequent values in it.
func anywhere(r sqlparse.Relation) bool {
	return r.Schema == "" || strings.EqualFold(r.Schema, "pg_catalog") && strings.HasPrefix(strings.ToLower(r.Name), "pg_stat")
}

// any is one of all marked columns.
func (t Tables) any() string {
	least := ""
	for _, c := range t {
		if from := c.Any(); least == "" || from != "" && from < least {
			least = from
		}
	}
	return least
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
	out.exact = true
	for _, item := range q.flow.Outputs {
		out.exact = out.exact && item.Name != "" && !named[item.Name]
		named[item.Name] = true
		if item.Star {
			q.star(item, out)
		} else if from := q.item(item); from != "" {
			out.marked[item.Name] = from
		}
	}
	if len(q.flow.Outputs) == 1 && q.flow.Outputs[0].Star && len(q.flow.Inner) == 0 && len(q.flow.Derived) == 0 {
		tables := slices.DeleteFunc(slices.Clone(q.relations), func(r relation) bool { return r.alias == "" })
		out.exact = len(tables) == 1 && tables[0].columns.exact
	}
}

// star takes over the names that a star may bring.
func (q *query) star(item sqlparse.Item, out *Columns) {
	of := ""
	if len(item.Refs) > 0 && len(item.Refs[0]) > 0 {
		of = item.Refs[0][len(item.Refs[0])-1]
	}
	derived := of == "" || slices.Contains(q.flow.Derived, of)
	found := derived
	for _, r := range q.relations {
		if r.alias == "" || !derived && r.alias != of {
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
	if !found || of != "" && q.column(of) != "" { // the fields of a struct
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
	derived := slices.Contains(q.flow.Derived, alias)
	if derived && slices.Contains(rowFunctions(), column) {
		from = q.any
	}
	return known && !derived, from
}

// rowFunctions are functions of a whole row that Postgres also takes as if they
// were columns: c.to_json is to_json(c).
func rowFunctions() []string {
	return []string{
		"to_json", "to_jsonb", "row_to_json", "json_build_array", "jsonb_build_array", "json_build_object", "jsonb_build_object",
		"concat", "quote_literal", "quote_nullable", "hash_record", "record_out", "record_send", "pg_column_size",
		"hstore", "text", "varchar",
	}
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
	if from := lookup(q.inner, name, true); from != "" {
		return from
	}
	for _, r := range q.relations {
		if r.alias == "" {
			continue
		}
		if from := r.columns.origin(name, !r.columns.exact || len(q.flow.Inner)+len(q.flow.Derived) > 0); from != "" {
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
