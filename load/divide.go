package load

import (
	"context"
	"fmt"
	"strings"

	"elt/internal/warehouse"
	"elt/window"
)

// Divided is a stage whose rows are published window by window, each in a
// transaction of its own. Whoever publishes sees to it that nobody else writes
// to the table in between.
//
// A row takes the place of those of its key wherever they are, so that one whose
// time has moved to another window is there once, whatever the order of the
// windows. What the source does not hold any more, though it may have been right,
// stays: the rows of files that are gone, and of those that were not read.
type Divided struct {
	staged *Staged
	to     Target
	fits   growth
	// moved says that rows of the table have keys of the stage and other times, so
	// that what a window replaces does not lie in the window alone.
	moved bool
	// kept are files of rows in the table that were not read.
	kept []string
	// superseded counts the rows in the windows that had newer ones of their key.
	superseded int64
}

// Divide settles which rows of the stage are published, and where: those of each
// key with the highest cursor, and of these the ones that lie in one of windows,
// which are in order. What lies in none counts as not read.
func (s *Staged) Divide(ctx context.Context, to Target, windows []window.Window) (*Divided, error) {
	to.Disposition = Window
	d := &Divided{staged: s, to: to}
	if err := s.db.Aside(ctx, s.table, func(ctx context.Context, tx *warehouse.Tx) error { return d.settle(ctx, tx, windows) }); err != nil {
		return nil, fmt.Errorf("divide what is staged for %s: %w", s.contract.Table.Display(), err)
	}
	return d, nil
}

// Result accounts for what was read; what is published comes with each window.
func (d *Divided) Result() Result {
	s := d.staged
	return Result{Read: s.read, Staged: s.rows + d.superseded, Quarantined: s.quarantined, Discarded: s.discarded, Superseded: d.superseded}
}

// Moved reports whether rows of the table may give way that lie in none of the
// windows, since their time has changed.
func (d *Divided) Moved() bool { return d.moved }

func (d *Divided) settle(ctx context.Context, tx *warehouse.Tx, windows []window.Window) error {
	s := d.staged
	existing, err := tx.Schema(ctx, s.contract.Table)
	if err != nil {
		return err
	}
	if s.contract.Files {
		if err := d.keep(ctx, tx, existing); err != nil {
			return err
		}
	}
	if len(s.columns) == 0 || s.rows == 0 {
		return nil
	}
	if err := haveColumns(s.columns, "time", d.to.Time); err != nil {
		return err
	}
	staged, err := tx.Schema(ctx, s.table)
	if err != nil {
		return err
	}
	d.fits = growth{fits: identity(staged)}
	if len(existing) > 0 {
		if d.fits, err = compare(ctx, tx, &s.contract, s.contract.Table, staged, existing); err != nil {
			return err
		}
		if err := d.fits.frozen(&s.contract); err != nil {
			return err
		}
	}
	for _, step := range []func(context.Context, *warehouse.Tx, []window.Window) error{d.supersede, d.leaveOut} {
		if err := step(ctx, tx, windows); err != nil {
			return err
		}
	}
	if len(existing) == 0 || len(d.to.Key) == 0 {
		return d.index(ctx, tx, windows)
	}
	if err := d.yield(ctx, tx); err != nil {
		return err
	}
	if d.moved, err = d.hasMoved(ctx, tx); err != nil {
		return err
	}
	return d.index(ctx, tx, windows)
}

// keep finds the files whose rows are not replaced: they were not read.
func (d *Divided) keep(ctx context.Context, tx *warehouse.Tx, existing []warehouse.Column) error {
	if _, ok := find(existing, warehouse.ColSource); !ok {
		return nil
	}
	col := warehouse.Quote(warehouse.ColSource)
	have, err := texts(ctx, tx, `SELECT DISTINCT `+col+` FROM `+d.staged.contract.Table.String()+` WHERE `+col+` IS NOT NULL ORDER BY 1`)
	if err != nil {
		return err
	}
	read := map[string]bool{}
	for _, name := range d.staged.files {
		read[name] = true
	}
	for _, name := range have {
		if !read[name] {
			d.kept = append(d.kept, name)
		}
	}
	return nil
}

// inAny is the condition that a staged row lies in one of windows, of which
// those that meet are one.
func (d *Divided) inAny(windows []window.Window, after int) (string, []any) {
	var conds []string
	var args []any
	for _, w := range window.Join(windows) {
		cond, more := d.in(w, after+len(args))
		conds, args = append(conds, "("+cond+")"), append(args, more...)
	}
	return "(" + strings.Join(conds, " OR ") + ")", args
}

// in is the condition that a staged row lies in w, as the table will hold its time.
func (d *Divided) in(w window.Window, after int) (string, []any) {
	for _, f := range d.fits.fits {
		if f.staged.Name == d.to.Time {
			return within(f.projection().expr, f.target.Type, w, after)
		}
	}
	return "FALSE", nil
}

// supersede takes the rows out of the stage that have a newer one of their key,
// wherever both lie: files hold every version of a row.
func (d *Divided) supersede(ctx context.Context, tx *warehouse.Tx, windows []window.Window) error {
	s := d.staged
	if len(d.to.Key) == 0 {
		return nil
	}
	keys, err := count(ctx, tx, `SELECT count(*) FROM (SELECT 1 AS one FROM `+s.table.String()+` GROUP BY `+list(d.to.Key)+`) AS keys`)
	if err != nil || keys == s.rows {
		return err
	}
	order := `_elt_row DESC`
	if d.to.Cursor != "" {
		order = warehouse.Quote(d.to.Cursor) + ` DESC NULLS LAST, ` + order
	}
	older := rowID(tx) + ` IN (SELECT _elt_row FROM (SELECT _elt_row, row_number() OVER (PARTITION BY ` + list(d.to.Key) + ` ORDER BY ` + order + `) AS _elt_rank FROM (SELECT ` +
		rowID(tx) + ` AS _elt_row, * FROM ` + s.table.String() + `) AS x) AS r WHERE _elt_rank > 1)`
	cond, args := d.inAny(windows, 0)
	elsewhere, err := tx.Exec(ctx, `DELETE FROM `+s.table.String()+` WHERE `+cond+` IS NOT TRUE AND `+older, args...)
	if err != nil {
		return err
	}
	d.superseded, err = tx.Exec(ctx, `DELETE FROM `+s.table.String()+` WHERE `+older)
	s.rows -= elsewhere + d.superseded
	s.read -= elsewhere
	return err
}

// leaveOut takes the rows out of the stage that lie in no window.
func (d *Divided) leaveOut(ctx context.Context, tx *warehouse.Tx, windows []window.Window) error {
	s := d.staged
	cond, args := d.inAny(windows, 0)
	n, err := tx.Exec(ctx, `DELETE FROM `+s.table.String()+` WHERE `+cond+` IS NOT TRUE`, args...)
	s.rows -= n
	s.read -= n
	return err
}

// yield takes the rows out of the stage of which a file that was not read has
// given the table a newer version.
func (d *Divided) yield(ctx context.Context, tx *warehouse.Tx) error {
	if len(d.kept) == 0 || d.to.Cursor == "" || !d.fits.sorts(d.to.Cursor) {
		return nil
	}
	s := d.staged
	stage := `(SELECT ` + selectList(d.fits.projections()) + `, ` + rowID(tx) + ` AS _elt_row FROM ` + s.table.String() + `)`
	p := publisher{to: Target{Key: d.to.Key, Cursor: d.fits.targetName(d.to.Cursor)}}
	cond, args := d.ofKept("t.", 0)
	n, err := tx.Exec(ctx, `DELETE FROM `+s.table.String()+` WHERE `+rowID(tx)+` IN (SELECT s._elt_row FROM `+stage+` AS s JOIN `+s.contract.Table.String()+` AS t ON `+
		p.higher(d.fits, "t", "s")+` WHERE `+cond+`)`, args...)
	s.rows -= n
	d.superseded += n
	return err
}

// ofKept is the condition that a row of the table comes from a file that was not read.
func (d *Divided) ofKept(prefix string, after int) (string, []any) {
	if len(d.kept) == 0 {
		return "FALSE", nil
	}
	var places []string
	var args []any
	for _, name := range d.kept {
		args = append(args, name)
		places = append(places, fmt.Sprintf("CAST($%d AS text)", after+len(args)))
	}
	return "coalesce(" + prefix + warehouse.Quote(warehouse.ColSource) + " IN (" + strings.Join(places, ", ") + "), FALSE)", args
}

// hasMoved looks for rows of the table that have a key of the stage and another
// time, or that come from a file which was not read.
func (d *Divided) hasMoved(ctx context.Context, tx *warehouse.Tx) (bool, error) {
	p := publisher{to: d.to}
	at := ""
	for _, f := range d.fits.fits {
		if f.staged.Name == d.to.Time {
			at = `CAST(s.` + warehouse.Quote(f.staged.Name) + ` AS ` + f.target.Type + `) IS DISTINCT FROM t.` + warehouse.Quote(f.target.Name)
			if f.added() {
				return true, nil // no row of the table has a time
			}
		}
	}
	cond, args := d.ofKept("t.", 0)
	n, err := count(ctx, tx, `SELECT count(*) FROM (SELECT 1 AS one FROM `+d.staged.table.String()+` AS s JOIN `+d.staged.contract.Table.String()+
		` AS t ON `+p.keyMatch(d.fits, "t", "s")+` WHERE `+at+` OR `+cond+` LIMIT 1) AS moved`, args...)
	if err != nil {
		return false, fmt.Errorf("look for rows whose %s has changed: %w", d.to.Time, err)
	}
	return n > 0, nil
}

// index lets Postgres find the rows of each of several windows in the stage.
func (d *Divided) index(ctx context.Context, tx *warehouse.Tx, windows []window.Window) error {
	const few = 3
	if !isPostgres(tx) || len(windows) <= few || d.staged.rows == 0 {
		return nil
	}
	for _, q := range []string{`CREATE INDEX ON ` + d.staged.table.String() + ` (` + warehouse.Quote(d.to.Time) + `)`, `ANALYZE ` + d.staged.table.String()} {
		if _, err := tx.Exec(ctx, q); err != nil {
			return fmt.Errorf("index what is staged: %w", err)
		}
	}
	return nil
}

// Publish makes the table hold in w what the stage does, in tx. w may be several
// windows that meet.
func (d *Divided) Publish(ctx context.Context, tx *warehouse.Tx, w window.Window) (Result, error) {
	to := d.to
	to.Window = w
	var res Result
	p := publisher{staged: d.staged, tx: tx, to: to, table: d.staged.contract.Table, src: d.staged.table, res: &res, divided: d}
	if err := p.window(ctx); err != nil {
		return Result{}, fmt.Errorf("publish %s, window %s: %w", p.table.Display(), w, err)
	}
	return res, nil
}

// window publishes one window of a divided stage.
func (p *publisher) window(ctx context.Context) error {
	existing, err := p.tx.Schema(ctx, p.table)
	if err != nil {
		return err
	}
	d := p.divided
	if len(p.staged.columns) == 0 || p.staged.rows == 0 {
		if len(existing) == 0 {
			return nil
		}
		return p.clearWindow(ctx, existing)
	}
	staged, err := p.tx.Schema(ctx, p.staged.table)
	if err != nil {
		return err
	}
	if len(existing) == 0 {
		for _, q := range []string{`CREATE SCHEMA IF NOT EXISTS ` + warehouse.Quote(p.table.Schema),
			`CREATE TABLE ` + p.table.String() + ` AS SELECT * FROM ` + p.staged.table.String() + ` WHERE FALSE`} {
			if _, err := p.tx.Exec(ctx, q); err != nil {
				return err
			}
		}
		existing = staged
	}
	g, err := compare(ctx, p.tx, &p.staged.contract, p.table, staged, existing)
	if err != nil {
		return err
	}
	if err := g.apply(ctx, p.tx, p.table); err != nil {
		return err
	}
	p.res.Changes = g.changes()
	for _, c := range g.gone() {
		p.res.Gone = append(p.res.Gone, fmt.Sprintf("column %q is gone from the source: the rows of this backfill have NULL there", c.Name))
	}
	d.fits = g
	if err := p.ensureIndexes(ctx, []string{g.targetName(p.to.Time)}); err != nil {
		return err
	}
	if err := p.clearWindow(ctx, existing); err != nil {
		return err
	}
	return p.fillWindow(ctx, g)
}

// clearWindow deletes what the window replaces.
func (p *publisher) clearWindow(ctx context.Context, existing []warehouse.Column) error {
	d := p.divided
	if c, ok := find(existing, p.to.Time); ok {
		cond, args := within(warehouse.Quote(c.Name), c.Type, p.to.Window, 0)
		kept, more := d.ofKept("", len(args))
		if len(d.kept) > 0 {
			cond, args = cond+` AND NOT `+kept, append(args, more...)
		}
		n, err := p.tx.Exec(ctx, `DELETE FROM `+p.table.String()+` WHERE `+cond, args...)
		p.res.Deleted += n
		if err != nil {
			return err
		}
	}
	if !d.moved {
		return nil
	}
	cond, args := d.in(p.to.Window, 0)
	n, err := p.tx.Exec(ctx, `DELETE FROM `+p.table.String()+` AS t WHERE EXISTS (SELECT 1 FROM (SELECT * FROM `+p.staged.table.String()+
		` WHERE `+cond+`) AS s WHERE `+p.keyMatch(d.fits, "t", "s")+`)`, args...)
	p.res.Deleted += n
	return err
}

// fillWindow inserts the staged rows of the window and proves that they arrived.
func (p *publisher) fillWindow(ctx context.Context, g growth) error {
	cond, args := p.divided.in(p.to.Window, 0)
	want, wantSum, err := checksum(ctx, p.tx, p.staged.table, g.data(), ` WHERE `+cond, args...)
	if err != nil {
		return err
	}
	p.res.Read, p.res.Staged, p.res.Checksum = want, want, wantSum
	if want == 0 {
		return nil
	}
	ps := g.projections()
	n, err := p.tx.Exec(ctx, `INSERT INTO `+p.table.String()+` (`+list(projected(ps))+`) SELECT `+selectList(ps)+` FROM `+p.staged.table.String()+` WHERE `+cond, args...)
	if err != nil {
		return err
	}
	p.res.Published = n
	var published []projection
	for _, ps := range g.data() {
		published = append(published, projection{expr: warehouse.Quote(ps.name), name: ps.name})
	}
	var at warehouse.Column
	for _, f := range g.fits {
		if f.staged.Name == p.to.Time {
			at = f.target
		}
	}
	cond, args = within(warehouse.Quote(at.Name), at.Type, p.to.Window, 1)
	got, sum, err := checksum(ctx, p.tx, p.table, published, ofLoad+` AND `+cond, append([]any{p.staged.contract.LoadID}, args...)...)
	if err != nil {
		return err
	}
	if n != want || got != want || sum != wantSum {
		return fmt.Errorf("%w: the published rows are not the staged ones (%d inserted, %d found, checksum %s; staged %d rows, checksum %s)",
			ErrAccounting, n, got, sum, want, wantSum)
	}
	return nil
}
