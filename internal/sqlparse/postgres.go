package sqlparse

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	pgquery "github.com/pganalyze/pg_query_go/v6"
	"github.com/pganalyze/pg_query_go/v6/parser"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Postgres makes a parser of Postgres's SQL, from the server's own grammar.
func Postgres() Parser { return pgParser{} }

type pgParser struct{}

func (pgParser) Close() error { return nil }

func (pgParser) Parse(text string) (Query, error) {
	if at := strings.IndexByte(text, 0); at >= 0 {
		return Query{}, Errors{ErrorAt(text, at, "a NUL byte", "remove it")}
	}
	tree, err := pgquery.Parse(text)
	if err != nil {
		if e, ok := errors.AsType[*parser.Error](err); ok {
			return Query{}, Errors{ErrorAt(text, byteOf(text, max(0, e.Cursorpos-1)), e.Message, "")}
		}
		return Query{}, fmt.Errorf("parse SQL: %w", err)
	}
	stmts := tree.GetStmts()
	switch {
	case len(stmts) == 0:
		return Query{}, Errors{ErrorAt(text, 0, "no SQL", "write one SELECT")}
	case len(stmts) > 1:
		return Query{}, Errors{ErrorAt(text, int(stmts[1].GetStmtLocation()), "more than one statement", "keep one SELECT")}
	case stmts[0].GetStmt().GetSelectStmt() == nil:
		return Query{}, Errors{notSelect(text, int(stmts[0].GetStmtLocation()))}
	}
	w := &pgWalk{sql: text, parts: map[int]int{}}
	w.message(stmts[0].GetStmt().ProtoReflect(), nil)
	q, err := finish(text, w.refs, w.columns, func(r Ref) int { return w.parts[r.Offset] }, w.errs)
	q.Flow = pgFlow(stmts[0].GetStmt().GetSelectStmt())
	q.Flow.read(q.Refs)
	return q, err
}

// pgWalk collects table references from a parse tree.
type pgWalk struct {
	sql     string
	refs    []Ref
	columns []Ref // in front of columns
	parts   map[int]int
	errs    Errors
	at      int // the last place that the tree told
}

// message walks m, in which the CTEs of seen are visible.
func (w *pgWalk) message(m protoreflect.Message, seen []string) {
	switch node := m.Interface().(type) {
	case *pgquery.SelectStmt:
		w.selectStmt(node, seen)
		return
	case *pgquery.RangeVar:
		w.table(node, seen)
		return
	case *pgquery.ColumnRef:
		if names := node.GetFields(); len(names) >= 3 {
			w.columns = append(w.columns, Ref{Schema: names[0].GetString_().GetSval(), Name: names[1].GetString_().GetSval(), Offset: int(node.GetLocation())})
		}
	case *pgquery.InsertStmt, *pgquery.UpdateStmt, *pgquery.DeleteStmt, *pgquery.MergeStmt:
		w.refuse(w.at, "a SELECT that writes is not allowed here", "")
		return
	case *pgquery.RangeFunction:
		w.rangeFunction(node)
	case *pgquery.FuncCall:
		w.call(node)
	case *pgquery.LockingClause:
		w.refuse(w.at, "FOR UPDATE and FOR SHARE are not allowed here", "")
		return
	}
	w.fields(m, seen)
}

func (w *pgWalk) fields(m protoreflect.Message, seen []string, skip ...protoreflect.Name) {
	if f := m.Descriptor().Fields().ByName("location"); f != nil && f.Kind() == protoreflect.Int32Kind {
		if at := int(m.Get(f).Int()); at > 0 {
			w.at = at
		}
	}
	// By descriptor, not Range: its order is not stable.
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if f.Kind() != protoreflect.MessageKind || !m.Has(f) || slices.Contains(skip, f.Name()) {
			continue
		}
		if !f.IsList() {
			w.message(m.Get(f).Message(), seen)
			continue
		}
		list := m.Get(f).List()
		for j := range list.Len() {
			w.message(list.Get(j).Message(), seen)
		}
	}
}

// selectStmt walks a SELECT: a plain CTE sees those before it, those of a WITH
// RECURSIVE see each other and themselves.
func (w *pgWalk) selectStmt(s *pgquery.SelectStmt, seen []string) {
	if into := s.GetIntoClause(); into != nil {
		w.refuse(int(into.GetRel().GetLocation()), "SELECT INTO is not allowed here", "remove INTO")
	}
	with := s.GetWithClause()
	seen = slices.Clip(seen)
	if with.GetRecursive() {
		for _, n := range with.GetCtes() {
			seen = append(seen, n.GetCommonTableExpr().GetCtename())
		}
	}
	for _, n := range with.GetCtes() {
		cte := n.GetCommonTableExpr()
		w.message(cte.ProtoReflect(), seen)
		if !with.GetRecursive() {
			seen = append(slices.Clip(seen), cte.GetCtename())
		}
	}
	w.fields(s.ProtoReflect(), seen, "with_clause", "into_clause")
}

func (w *pgWalk) table(v *pgquery.RangeVar, seen []string) {
	ref := Ref{Schema: v.GetSchemaname(), Name: v.GetRelname(), Offset: int(v.GetLocation())}
	switch {
	case v.GetCatalogname() != "":
		w.refuse(ref.Offset, fmt.Sprintf("%s.%s names another database", v.GetCatalogname(), ref.Display()), "write schema.table")
	case ref.Schema == "" && slices.Contains(seen, ref.Name):
	default:
		w.parts[ref.Offset] = 1
		if ref.Schema != "" {
			w.parts[ref.Offset] = 2
		}
		w.refs = append(w.refs, ref)
	}
}

// rangeFunction judges the functions of FROM f(…) and FROM ROWS FROM (f(…), g(…)).
func (w *pgWalk) rangeFunction(r *pgquery.RangeFunction) {
	for _, item := range r.GetFunctions() {
		for _, n := range item.GetList().GetItems() {
			call := n.GetFuncCall()
			if call == nil {
				continue
			}
			if name := funcName(call); !slices.Contains(pgTableFunctions(), name) {
				w.refuse(int(call.GetLocation()), fmt.Sprintf("table function %s is not allowed", name),
					"allowed: "+strings.Join(pgTableFunctions(), ", "))
			}
		}
	}
}

// call refuses functions that reach files, other databases, other sessions or
// run SQL in a string, wherever they stand.
func (w *pgWalk) call(call *pgquery.FuncCall) {
	name := funcName(call)
	for _, prefix := range []string{
		"pg_read_", "pg_ls_", "pg_stat_file", "lo_", "dblink", "pg_terminate_", "pg_cancel_", "pg_reload_", "pg_advisory_",
		"query_to_xml", "table_to_xml", "cursor_to_xml", "schema_to_xml", "database_to_xml", "set_config", "setval", "nextval", "pg_sleep",
		"ts_stat", "ts_rewrite", "crosstab", "connectby", "xpath_table",
	} {
		if strings.HasPrefix(name, prefix) {
			w.refuse(int(call.GetLocation()), fmt.Sprintf("function %s is not allowed here", name), "")
			return
		}
	}
}

// funcName is the last part of a function's name: pg_catalog.range is range.
func funcName(call *pgquery.FuncCall) string {
	parts := call.GetFuncname()
	if len(parts) == 0 {
		return ""
	}
	return strings.ToLower(parts[len(parts)-1].GetString_().GetSval())
}

func pgTableFunctions() []string {
	return []string{
		"generate_series", "generate_subscripts", "json_array_elements", "json_array_elements_text", "json_each", "json_each_text",
		"json_object_keys", "json_populate_record", "json_populate_recordset", "json_to_record", "json_to_recordset",
		"jsonb_array_elements", "jsonb_array_elements_text", "jsonb_each", "jsonb_each_text", "jsonb_object_keys",
		"jsonb_path_query", "jsonb_populate_record", "jsonb_populate_recordset", "jsonb_to_record", "jsonb_to_recordset",
		"regexp_matches", "regexp_split_to_table", "string_to_table", "unnest",
	}
}

func (w *pgWalk) refuse(at int, msg, hint string) {
	w.errs = append(w.errs, ErrorAt(w.sql, at, msg, hint))
}
