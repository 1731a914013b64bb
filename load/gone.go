package load

import (
	"context"
	"errors"
	"fmt"

	"elt/internal/rows"
	"elt/internal/warehouse"
)

// gone are the columns of the table that the source does not have any more.
func (g growth) gone() []warehouse.Column {
	var out []warehouse.Column
	for _, c := range g.missing {
		if !isOurs(c.Name) && c.Name != warehouse.ColSource {
			out = append(out, c)
		}
	}
	return out
}

// refuseGone is the error of a contract that freezes columns.
func (g growth) refuseGone(c *Contract) error {
	var errs []error
	for _, col := range g.gone() {
		errs = append(errs, fmt.Errorf("%w: the source has no column %q any more and the contract of %s freezes columns; bring it back in the source, "+
			"declare it under `columns:` of JSON files whose rows may go without it, or set `contract: {columns: evolve}` to have NULL there",
			ErrContract, col.Name, c.Table.Display()))
	}
	return errors.Join(errs...)
}

// loss is what a publish does to a column that is gone from the source.
type loss struct {
	column warehouse.Column
	held   int64 // values in the table before
	recent int64 // of these, in the rows of the load before
}

// watchGone counts the values that the columns which are gone have now.
func (p *publisher) watchGone(ctx context.Context, g growth) ([]loss, error) {
	var out []loss
	if p.staged.rows == 0 {
		return nil, nil // nothing is written in place of them
	}
	for _, c := range g.gone() {
		l := loss{column: c}
		q := `SELECT count(` + warehouse.Quote(c.Name) + `) AS held, count(CASE WHEN ` + warehouse.Quote(warehouse.ColLoadID) +
			` = (SELECT max(` + warehouse.Quote(warehouse.ColLoadID) + `) FROM ` + p.table.String() + `) THEN ` + warehouse.Quote(c.Name) + ` END) AS recent FROM ` + p.table.String()
		err := warehouse.Each(ctx, p.tx, q, func(r rows.Row) error {
			l.held, l.recent = r.Int(0), r.Int(1)
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("count the values of column %q: %w", c.Name, err)
		}
		out = append(out, l)
	}
	return out, nil
}

// tellGone says what became of the values: those whose rows were replaced are
// lost. A column that had none, and a second load without it, are no news.
func (p *publisher) tellGone(ctx context.Context, watched []loss) error {
	for _, l := range watched {
		left, err := count(ctx, p.tx, `SELECT count(`+warehouse.Quote(l.column.Name)+`) FROM `+p.table.String())
		if err != nil {
			return err
		}
		name := fmt.Sprintf("column %q is gone from the source", l.column.Name)
		switch lost := l.held - left; {
		case lost > 0:
			p.res.Gone = append(p.res.Gone, fmt.Sprintf("%s: %d loaded values of it made way, and the rows of this load have NULL there", name, lost))
		case l.recent > 0:
			p.res.Gone = append(p.res.Gone, name+": the rows of this load have NULL there")
		}
	}
	return nil
}
