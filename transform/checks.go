package transform

import (
	"fmt"
	"slices"
	"strings"

	"elt/internal/sqlparse"
	"elt/internal/warehouse"
	"elt/internal/yamlx"
)

// Check is a declared check of a table, model or stream, with the tables that
// its SQL names resolved. A table is judged before readers see it, so what the
// SQL calls by the table's own name is read where the new rows stand.
type Check struct {
	yamlx.Check
	// Needs are the other tables of the project that it reads, sorted: it is
	// evaluated after they were made.
	Needs []string
	// Before are those that it reads as the last run left them, sorted, because
	// they wait for the table that it judges. Where one does not exist yet, there
	// is nothing to judge by.
	Before []string

	table string // that it judges
	own   bool   // its SQL names that table
	parts map[string]checkText
	names map[string]string
	place func(schema, name string) warehouse.Table
}

// checkText is SQL of a check inside a whole SELECT, which the parser needs.
type checkText struct {
	before, text, after string
	query               sqlparse.Query
}

// Table is the table that it judges.
func (c *Check) Table() string { return c.table }

// Whole reports whether the check needs the whole table: one that is about each
// row by itself can look at the rows of a load alone.
func (c *Check) Whole() bool {
	return c.own || slices.Contains([]string{"unique", "relationships", "sql"}, c.Kind)
}

// On is the check for rows that stand in rel: its SQL, and the quoted table of a
// relationship ("" for other kinds).
func (c *Check) On(rel warehouse.Table) (bound yamlx.Check, to string) {
	bound = c.Check
	bound.SQL, bound.Where = c.rewrite("sql", c.SQL, rel), c.rewrite("where", c.Where, rel)
	if c.Kind == "relationships" {
		to = c.at(c.To[:strings.LastIndexByte(c.To, '.')], rel).String()
	}
	return bound, to
}

// at is where a table that the check names stands.
func (c *Check) at(name string, rel warehouse.Table) warehouse.Table {
	known, ok := c.names[strings.ToLower(name)]
	if ok && known == c.table {
		return rel
	}
	if !ok {
		known = name
	}
	schema, table, _ := strings.Cut(known, ".")
	if !ok {
		return warehouse.Table{Schema: schema, Name: table}
	}
	return c.place(schema, table)
}

// rewrite puts the places of tables into a text of the check. A SELECT keeps the
// name of the judged table, which its columns may be qualified by: the rows take
// that name as a common table expression, unless the SELECT uses it otherwise.
func (c *Check) rewrite(part, text string, rel warehouse.Table) string {
	p, ok := c.parts[part]
	if !ok {
		return text
	}
	schema, table, _ := strings.Cut(c.table, ".")
	stands := rel == c.place(schema, table)
	named := c.Kind == "sql" && part == "sql" && c.own && !stands && !c.ambiguous(p.query, table)
	whole := sqlparse.Rewrite(p.before+p.text+p.after, p.query, func(ref sqlparse.Ref) string {
		known, ok := c.names[strings.ToLower(ref.Display())]
		switch {
		case !ok:
			return ""
		case known == c.table && named:
			return warehouse.Quote(table)
		}
		if at := c.at(known, rel); at.Schema != ref.Schema || at.Name != ref.Name {
			return at.String()
		}
		return ""
	})
	text = whole[len(p.before) : len(whole)-len(p.after)]
	if named {
		return "WITH " + warehouse.Quote(table) + " AS (SELECT * FROM " + rel.String() + ")\nSELECT * FROM (\n" + text + "\n) AS _elt_offending"
	}
	return text
}

// ambiguous reports whether q means something else by the bare name of the
// table too: a common table expression or a table of another schema.
func (c *Check) ambiguous(q sqlparse.Query, table string) bool {
	return slices.Contains(q.Flow.Derived, strings.ToLower(table)) || slices.ContainsFunc(q.Refs, func(r sqlparse.Ref) bool {
		return strings.EqualFold(r.Name, table) && !strings.EqualFold(r.Display(), c.table)
	})
}

// checks resolves the checks of a table. fail reports a mistake in one of them.
func (r *reader) checks(table string, specs []yamlx.Check, fail func(at yamlx.Pos, msg, hint string)) []*Check {
	var out []*Check
	for _, spec := range specs {
		c := &Check{Check: spec, table: table, parts: map[string]checkText{}, names: r.names, place: r.opts.Place}
		bad := func(msg, hint string) { fail(spec.Pos, "check "+spec.Kind+": "+msg, hint) }
		if spec.Kind == "sql" {
			r.checkText(c, "sql", checkText{text: spec.SQL}, bad)
		} else if spec.SQL != "" {
			r.checkText(c, "sql", checkText{before: "SELECT 1 WHERE (", text: spec.SQL, after: "\n)"}, bad)
		}
		if spec.Where != "" {
			r.checkText(c, "where", checkText{before: "SELECT 1 WHERE (", text: spec.Where, after: "\n)"}, bad)
		}
		if spec.Kind == "relationships" {
			schema, name, _ := strings.Cut(spec.To[:strings.LastIndexByte(spec.To, '.')], ".")
			r.checkRef(c, sqlparse.Ref{Schema: schema, Name: name}, bad)
		}
		slices.Sort(c.Needs)
		c.Needs = slices.Compact(c.Needs)
		out = append(out, c)
	}
	return out
}

// checkText parses a text of a check and notes the tables that it names.
func (r *reader) checkText(c *Check, part string, p checkText, bad func(msg, hint string)) {
	q, err := r.parser.Parse(p.before + p.text + p.after)
	if err != nil {
		mistake := sqlparse.ErrorAt(p.text, 0, err.Error(), "")
		if all, ok := err.(sqlparse.Errors); ok { //nolint:errorlint // a parser returns it as it is
			mistake = sqlparse.ErrorAt(p.text, all[0].Offset-len(p.before), all[0].Msg, all[0].Hint)
		}
		bad(fmt.Sprintf("%s (line %d, column %d of its SQL)", mistake.Msg, mistake.Line, mistake.Col), mistake.Hint)
		return
	}
	p.query = q
	if p.after == "" {
		p.text = p.text[:q.End]
		p.query.End = len(p.text)
	}
	c.parts[part] = p
	for _, ref := range q.Refs {
		r.checkRef(c, ref, bad)
	}
}

// checkRef notes that c reads a table.
func (r *reader) checkRef(c *Check, ref sqlparse.Ref, bad func(msg, hint string)) {
	name, ok := r.names[strings.ToLower(ref.Display())]
	switch {
	case ok && name == c.table:
		c.own = true
	case ok:
		c.Needs = append(c.Needs, name)
	case ref.Schema == "":
		bad(fmt.Sprintf("table %s without its schema", ref.Name), inSchemas(ref.Name, r.known()))
	case slices.Contains([]string{warehouse.StateSchema, "elt", "information_schema", "pg_catalog"}, strings.ToLower(ref.Schema)):
	default:
		bad("unknown table "+ref.Display(), unknownHint(ref, r.known()))
	}
}

func (r *reader) known() []string {
	var known []string
	for _, n := range r.names {
		known = append(known, n)
	}
	return known
}
