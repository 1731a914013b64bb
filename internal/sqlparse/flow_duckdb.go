package sqlparse

import (
	"slices"
	"strconv"
	"strings"
)

// duckFlow reads the flow of a serialized statement.
func duckFlow(node map[string]any) Flow {
	f := &duckFlows{}
	f.Outputs = f.node(node)
	return f.Flow
}

type duckFlows struct {
	Flow
	unnamed int // queries in FROM clauses without an alias
}

// node returns the columns of a query.
func (f *duckFlows) node(o map[string]any) []Item {
	cteMap, _ := o["cte_map"].(map[string]any)
	for _, e := range objects(cteMap["map"]) {
		value, _ := e["value"].(map[string]any)
		f.inner(value["query"])
		f.list(texts(value["aliases"])...)
	}
	switch o["type"] {
	case "SELECT_NODE":
		f.from(object(o["from_table"]))
		var items []Item
		for _, e := range objects(o["select_list"]) {
			items = append(items, f.item(e)...)
		}
		return items
	case "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE":
		f.list(texts(o["aliases"])...)
		f.Opaque = f.Opaque || o["key_targets"] != nil || o["left"] == nil || o["right"] == nil
		left, right := f.node(object(o["left"])), f.node(object(o["right"]))
		return f.branches(left, right, o["setop_type"] == "UNION_BY_NAME")
	}
	f.Opaque = true
	return nil
}

// inner reads a query that stands inside another one.
func (f *duckFlows) inner(query any) {
	o := object(query)
	if n, ok := o["node"].(map[string]any); ok {
		o = n
	}
	f.Inner = append(f.Inner, f.node(o)...)
}

func (f *duckFlows) from(o map[string]any) {
	alias := text(o, "alias")
	if o["type"] == "SUBQUERY" && alias == "" {
		alias = f.unnamedQuery()
	}
	if o["type"] != "BASE_TABLE" {
		f.list(texts(o["column_name_alias"])...)
		if alias != "" {
			f.Derived = append(f.Derived, strings.ToLower(alias))
		}
	}
	switch o["type"] {
	case nil, "EMPTY":
	case "BASE_TABLE":
		schema := text(o, "schema_name")
		if strings.EqualFold(schema, "recurring") { // all rows so far of a recursion
			f.table("", text(o, "table_name"), alias, nil)
		}
		f.table(schema, text(o, "table_name"), alias, texts(o["column_name_alias"]))
	case "JOIN":
		f.from(object(o["left"]))
		f.from(object(o["right"]))
	case "SUBQUERY":
		f.inner(o["subquery"])
	case "TABLE_FUNCTION":
		f.many(f.refs(o["function"]))
	case "EXPRESSION_LIST": // VALUES
		f.many(f.refs(o["values"]))
	default: // PIVOT and what a later engine brings
		f.Opaque = true
	}
}

// unnamedQuery is the alias that the engine gives a query in FROM without one.
func (f *duckFlows) unnamedQuery() string {
	f.unnamed++
	if f.unnamed > 1 { // each query counts by itself, so the first of another one may be meant too
		return "unnamed_subquery" + strconv.Itoa(f.unnamed)
	}
	return "unnamed_subquery"
}

// item returns the columns that one expression of a SELECT list stands for.
func (f *duckFlows) item(e map[string]any) []Item {
	if e["class"] != "STAR" {
		refs := f.refs(e)
		if unnests(e) {
			return []Item{{Many: true, Refs: refs}}
		}
		name := strings.ToLower(text(e, "alias"))
		if parts := texts(e["column_names"]); name == "" && e["class"] == "COLUMN_REF" && len(parts) > 0 {
			name = strings.ToLower(parts[len(parts)-1])
		}
		return []Item{{Name: name, Refs: refs}}
	}
	if e["expr"] != nil || e["rename_list"] != nil {
		f.Opaque = true
	}
	star := Item{Star: true}
	if of := text(e, "relation_name"); of != "" {
		star.Refs = [][]string{{strings.ToLower(of)}}
	}
	items := []Item{star}
	for _, r := range objects(e["replace_list"]) {
		items = append(items, Item{Name: strings.ToLower(text(r, "key")), Refs: f.refs(r["value"])})
	}
	return items
}

// unnests reports whether an expression may become columns that are named after
// the fields of a struct. The parts of a text are none.
func unnests(v any) bool {
	switch v := v.(type) {
	case []any:
		return slices.ContainsFunc(v, unnests)
	case map[string]any:
		if v["class"] == "SUBQUERY" {
			return false
		}
		name := strings.ToLower(text(v, "function_name"))
		if name == "unnest" || name == "unlist" {
			args := objects(v["children"])
			return len(args) != 1 || text(v, "schema") != "" || !slices.Contains(splits(), strings.ToLower(text(args[0], "function_name")))
		}
		for _, below := range v {
			if unnests(below) {
				return true
			}
		}
	}
	return false
}

// splits are functions that return a list of texts.
func splits() []string {
	return []string{"string_split", "str_split", "string_to_array", "string_split_regex", "str_split_regex", "regexp_split_to_array", "regexp_extract_all"}
}

// refs lists the columns below an expression. How many there are, and whether
// there is one, tells nothing of a value.
func (f *duckFlows) refs(v any) [][]string {
	switch v := v.(type) {
	case []any:
		var out [][]string
		for _, item := range v {
			out = append(out, f.refs(item)...)
		}
		return out
	case map[string]any:
		return f.expression(v)
	}
	return nil
}

func (f *duckFlows) expression(o map[string]any) [][]string {
	var out [][]string
	switch o["class"] {
	case "COLUMN_REF":
		return [][]string{lower(texts(o["column_names"]))}
	case "CONSTANT", "DEFAULT":
		return nil
	case "POSITIONAL_REFERENCE":
		return [][]string{nil}
	case "SUBQUERY":
		if o["subquery_type"] == "EXISTS" || o["subquery_type"] == "NOT_EXISTS" {
			return nil
		}
		return append(f.refs(o["child"]), f.value(f.node(object(object(o["subquery"])["node"])))...)
	case "OPERATOR":
		if o["type"] == "OPERATOR_IS_NULL" || o["type"] == "OPERATOR_IS_NOT_NULL" {
			return nil
		}
	case "FUNCTION", "WINDOW":
		if o["class"] == "FUNCTION" && strings.EqualFold(text(o, "function_name"), "count") && text(o, "schema") == "" {
			return nil
		}
		if text(o, "schema") != "" {
			// email.lower() is parsed as a function of a schema; what it is, the engine
			// finds out when it knows the columns.
			parts := []string{text(o, "schema")}
			if catalog := text(o, "catalog"); catalog != "" {
				parts = []string{catalog, text(o, "schema")}
			}
			out = append(out, lower(parts))
		}
	case "BETWEEN", "CASE", "CAST", "COLLATE", "COMPARISON", "CONJUNCTION", "LAMBDA", "LAMBDA_REF":
	case nil: // the parts of an expression: branches of CASE, an order, a type
	default: // a star, and what a later engine brings
		f.Opaque = true
		return nil
	}
	for _, below := range o {
		out = append(out, f.refs(below)...)
	}
	return out
}

func object(v any) map[string]any {
	o, _ := v.(map[string]any)
	return o
}

func objects(v any) []map[string]any {
	list, _ := v.([]any)
	var out []map[string]any
	for _, item := range list {
		if o, ok := item.(map[string]any); ok {
			out = append(out, o)
		}
	}
	return out
}

func texts(v any) []string {
	list, _ := v.([]any)
	var out []string
	for _, item := range list {
		if s, ok := item.(string); ok {
			out = append(out, s)
		}
	}
	return out
}
