package duckread

import (
	"context"
	"fmt"
	"strings"

	"elt/internal/rows"
	"elt/internal/scan"
)

// fit is value and condition of a Parquet column: its type is known, so only
// what is declared, or lands as another type, is cast.
func (c column) fit() (expr, good string) {
	src := quote(c.source)
	switch {
	case c.sniffed == "":
		return "CAST(NULL AS " + c.typ + ")", ""
	case c.declared:
		expr = "TRY_CAST(" + src + " AS " + c.typ + ")"
		return expr, "(" + src + " IS NULL OR " + expr + " IS NOT NULL)"
	case c.typ == "JSON" && c.sniffed != "JSON":
		return "to_json(" + src + ")", ""
	case c.typ != c.sniffed:
		return "CAST(" + src + " AS " + c.typ + ")", ""
	default:
		return src, ""
	}
}

// parquet inserts in one pass and holds the count against the files' own.
func (w *writer) parquet(ctx context.Context) (int64, error) {
	p := w.plan
	var list, conditions []string
	for _, c := range p.cols {
		expr, good := c.fit()
		list = append(list, expr+" AS "+quote(c.name))
		if good != "" {
			conditions = append(conditions, good)
		}
	}
	from := "read_parquet(" + pathList(p.files) + ", union_by_name=true, hive_partitioning=false, filename=" + literal(fileColumn)
	good, where := strings.Join(conditions, " AND "), ""
	if good != "" {
		where = " WHERE " + good
	}
	n, err := w.e.Exec(ctx, w.insertSQL(append(list, nameItem(p.files)), from+")"+where))
	if err != nil {
		return 0, of(p.files, err)
	}
	total, err := w.parquetRows(ctx)
	if err != nil || n == total {
		return n, err
	}
	var rejected int64
	if good != "" {
		if rejected, err = w.parquetRejects(ctx, from+", file_row_number=true)", good); err != nil {
			return 0, err
		}
	}
	if n+rejected != total {
		return 0, of(p.files, fmt.Errorf("the files say that they hold %d rows, but %d were read and %d rejected", total, n, rejected))
	}
	return n, nil
}

func (w *writer) parquetRows(ctx context.Context) (total int64, err error) {
	r, err := w.e.Query(ctx, "SELECT CAST(sum(num_rows) AS BIGINT) FROM parquet_file_metadata("+pathList(w.plan.files)+")")
	if err != nil {
		return 0, of(w.plan.files, err)
	}
	err = rows.Each(r, func(row rows.Row) error {
		total = row.Int(0)
		return nil
	})
	return total, err
}

func (w *writer) parquetRejects(ctx context.Context, from, good string) (n int64, err error) {
	p := w.plan
	var parts, keep []string
	for _, c := range p.cols {
		if _, fits := c.fit(); fits != "" {
			parts = append(parts, "CASE WHEN NOT "+fits+" THEN "+literal("column "+c.name+": expected "+c.typ+", found ")+" || left(CAST("+quote(c.source)+" AS VARCHAR), 200) END")
		}
		keep = append(keep, literal(c.source)+", "+quote(c.source))
	}
	r, err := w.e.Query(ctx, "SELECT "+nameExpr(p.files)+`, "file_row_number" + 1, concat_ws('; ', `+strings.Join(parts, ", ")+"), CAST(json_object("+
		strings.Join(keep, ", ")+") AS VARCHAR) FROM "+from+" WHERE NOT ("+good+") ORDER BY 1, 2")
	if err != nil {
		return 0, of(p.files, err)
	}
	err = rows.Each(r, func(row rows.Row) error {
		n++
		return w.reject(scan.Reject{Locator: fmt.Sprintf("%s, row %d", row.String(0), row.Int(1)), Reason: row.String(2), Payload: row.String(3)})
	})
	return n, err
}
