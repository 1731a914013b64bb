package sqlparse

import (
	"slices"
	"strings"

	pgquery "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// pgFlow reads the flow of a statement.
func pgFlow(s *pgquery.SelectStmt) Flow {
	f := &pgFlows{}
	f.Outputs = f.query(s)
	return f.Flow
}

type pgFlows struct{ Flow }

// query returns the columns of a SELECT.
func (f *pgFlows) query(s *pgquery.SelectStmt) []Item {
	for _, n := range s.GetWithClause().GetCtes() {
		cte := n.GetCommonTableExpr()
		if q := cte.GetCtequery().GetSelectStmt(); q != nil {
			f.Inner = append(f.Inner, f.query(q)...)
		} else {
			f.Opaque = true
		}
		f.list(names(cte.GetAliascolnames())...)
		if cte.GetSearchClause() != nil || cte.GetCycleClause() != nil { // columns of their own, of whole rows
			f.Opaque = true
		}
	}
	if s.GetOp() != pgquery.SetOperation_SETOP_NONE {
		return f.branches(f.query(s.GetLarg()), f.query(s.GetRarg()), false)
	}
	for _, n := range s.GetValuesLists() {
		f.many(f.refs(n.ProtoReflect()))
	}
	for _, n := range s.GetFromClause() {
		f.from(n)
	}
	var items []Item
	for _, n := range s.GetTargetList() {
		items = append(items, f.item(n.GetResTarget()))
	}
	return items
}

func (f *pgFlows) from(n *pgquery.Node) {
	switch {
	case n.GetRangeVar() != nil:
		v := n.GetRangeVar()
		f.table(v.GetSchemaname(), v.GetRelname(), v.GetAlias().GetAliasname(), names(v.GetAlias().GetColnames()))
	case n.GetJoinExpr() != nil:
		j := n.GetJoinExpr()
		f.from(j.GetLarg())
		f.from(j.GetRarg())
		f.derived(j.GetAlias())
		f.derived(j.GetJoinUsingAlias())
	case n.GetRangeSubselect() != nil:
		r := n.GetRangeSubselect()
		if q := r.GetSubquery().GetSelectStmt(); q != nil {
			f.Inner = append(f.Inner, f.query(q)...)
		}
		f.derived(r.GetAlias())
	case n.GetRangeFunction() != nil:
		r := n.GetRangeFunction()
		for _, call := range r.GetFunctions() {
			f.many(f.refs(call.ProtoReflect()))
		}
		f.derived(r.GetAlias())
	default: // XMLTABLE, JSON_TABLE, TABLESAMPLE and what a later server brings
		f.Opaque = true
	}
}

func (f *pgFlows) derived(a *pgquery.Alias) {
	if a != nil {
		f.Derived = append(f.Derived, strings.ToLower(a.GetAliasname()))
		f.list(names(a.GetColnames())...)
	}
}

// item is what one expression of a SELECT list stands for.
func (f *pgFlows) item(t *pgquery.ResTarget) Item {
	if ref := t.GetVal().GetColumnRef(); ref != nil {
		parts, star := columnRef(ref)
		switch {
		case star && len(parts) > 0:
			return Item{Star: true, Refs: [][]string{parts}}
		case star:
			return Item{Star: true}
		case t.GetName() == "":
			return Item{Name: parts[len(parts)-1], Refs: [][]string{parts}}
		}
	}
	return Item{Name: strings.ToLower(t.GetName()), Refs: f.refs(t.GetVal().ProtoReflect())}
}

// columnRef are the parts of a reference, without a final star.
func columnRef(ref *pgquery.ColumnRef) (parts []string, star bool) {
	for _, n := range ref.GetFields() {
		if n.GetAStar() != nil {
			return lower(parts), true
		}
		parts = append(parts, n.GetString_().GetSval())
	}
	return lower(parts), false
}

// refs lists the columns below a node. How many there are, and whether there is
// one, tells nothing of a value.
func (f *pgFlows) refs(m protoreflect.Message) [][]string {
	switch node := m.Interface().(type) {
	case *pgquery.ColumnRef:
		parts, star := columnRef(node)
		if star && len(parts) == 0 {
			f.Opaque = true
			return nil
		}
		return [][]string{parts} // a star with a qualifier is the whole row
	case *pgquery.SelectStmt:
		return f.value(f.query(node))
	case *pgquery.NullTest:
		return nil
	case *pgquery.SubLink:
		if node.GetSubLinkType() == pgquery.SubLinkType_EXISTS_SUBLINK {
			return nil
		}
	case *pgquery.FuncCall:
		name := node.GetFuncname()
		if funcName(node) == "count" && (len(name) == 1 || name[0].GetString_().GetSval() == "pg_catalog") {
			return nil
		}
	default:
		if !slices.Contains(pgFollowed(), m.Descriptor().Name()) { // such as all fields of a row
			f.Opaque = true
			return nil
		}
	}
	var out [][]string
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		d := fields.Get(i)
		if d.Kind() != protoreflect.MessageKind || !m.Has(d) {
			continue
		}
		if !d.IsList() {
			out = append(out, f.refs(m.Get(d).Message())...)
			continue
		}
		list := m.Get(d).List()
		for j := range list.Len() {
			out = append(out, f.refs(list.Get(j).Message())...)
		}
	}
	return out
}

// pgFollowed are the parts of an expression whose value is made of what stands
// below them.
func pgFollowed() []protoreflect.Name {
	return []protoreflect.Name{
		"Node", "List", "A_Const", "Integer", "Float", "Boolean", "String", "BitString", "A_Expr", "A_ArrayExpr", "A_Indirection", "A_Indices",
		"BoolExpr", "BooleanTest", "CaseExpr", "CaseWhen", "CoalesceExpr", "CollateClause", "GroupingFunc", "MinMaxExpr",
		"NamedArgExpr", "ResTarget", "RowExpr", "SQLValueFunction", "SortBy", "TypeCast", "TypeName", "WindowDef", "XmlExpr", "XmlSerialize",
		"JsonAggConstructor", "JsonArgument", "JsonArrayAgg", "JsonArrayConstructor", "JsonArrayQueryConstructor", "JsonBehavior", "JsonFormat",
		"JsonFuncExpr", "JsonIsPredicate", "JsonKeyValue", "JsonObjectAgg", "JsonObjectConstructor", "JsonOutput", "JsonParseExpr",
		"JsonReturning", "JsonScalarExpr", "JsonSerializeExpr", "JsonValueExpr",
	}
}

func names(list []*pgquery.Node) []string {
	var out []string
	for _, n := range list {
		out = append(out, n.GetString_().GetSval())
	}
	return out
}
