package duckread

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"elt/internal/rows"
)

// sniffRows is how many lines sniffObjects looks at, the number that DuckDB's
// own sniffer looks at.
const sniffRows = 20_480

// sniffObjects sniffs the lines that are objects. DuckDB's sniffer gives up on
// columns as soon as one line is a list or a number.
func (p *plan) sniffObjects(ctx context.Context, e Execer) ([]described, error) {
	parts := make([]string, len(p.groups))
	for i, g := range p.groups {
		parts[i] = "SELECT json FROM read_json(" + pathList(g.files) + ", format='newline_delimited', ignore_errors=true, records=false, hive_partitioning=false" +
			g.compression() + ", columns={'json': 'JSON'})"
	}
	from := fmt.Sprintf("(SELECT json FROM (%s) WHERE json_type(json) = 'OBJECT' LIMIT %d)", strings.Join(parts, " UNION ALL "), sniffRows)
	r, err := e.Query(ctx, `SELECT key, CAST(value AS VARCHAR) FROM json_each((SELECT json_group_structure(json) FROM `+from+`))`)
	if err != nil {
		return nil, err
	}
	var found []described
	err = rows.Each(r, func(row rows.Row) error {
		var typ string
		if json.Unmarshal([]byte(row.String(1)), &typ) != nil {
			typ = "JSON" // a structure: the value is nested
		}
		if typ == "NULL" {
			typ = "JSON" // as the sniffer says of a key that is never set
		}
		found = append(found, described{row.String(0), typ})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return found, p.sniffTexts(ctx, e, from, found)
}

// sniffTexts finds the dates, timestamps and UUIDs among the texts.
func (p *plan) sniffTexts(ctx context.Context, e Execer, from string, found []described) error {
	var tests []string
	var at []int
	for i, d := range found {
		if d.typ != "VARCHAR" {
			continue
		}
		at = append(at, i)
		key := strings.NewReplacer("~", "~0", "/", "~1").Replace(d.name)
		text := "json_extract_string(json, " + literal("/"+key) + ")"
		all := func(typ, shape string) string {
			return "bool_and(" + text + " IS NULL OR regexp_full_match(" + text + ", " + literal(shape) + ") AND TRY_CAST(" + text + " AS " + typ + ") IS NOT NULL)"
		}
		tests = append(tests, "CASE WHEN "+all("DATE", `\d{4}-\d{2}-\d{2}`)+" THEN 'DATE' WHEN "+all("TIMESTAMP", `\d{4}-\d{2}-\d{2}[ T]\d{2}:.*`)+
			" THEN 'TIMESTAMP' WHEN "+all("UUID", `[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}`)+" THEN 'UUID' ELSE 'VARCHAR' END")
	}
	if len(tests) == 0 {
		return nil
	}
	r, err := e.Query(ctx, "SELECT "+strings.Join(tests, ", ")+" FROM "+from)
	if err != nil {
		return err
	}
	return rows.Each(r, func(row rows.Row) error {
		for i, j := range at {
			found[j].typ = row.String(i)
		}
		return nil
	})
}
