package yamlx

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// Check is a declared check, of one kind.
type Check struct {
	Kind     string   // not_null, unique, accepted_values, relationships, range, expression, sql
	Columns  []string // the columns that it is about
	Values   []string // accepted_values
	Min, Max string   // range; "" is unbounded
	To       string   // relationships: schema.table.column
	SQL      string   // expression, sql
	Severity string   // warn or error
	Where    string   // only these rows
	Pos      Pos
}

// Checks is the list under checks: of a stream or a model. Each item is a
// mapping with the kind as one key, beside severity and where.
type Checks []Check

// CheckKinds are the kinds of declared checks.
func CheckKinds() []string {
	return []string{"not_null", "unique", "accepted_values", "relationships", "range", "expression", "sql"}
}

// checkBody are the keys inside a check that is written as a mapping; the
// kind decides which of them it takes.
type checkBody struct {
	Column  string   `yaml:"column"`
	Columns []string `yaml:"columns"`
	Values  []Scalar `yaml:"values"`
	To      string   `yaml:"to"`
	Min     Scalar   `yaml:"min"`
	Max     Scalar   `yaml:"max"`
	SQL     string   `yaml:"sql"`
}

// Scalar is any scalar, as its text.
type Scalar string

// UnmarshalNode implements [Unmarshaler].
func (s *Scalar) UnmarshalNode(d *Decoder, n ast.Node) {
	text, ok := d.Text(n)
	if !ok {
		d.Fail(n, "this is "+shape(d.Resolve(n)), "a single value", "")
		return
	}
	*s = Scalar(text)
}

// UnmarshalNode implements [Unmarshaler].
func (c *Checks) UnmarshalNode(d *Decoder, n ast.Node) {
	for _, item := range d.Items(n) {
		if check, ok := d.check(item); ok {
			*c = append(*c, check)
		}
	}
}

func (d *Decoder) check(n ast.Node) (Check, bool) {
	c := Check{Severity: "error", Pos: d.File.Pos(n)}
	before := len(*d.Errs)
	entries, ok := d.Entries(n, "a check")
	if !ok {
		return c, false
	}
	var kind *Entry
	for i, e := range entries {
		switch {
		case e.Key == "where":
			c.Where = d.text(e)
		case e.Key == "severity":
			if c.Severity = d.text(e); c.Severity != "warn" && c.Severity != "error" {
				d.Fail(e.Value, fmt.Sprintf("severity is %q", c.Severity), "warn or error", "")
			}
		case !slices.Contains(CheckKinds(), e.Key):
			d.FailAt(e.Pos, fmt.Sprintf("unknown check %q", e.Key), OneOf(CheckKinds())+", with severity and where beside it", DidYouMean(e.Key, append(CheckKinds(), "severity", "where")))
		case kind != nil:
			d.FailAt(e.Pos, fmt.Sprintf("a second check %q in one item, after %s", e.Key, kind.Key), "one check per item of the list", "start a new line with - "+e.Key)
		default:
			kind = &entries[i]
		}
	}
	if kind == nil {
		if len(*d.Errs) == before {
			d.Fail(n, "this names no check", OneOf(CheckKinds()), "")
		}
		return c, false
	}
	c.Kind = kind.Key
	d.checkArguments(&c, *kind)
	return c, len(*d.Errs) == before
}

// text decodes the text of an entry and reports where it is none.
func (d *Decoder) text(e Entry) string {
	var s string
	before := len(*d.Errs)
	d.Decode(e.Value, &s)
	if len(*d.Errs) == before && strings.TrimSpace(s) == "" {
		d.Fail(e.Value, e.Key+" is empty", "a text", "")
	}
	return s
}

func (d *Decoder) checkArguments(c *Check, e Entry) {
	switch c.Kind {
	case "expression", "sql":
		c.SQL = d.text(e)
		return
	case "not_null", "unique":
		switch d.Resolve(e.Value).(type) {
		case *ast.MappingNode, *ast.MappingValueNode:
		default:
			d.Decode(e.Value, &c.Columns)
			if len(c.Columns) == 0 {
				d.FailAt(e.Pos, c.Kind+" names no column", "a column or a list of columns", "")
			}
			return
		}
	}
	if d.Resolve(e.Value) == nil {
		d.FailAt(e.Pos, c.Kind+" has no arguments", argumentsOf(c.Kind), "")
		return
	}
	var body checkBody
	before := len(*d.Errs)
	o := d.Struct(e.Value, &body)
	if len(*d.Errs) > before {
		return
	}
	for _, k := range o.Entries {
		if !slices.Contains(bodyKeys(c.Kind), k.Key) {
			d.FailAt(k.Pos, fmt.Sprintf("%s takes no key %q", c.Kind, k.Key), argumentsOf(c.Kind), DidYouMean(k.Key, bodyKeys(c.Kind)))
		}
	}
	c.Columns = body.Columns
	if body.Column != "" {
		c.Columns = append([]string{body.Column}, c.Columns...)
	}
	for _, v := range body.Values {
		c.Values = append(c.Values, string(v))
	}
	c.Min, c.Max, c.To = string(body.Min), string(body.Max), body.To
	if len(*d.Errs) == before {
		d.complete(*c, o)
	}
}

// complete reports what a check lacks.
func (d *Decoder) complete(c Check, o Object) {
	lack := func(key, msg string) { d.FailAt(o.At(key), msg, argumentsOf(c.Kind), "") }
	switch {
	case len(c.Columns) == 0:
		lack("column", c.Kind+" names no column")
	case c.Kind == "accepted_values" && len(c.Values) == 0:
		lack("values", c.Kind+" lists no values")
	case c.Kind == "range" && c.Min == "" && c.Max == "":
		lack("min", "range has neither min nor max")
	case c.Kind == "relationships" && strings.Count(c.To, ".") != 2:
		lack("to", "to is "+strconv.Quote(c.To))
	}
	low, errLow := strconv.ParseFloat(c.Min, 64)
	high, errHigh := strconv.ParseFloat(c.Max, 64)
	if c.Kind == "range" && errLow == nil && errHigh == nil && low > high {
		lack("min", "min is greater than max: no row can pass")
	}
}

func bodyKeys(kind string) []string {
	switch kind {
	case "accepted_values":
		return []string{"column", "values"}
	case "relationships":
		return []string{"column", "to"}
	case "range":
		return []string{"column", "min", "max"}
	}
	return []string{"column", "columns"}
}

func argumentsOf(kind string) string {
	switch kind {
	case "accepted_values":
		return "{column: NAME, values: [A, B]}"
	case "relationships":
		return "{column: NAME, to: schema.table.column}"
	case "range":
		return "{column: NAME, min: LOW, max: HIGH}, one of min and max may be left out"
	}
	return "a column or a list of columns"
}
