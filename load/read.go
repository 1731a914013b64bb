package load

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"elt/internal/duckread"
	"elt/internal/scan"
	"elt/internal/warehouse"
)

// partReader appends one part of a scan to the stage.
type partReader struct {
	staged *Staged
	total  *atomic.Int64
	stage  *sync.Mutex
	known  *arrow.Schema // the stage has its columns already
}

// inOrder has the files read in order where the row of a key that stands last wins.
func (p partReader) inOrder(f scan.Files) scan.Files {
	f.Ordered = f.Ordered || len(p.staged.contract.Key) > 0
	return f
}

// native lets the warehouse read the files itself: side by side, and once more in
// order where a key turns out to have several rows, since order costs a reader
// with one thread and most loads do not need it.
func (p partReader) native(ctx context.Context, f scan.Files) error {
	var n int64
	var err error
	rejects := NewRejects(p.staged.Rejects.max)
	if ordered := p.inOrder(f).Ordered; f.Ordered || !ordered {
		n, err = p.readNative(ctx, f, rejects)
	} else if n, err = p.readNative(ctx, f, rejects, p.staged.contract.Key...); errors.Is(err, errSameKey) {
		rejects = NewRejects(p.staged.Rejects.max)
		n, err = p.readNative(ctx, p.inOrder(f), rejects)
	}
	if err != nil {
		return err
	}
	p.count(n)
	for _, r := range rejects.rows {
		if err := p.staged.Rejects.Add(r); err != nil {
			return err
		}
	}
	return nil
}

// errSameKey says that several rows of a load have one key.
var errSameKey = errors.New("several rows have the same key")

// readNative inserts the rows of f. It fails with errSameKey, and leaves nothing,
// when the columns of distinct are not.
func (p partReader) readNative(ctx context.Context, f scan.Files, rejects *Rejects, distinct ...string) (n int64, err error) {
	s := p.staged
	err = s.db.Aside(ctx, s.table, func(ctx context.Context, tx *warehouse.Tx) error {
		looked, err := duckread.Look(ctx, tx, f)
		if err != nil {
			return err
		}
		found := looked.Columns()
		cols := make([]warehouse.Column, len(found))
		for i, c := range found {
			cols[i] = warehouse.Column{Name: c.Name, Type: c.Type}
		}
		if err := s.ensure(ctx, tx, cols); err != nil {
			return err
		}
		n, err = looked.Insert(ctx, tx, s.table.String(), rejects.Add)
		lacking := haveColumns(cols, "key", distinct...) // a load without its key is judged later
		if err != nil || len(distinct) == 0 || lacking != nil {
			return err
		}
		several, err := count(ctx, tx, `SELECT count(*) FROM (SELECT 1 AS one FROM `+s.table.String()+
			` GROUP BY `+list(distinct)+` HAVING count(*) > 1 LIMIT 1) AS several`)
		if err == nil && several > 0 {
			err = errSameKey
		}
		return err
	})
	return n, err
}

// append opens the part and appends its rows.
func (p partReader) append(ctx context.Context, part scan.Part) error {
	open := part.Open
	if part.Files != nil {
		open = func(ctx context.Context) (array.RecordReader, error) {
			return duckread.Open(ctx, p.inOrder(*part.Files), p.staged.Rejects.Add, p.staged.contract.TimeZone)
		}
	}
	if open == nil {
		return errors.New("the source gave a part that can be neither opened nor read as files")
	}
	r, err := open(ctx)
	if err != nil {
		return err
	}
	defer r.Release()
	if p.known == nil || !p.known.Equal(r.Schema()) {
		if err := p.widen(ctx, r.Schema()); err != nil {
			return err
		}
	}
	return p.staged.db.Aside(ctx, p.staged.table, func(ctx context.Context, tx *warehouse.Tx) error {
		fit := &fittingReader{RecordReader: r, refused: tx.Dialect().Refused, reject: p.staged.Rejects.Add, locate: p.staged.locatorColumns}
		defer fit.drop()
		counted := &countingReader{RecordReader: fit, count: p.count}
		n, err := tx.Append(ctx, p.staged.table, counted)
		if err != nil {
			return err
		}
		// The driver has read to the end; a reader that ended early says so here.
		if err := fit.Err(); err != nil {
			return err
		}
		if n != counted.rows {
			return fmt.Errorf("%w: the source gave %d rows, but %d were appended", ErrAccounting, counted.rows, n)
		}
		return nil
	})
}

// widen adds the columns of schema that the stage does not have.
func (p partReader) widen(ctx context.Context, schema *arrow.Schema) error {
	p.stage.Lock()
	defer p.stage.Unlock()
	return p.staged.db.Aside(ctx, p.staged.table, func(ctx context.Context, tx *warehouse.Tx) error {
		cols, err := arrowColumns(tx.Dialect(), schema)
		if err != nil {
			return err
		}
		return p.staged.ensure(ctx, tx, cols)
	})
}

func (p partReader) count(n int64) {
	sum := p.total.Add(n)
	if p.staged.contract.Progress != nil {
		p.staged.contract.Progress(sum)
	}
}

// countingReader counts the rows that pass.
type countingReader struct {
	array.RecordReader
	count func(int64)
	rows  int64
}

func (r *countingReader) Next() bool {
	if !r.RecordReader.Next() {
		return false
	}
	n := r.RecordReader.RecordBatch().NumRows()
	r.rows += n
	r.count(n)
	return true
}

// arrowColumns are the columns that hold schema in the warehouse.
func arrowColumns(d *warehouse.Dialect, schema *arrow.Schema) ([]warehouse.Column, error) {
	var errs []error
	cols := make([]warehouse.Column, 0, schema.NumFields())
	for _, f := range schema.Fields() {
		typ, err := d.ColumnType(f)
		if err != nil {
			errs = append(errs, fmt.Errorf("column %q: %w", f.Name, err))
		}
		cols = append(cols, warehouse.Column{Name: f.Name, Type: typ})
	}
	return cols, errors.Join(errs...)
}

// ensure makes the stage with cols, or adds those that it does not have yet.
// elt's own columns are defaults of the stage: that costs nothing per row.
func (s *Staged) ensure(ctx context.Context, tx *warehouse.Tx, cols []warehouse.Column) error {
	if err := checkNames(tx.Dialect(), names(cols)); err != nil {
		return err
	}
	if len(cols) == 0 {
		return errors.New("the source has no columns; give it at least one")
	}
	const own = 2 // elt's: load id and time
	if most := tx.Dialect().MaxColumns; most > 0 && len(cols)+own > most {
		return fmt.Errorf("the source has %d columns, and a table on %s holds at most %d, %d of them elt's own; "+
			"split the source, or use a DuckDB warehouse", len(cols), tx.Dialect().Name, most, own)
	}
	existing, err := tx.Schema(ctx, s.table)
	if err != nil {
		return err
	}
	if len(existing) == 0 {
		_, err := tx.Exec(ctx, s.createSQL(tx, cols))
		return err
	}
	for _, c := range cols {
		have, ok := find(existing, c.Name)
		if ok && have.Name != c.Name {
			return fmt.Errorf("columns %q and %q would be the same column; rename one of them in the source", have.Name, c.Name)
		}
		if ok {
			continue
		}
		if _, err := tx.Exec(ctx, addColumn(s.table, c)); err != nil {
			return fmt.Errorf("column %q: %w", c.Name, err)
		}
	}
	return nil
}

func (s *Staged) createSQL(tx *warehouse.Tx, cols []warehouse.Column) string {
	defs := make([]string, 0, len(cols)+2)
	for _, c := range cols {
		defs = append(defs, warehouse.Quote(c.Name)+" "+c.Type)
	}
	at := s.contract.LoadedAt.UTC().Format(time.RFC3339Nano)
	defs = append(defs,
		warehouse.Quote(warehouse.ColLoadID)+" text DEFAULT "+warehouse.Literal(s.contract.LoadID),
		warehouse.Quote(warehouse.ColLoadedAt)+" timestamp with time zone DEFAULT CAST("+warehouse.Literal(at)+" AS timestamp with time zone)")
	create := "CREATE TABLE "
	if isPostgres(tx) && !s.contract.Replaces {
		create = "CREATE UNLOGGED TABLE "
	}
	return create + s.table.String() + " (" + strings.Join(defs, ", ") + ")"
}

func addColumn(t warehouse.Table, c warehouse.Column) string {
	return `ALTER TABLE ` + t.String() + ` ADD COLUMN ` + warehouse.Quote(c.Name) + ` ` + c.Type
}
