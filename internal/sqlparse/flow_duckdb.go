package sqlparse

import "strings"

// duckFlow reads the flow of a serialized statement.
func duckFlow(node map[string]any) Flow {
	f := &duckFlows{}
	f.Outputs = f.node(node)
	return f.Flow
}

type duckFlows struct{ Flow }

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
		return f.branches(f.node(object(o["left"])), f.node(object(o["right"])), o["setop_type"] == "UNION_BY_NAME")
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
	f.list(texts(o["column_name_alias"])...)
	if alias := text(o, "alias"); alias != "" && o["type"] != "BASE_TABLE" {
		f.Derived = append(f.Derived, strings.ToLower(alias))
	}
	switch o["type"] {
	case nil, "EMPTY":
	case "BASE_TABLE":
		f.table(text(o, "schema_name"), text(o, "table_name"), text(o, "alias"))
	case "JOIN":
		f.from(object(o["left"]))
		f.from(object(o["right"]))
	case "SUBQUERY":
		f.inner(o["subquery"])
	case "TABLE_FUNCTION":
		refs := f.refs(o["function"])
		f.Opaque = f.Opaque || len(refs) > 0 && len(texts(o["column_name_alias"])) == 0
	case "EXPRESSION_LIST": // VALUES
		f.Opaque = f.Opaque || len(f.refs(o)) > 0
	default: // PIVOT and what a later engine brings
		f.refs(o) // for its tables
		f.Opaque = true
	}
}

// item returns the columns that one expression of a SELECT list stands for.
func (f *duckFlows) item(e map[string]any) []Item {
	if e["class"] != "STAR" {
		refs := f.refs(e)
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

// refs lists the columns below an expression. How many there are, and whether
// there is one, tells nothing of a value.
func (f *duckFlows) refs(v any) [][]string {
	var out [][]string
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			out = append(out, f.refs(item)...)
		}
	case map[string]any:
		switch {
		case v["class"] == "COLUMN_REF":
			return [][]string{lower(texts(v["column_names"]))}
		case v["class"] == "STAR", v["class"] == "POSITIONAL_REFERENCE":
			f.Opaque = true
		case v["type"] == "BASE_TABLE":
			f.table(text(v, "schema_name"), text(v, "table_name"), text(v, "alias"))
		case v["class"] == "FUNCTION" && strings.EqualFold(text(v, "function_name"), "count"),
			v["type"] == "OPERATOR_IS_NULL", v["type"] == "OPERATOR_IS_NOT_NULL", v["subquery_type"] == "EXISTS", v["subquery_type"] == "NOT_EXISTS":
			return nil
		case v["class"] == "FUNCTION" && text(v, "schema") != "":
			// email.lower() is parsed as a function of a schema; what it is, the engine
			// finds out when it knows the columns.
			method := []string{text(v, "schema")}
			if catalog := text(v, "catalog"); catalog != "" {
				method = []string{catalog, text(v, "schema")}
			}
			out = append(out, lower(method))
		}
		for _, below := range v {
			out = append(out, f.refs(below)...)
		}
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
