package duckread

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"elt/internal/crash"
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
	r := w.plan.csvReader(g, false)
	name := nameExpr(g.files)
	if r.good != "" {
		name = "CASE WHEN " + r.good + " THEN " + name + " ELSE " + literal(misfit) + " END"
	}
	items := append(r.items, name+" AS "+quote(sourceFile))
	n, err := w.insertWhole(ctx, g, w.insertSQL(items, r.from+", store_rejects=true, rejects_table="+literal(bad)+", rejects_scan="+literal(scans)+")"))
	if err != nil {
		return 0, err
	}
	if r.good != "" {
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

// misfit stands in place of the name of a file in rows of which a value was lost.
const misfit = "_elt_misfit"

// cast reports whether a CSV column is read as text and cast: the reader makes
// NULL of a text that is no timestamp with time zone, and rounds what has more
// digits than a decimal that was sniffed.
func (c column) cast() bool {
	return c.kind() == "TIMESTAMP WITH TIME ZONE" || !c.declared && c.decimal() || c.integer() && c.long
}

// integer reports whether the reader, which rounds 2.5 to an integer, has to take
// the column for a DOUBLE first, which it reads as fast, to tell such values.
func (c column) integer() bool {
	return strings.HasSuffix(c.kind(), "INT") || strings.HasSuffix(c.kind(), "INTEGER")
}

// csvRead is how a group is read.
type csvRead struct {
	from  string   // the call of the reader, left open for more options
	items []string // the columns
	good  string   // the condition that no value is lost; "" where none can be
	kept  string   // the condition that the reader had not rejected the row at once
}

// csvReader reads g; slow takes integers for texts and not for DOUBLEs.
func (p *plan) csvReader(g group, slow bool) csvRead {
	var r csvRead
	var types, conditions []string
	kept := []string{"true"}
	for _, c := range g.cols {
		text := quote(c.source)
		value, fits := c.value(text), ""
		switch {
		case c.cast() || c.integer() && slow:
			types = append(types, literal(c.source)+": 'VARCHAR'")
			fits = exact(text, value)
			if !c.integer() && !c.decimal() {
				if f := p.f.CSV.TimestampFormat; f != "" {
					value = "CAST(try_strptime(" + text + ", " + literal(f) + ") AS TIMESTAMP WITH TIME ZONE)"
				}
				fits = value + " IS NOT NULL"
			} else if c.integer() && !c.cast() {
				kept = append(kept, "("+text+" IS NULL OR TRY_CAST("+text+" AS DOUBLE) IS NOT NULL)")
			}
		case c.integer():
			types = append(types, literal(c.source)+": 'DOUBLE'")
			fits = "(abs(" + text + ") <= 9007199254740991 AND coalesce(" + value + " = " + text + ", false))"
		// Several files may be sniffed differently; the plan holds what fits all.
		case c.declared || len(p.files) > 1 || c.typ != "BOOLEAN" && c.typ != "DOUBLE" && c.typ != "TIME":
			types = append(types, literal(c.source)+": "+literal(c.typ))
		}
		if fits == "" {
			r.items = append(r.items, text+" AS "+quote(c.name))
			continue
		}
		conditions = append(conditions, "("+text+" IS NULL OR "+fits+")")
		r.items = append(r.items, value+" AS "+quote(c.name))
	}
	r.from = "read_csv(" + pathList(g.files) + ", filename=" + literal(fileColumn) + ", hive_partitioning=false" + p.csvOptions(g) + csvCandidates
	if f := p.f.CSV.DateFormat; f != "" {
		r.from += ", dateformat=" + literal(f)
	}
	if f := p.f.CSV.TimestampFormat; f != "" {
		r.from += ", timestampformat=" + literal(f)
	}
	if len(types) > 0 {
		r.from += ", types={" + strings.Join(types, ", ") + "}"
	}
	r.good, r.kept = strings.Join(conditions, " AND "), strings.Join(kept, " AND ")
	return r
}

// careful looks for rows of which a value was lost. Where there is one, the rows
// of the group are taken back and read slowly, without such rows, which are rejected.
func (w *writer) careful(ctx context.Context, g group, inserted int64) (int64, error) {
	misfits := false
	found, err := w.e.Query(ctx, "SELECT count(*) > 0 FROM "+w.into+" WHERE "+quote(sourceFile)+" = "+literal(misfit))
	if err == nil {
		err = rows.Each(found, func(row rows.Row) error { misfits = row.Bool(0); return nil })
	}
	if err != nil || !misfits {
		return inserted, of(g.files, err)
	}
	if err := w.takeBack(ctx, g); err != nil {
		return 0, err
	}
	r := w.plan.csvReader(g, true)
	from := r.from + ", ignore_errors=true)"
	if err := w.rejectMisfits(ctx, g, r, from); err != nil {
		return 0, err
	}
	n, err := w.e.Exec(ctx, w.insertSQL(append(r.items, nameItem(g.files)), from+" WHERE "+r.good+" AND "+r.kept))
	return n, of(g.files, err)
}

// rejectMisfits rejects the rows of g that r reads and that are not good.
func (w *writer) rejectMisfits(ctx context.Context, g group, r csvRead, from string) error {
	var reasons []string
	list := append(slices.Clone(r.items), nameItem(g.files), payload(g.cols)+" AS "+quote(payloadColumn))
	for _, c := range g.cols {
		if !c.cast() && !c.integer() {
			continue
		}
		lost := quote(c.name) + " IS NULL"
		if c.integer() || c.decimal() {
			lost = "NOT " + exact(quote(rawName(c)), quote(c.name))
		}
		list = append(list, quote(c.source)+" AS "+quote(rawName(c)))
		reasons = append(reasons, "CASE WHEN "+quote(rawName(c))+" IS NOT NULL AND "+lost+" THEN "+
			literal("column "+c.name+": expected "+c.typ+", found ")+" || left("+quote(rawName(c))+", 200) END")
	}
	found, err := w.e.Query(ctx, "SELECT "+quote(sourceFile)+", concat_ws('; ', "+strings.Join(reasons, ", ")+"), "+quote(payloadColumn)+
		" FROM (SELECT "+strings.Join(list, ", ")+" FROM "+from+" WHERE NOT ("+r.good+") AND "+r.kept+")")
	if err != nil {
		return of(g.files, err)
	}
	return rows.Each(found, func(row rows.Row) error {
		return w.reject(scan.Reject{Locator: row.String(0), Reason: row.String(1), Payload: row.String(2)})
	})
}

// payloadColumn and rawName are names of columns that no file has.
const payloadColumn = "_elt_read_payload"

func rawName(c column) string { return "_elt_read_" + c.name }

// takeBack deletes the rows of g that this Insert has inserted.
func (w *writer) takeBack(ctx context.Context, g group) error {
	_, err := w.e.Exec(ctx, "DELETE FROM "+w.into+" WHERE "+quote(sourceFile)+" IN ("+nameList(g.files)+", "+literal(misfit)+")")
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
	g.Go(crash.Guarded(func() (err error) {
		found, err = tally(tallying, counted)
		return err
	}))
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
	message := `CASE WHEN e.error_type = 'INVALID ENCODING' THEN ` + literal(notUTF8)
	for _, c := range w.plan.cols {
		if c.integer() { // which the reader knows as a DOUBLE
			message += ` WHEN trim(e.column_name, '"') = ` + literal(c.source) + ` THEN replace(e.error_message, ` + literal("to 'DOUBLE'") + `, ` + literal("to '"+c.typ+"'") + `)`
		}
	}
	message += ` ELSE e.error_message END`
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
