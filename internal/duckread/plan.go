package duckread

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"elt/internal/rows"
	"elt/internal/scan"
)

// column is a column of the files on its way into the warehouse.
type column struct {
	name     string // in the warehouse
	source   string // in the files
	typ      string // in the warehouse
	sniffed  string // what the reader makes of it; "" when no file has it
	engine   string // the name that the engine has for a type that was declared
	declared bool
	long     bool // integers with more digits than a DOUBLE always holds
	verbatim bool // numbers and JSON values are read as texts of what stands there
}

// plan is how a set of files is read.
type plan struct {
	f      scan.Files
	files  []scan.File // those that are not empty
	groups []group
	cols   []column
}

// group are files that one statement reads: all compressed or none, and for CSV
// of one separator and one head.
type group struct {
	files  []scan.File
	cols   []column
	zipped bool
	delim  string
	head   string // the first line of CSV that may have a head
	headed string // whether it has one, as the reader takes it; "": not known
}

func makePlan(ctx context.Context, e Execer, f scan.Files) (*plan, error) {
	p := &plan{f: f}
	if err := p.look(); err != nil {
		return nil, err
	}
	found, err := p.sniffAll(ctx, e)
	if err != nil {
		return nil, of(p.files, err)
	}
	if err := p.checkHeads(found); err != nil {
		return nil, err
	}
	p.setHeads(found)
	if p.cols, err = p.settle(found); err != nil {
		return nil, err
	}
	if err := p.nameTypes(ctx, e); err != nil {
		return nil, err
	}
	if f.Format != scan.Parquet && len(p.files) > 0 {
		if err := p.refine(ctx, e); err != nil {
			return nil, of(p.files, err)
		}
	}
	if f.Format == scan.JSONLines || f.Format == scan.JSON {
		if err := p.refineNumbers(); err != nil {
			return nil, err
		}
	}
	return p, p.assign(ctx, e)
}

// look opens every file for its beginning: it leaves out the empty ones, finds
// the separator of CSV where none is given, and puts alike files together.
func (p *plan) look() error {
	if p.f.Format == scan.Parquet {
		p.files = p.f.Paths
		p.groups = []group{{files: p.files}}
		return nil
	}
	at := map[string]int{}
	for _, f := range p.f.Paths {
		line, err := firstLine(f, p.f.CSV.Skip)
		if err != nil {
			return err
		}
		if line == "" {
			continue
		}
		if err := p.checkEncoding(f, line); err != nil {
			return err
		}
		p.files = append(p.files, f)
		g := group{zipped: compressed(f.Path)}
		if p.f.Format == scan.CSV {
			if g.delim = p.f.CSV.Delimiter; g.delim == "" && utf8Compatible(p.f.CSV.Encoding) {
				g.delim = separator(line)
			}
			if p.f.CSV.Header == nil || *p.f.CSV.Header {
				g.head = line
			}
		}
		key := fmt.Sprintf("%t %q %q", g.zipped, g.delim, g.head)
		i, ok := at[key]
		if !ok || p.f.Ordered && i < len(p.groups)-1 { // in order, a group ends where another begins
			i = len(p.groups)
			at[key] = i
			p.groups = append(p.groups, g)
		}
		p.groups[i].files = append(p.groups[i].files, f)
	}
	return nil
}

// checkEncoding refuses a file whose beginning is no UTF-8 although it should be:
// UTF-16, of which no row can be read, and a head whose columns would lose their
// names and become a rejected row.
func (p *plan) checkEncoding(f scan.File, line string) error {
	if p.f.Format == scan.CSV && p.f.CSV.Encoding != "" && !strings.EqualFold(p.f.CSV.Encoding, "utf-8") {
		return nil
	}
	if strings.HasPrefix(line, "\xff\xfe") || strings.HasPrefix(line, "\xfe\xff") {
		way := "convert it: iconv -f utf-16 -t utf-8"
		if p.f.Format == scan.CSV {
			way = "say so in the stream, csv: {encoding: utf-16}, or " + way
		}
		return fmt.Errorf("read %s: the file is UTF-16; %s", f.Name, way)
	}
	headless := p.f.CSV.Header != nil && !*p.f.CSV.Header
	if p.f.Format == scan.CSV && !headless && !utf8.ValidString(line) {
		return fmt.Errorf("read %s: its first line is not valid UTF-8; say in the stream which encoding it has, csv: {encoding: latin-1}, or convert the file", f.Name)
	}
	return nil
}

func utf8Compatible(encoding string) bool {
	return !strings.HasPrefix(strings.ToLower(encoding), "utf-16")
}

// separator is the separator that occurs most in the head of a file, outside
// quotes; "" leaves it to the sniffer. The head decides because broken rows
// further down make the sniffer choose one that occurs nowhere.
func separator(head string) string {
	best, most := "", 0
	for _, sep := range []string{",", ";", "\t", "|"} {
		n, quoted := 0, false
		for _, r := range head {
			switch {
			case r == '"':
				quoted = !quoted
			case !quoted && string(r) == sep:
				n++
			}
		}
		if n > most {
			best, most = sep, n
		}
	}
	return best
}

// described is a column as DESCRIBE prints it.
type described struct{ name, typ string }

// sniffAll describes the union of all files by name.
func (p *plan) sniffAll(ctx context.Context, e Execer) ([]described, error) {
	if len(p.files) == 0 {
		return nil, nil
	}
	var alike []group // of any head
	for _, g := range p.groups {
		i := slices.IndexFunc(alike, func(a group) bool { return a.zipped == g.zipped && a.delim == g.delim })
		if i < 0 {
			alike = append(alike, group{zipped: g.zipped, delim: g.delim})
			i = len(alike) - 1
		}
		alike[i].files = append(alike[i].files, g.files...)
	}
	parts := make([]string, len(alike))
	for i, g := range alike {
		from, err := p.sniffed(g)
		if err != nil {
			return nil, err
		}
		parts[i] = "SELECT * FROM " + from
	}
	found, err := describe(ctx, e, strings.Join(parts, " UNION ALL BY NAME "))
	fallback := described{"json", "JSON"} // also what the sniffer says where a line is no object
	if err != nil || p.f.Format != scan.JSONLines || !slices.Contains(found, fallback) {
		return found, err
	}
	objects, err := p.sniffObjects(ctx, e)
	if err != nil {
		return nil, err
	}
	if !has(objects, fallback.name) {
		found = slices.DeleteFunc(found, func(d described) bool { return d == fallback })
	}
	for _, d := range objects {
		if !has(found, d.name) {
			found = append(found, d)
		}
	}
	return found, nil
}

func has(found []described, name string) bool {
	return slices.ContainsFunc(found, func(d described) bool { return d.name == name })
}

// sniffed is the reader of g as it is sniffed.
func (p *plan) sniffed(g group) (string, error) {
	switch p.f.Format {
	case scan.CSV:
		return "read_csv(" + pathList(g.files) + ", union_by_name=true, ignore_errors=true, hive_partitioning=false" + p.csvOptions(g) + ")", nil
	case scan.JSONLines:
		return "read_json(" + pathList(g.files) + ", format='newline_delimited', ignore_errors=true" + jsonOptions + g.compression() + ")", nil
	case scan.JSON:
		return "read_json(" + pathList(g.files) + jsonOptions + g.compression() + ")", nil
	case scan.Parquet:
		return "read_parquet(" + pathList(g.files) + ", union_by_name=true, hive_partitioning=false)", nil
	default:
		return "", fmt.Errorf("unknown file format %q, expected csv, json, jsonl or parquet", p.f.Format)
	}
}

// compression is told, since DuckDB takes what follows a ? in a name for no part of it.
func (g group) compression() string {
	if g.zipped {
		return ", compression='gzip'"
	}
	return ""
}

// jsonOptions sniff only dates that a cast of text reads too.
const jsonOptions = ", union_by_name=true, hive_partitioning=false, dateformat='%Y-%m-%d'"

func describe(ctx context.Context, e Execer, query string) ([]described, error) {
	r, err := e.Query(ctx, "SELECT column_name, column_type FROM (DESCRIBE "+query+")")
	if err != nil {
		return nil, err
	}
	var out []described
	err = rows.Each(r, func(row rows.Row) error {
		out = append(out, described{row.String(0), row.String(1)})
		return nil
	})
	return out, err
}

// settle pairs what was found with what is declared.
func (p *plan) settle(found []described) ([]column, error) {
	var cols []column
	var errs []error
	used, from := map[string]bool{}, map[string]string{}
	for _, d := range found {
		c := column{name: snake(d.name), source: d.name, typ: landed(d.typ), sniffed: d.typ}
		if i := slices.IndexFunc(p.f.Columns, func(w scan.Column) bool { return declares(w, d.name) }); i >= 0 {
			c.name, c.typ, c.declared = p.f.Columns[i].Name, p.f.Columns[i].Type, true
			used[c.name] = true
		}
		if other, taken := from[c.name]; taken {
			errs = append(errs, fmt.Errorf("columns %q and %q of %s would both be called %q; rename one of them in the file", other, d.name, p.f.Paths[0].Name, c.name))
		}
		if c.name == sourceFile {
			errs = append(errs, fmt.Errorf("column %q of %s has the name that elt gives the file of a row; rename it in the file", d.name, p.f.Paths[0].Name))
		}
		from[c.name] = d.name
		cols = append(cols, c)
	}
	optional := p.f.Format == scan.JSONLines || p.f.Format == scan.JSON || len(p.files) == 0
	for _, w := range p.f.Columns {
		if used[w.Name] {
			continue
		}
		if !optional {
			errs = append(errs, fmt.Errorf("column %q is declared, but %s has none of that name, only %s; correct `columns:` or the file",
				w.Name, p.f.Paths[0].Name, listed(found)))
			continue
		}
		source := w.Source
		if source == "" {
			source = w.Name
		}
		cols = append(cols, column{name: w.Name, source: source, typ: w.Type, declared: true})
	}
	return cols, errors.Join(errs...)
}

func declares(w scan.Column, source string) bool {
	if w.Source != "" {
		return w.Source == source
	}
	return w.Name == source || w.Name == snake(source)
}

func listed(found []described) string {
	const most = 12
	var names []string
	for i, d := range found {
		if i == most {
			names = append(names, fmt.Sprintf("and %d more", len(found)-most))
			break
		}
		names = append(names, d.name)
	}
	return strings.Join(names, ", ")
}

// assign gives each group the columns that it has: a reader that stores rejects
// reads files of one shape only.
func (p *plan) assign(ctx context.Context, e Execer) error {
	if p.f.Format != scan.CSV || len(p.groups) == 1 {
		for i := range p.groups {
			p.groups[i].cols = p.cols
		}
		return nil
	}
	for i, g := range p.groups {
		from, err := p.sniffed(group{files: g.files[:1], zipped: g.zipped, delim: g.delim})
		if err != nil {
			return of(g.files, err)
		}
		found, err := describe(ctx, e, "SELECT * FROM "+from)
		if err != nil {
			return of(g.files, err)
		}
		for _, c := range p.cols {
			if has(found, c.source) {
				p.groups[i].cols = append(p.groups[i].cols, c)
			}
		}
	}
	return nil
}
