package load

import (
	"context"
	"errors"
	"fmt"

	"elt/internal/retry"
	"elt/internal/warehouse"
)

// Publish makes the staged rows visible, as t says, in tx: all of it commits or
// nothing does. Publishing a load that the table has already changes nothing.
//
// The balance of the result and the checksum of what was written are verified
// before Publish returns; an error must roll tx back.
func (s *Staged) Publish(ctx context.Context, tx *warehouse.Tx, t Target) (Result, error) {
	res := Result{
		Read: s.read, Staged: s.rows, Quarantined: s.quarantined, Discarded: s.discarded, Checksum: s.checksum,
	}
	p := publisher{staged: s, tx: tx, to: t, table: s.contract.Table, src: s.table, res: &res}
	err := t.validate()
	if err == nil {
		err = p.run(ctx)
	}
	if err == nil {
		err = res.balance()
	}
	if err != nil {
		return Result{}, fmt.Errorf("publish %s: %w", s.contract.Table.Display(), err)
	}
	return res, nil
}

// balance is invariant 4.
func (r Result) balance() error {
	if r.Read != r.Staged+r.Quarantined+r.Discarded {
		return fmt.Errorf("%w: %d rows read, but %d staged + %d quarantined + %d discarded",
			ErrAccounting, r.Read, r.Staged, r.Quarantined, r.Discarded)
	}
	if r.Staged != r.Published+r.Superseded+r.AlreadyPresent {
		return fmt.Errorf("%w: %d rows staged, but %d published + %d superseded + %d already present",
			ErrAccounting, r.Staged, r.Published, r.Superseded, r.AlreadyPresent)
	}
	return nil
}

// publisher is one Publish.
type publisher struct {
	staged *Staged
	tx     *warehouse.Tx
	to     Target
	table  warehouse.Table
	src    warehouse.Table // what is published: the stage, or a pick of it
	res    *Result

	divided *Divided // nil: all of the stage is published at once
}

func (p *publisher) run(ctx context.Context) error {
	existing, err := p.tx.Schema(ctx, p.table)
	if err != nil {
		return err
	}
	if stop, err := p.guardEmpty(ctx, existing); stop || err != nil {
		return err
	}
	if len(p.staged.columns) == 0 {
		return p.publishNothing(ctx, existing)
	}
	staged, err := p.tx.Schema(ctx, p.staged.table)
	if err != nil {
		return err
	}
	if len(staged) == 0 {
		return p.becameTable(ctx, existing)
	}
	if err := p.inspect(ctx, staged); err != nil {
		return err
	}
	if done, err := p.publishedBefore(ctx, existing); done || err != nil {
		return err
	}
	switch {
	case len(existing) == 0 && p.staged.rows == 0 && (p.staged.contract.Tables == Quarantine || p.staged.contract.Tables == Discard):
		return nil // the contract makes no new tables
	case len(existing) == 0:
		return p.first(ctx, staged)
	case p.to.Disposition == Replace:
		return p.replace(ctx, staged, existing)
	default:
		return p.change(ctx, staged, existing)
	}
}

// guardEmpty keeps an empty unbounded source from emptying a table. stop means
// that the table stays as it is.
func (p *publisher) guardEmpty(ctx context.Context, existing []warehouse.Column) (stop bool, err error) {
	unbounded := p.to.Disposition == Replace || p.to.Disposition == File ||
		p.to.Disposition == Window && p.to.Window.IsZero()
	if p.staged.rows > 0 || len(existing) == 0 || !unbounded || p.to.OnEmpty == EmptyReplace {
		return false, nil
	}
	had, err := count(ctx, p.tx, `SELECT count(*) FROM `+p.table.String())
	if err != nil || had == 0 {
		return false, err
	}
	if p.to.Disposition == File {
		left, err := p.otherFiles(ctx, existing)
		if err != nil || left {
			return false, err
		}
	}
	if p.to.OnEmpty == EmptyKeep {
		return true, nil
	}
	return false, fmt.Errorf("%w, and %s has %d; nothing was changed. "+
		"If an empty source is right, set `on_empty: replace` (or `keep`) on the stream", ErrEmpty, p.table.Display(), had)
}

// publishNothing is for a load that does not even know its columns.
func (p *publisher) publishNothing(ctx context.Context, existing []warehouse.Column) error {
	if len(existing) == 0 {
		return nil
	}
	switch p.to.Disposition {
	case Replace:
		n, err := p.tx.Exec(ctx, `DELETE FROM `+p.table.String())
		p.res.Deleted = n
		return err
	case File:
		return p.deleteEmptyFiles(ctx, existing, nil)
	case Window:
		return p.deleteWindow(ctx, existing)
	}
	return nil
}

// becameTable is for a load whose stage is the table already. A stage that is not
// there for another reason, such as a scratch database that ended with the file
// that it belongs to, has lost its rows; that none were staged does not make that
// good, since a load of no rows deletes rows too.
func (p *publisher) becameTable(ctx context.Context, existing []warehouse.Column) error {
	gone := retry.AsTransient(errors.New("its staged rows are gone; run again"))
	if _, ok := find(existing, warehouse.ColLoadID); !ok || !p.staged.becameTable {
		return gone
	}
	n, err := count(ctx, p.tx, `SELECT count(*) FROM `+p.table.String()+ofLoad, p.staged.contract.LoadID)
	if err != nil {
		return err
	}
	if n == 0 && p.staged.rows > 0 {
		return gone
	}
	p.res.AlreadyPresent, p.res.Superseded = n, p.staged.rows-n
	return nil
}

// publishedBefore recognises a load by its id in the table.
func (p *publisher) publishedBefore(ctx context.Context, existing []warehouse.Column) (bool, error) {
	if _, ok := find(existing, warehouse.ColLoadID); !ok || p.staged.rows == 0 {
		return false, nil
	}
	n, err := count(ctx, p.tx, `SELECT count(*) FROM (SELECT 1 AS one FROM `+p.table.String()+ofLoad+` LIMIT 1) AS found`,
		p.staged.contract.LoadID)
	if err != nil || n == 0 {
		return false, err
	}
	p.res.AlreadyPresent = p.staged.rows - p.res.Superseded
	return true, nil
}

// inspect looks at the staged rows before anything is written: the columns that
// the disposition needs, NULL keys, rows outside the window, rows superseded
// within the load.
func (p *publisher) inspect(ctx context.Context, staged []warehouse.Column) error {
	switch p.to.Disposition {
	case Window:
		if err := haveColumns(staged, "time", p.to.Time); err != nil {
			return err
		}
		return p.insideWindow(ctx, staged)
	case File:
		return haveColumns(staged, "file", warehouse.ColSource)
	default:
		if !p.to.distinct() && !p.to.Overlap {
			return nil
		}
	}
	if err := haveColumns(staged, "key", p.to.Key...); err != nil {
		return err
	}
	if p.to.Cursor != "" {
		if err := haveColumns(staged, "cursor", p.to.Cursor); err != nil {
			return err
		}
	}
	if !p.to.distinct() {
		return nil
	}
	nulls, err := count(ctx, p.tx, `SELECT count(*) FROM `+p.src.String()+` WHERE `+nullKey(p.to.Key))
	if err != nil {
		return err
	}
	if nulls > 0 {
		return fmt.Errorf("%w: %d rows have a NULL in their key (%s); choose a key that every row has",
			ErrContract, nulls, list(p.to.Key))
	}
	keys, err := count(ctx, p.tx, `SELECT count(*) FROM (SELECT 1 AS one FROM `+p.src.String()+` GROUP BY `+list(p.to.Key)+`) AS keys`)
	p.res.Superseded = p.staged.rows - keys
	return err
}

// first makes the stage, or what is picked from it, the table.
func (p *publisher) first(ctx context.Context, staged []warehouse.Column) error {
	if p.res.Superseded > 0 || p.elsewhere() {
		if _, err := p.pick(ctx, growth{fits: identity(staged)}, picking{becomesTable: true}); err != nil {
			return err
		}
	}
	if err := p.adopt(ctx); err != nil {
		return err
	}
	p.res.Published = p.staged.rows - p.res.Superseded
	for _, c := range dataColumns(staged) {
		p.res.Changes = append(p.res.Changes, "added column "+c.Name+" "+c.Type)
	}
	p.res.Changes = append([]string{"created table " + p.table.Display()}, p.res.Changes...)
	return p.ensureIndexes(ctx, p.to.Key)
}

// elsewhere reports whether the stage cannot take the table's name where it
// lies: the table was there when the load began.
func (p *publisher) elsewhere() bool { return p.src.Schema != p.table.Schema }

// identity fits columns to themselves.
func identity(cols []warehouse.Column) []fit {
	out := make([]fit, len(cols))
	for i, c := range cols {
		out[i] = fit{staged: c, target: c, was: c.Type}
	}
	return out
}

// change writes the staged rows into the table that is there.
func (p *publisher) change(ctx context.Context, staged, existing []warehouse.Column) error {
	g, err := compare(ctx, p.tx, &p.staged.contract, p.table, staged, existing)
	if err == nil {
		err = g.frozen(&p.staged.contract)
	}
	if err != nil {
		return err
	}
	if err := g.apply(ctx, p.tx, p.table); err != nil {
		return err
	}
	p.res.Changes = g.changes()
	if err := p.ensureIndexes(ctx, p.targetKey(g)); err != nil {
		return err
	}
	// What is deleted with its window or file is written again, unchanged or not.
	unchanged := p.to.Overlap && len(p.to.Key) > 0 && (p.to.Disposition == Append || p.to.Disposition == Merge)
	older, err := p.hasOlder(ctx, g)
	if err != nil {
		return err
	}
	picked := unchanged || older || p.res.Superseded > 0
	if picked {
		if g, err = p.pick(ctx, g, picking{unchanged: unchanged}); err != nil {
			return err
		}
	}
	if older {
		if err := p.dropOlder(ctx, g); err != nil {
			return err
		}
	}
	watched, err := p.watchGone(ctx, g)
	if err != nil {
		return err
	}
	if err := p.makeRoom(ctx, g, existing); err != nil {
		return err
	}
	if err := p.insert(ctx, g); err != nil {
		return err
	}
	if picked {
		if _, err := p.tx.Exec(ctx, `DROP TABLE `+p.src.String()); err != nil {
			return err
		}
	}
	return p.tellGone(ctx, watched)
}
