package activate

import (
	"encoding/json"
	"fmt"
	"strings"

	"elt/internal/warehouse"
)

// member is one member of a JSON object that is made in SQL.
type member struct {
	name string // in the object
	expr string // SQL
	typ  string // of expr, as the engine prints it
}

// jsonObject is an SQL expression of type text: a JSON object of the members.
// The engines' own functions are not used for the whole, because they turn
// decimals and big integers into floats; here a number is printed as it is.
func jsonObject(engine string, members []member) (string, error) {
	var b strings.Builder
	open := "{"
	for _, m := range members {
		name, err := json.Marshal(m.name)
		if err != nil {
			return "", fmt.Errorf("field %q: %w", m.name, err)
		}
		b.WriteString(warehouse.Literal(open+string(name)+":") + " || coalesce(" + jsonValue(engine, m.expr, m.typ) + ", 'null') || ")
		open = ","
	}
	if open == "{" {
		return `'{}'`, nil
	}
	b.WriteString(`'}'`)
	return b.String(), nil
}

// jsonValue is an SQL expression of type text: the JSON of expr, NULL for NULL.
// Timestamps with a zone are RFC 3339 in UTC; those without stay without.
// Numbers that JSON has no word for, such as NaN, become strings.
func jsonValue(engine, expr, typ string) string {
	text := "CAST(" + expr + " AS text)"
	quoted := "CAST(to_json(" + text + ") AS text)"
	switch kindOf(typ) {
	case "integer", "boolean":
		return text
	case "number":
		return "CASE WHEN lower(" + text + ") IN ('nan', 'inf', '-inf', 'infinity', '-infinity') THEN " + quoted +
			" ELSE " + text + " END"
	case "date":
		return formatTime(engine, expr, "YYYY-MM-DD", "%Y-%m-%d", "")
	case "timestamp":
		return formatTime(engine, expr, `YYYY-MM-DD"T"HH24:MI:SS.US`, "%Y-%m-%dT%H:%M:%S.%f", "")
	case "timestamptz":
		return formatTime(engine, "("+expr+" AT TIME ZONE 'UTC')", `YYYY-MM-DD"T"HH24:MI:SS.US`, "%Y-%m-%dT%H:%M:%S.%f", "Z")
	case "json":
		return text
	case "binary":
		if engine == "postgres" {
			return `'"' || replace(encode(` + expr + `, 'base64'), chr(10), '') || '"'`
		}
		return `'"' || base64(` + expr + `) || '"'`
	case "nested":
		return "CAST(to_json(" + expr + ") AS text)"
	default:
		return quoted
	}
}

// formatTime spells a time. Infinity and years before our era, which no format has,
// are the engine's own text.
func formatTime(engine, expr, postgres, duckdb, suffix string) string {
	text := `strftime(` + expr + `, ` + warehouse.Literal(duckdb) + `)`
	if engine == "postgres" {
		text = `to_char(` + expr + `, ` + warehouse.Literal(postgres) + `)`
	}
	return `CASE WHEN isfinite(` + expr + `) AND extract(year FROM ` + expr + `) > 0 THEN '"' || ` + text + ` || '` + suffix + `"'
		ELSE '"' || CAST(` + expr + ` AS text) || '"' END`
}

// kindOf sorts the types of both engines into those that JSON spells alike.
func kindOf(typ string) string {
	t := strings.ToLower(typ)
	if strings.HasSuffix(t, "]") || strings.HasPrefix(t, "struct") || strings.HasPrefix(t, "map") || strings.HasPrefix(t, "union") {
		return "nested"
	}
	base, _, _ := strings.Cut(t, "(")
	switch strings.TrimSpace(base) {
	case "tinyint", "smallint", "integer", "bigint", "hugeint", "utinyint", "usmallint", "uinteger", "ubigint", "uhugeint":
		return "integer"
	case "decimal", "numeric", "float", "double", "real", "double precision":
		return "number"
	case "boolean":
		return "boolean"
	case "date":
		return "date"
	case "json", "jsonb":
		return "json"
	case "blob", "bytea":
		return "binary"
	}
	switch {
	case strings.HasPrefix(t, "timestamp") && strings.HasSuffix(t, "with time zone"):
		return "timestamptz"
	case strings.HasPrefix(t, "timestamp"):
		return "timestamp"
	}
	return "text"
}
