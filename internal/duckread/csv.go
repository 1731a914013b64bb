package duckread

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
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
	if o.Header != nil {
		option("header", fmt.Sprint(*o.Header))
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
	var types, items []string
	for _, c := range g.cols {
		// Several files may be sniffed differently; the plan holds what fits all.
		if c.declared || len(w.plan.files) > 1 {
			types = append(types, literal(c.source)+": "+literal(c.typ))
		}
		items = append(items, quote(c.source)+" AS "+quote(c.name))
	}
	from := "read_csv(" + pathList(g.files) + ", filename=" + literal(fileColumn) + ", hive_partitioning=false" + w.plan.csvOptions(g) +
		", store_rejects=true, rejects_table=" + literal(bad) + ", rejects_scan=" + literal(scans)
	if len(types) > 0 {
		from += ", types={" + strings.Join(types, ", ") + "}"
	}
	n, err := w.insertWhole(ctx, g, w.insertSQL(append(items, nameItem(g.files)), from+")"))
	if err != nil {
		return 0, err
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

// insertTallied runs q, which reads files, while it counts the lines of counted.
// A damaged file is told before whatever DuckDB made of it.
func (w *writer) insertTallied(ctx context.Context, files, counted []scan.File, q string) (n, lines int64, err error) {
	tallying, stop := context.WithCancel(ctx)
	defer stop()
	var g errgroup.Group
	g.Go(func() (err error) {
		lines, err = tally(tallying, counted)
		return err
	})
	n, err = w.e.Exec(ctx, q)
	if err != nil && ctx.Err() != nil {
		stop()
	}
	if terr := g.Wait(); terr != nil && !errors.Is(terr, context.Canceled) {
		return 0, 0, terr
	}
	return n, lines, of(files, err)
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
