package activate

import (
	"context"
	"fmt"
	"strings"

	"elt/internal/rows"
	"elt/internal/state"
	"elt/internal/warehouse"
)

// outcomes is where the outcomes of a page are read from while it is settled.
type outcomes struct {
	page int64
	even bool   // all rows have one outcome: they are acknowledged
	adds bool   // no row of the page is in the ledger yet
	both string // rows of the plan, p, beside their outcome, o
	keys string // keys and classes with their outcome, o
}

// span is the rows of a plan behind the number after, up to the number to.
type span struct{ after, to int64 }

func (s span) where() string { return fmt.Sprintf(`seq > %d AND seq <= %d`, s.after, s.to) }

// manySpans is how many spans of rows a plan keeps in memory.
const manySpans = 100

// outcomes finds out whether all rows of a page are acknowledged in the same way,
// as in most pages. Their outcome need then not be written row by row beside the
// plan, to be joined with it: it is the same constant for each.
func (p *Plan) outcomes(sh *sheet) outcomes {
	out := outcomes{
		page: sh.number, both: p.table.String() + ` AS p JOIN ` + p.out.String() + ` AS o ON o.seq = p.seq`, keys: p.out.String() + ` AS o`,
	}
	if len(p.evens) == manySpans || len(sh.results) != len(sh.list) || len(sh.list) == 0 {
		return out
	}
	one := sh.results[0]
	one.seq = 0
	if one.status != Acked || one.resent || one.doubt || one.destID != "" || one.attempts == 0 {
		return out
	}
	adds := true
	for i, r := range sh.list {
		got := sh.results[i]
		if got.seq != r.seq || r.gone || r.class == classRemove {
			return out
		}
		if got.seq = 0; got != one {
			return out
		}
		adds = adds && r.class == classAdd
	}
	created := `false`
	if one.created {
		created = `true`
	}
	all := fmt.Sprintf(`CAST($5 AS bigint) AS page, CAST('acked' AS text) AS status, false AS resent, false AS doubt, %s AS created,
		CAST('' AS text) AS dest_id, CAST(%s AS text) AS code, CAST(%s AS text) AS message, CAST(%d AS bigint) AS attempts`,
		created, warehouse.Literal(one.code), warehouse.Literal(one.message), one.attempts)
	where := span{sh.after, sh.to}.where()
	out.even, out.adds = true, adds
	out.both = `(SELECT * FROM ` + p.table.String() + ` WHERE ` + where + `) AS p CROSS JOIN (SELECT ` + all + `) AS o`
	out.keys = `(SELECT key_hash, class, ` + all + ` FROM ` + p.table.String() + ` WHERE ` + where + `) AS o`
	return out
}

// settledEvenly notes that all rows of a page were acknowledged in the same way.
func (p *Plan) settledEvenly(sh *sheet) {
	if n := len(p.evens); n > 0 && p.evens[n-1].to == sh.after {
		p.evens[n-1].to = sh.to
		return
	}
	p.evens = append(p.evens, span{sh.after, sh.to})
}

// countEven counts the rows of pages with one outcome that the ledger has as they were sent.
func (p *Plan) countEven(ctx context.Context) (acked int64, err error) {
	if len(p.evens) == 0 {
		return 0, nil
	}
	list := make([]string, len(p.evens))
	for i, s := range p.evens {
		list[i] = s.where()
	}
	err = warehouse.Each(ctx, p.db, `SELECT count(*) FROM (SELECT key_hash, payload_hash FROM `+p.table.String()+` WHERE `+strings.Join(list, " OR ")+`) AS p
		JOIN (SELECT key_hash, acked_hash FROM `+state.Ledger+` WHERE `+mine+` AND acked_run = $5) AS l ON l.key_hash = p.key_hash AND l.acked_hash = p.payload_hash`,
		func(row rows.Row) error {
			acked = row.Int(0)
			return nil
		}, p.id(p.sync.RunID)...)
	return acked, err
}
