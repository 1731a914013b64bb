package duckread

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"elt/internal/rows"
	"elt/internal/scan"
)

// The texts that are dates and timestamps without a guess: year first, as ISO
// 8601 writes them. 01/02/2026 is two days, so it stays text.
const (
	isoDate = `\d{4}-\d{2}-\d{2}`
	isoTime = isoDate + `([ T]\d{2}:\d{2}(:\d{2}(\.\d+)?)?( ?([zZ]|[+-]\d{2}(:?\d{2})?))?)?`
	isoZone = isoDate + `[ T].*([zZ]|[+-]\d{2}(:?\d{2})?)`
)

// The most files of a group that a sample is taken of, and its lines.
const (
	sampleFiles    = 32
	sampleLines    = 20_480 // of one file, as many as DuckDB's own sniffer looks at
	sampleManyEach = 2_048
)

// refine looks at the texts behind what the sniffer calls a date, a timestamp or
// a floating-point number. The sniffer takes any order of day and month that it
// can make sense of, file by file; throws an offset away; and calls every number
// a DOUBLE that it cannot call a BIGINT, whatever digits that costs.
func (p *plan) refine(ctx context.Context, e Execer) error {
	dated := slices.ContainsFunc(p.cols, func(c column) bool { return !c.declared && isDate(c.sniffed) })
	var at []int
	for i, c := range p.cols {
		// The form that one column has makes the sniffer blind for others.
		inCSV := c.sniffed == "DOUBLE" || c.sniffed == "VARCHAR" && dated
		if !c.declared && (isDate(c.sniffed) || inCSV && p.f.Format == scan.CSV) {
			at = append(at, i)
		}
	}
	if p.f.Format == scan.CSV {
		for i, c := range p.cols {
			if c.integer() {
				at = append(at, i)
			}
		}
	}
	if len(at) == 0 {
		return nil
	}
	tests := make([]string, len(at))
	for i, j := range at {
		c := p.cols[j]
		switch {
		case c.integer():
			tests[i] = "CASE WHEN max(length(" + quote(c.source) + ")) > 15 THEN 'long' ELSE '' END"
		case c.sniffed == "DOUBLE":
			tests[i] = numberTest(quote(c.source))
		default:
			tests[i] = dateTest(quote(c.source), c.sniffed)
		}
	}
	cols := make([]column, len(at))
	for i, j := range at {
		cols[i] = column{source: p.cols[j].source, typ: "VARCHAR"}
	}
	from, err := p.sample(cols)
	if err != nil {
		return err
	}
	r, err := e.Query(ctx, "SELECT "+strings.Join(tests, ", ")+" FROM ("+from+")")
	if err != nil {
		return err
	}
	return rows.Each(r, func(row rows.Row) error {
		for i, j := range at {
			if c := &p.cols[j]; c.integer() {
				c.long = row.String(i) == "long"
			} else {
				c.typ = row.String(i)
			}
		}
		return nil
	})
}

func isDate(typ string) bool {
	return typ == "DATE" || typ == "TIMESTAMP" || typ == "TIMESTAMP WITH TIME ZONE"
}

// dateTest is the type of a column that was sniffed as sniffed.
func dateTest(text, sniffed string) string {
	all := func(shape, typ string) string {
		return "bool_and(" + text + " IS NULL OR regexp_full_match(" + text + ", " + literal(shape) + ") AND TRY_CAST(" + text + " AS " + typ + ") IS NOT NULL)"
	}
	shape := isoTime
	if sniffed == "VARCHAR" { // dates beside timestamps stay text
		shape = strings.TrimSuffix(isoTime, "?")
	}
	return "CASE WHEN count(" + text + ") = 0 THEN " + literal(sniffed) + " WHEN " + all(isoDate, "DATE") + " THEN 'DATE' WHEN NOT " + all(shape, "TIMESTAMP WITH TIME ZONE") +
		" THEN 'VARCHAR' WHEN bool_or(regexp_full_match(" + text + ", " + literal(isoZone) + ")) THEN 'TIMESTAMP WITH TIME ZONE' ELSE 'TIMESTAMP' END"
}

// numberTest is DOUBLE where every text is a number that a DOUBLE gives back
// digit by digit, or one of them is a fraction; integers of more digits are a
// decimal, and text where none holds them. A decimal of as many places as these
// fractions have would be one that the next file does not fit.
func numberTest(text string) string {
	whole := "length(regexp_extract(" + text + `, '^\s*[+-]?0*(\d*)', 1))`
	return "CASE WHEN coalesce(bool_and(" + text + " IS NULL OR " + exactDouble(text) + "), true)" +
		" OR bool_or(regexp_matches(" + text + ", '[.eE]')) AND bool_and(" + text + " IS NULL OR " + nearDouble(text) + ") THEN 'DOUBLE'" +
		" WHEN bool_and(regexp_full_match(" + text + `, '\s*[+-]?\d*\s*')) AND max(` + whole + ") <= 38 THEN 'DECIMAL(38,0)' ELSE 'VARCHAR' END"
}

// nearDouble is the condition that the number in text has a DOUBLE near it.
func nearDouble(text string) string {
	value := "TRY_CAST(" + text + " AS DOUBLE)"
	return "(" + value + " IS NOT NULL AND (NOT isinf(" + value + ") OR NOT regexp_matches(" + text + ", '[0-9]')))"
}

// exactDouble is the condition that a DOUBLE holds the number in text: up to 15
// digits it always does, and beyond them where it is written with the same ones.
func exactDouble(text string) string {
	value := "TRY_CAST(" + text + " AS DOUBLE)"
	return "(" + nearDouble(text) + " AND (length(" + text + ") <= 15 OR " + digits(text) + " = " + digits("CAST("+value+" AS VARCHAR)") + "))"
}

// exact is the condition that value, a number of fixed scale, is the one in text.
func exact(text, value string) string {
	return "(" + value + " IS NOT NULL AND (NOT regexp_matches(" + text + ", '[.eE]') OR " + digits(text) + " = " + digits("CAST("+value+" AS VARCHAR)") + "))"
}

// digits are the digits of the number in text that count: two numbers of about
// one size are the same when theirs are.
func digits(text string) string {
	return "rtrim(ltrim(replace(regexp_replace(trim(" + text + "), '[eE].*$', ''), '.', ''), '+-0'), '0')"
}

// sample selects cols of the first lines of the files as they stand there.
func (p *plan) sample(cols []column) (string, error) {
	lines := sampleLines
	if len(p.files) > 1 {
		lines = sampleManyEach
	}
	var parts []string
	for _, g := range p.groups {
		step := max(1, (len(g.files)+sampleFiles-1)/sampleFiles)
		for i := 0; i < len(g.files); i += step {
			one := g
			one.files = g.files[i : i+1]
			from := p.rawReader(one, cols, "")
			if p.f.Format == scan.CSV {
				from = "read_csv(" + pathList(one.files) + ", all_varchar=true, ignore_errors=true, hive_partitioning=false" + p.csvOptions(one) + ")"
			}
			parts = append(parts, fmt.Sprintf("(SELECT * FROM %s LIMIT %d)", from, lines))
		}
	}
	names := make([]string, len(cols))
	for i, c := range cols {
		names[i] = quote(c.source)
	}
	return "SELECT " + strings.Join(names, ", ") + " FROM (" + strings.Join(parts, " UNION ALL BY NAME ") + ")", nil
}
