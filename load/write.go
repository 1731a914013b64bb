package load

import (
	"context"
	"fmt"
	"strings"
	"time"

	"elt/internal/warehouse"
	"elt/window"
)

// makeRoom deletes what the disposition replaces.
func (p *publisher) makeRoom(ctx context.Context, g growth, existing []warehouse.Column) error {
	switch p.to.Disposition {
	case Merge:
		n, err := p.tx.Exec(ctx, `DELETE FROM `+p.table.String()+` AS t WHERE EXISTS (SELECT 1 FROM `+p.src.String()+
			` AS s WHERE `+p.keyMatch(g, "t", "s")+`)`)
		p.res.Deleted += n
		return err
	case Window:
		return p.deleteWindow(ctx, existing)
	case File:
		return p.deleteFiles(ctx, existing)
	}
	return nil
}

// keyMatch is the condition that row t of the table and row s of the source of
// this publish have the same key, as the table holds it.
func (p *publisher) keyMatch(g growth, t, s string) string {
	parts := make([]string, len(p.to.Key))
	for i, k := range p.to.Key {
		name, value := k, s+"."+warehouse.Quote(k)
		for _, f := range g.fits {
			if f.staged.Name != k {
				continue
			}
			if name = f.target.Name; f.staged.Type != f.target.Type {
				value = "CAST(" + value + " AS " + f.target.Type + ")"
			}
		}
		parts[i] = t + "." + warehouse.Quote(name) + " = " + value
	}
	return strings.Join(parts, " AND ")
}

// targetName is the table's spelling of a staged column.
func (g growth) targetName(staged string) string {
	for _, f := range g.fits {
		if f.staged.Name == staged {
			return f.target.Name
		}
	}
	return staged
}

// insert writes the source of this publish into the table and proves that what
// arrived is what was staged.
func (p *publisher) insert(ctx context.Context, g growth) error {
	ps := g.projections()
	n, err := p.tx.Exec(ctx, `INSERT INTO `+p.table.String()+` (`+list(projected(ps))+`) SELECT `+selectList(ps)+` FROM `+p.src.String())
	if err != nil {
		return err
	}
	if want := p.staged.rows - p.res.Superseded - p.res.AlreadyPresent; n != want {
		return fmt.Errorf("%w: %d rows were to be published, but %d were", ErrAccounting, want, n)
	}
	p.res.Published = n
	return p.verify(ctx, g)
}

// verify compares the content of the published rows of this load with the
// staged rows that were to be published.
func (p *publisher) verify(ctx context.Context, g growth) error {
	want, wantSum := p.staged.rows, p.staged.checksum
	var err error
	if p.src != p.staged.table || g.casts() {
		if want, wantSum, err = checksum(ctx, p.tx, p.src, g.data(), ""); err != nil {
			return err
		}
	}
	var published []projection
	for _, ps := range g.data() {
		published = append(published, projection{expr: warehouse.Quote(ps.name), name: ps.name})
	}
	n, sum, err := checksum(ctx, p.tx, p.table, published, ofLoad, p.staged.contract.LoadID)
	if err != nil {
		return err
	}
	if n != want || sum != wantSum {
		return fmt.Errorf("%w: the published rows are not the staged ones (%d rows, checksum %s; staged %d rows, checksum %s)",
			ErrAccounting, n, sum, want, wantSum)
	}
	return nil
}

// deleteWindow deletes the rows of the window, both sides in UTC, half-open.
func (p *publisher) deleteWindow(ctx context.Context, existing []warehouse.Column) error {
	if err := haveColumns(existing, "time", p.to.Time); err != nil {
		return err
	}
	cond, args := p.inWindow(existing)
	n, err := p.tx.Exec(ctx, `DELETE FROM `+p.table.String()+` WHERE `+cond, args...)
	p.res.Deleted += n
	return err
}

// insideWindow refuses rows outside the window: publishing them would double
// what the window beside holds.
func (p *publisher) insideWindow(ctx context.Context, staged []warehouse.Column) error {
	cond, args := p.inWindow(staged)
	n, err := count(ctx, p.tx, `SELECT count(*) FROM `+p.src.String()+` WHERE (`+cond+`) IS NOT TRUE`, args...)
	if err != nil {
		return err
	}
	if n > 0 {
		return fmt.Errorf("%w: %d rows have a %q outside the window %s, or none; the source must give the rows of the window only",
			ErrContract, n, p.to.Time, p.to.Window)
	}
	return nil
}

// inWindow is the condition that the time column lies in the window.
func (p *publisher) inWindow(cols []warehouse.Column) (string, []any) {
	c, _ := find(cols, p.to.Time)
	return within(warehouse.Quote(p.to.Time), c.Type, p.to.Window, 0)
}

// within is the condition that the time expr, of type typ, lies in w. Its
// parameters come after so many others. Times without a zone are those of the
// session, the project's: the bounds are brought into their form, and not they
// into that of the bounds, so that an index finds them.
func within(expr, typ string, w window.Window, after int) (string, []any) {
	bound := `CAST(CAST($%d AS text) AS timestamp with time zone)`
	switch typ = strings.ToLower(typ); {
	case strings.HasPrefix(typ, "timestamp") && strings.Contains(typ, "with time zone"):
	case typ == "date", strings.HasPrefix(typ, "timestamp"):
		bound = `CAST(` + bound + ` AS timestamp)`
	default:
		expr = `CAST(` + expr + ` AS timestamp with time zone)`
	}
	var conds []string
	var args []any
	side := func(op string, at time.Time) {
		if !at.IsZero() {
			args = append(args, at.UTC().Format(time.RFC3339Nano))
			conds = append(conds, expr+op+fmt.Sprintf(bound, after+len(args)))
		}
	}
	side(" >= ", w.Start)
	side(" < ", w.End)
	if len(conds) == 0 {
		return "TRUE", nil
	}
	return strings.Join(conds, " AND "), args
}
