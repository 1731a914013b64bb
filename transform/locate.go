package transform

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"elt/internal/sqlparse"
	"elt/internal/warehouse"
	"elt/internal/yamlx"
)

// statement is SQL around a model's query, with what is needed to find a place
// of it in the model's file.
type statement struct {
	sql    string
	before int // bytes before the query
	edits  []sqlparse.Edit
}

// located is err with the place in the model's file, where the engine told one.
func (m *Model) located(doing string, err error, s statement) error {
	if _, placed := errors.AsType[*yamlx.Error](err); placed {
		return err
	}
	failed, ok := errors.AsType[*warehouse.Error](err)
	if !ok || s.sql == "" {
		return fmt.Errorf("%s %s (%s): %w", doing, m.FullName(), m.Path, err)
	}
	at, ok := position(failed, s.sql)
	if !ok || at < s.before {
		return fmt.Errorf("%s %s (%s): %w", doing, m.FullName(), m.Path, err)
	}
	offset := min(sqlparse.Original(s.edits, at-s.before), len(m.Text))
	f, _ := yamlx.Parse(m.Path, nil, []byte(m.Text))
	line, col := sqlparse.Position(m.Text, offset)
	msg, hint := reworded(failed, m.Text[offset:])
	return &PlacedError{Mistake: f.Error(yamlx.Pos{Line: line, Col: col}, msg, "", hint), Err: err}
}

// PlacedError is an error of the engine with its place in a model.
type PlacedError struct {
	Mistake *yamlx.Error
	Err     error
}

func (e *PlacedError) Error() string { return e.Mistake.Error() }

// Unwrap gives the engine's error, for its kind.
func (e *PlacedError) Unwrap() []error { return []error{e.Mistake, e.Err} }

// reworded is what an engine says of the text that begins with at, the same for
// both engines where a column is missing, and what to type next.
func reworded(e *warehouse.Error, at string) (msg, hint string) {
	text := e.Error()
	if name := column.FindString(at); name != "" && e.Kind == warehouse.KindNotFound && missingColumn.MatchString(text) {
		_, last, qualified := strings.Cut(name, ".")
		if !qualified {
			last = name
		}
		last = strings.ReplaceAll(strings.Trim(last, `"`), `""`, `"`)
		return fmt.Sprintf("there is no column %s", name), yamlx.DidYouMean(last, candidates(text))
	}
	return firstLine(text), e.Hint
}

var (
	// column is a column as a query names it, of a table or not.
	column = regexp.MustCompile(`^(?:"(?:[^"]|"")+"|[\pL_][\pL\pN_$]*)(?:\.(?:"(?:[^"]|"")+"|[\pL_][\pL\pN_$]*))?`)
	// missingColumn tells missing columns from missing tables and functions, which
	// are of the same kind to the driver and of the same class to DuckDB.
	missingColumn = regexp.MustCompile(`(?i)^[a-z ]+: (?:referenced column|column|(?:table|values list|subquery) "[^"]*" does not have a column)\b`)
	quoted        = regexp.MustCompile(`"([^"]+)"`)
)

// candidates are the columns that an engine proposes.
func candidates(text string) []string {
	_, proposed, ok := strings.Cut(text, "Candidate bindings:")
	if !ok {
		_, proposed, _ = strings.Cut(text, "Perhaps you meant")
	}
	var out []string
	for _, m := range quoted.FindAllStringSubmatch(proposed, -1) {
		_, last, qualified := strings.Cut(m[1], ".")
		if !qualified {
			last = m[1]
		}
		out = append(out, last)
	}
	return out
}

// firstLine is the message without the class of the error and without the place
// and the excerpt that the drivers put into it: they are those of a statement
// that nobody wrote. A list of all the functions of a name helps nobody either.
func firstLine(s string) string {
	s = regexp.MustCompile(` at line \d+, column \d+| \(SQLSTATE \w{5}\)`).ReplaceAllString(s, "")
	for _, tail := range []string{"\n\nLINE ", "\n\tCandidate functions:"} {
		if i := strings.Index(s, tail); i >= 0 {
			s = s[:i]
		}
	}
	return regexp.MustCompile(`^(?:[A-Z][A-Za-z]* Error|ERROR): `).ReplaceAllString(s, "")
}

// position is the byte of sql that an error is about. DuckDB tells it in the
// text alone: a line of the statement, cut where it is long, and a caret below.
func position(e *warehouse.Error, sql string) (int, bool) {
	if e.Position > 0 {
		n := e.Position - 1
		for i := range sql {
			if n == 0 {
				return i, true
			}
			n--
		}
		return len(sql), true
	}
	found := regexp.MustCompile(`(?s)\nLINE (\d+): ([^\n]*)\n( *)\^`).FindStringSubmatch(e.Error())
	if found == nil {
		return 0, false
	}
	n, err := strconv.Atoi(found[1])
	lines := strings.SplitAfter(sql, "\n")
	if err != nil || n < 1 || n > len(lines) {
		return 0, false
	}
	start := len(strings.Join(lines[:n-1], ""))
	shown := found[2]
	caret := len(found[3]) - len("LINE "+found[1]+": ")
	cut := strings.TrimSuffix(shown, "...")
	if after, ok := strings.CutPrefix(cut, "..."); ok && !strings.HasPrefix(lines[n-1], "...") {
		cut, caret = after, caret-len("...")
	}
	at := strings.Index(lines[n-1], strings.TrimRight(cut, "\r\n"))
	if at < 0 || caret < 0 {
		return start, true // the line at least
	}
	// The caret counts characters.
	for i := range cut {
		if caret == 0 {
			return start + at + i, true
		}
		caret--
	}
	return start + at, true
}
