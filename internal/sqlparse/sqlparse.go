// Package sqlparse reads one SELECT and tells which tables it names and where,
// with one parser per dialect. It knows no warehouse and opens no database file.
package sqlparse

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Parser reads SQL of one dialect. It is safe for concurrent use.
type Parser interface {
	// Parse reads sql, which must be one SELECT (a trailing semicolon is fine)
	// without anything that reaches files, the network or another database.
	// The error is [Errors], each with its place.
	Parse(sql string) (Query, error)
	// Close frees what the parser holds. It is safe to call more than once.
	Close() error
}

// Query is what a parser learned about one SELECT.
type Query struct {
	// Refs are the references to tables, in the order of the text. Names of
	// common table expressions are none.
	Refs []Ref
	// Columns are the places where a column is named as schema.table.column and
	// schema.table is one of Refs: each spans schema.table alone.
	Columns []Ref
	// Flow tells what each column is made of.
	Flow Flow
	// End is the length of the statement without its semicolon and what follows.
	End int
}

// Ref is one reference to a table.
type Ref struct {
	Schema, Name string // as the engine understands them: quotes resolved, case folded where it folds
	Offset, End  int    // the reference in the text, in bytes: sql[Offset:End]
}

// Display is r as people write it.
func (r Ref) Display() string {
	if r.Schema == "" {
		return r.Name
	}
	return r.Schema + "." + r.Name
}

// Error is one mistake in a text.
type Error struct {
	Offset    int // bytes
	Line, Col int // from 1; Col counts characters
	Msg       string
	Hint      string // what to write instead; "" when nothing helps
}

// Error is line:col: message.
func (e *Error) Error() string {
	s := fmt.Sprintf("%d:%d: %s", e.Line, e.Col, e.Msg)
	if e.Hint != "" {
		s += "; " + e.Hint
	}
	return s
}

// Errors are all mistakes of one text, in its order; never empty.
type Errors []*Error

// Error is one line for each mistake.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, one := range e {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// ErrorAt makes the error of a mistake at a byte of sql.
func ErrorAt(sql string, offset int, msg, hint string) *Error {
	offset = max(0, min(offset, len(sql)))
	line, col := Position(sql, offset)
	return &Error{Offset: offset, Line: line, Col: col, Msg: msg, Hint: hint}
}

// Position is the line and the column, in characters, of a byte of text; both from 1.
func Position(text string, offset int) (line, col int) {
	before := text[:max(0, min(offset, len(text)))]
	start := strings.LastIndexByte(before, '\n') + 1
	return strings.Count(before, "\n") + 1, utf8.RuneCountInString(before[start:]) + 1
}

// notSelect is the error of a statement at a byte of sql that is none, in the
// words of what was typed.
func notSelect(sql string, at int) *Error {
	msg, hint, first := "only a SELECT is allowed here", "", ""
	for t := range Tokens(sql[at:]) {
		word := strings.ToUpper(t.Text)
		switch {
		case t.Kind != Word:
		case word == "PIVOT":
			hint = "a PIVOT needs its values: ON column IN (…)"
		case first == "":
			first = word
		}
	}
	if hint == "" && first != "" && !slices.Contains([]string{"SELECT", "WITH", "FROM", "VALUES", "TABLE"}, first) {
		msg += ", and this is " + first
	}
	return ErrorAt(sql, at, msg, hint)
}

// Edit replaces text[Offset:End] by Text.
type Edit struct {
	Offset, End int
	Text        string
}

// Rewrite puts what place returns where each table is named, in FROM and in front
// of a column; "" leaves the
// reference as it is written. It works on positions alone, so a name inside a
// string, a comment or an alias is never touched.
func Rewrite(sql string, q Query, place func(Ref) string) string {
	return Apply(sql, Edits(q, place))
}

// Edits are the replacements of [Rewrite].
func Edits(q Query, place func(Ref) string) []Edit {
	var edits []Edit
	for _, ref := range slices.Concat(q.Refs, q.Columns) {
		if text := place(ref); text != "" {
			edits = append(edits, Edit{Offset: ref.Offset, End: ref.End, Text: text})
		}
	}
	return edits
}

// Apply makes all edits, which must not overlap, in any order.
func Apply(text string, edits []Edit) string {
	var b strings.Builder
	at := 0
	for _, e := range sorted(edits) {
		b.WriteString(text[at:e.Offset])
		b.WriteString(e.Text)
		at = e.End
	}
	b.WriteString(text[at:])
	return b.String()
}

// Original is the byte of the text before edits that stands at offset after
// them; inside a replacement it is the start of what was replaced.
func Original(edits []Edit, offset int) int {
	shift := 0
	for _, e := range sorted(edits) {
		start := e.Offset + shift
		switch {
		case offset < start:
			return offset - shift
		case offset < start+len(e.Text):
			return e.Offset
		}
		shift += len(e.Text) - (e.End - e.Offset)
	}
	return offset - shift
}

func sorted(edits []Edit) []Edit {
	return slices.SortedFunc(slices.Values(edits), func(a, b Edit) int { return cmp.Compare(a.Offset, b.Offset) })
}

// qualified keeps those of columns whose table is one of refs and stands in the
// text where the parser says, each place once: a parser may use an operand twice.
func qualified(sql string, columns, refs []Ref) []Ref {
	var out []Ref
	for _, c := range columns {
		same := func(r Ref) bool { return strings.EqualFold(r.Schema, c.Schema) && strings.EqualFold(r.Name, c.Name) }
		_, schema, _ := nameAt(sql, c.Offset, 1)
		end, table, ok := nameAt(sql, c.Offset, 2)
		if !ok || !strings.EqualFold(schema, c.Schema) || !strings.EqualFold(table, c.Name) || !slices.ContainsFunc(refs, same) {
			continue
		}
		c.End = end
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b Ref) int { return cmp.Compare(a.Offset, b.Offset) })
	return slices.CompactFunc(out, func(a, b Ref) bool { return a.Offset == b.Offset })
}

// finish sorts what was found, measures the references and finds the end of the
// statement.
func finish(sql string, refs, columns []Ref, parts func(Ref) int, errs Errors) (Query, error) {
	q := Query{Refs: refs, Columns: qualified(sql, columns, refs), End: statementEnd(sql)}
	slices.SortFunc(q.Refs, func(a, b Ref) int { return cmp.Compare(a.Offset, b.Offset) })
	for i := range q.Refs {
		ref := &q.Refs[i]
		end, name, ok := nameAt(sql, ref.Offset, parts(*ref))
		if !ok || !strings.EqualFold(name, ref.Name) {
			errs = append(errs, ErrorAt(sql, ref.Offset, fmt.Sprintf("the place of table %s cannot be told", ref.Display()),
				"write it as schema.table, with ordinary spaces only"))
			continue
		}
		ref.End = end
	}
	if len(errs) > 0 {
		slices.SortStableFunc(errs, func(a, b *Error) int { return cmp.Compare(a.Offset, b.Offset) })
		return Query{}, errs
	}
	return q, nil
}
