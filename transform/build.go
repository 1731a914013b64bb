package transform

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"time"

	"elt/internal/retry"
	"elt/internal/rows"
	"elt/internal/warehouse"
	"elt/window"
)

// BuildOptions say how to build a model. The funcs run in the transaction that
// makes the result visible; an error of one rolls everything back and the old
// data stands.
type BuildOptions struct {
	Now         time.Time // the run's clock
	FullRefresh bool      // build an incremental model anew from all time
	DueFrom     time.Time // where set: due is from here on, if the newest row of the table is later
	// Verify judges what is about to be published: a table or view with all the
	// columns of the model, not yet visible to anyone. For an incremental model it
	// is the whole table as it will be. nil: no checks.
	Verify func(ctx context.Context, tx *warehouse.Tx, rel warehouse.Table) error
	// Record writes the bookkeeping, after everything else. nil: none.
	Record func(ctx context.Context, tx *warehouse.Tx, r Result) error
}

// Result is what a build did.
type Result struct {
	Rows     int64         // written; 0 for a view
	Replaced int64         // that stood where they were written: in the whole table, the window, or under the keys
	Window   window.Window // that was built; zero: all time
	Note     string        // view, table, 3 days, all days, by key
	Columns  []warehouse.Column
	Changes  []string // what became of the columns: "added column discount (bigint)"
}

// EmptyError is a build without rows over a table that had some.
type EmptyError struct {
	Model string
	Had   int64
}

func (e *EmptyError) Error() string {
	return fmt.Sprintf("%s has no rows now and had %d; the old rows stand. If that is right, set on_empty: replace in its header", e.Model, e.Had)
}

// Build makes one model in one transaction: aside, verified, then swapped in. A
// zero w builds what is due: for an incremental model with a time column the
// days from its newest row less lookback to today, for all others everything.
// It is safe for concurrent use with different models.
func Build(ctx context.Context, db *warehouse.DB, m *Model, w window.Window, opts BuildOptions) (Result, error) {
	if opts.Now.IsZero() {
		opts.Now = time.Now()
	}
	backoff := retry.Backoff{Base: 100 * time.Millisecond, Max: 2 * time.Second}
	views := map[string]viewText{}
	for try := 1; ; try++ {
		b := &builder{m: m, opts: opts, dialect: db.Dialect(), w: w, views: views}
		err := db.Update(ctx, b.run)
		if err == nil {
			return b.res, nil
		}
		if b.again && ctx.Err() == nil { // at most once for each view
			try--
			continue
		}
		if b.verdict { // no statement around the query: a place in its text would be a wrong one
			return Result{}, m.located("build", err, statement{})
		}
		if !contended(err) || try == swapTries {
			return Result{}, m.located("build", err, b.text)
		}
		select {
		case <-ctx.Done():
			return Result{}, errors.Join(context.Cause(ctx), err)
		case <-time.After(backoff.Wait(try, 0)):
		}
	}
}

// swapTries is how often a build starts over because a lock or a schema was
// taken by somebody else in between.
const swapTries = 5

// contended reports whether the same again may work soon: two builds make one
// schema at the same time, or a reader holds a table longer than lock_timeout.
func contended(err error) bool {
	k := warehouse.KindOf(err)
	return k == warehouse.KindConflict || k == warehouse.KindLocked || k == warehouse.KindUnique
}

// builder is one try of one build.
type builder struct {
	m       *Model
	w       window.Window
	opts    BuildOptions
	dialect *warehouse.Dialect
	res     Result
	text    statement           // the last statement that held the model's query
	views   map[string]viewText // what to make views from, of those that failed in an earlier try
	again   bool                // the error is that of a view for which there is another text to try
	verdict bool                // the error comes from a caller's func or from the data: again is the same
}

func (b *builder) run(ctx context.Context, tx *warehouse.Tx) error {
	if err := b.prepare(ctx, tx); err != nil {
		return err
	}
	var err error
	if b.res.Columns, err = b.describe(ctx, tx); err != nil {
		return err
	}
	switch b.m.Materialized {
	case View:
		err = b.view(ctx, tx)
	case Incremental:
		err = b.incremental(ctx, tx)
	case FullTable:
		b.res.Note = "table"
		err = b.whole(ctx, tx)
	}
	if err == nil && b.opts.Record != nil {
		err = b.judged(b.opts.Record(ctx, tx, b.res))
	}
	return err
}

// judged marks an error as final.
func (b *builder) judged(err error) error {
	b.verdict = err != nil
	return err
}

func (b *builder) verify(ctx context.Context, tx *warehouse.Tx, rel warehouse.Table) error {
	if b.opts.Verify == nil {
		return nil
	}
	return b.judged(b.opts.Verify(ctx, tx, rel))
}

// prepare makes the schema. Asking first keeps two builds of one schema from
// meeting in CREATE SCHEMA.
func (b *builder) prepare(ctx context.Context, tx *warehouse.Tx) error {
	if b.dialect.Name == postgres {
		if _, err := tx.Exec(ctx, `SET LOCAL lock_timeout = '2s'`); err != nil {
			return err
		}
	}
	n, err := count(ctx, tx, `SELECT count(*) FROM information_schema.schemata WHERE schema_name = $1`, b.m.Table.Schema)
	if err != nil || n > 0 {
		return err
	}
	_, err = tx.Exec(ctx, `CREATE SCHEMA IF NOT EXISTS `+warehouse.Quote(b.m.Table.Schema))
	return err
}

// describe finds the columns of the query, by a view that lives for a moment.
func (b *builder) describe(ctx context.Context, tx *warehouse.Tx) ([]warehouse.Column, error) {
	probe := b.reserved("probe_")
	if err := b.query(ctx, tx, `CREATE VIEW `+probe.String()+" AS\n", b.w, ""); err != nil {
		return nil, err
	}
	cols, err := tx.Schema(ctx, probe)
	if err != nil {
		return nil, err
	}
	_, err = tx.Exec(ctx, `DROP VIEW `+probe.String())
	return cols, err
}

// query runs a statement around the model's query for a window and remembers
// where the query stands in it, for the place of an error.
func (b *builder) query(ctx context.Context, tx *warehouse.Tx, before string, w window.Window, after string) error {
	b.text = statement{before: len(before), edits: b.m.editsFor(w, b.opts.Now), sql: before + b.m.SQL(w, b.opts.Now) + after}
	_, err := tx.Exec(ctx, b.text.sql)
	return err
}

// reserved is a name in the model's schema that elt alone uses.
func (b *builder) reserved(use string) warehouse.Table {
	name := warehouse.Reserved + use + b.m.Table.Name
	if limit := b.dialect.MaxName; limit > 0 && len(name) > limit {
		sum := fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(b.m.Table.Name)))
		name = strings.ToValidUTF8(name[:limit-len(sum)], "") + sum
	}
	return warehouse.Table{Schema: b.m.Table.Schema, Name: name}
}

// aside builds the rows of a window into a table that nobody knows.
func (b *builder) aside(ctx context.Context, tx *warehouse.Tx, w window.Window) (warehouse.Table, error) {
	t := b.reserved("new_")
	after := "\n) AS q"
	if filter, err := b.filter(w); err != nil {
		return t, b.judged(err)
	} else if filter != "" {
		after += " WHERE " + filter + " OR " + warehouse.Quote(b.m.Time) + " IS NULL"
	}
	if err := b.query(ctx, tx, `CREATE TABLE `+t.String()+" AS SELECT * FROM (\n", w, after); err != nil {
		return t, err
	}
	n, err := count(ctx, tx, `SELECT count(*) FROM `+t.String())
	b.res.Rows = n
	if err != nil || !b.m.Windowed() {
		return t, err
	}
	return t, b.timed(ctx, tx, t)
}

// timed fails when rows have no time: they lie in no window, so that a build
// would lose them, and one of all days would keep them for ever.
func (b *builder) timed(ctx context.Context, tx *warehouse.Tx, t warehouse.Table) error {
	n, err := count(ctx, tx, `SELECT count(*) FROM `+t.String()+` WHERE `+warehouse.Quote(b.m.Time)+` IS NULL`)
	if err != nil || n == 0 {
		return err
	}
	return b.judged(fmt.Errorf("%d rows have NULL in the time column %s and belong to no window; the old rows stand. Filter them out (where %s is not null) or fill them",
		n, b.m.Time, b.m.Time))
}

// whole builds all rows, or those of a first window, and swaps the table.
func (b *builder) whole(ctx context.Context, tx *warehouse.Tx) error {
	kind, err := kindOf(ctx, tx, b.m.Table)
	if err != nil {
		return err
	}
	if kind == kindTable {
		if b.res.Replaced, err = count(ctx, tx, `SELECT count(*) FROM `+b.m.Table.String()); err != nil {
			return err
		}
	}
	fresh, err := b.aside(ctx, tx, b.res.Window)
	if err != nil {
		return err
	}
	if b.res.Rows == 0 && b.res.Replaced > 0 && b.m.OnEmpty != "replace" {
		return b.judged(&EmptyError{Model: b.m.FullName(), Had: b.res.Replaced})
	}
	if err := b.verify(ctx, tx, fresh); err != nil {
		return err
	}
	return b.swap(ctx, tx, kind, fresh)
}

// count runs a query that returns one number.
func count(ctx context.Context, tx *warehouse.Tx, sql string, args ...any) (n int64, err error) {
	err = warehouse.Each(ctx, tx, sql, func(r rows.Row) error {
		n = r.Int(0)
		return nil
	}, args...)
	return n, err
}

// texts runs a query that returns one text a row.
func texts(ctx context.Context, tx *warehouse.Tx, sql string, args ...any) (out []string, err error) {
	err = warehouse.Each(ctx, tx, sql, func(r rows.Row) error {
		out = append(out, strings.Clone(r.String(0)))
		return nil
	}, args...)
	return out, err
}

func execAll(ctx context.Context, tx *warehouse.Tx, statements ...string) error {
	for _, s := range statements {
		if _, err := tx.Exec(ctx, s); err != nil {
			return err
		}
	}
	return nil
}
