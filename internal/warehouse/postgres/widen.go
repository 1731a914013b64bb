package postgres

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// sqltype is a type as format_type prints it, taken apart.
type sqltype struct {
	name string // without modifiers
	args []int  // precision and scale, or length
}

var typePattern = regexp.MustCompile(`^([a-z" ]+?)\s*(?:\(([-0-9, ]+)\))?((?: with| without) time zone)?$`)

// aliases are other spellings that people and other engines use.
var aliases = map[string]string{
	"int2": "smallint", "int": "integer", "int4": "integer", "int8": "bigint",
	"float4": "real", "float8": "double precision", "double": "double precision", "bool": "boolean",
	"decimal": "numeric", "varchar": "character varying", "bpchar": "character", "char": "character",
	"timestamptz": "timestamp with time zone", "timestamp": "timestamp without time zone",
	"time": "time without time zone", "timetz": "time with time zone",
}

// parseType takes apart what it knows; any other type is its own name.
func parseType(typ string) sqltype {
	typ = strings.ToLower(strings.TrimSpace(typ))
	m := typePattern.FindStringSubmatch(typ)
	if m == nil {
		return sqltype{name: typ}
	}
	t := sqltype{name: m[1] + m[3]}
	if alias, ok := aliases[t.name]; ok {
		t.name = alias
	}
	for arg := range strings.SplitSeq(m[2], ",") {
		if n, err := strconv.Atoi(strings.TrimSpace(arg)); err == nil {
			t.args = append(t.args, n)
		}
	}
	return t
}

// widen implements [warehouse.Dialect.Widen].
func widen(a, b string) (string, bool) {
	x, y := parseType(a), parseType(b)
	if a == b || (x.name == y.name && fmt.Sprint(x.args) == fmt.Sprint(y.args)) {
		return a, true
	}
	if wide, ok := widenNumbers(x, y); ok {
		return wide, true
	}
	for _, pair := range [][2]sqltype{{x, y}, {y, x}} {
		narrow, wide := pair[0], pair[1]
		switch {
		case wide.name == "text" && (isText(narrow.name) || hasOneText(narrow.name)):
			return "text", true
		case narrow.name == "date" && wide.name == "timestamp without time zone":
			return "timestamp without time zone", true
		case narrow.name == "jsonb" && wide.name == "json":
			return "json", true
		case narrow.name == wide.name && len(wide.args) == 0 && len(narrow.args) > 0:
			return wide.name, true // timestamp(3) and timestamp
		}
	}
	if isText(x.name) && isText(y.name) {
		if x.name == "character varying" && y.name == x.name {
			return fmt.Sprintf("character varying(%d)", max(x.args[0], y.args[0])), true
		}
		return "text", true
	}
	return "", false
}

func isText(name string) bool {
	switch name {
	case "text", "character varying", "character":
		return true
	}
	return false
}

// hasOneText: the text of a value is the value, unlike that of a number or a time.
func hasOneText(name string) bool { return name == "uuid" || name == "json" || name == "jsonb" }

// wholeDigits is how many digits the values of an integer type need.
func wholeDigits(name string) int {
	switch name {
	case "smallint":
		return 5
	case "integer":
		return 10
	case "bigint":
		return 19
	}
	return 0
}

func widenNumbers(x, y sqltype) (string, bool) {
	wx, wy := wholeDigits(x.name), wholeDigits(y.name)
	switch {
	case wx > 0 && wy > 0:
		if wx > wy {
			return x.name, true
		}
		return y.name, true
	case isFloat(x.name) || isFloat(y.name):
		return widenFloats(x, y)
	case (wx > 0 || x.name == "numeric") && (wy > 0 || y.name == "numeric"):
		return widenNumerics(x, y), true
	}
	return "", false
}

func isFloat(name string) bool { return name == "real" || name == "double precision" }

// widenFloats: a real holds 24 bits exactly, a double 53.
func widenFloats(x, y sqltype) (string, bool) {
	wide := "real"
	for _, t := range []sqltype{x, y} {
		switch t.name {
		case "real", "smallint":
		case "double precision", "integer":
			wide = "double precision"
		default:
			return "", false
		}
	}
	return wide, true
}

func widenNumerics(x, y sqltype) string {
	whole, scale := 0, 0
	for _, t := range []sqltype{x, y} {
		w, s := wholeDigits(t.name), 0
		if t.name == "numeric" {
			switch len(t.args) {
			case 0:
				return "numeric"
			case 2:
				s = t.args[1]
			}
			w = t.args[0] - s
		}
		whole, scale = max(whole, w), max(scale, s)
	}
	return fmt.Sprintf("numeric(%d,%d)", whole+scale, scale)
}
