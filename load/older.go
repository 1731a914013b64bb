package load

import (
	"context"
	"strings"

	"elt/internal/rows"
	"elt/internal/warehouse"
)

// hasOlder reports whether a row of the table has a higher cursor than the staged
// row of its key: a merge that wrote the staged one would take the table back.
// Most loads begin where the table ends, which two aggregates show.
func (p *publisher) hasOlder(ctx context.Context, g growth) (bool, error) {
	if p.to.Disposition != Merge || p.to.Cursor == "" || !g.sorts(p.to.Cursor) {
		return false, nil
	}
	stage := `(SELECT ` + selectList(g.projections()) + ` FROM ` + p.src.String() + `)`
	p.to.Cursor = g.targetName(p.to.Cursor) // as the table, and what is picked, spell it
	cursor := warehouse.Quote(p.to.Cursor)
	if !isPostgres(p.tx) {
		after := false
		err := warehouse.Each(ctx, p.tx, `SELECT coalesce(s.every = s.known AND s.low >= t.high, false) FROM (SELECT min(`+cursor+`) AS low, count(*) AS every, count(`+cursor+
			`) AS known FROM `+stage+` AS x) AS s, (SELECT max(`+cursor+`) AS high FROM `+p.table.String()+`) AS t`,
			func(r rows.Row) error { after = r.Bool(0); return nil })
		if err != nil || after {
			return false, err
		}
	}
	n, err := count(ctx, p.tx, `SELECT count(*) FROM (SELECT 1 AS one FROM `+stage+` AS s JOIN `+p.table.String()+` AS t ON `+
		p.higher(g, "t", "s")+` LIMIT 1) AS found`)
	return n > 0, err
}

// sorts reports whether the warehouse puts the values of a staged column in the
// order of its source: numbers and times do. Text does not for sure: it may be a
// number of any size ('10' < '9'), of another collation, or 31/12/2025.
func (g growth) sorts(column string) bool {
	for _, f := range g.fits {
		if fold(f.staged.Name) != fold(column) {
			continue
		}
		kind, _, _ := strings.Cut(strings.ToLower(f.target.Type), "(")
		switch strings.TrimSpace(kind) {
		case "bigint", "integer", "smallint", "tinyint", "hugeint", "ubigint", "uinteger", "usmallint", "utinyint", "uhugeint",
			"decimal", "numeric", "double", "double precision", "float", "real", "date":
			return true
		}
		return strings.HasPrefix(kind, "timestamp")
	}
	return false
}

// higher is the condition that row t of the table has the key of row s, which is
// in the table's form, and a higher cursor. NULL is lower than any other.
func (p *publisher) higher(g growth, t, s string) string {
	cursor := warehouse.Quote(p.to.Cursor)
	var parts []string
	for _, k := range p.targetKey(g) {
		parts = append(parts, t+`.`+warehouse.Quote(k)+` = `+s+`.`+warehouse.Quote(k))
	}
	return strings.Join(parts, ` AND `) + ` AND (` + t + `.` + cursor + ` > ` + s + `.` + cursor + ` OR ` + t + `.` + cursor + ` IS NOT NULL AND ` + s + `.` + cursor + ` IS NULL)`
}

// dropOlder takes the rows out of what was picked that the table has newer
// versions of. They count as superseded, as those within one load do.
func (p *publisher) dropOlder(ctx context.Context, g growth) error {
	n, err := p.tx.Exec(ctx, `DELETE FROM `+p.src.String()+` AS s WHERE EXISTS (SELECT 1 FROM `+p.table.String()+` AS t WHERE `+p.higher(g, "t", "s")+`)`)
	p.res.Superseded += n
	return err
}
