package duckread

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"elt/internal/rows"
	"elt/internal/scan"
)

// csvOptions spell the dialect. A quote is a quote even where the sniffed part
// of a file has none: one that first occurs in row 30,000 would break the row.
func (p *plan) csvOptions(g group) string {
	var b strings.Builder
	o := p.f.CSV
	option := func(name, value string) { b.WriteString(", " + name + "=" + value) }
	if g.delim != "" {
		option("delim", literal(g.delim))
	}
	if o.Quote == "" {
		o.Quote = `"`
	}
	option("quote", literal(o.Quote))
	if o.Escape != "" {
		option("escape", literal(o.Escape))
	}
	switch {
	case o.Header != nil:
		option("header", fmt.Sprint(*o.Header))
	case g.headed != "":
		option("header", g.headed)
	}
	if len(o.Null) > 0 {
		texts := make([]string, len(o.Null))
		for i, s := range o.Null {
			texts[i] = literal(s)
		}
		option("nullstr", "["+strings.Join(texts, ", ")+"]")
	}
	if o.Skip > 0 {
		option("skip", fmt.Sprint(o.Skip))
	}
	if o.Encoding != "" {
		option("encoding", literal(o.Encoding))
	}
	b.WriteString(g.compression())
	return b.String()
}

// csv inserts group by group; DuckDB keeps the rejects of each in a table.
func (w *writer) csv(ctx context.Context) (int64, error) {
	var total int64
	for _, g := range w.plan.groups {
		n, err := w.csvGroup(ctx, g)
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

func (w *writer) csvGroup(ctx context.Context, g group) (int64, error) {
	id := strings.ToLower(rand.Text()[:10])
	bad, scans := "_elt_rejects_"+id, "_elt_scans_"+id
	from, items, good := w.plan.csvReader(g)
	n, err := w.insertWhole(ctx, g, w.insertSQL(append(items, nameItem(g.files)), from+", store_rejects=true, rejects_table="+literal(bad)+", rejects_scan="+literal(scans)+")"))
	if err != nil {
		return 0, err
	}
	if good != "" {
		if n, err = w.careful(ctx, g, n); err != nil {
			return 0, err
		}
	}
	if err := w.csvRejects(ctx, g.files, bad, scans); err != nil {
		return 0, err
	}
	for _, t := range []string{bad, scans} {
		if _, err := w.e.Exec(ctx, "DROP TABLE temp.main."+quote(t)); err != nil {
			return 0, of(g.files, err)
		}
	}
	return n, nil
}

// csvCandidates are the types that the reader may find for itself once the plan
// has found the dates: given those, it would look for an order of day and month
// for the declared ones too.
const csvCandidates = ", auto_type_candidates=['NULL','BOOLEAN','BIGINT','DOUBLE','TIME','VARCHAR']"

// cast reports whether a CSV column is read as text and cast: the reader makes
// NULL of a text that is no timestamp with time zone, and rounds what has more
// digits than a decimal that was sniffed.
func (c column) cast() bool {
	upper := strings.ToUpper(c.typ)
	return upper == "TIMESTAMP WITH TIME ZONE" || upper == "TIMESTAMPTZ" || !c.declared && strings.HasPrefix(upper, "DECIMAL")
}

// csvReader reads g, the call left open for more options. good is the condition
// that no value is lost in a cast; "" where nothing is cast.
func (p *plan) csvReader(g group) (from string, items []string, good string) {
	var types, conditions []string
	for _, c := range g.cols {
		switch {
		case c.cast():
			types = append(types, literal(c.source)+": 'VARCHAR'")
			value := c.value(quote(c.source))
			if f := p.f.CSV.TimestampFormat; f != "" && !strings.HasPrefix(c.typ, "DECIMAL") {
				value = "CAST(try_strptime(" + quote(c.source) + ", " + literal(f) + ") AS TIMESTAMP WITH TIME ZONE)"
			}
			fits := value + " IS NOT NULL"
			if strings.HasPrefix(c.typ, "DECIMAL") {
				fits = exact(quote(c.source), value)
			}
			conditions = append(conditions, "("+quote(c.source)+" IS NULL OR "+fits+")")
			items = append(items, "CASE WHEN "+fits+" THEN "+value+" END AS "+quote(c.name))
			continue
		// Several files may be sniffed differently; the plan holds what fits all.
		case c.declared || len(p.files) > 1 || c.typ != "BIGINT" && c.typ != "BOOLEAN" && c.typ != "DOUBLE" && c.typ != "TIME":
			types = append(types, literal(c.source)+": "+literal(c.typ))
		}
		items = append(items, quote(c.source)+" AS "+quote(c.name))
	}
	from = "read_csv(" + pathList(g.files) + ", filename=" + literal(fileColumn) + ", hive_partitioning=false" + p.csvOptions(g) + csvCandidates
	if f := p.f.CSV.DateFormat; f != "" {
		from += ", dateformat=" + literal(f)
	}
	if f := p.f.CSV.TimestampFormat; f != "" {
		from += ", timestampformat=" + literal(f)
	}
	if len(types) > 0 {
		from += ", types={" + strings.Join(types, ", ") + "}"
	}
	return from, items, strings.Join(conditions, " AND ")
}

// careful looks behind the NULLs of the columns that were cast. Where one of
// them is a value that the type does not hold, the rows of the group are taken
// back and inserted without such rows, which are rejected.
func (w *writer) careful(ctx context.Context, g group, inserted int64) (int64, error) {
	var nulls []string
	reasons := []string{}
	for _, c := range g.cols {
		if c.cast() {
			nulls = append(nulls, quote(c.name)+" IS NULL")
			reasons = append(reasons, "CASE WHEN "+quote(c.name)+" IS NULL AND "+quote(rawName(c))+" IS NOT NULL THEN "+
				literal("column "+c.name+": expected "+c.typ+", found ")+" || left("+quote(rawName(c))+", 200) END")
		}
	}
	any := false
	r, err := w.e.Query(ctx, "SELECT count(*) > 0 FROM "+w.into+" WHERE "+quote(sourceFile)+" IN ("+nameList(g.files)+") AND ("+strings.Join(nulls, " OR ")+")")
	if err == nil {
		err = rows.Each(r, func(row rows.Row) error { any = row.Bool(0); return nil })
	}
	if err != nil || !any {
		return inserted, of(g.files, err)
	}
	from, items, good := w.plan.csvReader(g)
	from += ", ignore_errors=true)"
	list := append(slices.Clone(items), nameItem(g.files))
	for _, c := range g.cols {
		if c.cast() {
			list = append(list, quote(c.source)+" AS "+quote(rawName(c)))
		}
	}
	list = append(list, payload(g.cols)+" AS "+quote(payloadColumn))
	r, err = w.e.Query(ctx, "SELECT "+quote(sourceFile)+", concat_ws('; ', "+strings.Join(reasons, ", ")+"), "+quote(payloadColumn)+
		" FROM (SELECT "+strings.Join(list, ", ")+" FROM "+from+" WHERE NOT ("+good+"))")
	if err != nil {
		return 0, of(g.files, err)
	}
	bad := false
	err = rows.Each(r, func(row rows.Row) error {
		bad = true
		return w.reject(scan.Reject{Locator: row.String(0), Reason: row.String(1), Payload: row.String(2)})
	})
	if err != nil || !bad {
		return inserted, of(g.files, err)
	}
	if err := w.takeBack(ctx, g); err != nil {
		return 0, err
	}
	n, err := w.e.Exec(ctx, w.insertSQL(append(items, nameItem(g.files)), from+" WHERE "+good))
	return n, of(g.files, err)
}

// payloadColumn and rawName are names of columns that no file has.
const payloadColumn = "_elt_read_payload"

func rawName(c column) string { return "_elt_read_" + c.name }

// takeBack deletes the rows of g that this Insert has inserted.
func (w *writer) takeBack(ctx context.Context, g group) error {
	_, err := w.e.Exec(ctx, "DELETE FROM "+w.into+" WHERE "+quote(sourceFile)+" IN ("+nameList(g.files)+")")
	return of(g.files, err)
}

// nameList is the list of the files' names in SQL.
func nameList(files []scan.File) string {
	names := make([]string, len(files))
	for i, f := range files {
		names[i] = literal(f.Name)
	}
	return strings.Join(names, ", ")
}

// insertWhole runs q, which reads files, and proves beside it that those which
// are compressed are whole.
func (w *writer) insertWhole(ctx context.Context, g group, q string) (n int64, err error) {
	var zipped []scan.File
	if g.zipped {
		zipped = g.files
	}
	n, _, err = w.insertTallied(ctx, g.files, zipped, q)
	return n, err
}

// insertTallied runs q, which reads files, while it looks at the bytes of counted.
// A damaged file is told before whatever DuckDB made of it.
func (w *writer) insertTallied(ctx context.Context, files, counted []scan.File, q string) (n int64, found seen, err error) {
	tallying, stop := context.WithCancel(ctx)
	defer stop()
	var g errgroup.Group
	g.Go(func() (err error) {
		found, err = tally(tallying, counted)
		return err
	})
	n, err = w.e.Exec(ctx, q)
	if err != nil && ctx.Err() != nil {
		stop()
	}
	if terr := g.Wait(); terr != nil && !errors.Is(terr, context.Canceled) {
		return 0, seen{}, terr
	}
	return n, found, of(files, err)
}

// notUTF8 is the reason of a line in another encoding.
const notUTF8 = "not valid UTF-8; if the file is in another encoding, say so in the stream: csv: {encoding: latin-1}"

// csvRejects hands on each line once, whatever the number of its mistakes.
func (w *writer) csvRejects(ctx context.Context, files []scan.File, bad, scans string) error {
	names := map[string]string{}
	for _, f := range files {
		names[f.Path] = f.Name
	}
	message := `CASE WHEN e.error_type = 'INVALID ENCODING' THEN ` + literal(notUTF8) + ` ELSE e.error_message END`
	r, err := w.e.Query(ctx, `SELECT s.file_path, e.line::BIGINT, string_agg(DISTINCT `+message+`, '; ' ORDER BY `+message+`), any_value(e.csv_line)
		FROM temp.main.`+quote(bad)+` e JOIN temp.main.`+quote(scans)+` s USING (scan_id, file_id)
		GROUP BY s.file_path, e.line ORDER BY s.file_path, e.line`)
	if err != nil {
		return of(files, err)
	}
	return rows.Each(r, func(row rows.Row) error {
		name, ok := names[row.String(0)]
		if !ok {
			name = row.String(0)
		}
		return w.reject(scan.Reject{Locator: fmt.Sprintf("%s:%d", name, row.Int(1)), Reason: row.String(2), Payload: row.String(3)})
	})
}
