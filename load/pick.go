package load

import (
	"context"
	"strings"

	"elt/internal/warehouse"
)

// picking says what pick leaves out and what becomes of its table.
type picking struct {
	unchanged    bool // leave out rows that the table has already, as they are
	becomesTable bool // the picked rows will be the table
}

// pick copies what is to be published into a table of its own, as the target
// holds it: for a merge the row of each key with the highest cursor, and where
// asked only what the table does not have. It becomes the source of this
// publish, and the growth returned is how it goes into the table.
func (p *publisher) pick(ctx context.Context, g growth, how picking) (growth, error) {
	stage := p.staged.table
	picked := warehouse.Table{Schema: p.table.Schema, Name: asideName(kindPick, &p.staged.contract)}
	if err := dropIfExists(ctx, p.tx, picked); err != nil {
		return g, err
	}
	inner := []string{`x.*`}
	where := []string{`TRUE`}
	if p.to.distinct() {
		inner = append(inner, `row_number() OVER (PARTITION BY `+list(p.targetKey(g))+` ORDER BY `+p.order(g)+`) AS _elt_rank`)
		where = append(where, `s._elt_rank = 1`)
	}
	if how.unchanged {
		hash := p.tx.Dialect().RowHash(projected(g.data()))
		inner = append(inner, hash+` AS _elt_hash`)
		where = append(where, p.isNew(g, hash))
	}
	create := `CREATE TABLE `
	switch {
	case how.becomesTable:
	case isPostgres(p.tx):
		create = `CREATE UNLOGGED TABLE `
	default: // in memory and on disk where that is full, but not in the file
		create, picked.Schema = `CREATE TEMP TABLE `, "temp"
	}
	_, err := p.tx.Exec(ctx, create+picked.String()+` AS SELECT `+list(projected(g.projections()))+
		` FROM (SELECT `+strings.Join(inner, `, `)+
		` FROM (SELECT `+selectList(g.projections())+`, `+rowID(p.tx)+` AS _elt_row FROM `+stage.String()+`) AS x) AS s WHERE `+
		strings.Join(where, ` AND `))
	if err != nil {
		return g, err
	}
	p.src = picked
	if how.unchanged {
		n, err := count(ctx, p.tx, `SELECT count(*) FROM `+picked.String())
		if err != nil {
			return g, err
		}
		p.res.AlreadyPresent = p.staged.rows - p.res.Superseded - n
	}
	p.to.Key = p.targetKey(g)
	var targets []warehouse.Column
	for _, f := range g.fits {
		targets = append(targets, f.target)
	}
	return growth{fits: identity(targets), missing: g.missing}, nil
}

// isNew is the condition that the table does not have the row already: one of
// the same content under its key. For a merge it must be the only one under the
// key, since a merge leaves no other. An append takes rows without a key, or
// with a part of it, too: they are known by their content alone.
func (p *publisher) isNew(g growth, hash string) string {
	key := p.targetKey(g)
	old := `SELECT ` + list(key) + `, ` + hash + ` AS _elt_hash FROM ` + p.table.String() + ` AS o` +
		` WHERE EXISTS (SELECT 1 FROM ` + p.staged.table.String() + ` AS k WHERE ` + p.keyMatch(g, "o", "k") + `)`
	if p.to.Disposition == Append {
		old += ` UNION ALL SELECT ` + list(key) + `, ` + hash + ` AS _elt_hash FROM ` + p.table.String() + ` AS o WHERE (` + nullKey(key) + `)` +
			` AND EXISTS (SELECT 1 FROM ` + p.staged.table.String() + ` AS k WHERE ` + nullKey(p.to.Key) + `)`
	}
	if p.to.Disposition == Merge {
		old = `SELECT ` + list(key) + `, min(_elt_hash) AS _elt_hash FROM (` + old + `) AS h GROUP BY ` + list(key) + ` HAVING count(*) = 1`
	}
	return `NOT EXISTS (SELECT 1 FROM (` + old + `) AS t WHERE ` + sameKey("t", "s", key) + ` AND t._elt_hash = s._elt_hash)`
}

// order puts the row first that wins among rows of one key: the highest cursor,
// then the one staged last.
func (p *publisher) order(g growth) string {
	order := `_elt_row DESC`
	if p.to.Cursor != "" {
		order = warehouse.Quote(g.targetName(p.to.Cursor)) + ` DESC NULLS LAST, ` + order
	}
	return order
}

// targetKey is the key in the table's spelling.
func (p *publisher) targetKey(g growth) []string {
	key := make([]string, len(p.to.Key))
	for i, k := range p.to.Key {
		key[i] = g.targetName(k)
	}
	return key
}

// rowID is the engine's own number of a row, stable within a transaction.
func rowID(tx *warehouse.Tx) string {
	if isPostgres(tx) {
		return "ctid"
	}
	return "rowid"
}
