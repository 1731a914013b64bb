package check

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"elt/internal/rows"
)

// samples is how many offending rows a finding keeps.
const samples = 5

// Spec is a check as a project or a model's header asks for it.
type Spec struct {
	Kind     string   // not_null, unique, accepted_values, relationships, range, expression, sql
	Columns  []string // the columns that it is about
	Values   []string // accepted_values
	Min, Max string   // range; "" is unbounded
	To       string   // relationships: schema.table.column
	ToTable  string   // relationships: where schema.table stands, quoted; "": under its name
	SQL      string   // expression: what must hold for every row; sql: a SELECT of offending rows
	Rule     string   // expression: as people wrote it; "": SQL
	Severity Severity // "" means Error
	Where    string   // only rows for which this holds
}

// New makes the checks that spec asks for. Nothing is evaluated yet.
func New(spec Spec) (Check, error) {
	c := &asked{spec: spec, severity: spec.Severity}
	if c.severity == "" {
		c.severity = Error
	}
	col := func() string {
		if len(spec.Columns) == 0 {
			return ""
		}
		return quote(spec.Columns[0])
	}
	if spec.Kind != "expression" && spec.Kind != "sql" && len(spec.Columns) == 0 {
		return nil, fmt.Errorf("check %s names no column", spec.Kind)
	}
	c.name = spec.Kind + "(" + strings.Join(spec.Columns, ", ") + ")"
	switch spec.Kind {
	case "not_null":
		var nulls []string
		for _, name := range spec.Columns {
			nulls = append(nulls, quote(name)+" IS NULL")
		}
		c.expected, c.bad = "no NULL", strings.Join(nulls, " OR ")
	case "accepted_values":
		var vals []string
		for _, v := range spec.Values {
			vals = append(vals, literal(v))
		}
		if len(vals) == 0 {
			return nil, fmt.Errorf("check %s lists no values", c.name)
		}
		c.expected = "one of " + strings.Join(spec.Values, ", ")
		c.bad = fmt.Sprintf("CAST(%s AS text) NOT IN (%s)", col(), strings.Join(vals, ", "))
	case "range":
		c.expected, c.bad = rangeOf(spec, col())
		if c.bad == "" {
			return nil, fmt.Errorf("check %s has neither min nor max", c.name)
		}
	case "expression":
		rule := cmp.Or(spec.Rule, spec.SQL)
		c.name, c.expected = "expression("+rule+")", rule
		c.bad = "NOT (" + spec.SQL + ")"
	case "unique":
		c.expected = "each value once"
	case "relationships":
		parts := strings.Split(spec.To, ".")
		if len(parts) != 3 {
			return nil, fmt.Errorf("check %s: to is %q, expected schema.table.column", c.name, spec.To)
		}
		c.expected = "a row in " + spec.To
		to := cmp.Or(spec.ToTable, quote(parts[0])+"."+quote(parts[1]))
		c.bad = fmt.Sprintf("%s IS NOT NULL AND NOT EXISTS (SELECT 1 FROM %s AS _elt_to WHERE _elt_to.%s = _elt_row.%s)",
			col(), to, quote(parts[2]), col())
	case "sql":
		c.name, c.expected = "sql", "no rows"
	default:
		return nil, fmt.Errorf("unknown check %q, expected not_null, unique, accepted_values, relationships, range, expression or sql", spec.Kind)
	}
	return c, nil
}

func rangeOf(spec Spec, col string) (expected, bad string) {
	var out, says []string
	if spec.Min != "" {
		out, says = append(out, col+" < "+bound(spec.Min)), append(says, "at least "+spec.Min)
	}
	if spec.Max != "" {
		out, says = append(out, col+" > "+bound(spec.Max)), append(says, "at most "+spec.Max)
	}
	return strings.Join(says, ", "), strings.Join(out, " OR ")
}

// bound writes a bound of a range as a literal without a type of its own, so
// that the engine compares numbers, dates and times alike.
func bound(s string) string {
	if strings.Trim(s, "+-.0123456789") == "" && strings.ContainsAny(s, "0123456789") && strings.Count(s, "-") < 2 {
		return s
	}
	return literal(s)
}

// asked is a check over rows: bad holds for those that offend.
type asked struct {
	spec     Spec
	name     string
	severity Severity
	expected string
	bad      string
}

func (c *asked) Name() string { return c.name }

// Eval implements [Check]. A NULL result of an expression is no offence, as in
// the CHECK constraints of SQL.
func (c *asked) Eval(ctx context.Context, q Querier, rel Relation, _ time.Time) (Finding, error) {
	f := Finding{Check: c.name, Relation: rel.Name, Severity: c.severity, Expected: c.expected, Observed: "none", OK: true}
	offending, count := c.queries(rel)
	if err := each(ctx, q, count, func(r rows.Row) error {
		f.Failed = r.Int(0)
		return nil
	}); err != nil {
		return f, fmt.Errorf("check %s on %s: %w", c.name, rel.Name, err)
	}
	if f.Failed == 0 {
		return f, nil
	}
	f.OK, f.Observed = false, plural(f.Failed, "row")
	err := each(ctx, q, "SELECT "+asJSON(rel.Dialect, "_elt_bad")+" FROM ("+offending+fmt.Sprintf(" LIMIT %d) AS _elt_bad", samples), func(r rows.Row) error {
		f.Samples = append(f.Samples, r.String(0))
		return nil
	})
	if err != nil {
		return f, fmt.Errorf("samples of check %s on %s: %w", c.name, rel.Name, err)
	}
	return f, nil
}

// queries returns a SELECT of the offending rows and one that counts them.
func (c *asked) queries(rel Relation) (offending, count string) {
	where := ""
	if c.spec.Where != "" {
		where = " AND (" + c.spec.Where + ")"
	}
	switch c.spec.Kind {
	case "sql":
		offending = "SELECT * FROM (" + strings.TrimRight(strings.TrimSpace(c.spec.SQL), ";") + "\n) AS _elt_sql"
	case "unique":
		var cols, set []string
		for _, name := range c.spec.Columns {
			cols, set = append(cols, quote(name)), append(set, quote(name)+" IS NOT NULL")
		}
		list := strings.Join(cols, ", ")
		offending = fmt.Sprintf("SELECT %s, count(*) AS rows FROM %s WHERE %s%s GROUP BY %s HAVING count(*) > 1",
			list, rel.SQL, strings.Join(set, " AND "), where, list)
		return offending, "SELECT CAST(coalesce(sum(rows), 0) AS bigint) FROM (" + offending + ") AS _elt_dup"
	default:
		offending = "SELECT * FROM " + rel.SQL + " AS _elt_row WHERE (" + c.bad + ")" + where
	}
	return offending, "SELECT count(*) FROM (" + offending + ") AS _elt_count"
}

func asJSON(dialect, alias string) string {
	if dialect == "postgres" {
		return "CAST(row_to_json(" + alias + ") AS text)"
	}
	return "CAST(to_json(" + alias + ") AS text)"
}

func each(ctx context.Context, q Querier, sql string, fn func(rows.Row) error, args ...any) error {
	r, err := q.Query(ctx, sql, args...)
	if err != nil {
		return err
	}
	return rows.Each(r, fn)
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func literal(s string) string { return `'` + strings.ReplaceAll(s, `'`, `''`) + `'` }

func plural(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
