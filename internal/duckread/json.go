package duckread

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"

	"elt/internal/rows"
	"elt/internal/scan"
)

// document reports that the column takes any JSON value.
func (c column) document() bool { return nested(c.typ) || strings.EqualFold(c.typ, "JSON") }

// raw is the type that a JSON value is read as: one that takes in any value, so
// that a cast which fails is seen and not a silent NULL.
func (c column) raw() string {
	if c.document() && !c.verbatim {
		return "JSON"
	}
	return "VARCHAR"
}

// plain reports that the raw value is the value.
func (c column) plain() bool {
	return c.kind() == "JSON" || c.kind() == "VARCHAR"
}

// value is c's value from expr, and fits whether the cast loses it or a part of it.
func (c column) value(expr string) string {
	switch {
	case c.verbatim && strings.EqualFold(c.typ, "JSON"):
		return "CAST(" + expr + " AS JSON)"
	case c.plain():
		return expr
	default:
		return "TRY_CAST(" + expr + " AS " + c.typ + ")"
	}
}

func (c column) fits(expr string) string {
	switch {
	case c.plain():
		return ""
	case c.kind() == "DOUBLE" && !c.declared: // who declares one has said that integers too may be rounded
		return "(" + expr + " IS NULL OR regexp_matches(" + expr + ", '[.eE]') AND " + nearDouble(expr) + " OR " + exactDouble(expr) + ")"
	case c.kind() == "DATE" && !c.declared: // the cast would cut off a time
		return "(" + expr + " IS NULL OR " + c.value(expr) + " IS NOT NULL AND length(" + expr + ") <= 10)"
	case c.integer() || c.decimal():
		return "(" + expr + " IS NULL OR " + exact(expr, c.value(expr)) + ")"
	default:
		return "(" + expr + " IS NULL OR " + c.value(expr) + " IS NOT NULL)"
	}
}

// rawColumns are the columns as read_json takes them.
func rawColumns(cols []column) string {
	out := make([]string, len(cols))
	for i, c := range cols {
		out[i] = literal(c.source) + ": " + literal(c.raw())
	}
	return "{" + strings.Join(out, ", ") + "}"
}

// items selects every column out of its raw value; good is true for rows whose
// every value fits.
func items(cols []column) (items []string, good string) {
	var conditions []string
	for _, c := range cols {
		items = append(items, c.value(quote(c.source))+" AS "+quote(c.name))
		if f := c.fits(quote(c.source)); f != "" {
			conditions = append(conditions, f)
		}
	}
	if len(conditions) == 0 {
		return items, "true"
	}
	return items, "(" + strings.Join(conditions, " AND ") + ")"
}

// reason is an expression that says which values do not fit which types.
func reason(cols []column) string {
	var parts []string
	for _, c := range cols {
		if f := c.fits(quote(c.source)); f != "" {
			parts = append(parts, "CASE WHEN NOT "+f+" THEN "+literal("column "+c.name+": expected "+c.typ+", found ")+" || left(CAST("+quote(c.source)+" AS VARCHAR), 200) END")
		}
	}
	if len(parts) == 0 {
		return "''"
	}
	return "concat_ws('; ', " + strings.Join(parts, ", ") + ")"
}

// rawReader reads cols of g as they stand there.
func (p *plan) rawReader(g group, cols []column, more string) string {
	if p.f.Format == scan.JSONLines {
		more += ", format='newline_delimited', records=true, ignore_errors=true"
	}
	return "read_json(" + pathList(g.files) + ", hive_partitioning=false" + g.compression() + more + ", columns=" + rawColumns(cols) + ")"
}

// lines reads JSON lines by DuckDB's reader and proves by a count of the lines
// that nothing was lost: it makes a row of NULLs of a line that it cannot read.
// Where the counts differ the rows are taken back and read line by line.
func (w *writer) lines(ctx context.Context) (int64, error) {
	var total int64
	for _, g := range w.plan.groups {
		n, err := w.lineGroup(ctx, g)
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

func (w *writer) lineGroup(ctx context.Context, g group) (int64, error) {
	if len(g.cols) > 0 {
		var some []string
		for _, c := range g.cols {
			some = append(some, quote(c.source)+" IS NOT NULL")
		}
		list, good := items(g.cols)
		from := w.plan.rawReader(g, g.cols, ", filename="+literal(fileColumn)) + " WHERE (" + strings.Join(some, " OR ") + ") AND " + good
		n, seen, err := w.insertTallied(ctx, g.files, g.files, w.insertSQL(append(list, nameItem(g.files)), from))
		if err != nil || n == seen.lines && !seen.rounds {
			return n, err
		}
		g.verbatim(seen.rounds)
	}
	if err := w.takeBack(ctx, g); err != nil {
		return 0, err
	}
	var total int64
	for _, f := range g.files {
		n, err := w.lineByLine(ctx, f, g.cols)
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

// documents reads whole JSON documents. Their rows have no line to name, so all
// are read once into a table from which good and bad ones go their ways.
func (w *writer) documents(ctx context.Context) (int64, error) {
	var total int64
	for _, g := range w.plan.groups {
		n, err := w.documentGroup(ctx, g)
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

func (w *writer) documentGroup(ctx context.Context, g group) (int64, error) {
	tmp := "temp.main." + quote("_elt_json_"+strings.ToLower(rand.Text()[:10]))
	from := w.plan.rawReader(g, g.cols, ", filename="+literal(fileColumn))
	list, good := items(g.cols)
	list = append(list, nameItem(g.files))
	if good == "true" {
		n, seen, err := w.insertTallied(ctx, g.files, g.files, w.insertSQL(list, from))
		if err != nil || !seen.rounds {
			return n, err
		}
		if err := w.takeBack(ctx, g); err != nil {
			return 0, err
		}
		return w.oneByOne(ctx, g)
	}
	_, seen, err := w.insertTallied(ctx, g.files, g.files, "CREATE TEMP TABLE "+strings.TrimPrefix(tmp, "temp.main.")+" AS "+w.selectSQL("*", from))
	if err != nil {
		return 0, err
	}
	var n int64
	if seen.rounds {
		n, err = w.oneByOne(ctx, g)
	} else {
		n, err = w.fromTable(ctx, g, tmp, list, good)
	}
	if err != nil {
		return 0, err
	}
	_, err = w.e.Exec(ctx, "DROP TABLE "+tmp)
	return n, of(g.files, err)
}

// fromTable inserts the rows of tmp that are good and rejects the others.
func (w *writer) fromTable(ctx context.Context, g group, tmp string, list []string, good string) (int64, error) {
	n, err := w.e.Exec(ctx, w.insertSQL(list, tmp+" WHERE "+good))
	if err != nil {
		return 0, of(g.files, err)
	}
	r, err := w.e.Query(ctx, "SELECT "+nameExpr(g.files)+", "+reason(g.cols)+", "+payload(g.cols)+" FROM "+tmp+" WHERE NOT "+good)
	if err != nil {
		return 0, of(g.files, err)
	}
	return n, rows.Each(r, func(row rows.Row) error {
		return w.reject(scan.Reject{Locator: row.String(0), Reason: row.String(1), Payload: row.String(2)})
	})
}

// payload is a row as the source gave it, as JSON.
func payload(cols []column) string {
	out := make([]string, len(cols))
	for i, c := range cols {
		out[i] = literal(c.source) + ", " + quote(c.source)
	}
	return fmt.Sprintf("CAST(json_object(%s) AS VARCHAR)", strings.Join(out, ", "))
}
