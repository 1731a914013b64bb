package sqlparse

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	_ "github.com/duckdb/duckdb-go/v2" // the database/sql driver of the same name
)

// DuckDB opens a parser of DuckDB's SQL. It asks an in-memory database of its
// own for the syntax tree, so it accepts exactly what the engine accepts.
func DuckDB() (Parser, error) {
	db, err := sql.Open("duckdb", "?threads=1&memory_limit=256MB&enable_external_access=false&autoinstall_known_extensions=false")
	if err != nil {
		return nil, fmt.Errorf("open the SQL parser: %w", err)
	}
	db.SetMaxOpenConns(1)
	if err := db.PingContext(context.Background()); err != nil {
		return nil, fmt.Errorf("open the SQL parser: %w", err)
	}
	return &duckParser{db: db}, nil
}

type duckParser struct{ db *sql.DB }

func (p *duckParser) Close() error { return p.db.Close() }

// serialized is the answer of json_serialize_sql.
type serialized struct {
	Error      bool
	Message    string `json:"error_message"`
	Type       string `json:"error_type"`
	Position   string
	Statements []struct{ Node map[string]any }
}

func (p *duckParser) Parse(text string) (Query, error) {
	if at := strings.IndexByte(text, 0); at >= 0 {
		return Query{}, Errors{ErrorAt(text, at, "a NUL byte", "remove it")}
	}
	var answer []byte
	err := p.db.QueryRowContext(context.Background(), `SELECT json_serialize_sql($1::varchar, skip_empty := true, skip_null := true)::varchar`, text).Scan(&answer)
	if err != nil {
		return Query{}, fmt.Errorf("parse SQL: %w", err)
	}
	var s serialized
	d := json.NewDecoder(bytes.NewReader(answer))
	d.UseNumber()
	if err := d.Decode(&s); err != nil {
		return Query{}, fmt.Errorf("parse SQL: read the syntax tree: %w", err)
	}
	if err := s.refusal(text); err != nil {
		return Query{}, Errors{err}
	}
	w := &duckWalk{sql: text, parts: map[int]int{}}
	w.walk(s.Statements[0].Node, nil)
	q, err := finish(text, w.refs, w.columns, func(r Ref) int { return w.parts[r.Offset] }, w.errs)
	q.Flow = duckFlow(s.Statements[0].Node)
	q.Flow.read(q.Refs)
	return q, err
}

// refusal is the error of a text that is no single SELECT.
func (s *serialized) refusal(text string) *Error {
	first := 0
	for t := range Tokens(text) {
		if t.Kind != Comment {
			first = t.Offset
			break
		}
	}
	switch {
	case s.Error && s.Position != "":
		at, err := strconv.Atoi(s.Position)
		if err != nil {
			return ErrorAt(text, first, s.Message, "")
		}
		return ErrorAt(text, byteOf(text, at), s.Message, "")
	case s.Error && s.Type == "not implemented":
		return notSelect(text, first)
	case s.Error:
		return ErrorAt(text, first, s.Message, "")
	case len(s.Statements) == 0:
		return ErrorAt(text, first, "no SQL", "write one SELECT")
	case len(s.Statements) > 1:
		at := min(statementEnd(text)+1, len(text))
		return ErrorAt(text, at, "more than one statement", "keep one SELECT")
	}
	return nil
}

// scope holds the names of common table expressions that a place can see,
// innermost last, lower case.
type scope []string

func (s scope) with(name string) scope { return append(slices.Clip(s), strings.ToLower(name)) }

func (s scope) has(name string) bool { return slices.Contains(s, strings.ToLower(name)) }

// duckWalk collects table references from a syntax tree.
type duckWalk struct {
	sql     string
	refs    []Ref
	columns []Ref       // in front of columns
	parts   map[int]int // parts of the name at an offset
	errs    Errors
}

func (w *duckWalk) walk(v any, seen scope) {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			w.walk(item, seen)
		}
	case map[string]any:
		w.object(v, seen)
	}
}

func (w *duckWalk) object(o map[string]any, seen scope) {
	switch o["type"] {
	case "BASE_TABLE":
		w.table(o, seen)
	case "COLUMN_REF":
		w.column(o)
	case "TABLE_FUNCTION":
		w.function(o)
	case "SHOW_REF":
		w.refuse(0, "DESCRIBE, SHOW and SUMMARIZE are not allowed here", "select from the table itself")
		return
	case "RECURSIVE_CTE_NODE":
		seen = seen.with(text(o, "cte_name"))
	}
	seen = w.ctes(o, seen)
	for _, key := range slices.Sorted(maps.Keys(o)) {
		if key != "cte_map" {
			w.walk(o[key], seen)
		}
	}
}

// ctes walks the common table expressions of a node and returns the scope for
// the rest of it: each sees those before it, and itself only when recursive.
func (w *duckWalk) ctes(o map[string]any, seen scope) scope {
	cteMap, _ := o["cte_map"].(map[string]any)
	list, _ := cteMap["map"].([]any)
	for _, item := range list {
		entry, _ := item.(map[string]any)
		w.walk(entry["value"], seen)
		seen = seen.with(text(entry, "key"))
	}
	return seen
}

func (w *duckWalk) table(o map[string]any, seen scope) {
	ref := Ref{Schema: text(o, "schema_name"), Name: text(o, "table_name"), Offset: location(o)}
	catalog := text(o, "catalog_name")
	switch {
	case catalog != "":
		w.refuse(ref.Offset, fmt.Sprintf("%s.%s names another database", catalog, ref.Display()), "write schema.table")
	case ref.Schema == "" && seen.has(ref.Name):
	case ref.Schema == "" && (ref.Offset < len(w.sql) && w.sql[ref.Offset] == '\'' || strings.ContainsAny(ref.Name, "./*:")):
		w.refuse(ref.Offset, fmt.Sprintf("%q is a file, not a table", ref.Name), "declare a source of type files and select from its table")
	default:
		w.parts[ref.Offset] = 1
		if ref.Schema != "" {
			w.parts[ref.Offset] = 2
		}
		w.refs = append(w.refs, ref)
	}
}

// column notes a column whose name has three parts or more.
func (w *duckWalk) column(o map[string]any) {
	if names, _ := o["column_names"].([]any); len(names) >= 3 {
		schema, _ := names[0].(string)
		table, _ := names[1].(string)
		w.columns = append(w.columns, Ref{Schema: schema, Name: table, Offset: location(o)})
	}
}

func (w *duckWalk) function(o map[string]any) {
	f, _ := o["function"].(map[string]any)
	name := strings.ToLower(text(f, "function_name"))
	if !slices.Contains(duckTableFunctions(), name) {
		w.refuse(location(o), fmt.Sprintf("table function %s is not allowed", name),
			"allowed: "+strings.Join(duckTableFunctions(), ", ")+"; files are read by sources")
	}
}

func (w *duckWalk) refuse(at int, msg, hint string) {
	w.errs = append(w.errs, ErrorAt(w.sql, at, msg, hint))
}

// duckTableFunctions lists what may stand in FROM: functions of their arguments
// alone. What reads files, settings or other databases is not here.
func duckTableFunctions() []string {
	return []string{"generate_series", "json_each", "json_tree", "range", "repeat", "repeat_row", "unnest"}
}

func text(o map[string]any, key string) string {
	s, _ := o[key].(string)
	return s
}

// location is the byte where o begins; 0 where the engine does not say.
func location(o map[string]any) int {
	n, _ := o["query_location"].(json.Number)
	at, err := strconv.Atoi(n.String())
	if err != nil {
		return 0
	}
	return at
}
