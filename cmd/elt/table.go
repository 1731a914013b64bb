package main

import (
	"bytes"
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

// print writes rows of text under headings: aligned for people, a JSON object a
// line with --json.
func (a *app) print(headings []string, table [][]string) error {
	values := make([][]any, len(table))
	for i, row := range table {
		for _, v := range row {
			values[i] = append(values[i], v)
		}
	}
	return a.printValues(headings, values)
}

// printValues is print of values that JSON tells apart; nil is null there, and
// nothing in a table.
func (a *app) printValues(headings []string, table [][]any) error {
	if a.flags.JSON {
		for _, row := range table {
			line, err := object(headings, row)
			if err != nil {
				return err
			}
			if _, err := a.out.Write(append(line, '\n')); err != nil {
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
			if raw, ok := v.(json.RawMessage); ok {
				v = string(raw)
			}
			if v != nil {
				cells[i] = report.Visible(fmt.Sprint(v), "")
			}
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	return w.Flush()
}

// object is one row as JSON, its members in the order of the columns.
func object(headings []string, row []any) ([]byte, error) {
	var line bytes.Buffer
	enc := json.NewEncoder(&line)
	enc.SetEscapeHTML(false)
	for i, v := range row {
		line.WriteByte("{,"[min(i, 1)])
		for _, part := range []any{headings[i], v} {
			if err := enc.Encode(part); err != nil {
				return nil, fmt.Errorf("column %s as JSON: %w", headings[i], err)
			}
			line.Truncate(line.Len() - 1) // Encode ends with a new line
			line.WriteByte(':')
		}
		line.Truncate(line.Len() - 1)
	}
	if len(row) == 0 {
		line.WriteByte('{')
	}
	line.WriteByte('}')
	return line.Bytes(), nil
}

// document is text that holds a JSON object as that object for --json, and any
// other text as it is.
func document(text string) any {
	if strings.HasPrefix(text, "{") && json.Valid([]byte(text)) {
		return json.RawMessage(text)
	}
	return text
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
	var table [][]any
	more := false
	err := rows.Each(r, func(row rows.Row) error {
		if limit > 0 && len(table) == limit {
			more = true
			return nil
		}
		cells := make([]any, row.Len())
		for i := range cells {
			switch {
			case slices.Contains(hidden, headings[i]) && !row.Null(i):
				cells[i] = pipeline.Masked
			case a.flags.JSON:
				cells[i] = row.JSON(i)
			case row.Null(i):
				cells[i] = "NULL"
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
	if err := a.printValues(headings, table); err != nil {
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
