package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/apache/arrow-go/v18/arrow/array"

	"elt/internal/pipeline"
	"elt/internal/report"
	"elt/internal/rows"
)

// print writes rows under headings: aligned for people, a JSON object a line
// with --json.
func (a *app) print(headings []string, table [][]string) error {
	if a.flags.JSON {
		enc := json.NewEncoder(a.out)
		enc.SetEscapeHTML(false)
		for _, row := range table {
			object := make(map[string]string, len(row))
			for i, v := range row {
				object[headings[i]] = v
			}
			if err := enc.Encode(object); err != nil {
				return err
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(a.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, strings.ToUpper(strings.Join(headings, "\t")))
	for _, row := range table {
		cells := make([]string, len(row))
		for i, v := range row {
			cells[i] = report.Visible(v, "")
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	return w.Flush()
}

// printReader prints up to limit rows of r and releases it; 0: all. Of columns
// for which hide holds it prints no value; nil hides none.
func (a *app) printReader(r array.RecordReader, limit int, hide func(column string) bool) error {
	var headings, hidden []string
	for _, f := range r.Schema().Fields() {
		headings = append(headings, f.Name)
		if hide != nil && hide(f.Name) {
			hidden = append(hidden, f.Name)
		}
	}
	var table [][]string
	more := false
	err := rows.Each(r, func(row rows.Row) error {
		if limit > 0 && len(table) == limit {
			more = true
			return nil
		}
		cells := make([]string, row.Len())
		for i := range cells {
			switch {
			case row.Null(i):
				cells[i] = "NULL"
			case slices.Contains(hidden, headings[i]):
				cells[i] = pipeline.Masked
			default:
				cells[i] = row.String(i)
			}
		}
		table = append(table, cells)
		return nil
	})
	if err != nil {
		return err
	}
	if err := a.print(headings, table); err != nil {
		return err
	}
	if len(hidden) > 0 {
		fmt.Fprintf(a.err, "masked, since they may be personal: %s; --show-pii shows them\n", strings.Join(hidden, ", "))
	}
	if more {
		fmt.Fprintf(a.err, "first %d rows; --limit 0 prints all\n", limit)
	}
	return nil
}
