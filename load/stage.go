package load

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"elt/internal/crash"
	"elt/internal/scan"
	"elt/internal/warehouse"
)

// sideBySide bounds how many parts are read at once: the source and the
// warehouse both work on each, and more only costs memory.
const sideBySide = 2

// Staged is a load that lies in a table of its own, complete and counted, and
// that nobody reads yet. The caller ends it with Drop, published or not.
type Staged struct {
	// Rejects are the rows that were set aside, the source's and the contract's.
	Rejects *Rejects

	db       *warehouse.DB
	contract Contract
	table    warehouse.Table
	columns  []warehouse.Column // of the stage, without those that elt adds
	files    []string           // names of the files that were read

	read, rows, quarantined, discarded int64
	checksum                           string
	becameTable                        bool   // the last publish gave the stage the name of its table
	sealed                             string // Postgres: the transaction after which nothing changed in the stage
}

// Stage reads all of s into a table beside its target and settles the contract:
// what is left in the stage may be published. An error leaves nothing behind.
// It does not close s.
func Stage(ctx context.Context, db *warehouse.DB, s scan.Scan, c Contract) (*Staged, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	if c.Rejects == nil {
		c.Rejects = NewRejects(0)
	}
	st := &Staged{db: db, contract: c, Rejects: c.Rejects}
	if err := st.place(ctx); err != nil {
		return nil, fmt.Errorf("stage %s: %w", c.Table.Display(), err)
	}
	if err := st.run(ctx, s); err != nil {
		return nil, warehouse.Also(fmt.Errorf("stage %s: %w", c.Table.Display(), err), st.Drop(ctx))
	}
	return st, nil
}

// Relation is the staged table, for checks of rows. It holds no table when
// nothing is known about the columns: then the load has no rows.
func (s *Staged) Relation() warehouse.Table {
	if len(s.columns) == 0 {
		return warehouse.Table{}
	}
	return s.table
}

// Read is how many rows the source gave, rejected ones included.
func (s *Staged) Read() int64 { return s.read }

// Rows is how many rows are staged.
func (s *Staged) Rows() int64 { return s.rows }

// Quarantined is how many rows were set aside with a reason.
func (s *Staged) Quarantined() int64 { return s.quarantined }

// Drop removes the stage. It works after ctx has ended, and more than once.
func (s *Staged) Drop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	err := s.db.Aside(ctx, s.table, func(ctx context.Context, tx *warehouse.Tx) error {
		return dropIfExists(ctx, tx, s.table)
	})
	if err != nil {
		return fmt.Errorf("drop the stage %s: %w", s.table.Display(), err)
	}
	return nil
}

// dropIfExists looks first: a statement on a schema that does not exist would
// fail and take the transaction with it.
func dropIfExists(ctx context.Context, tx *warehouse.Tx, t warehouse.Table) error {
	cols, err := tx.Schema(ctx, t)
	if err != nil || len(cols) == 0 {
		return err
	}
	_, err = tx.Exec(ctx, `DROP TABLE `+t.String())
	return err
}

// place chooses where the stage lies: beside its table when it may become the
// table, and otherwise where writing costs least.
func (s *Staged) place(ctx context.Context) error {
	s.table = warehouse.Table{Schema: s.contract.Table.Schema, Name: asideName(kindStage, &s.contract)}
	scratch := s.db.Dialect().Scratch
	if scratch == "" || s.contract.Replaces {
		return nil
	}
	return s.db.View(ctx, func(ctx context.Context, tx *warehouse.Tx) error {
		existing, err := tx.Schema(ctx, s.contract.Table)
		if len(existing) > 0 || s.contract.Divided {
			s.table.Schema = scratch
		}
		return err
	})
}

func (s *Staged) run(ctx context.Context, sc scan.Scan) error {
	if err := s.begin(ctx, sc); err != nil {
		return err
	}
	if err := s.readParts(ctx, sc); err != nil {
		return err
	}
	s.quarantined = int64(s.Rejects.Len())
	s.read = s.rows + s.quarantined
	if n, known := sc.Counted(); known && n != s.read {
		return fmt.Errorf("%w: the source counts %d rows, but %d were read (%d staged, %d rejected); "+
			"nothing was published, run again; if it repeats, the source changes while it is read",
			ErrAccounting, n, s.read, s.rows, s.quarantined)
	}
	return s.seal(ctx)
}

// begin makes the schema and, where the columns are known, the stage.
func (s *Staged) begin(ctx context.Context, sc scan.Scan) error {
	return s.db.Aside(ctx, s.table, func(ctx context.Context, tx *warehouse.Tx) error {
		existing, err := tx.Schema(ctx, s.contract.Table)
		if err != nil {
			return err
		}
		if len(existing) == 0 && s.contract.Tables == Freeze {
			return fmt.Errorf("%w: table %s does not exist and its contract freezes tables; "+
				"create it, or set `contract: {tables: evolve}` for one run", ErrContract, s.contract.Table.Display())
		}
		if len(existing) == 0 && s.table.Schema == s.contract.Table.Schema {
			s.contract.Replaces = !s.contract.Divided
			if _, err := tx.Exec(ctx, `CREATE SCHEMA IF NOT EXISTS `+warehouse.Quote(s.contract.Table.Schema)); err != nil {
				return err
			}
		}
		if err := dropIfExists(ctx, tx, s.table); err != nil {
			return err
		}
		if schema := sc.Schema(); schema != nil {
			cols, err := arrowColumns(tx.Dialect(), schema)
			if err != nil {
				return err
			}
			return s.ensure(ctx, tx, cols)
		}
		return nil
	})
}

// readParts appends the parts, those that open as readers side by side, each in
// a transaction of its own: until the stage is sealed nobody looks at it.
func (s *Staged) readParts(ctx context.Context, sc scan.Scan) error {
	parts := sc.Parts()
	var total atomic.Int64
	var stage sync.Mutex // one part at a time changes the stage's columns
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(sideBySide)
	p := partReader{staged: s, total: &total, stage: &stage, known: sc.Schema()}
	var native []scan.Files
	for _, part := range parts {
		if part.Files == nil {
			continue
		}
		for _, f := range part.Files.Paths {
			s.files = append(s.files, f.Name)
		}
		if s.db.Dialect().NativeFiles {
			native = append(native, *part.Files)
		}
	}
	g.Go(crash.Guarded(func() error { // one after the other: DuckDB reads a part with all its threads already
		for _, files := range native {
			if err := p.native(ctx, files); err != nil {
				return err
			}
		}
		return nil
	}))
	for i, part := range parts {
		if part.Files != nil && s.db.Dialect().NativeFiles {
			continue
		}
		g.Go(crash.Guarded(func() error {
			err := p.append(ctx, part)
			if err != nil && len(parts) > 1 {
				return fmt.Errorf("part %d of %d: %w", i+1, len(parts), err)
			}
			return err
		}))
	}
	if err := g.Wait(); err != nil {
		return err
	}
	s.rows = total.Load()
	return nil
}

// seal settles the contract on the staged rows, counts what is left and takes
// its checksum. Rows go in one transaction and columns in the next: DuckDB does
// not commit both to one table.
func (s *Staged) seal(ctx context.Context) error {
	var alter []alteration
	err := s.db.Aside(ctx, s.table, func(ctx context.Context, tx *warehouse.Tx) (err error) {
		if s.columns, err = tx.Schema(ctx, s.table); err != nil || len(s.columns) == 0 {
			return err
		}
		alter, err = s.settle(ctx, tx)
		return err
	})
	if err != nil {
		return err
	}
	if len(s.columns) == 0 {
		s.checksum = "0"
		if s.rows != 0 {
			return fmt.Errorf("%w: %d rows were read into no table", ErrAccounting, s.rows)
		}
		return nil
	}
	for _, col := range []string{warehouse.ColLoadID, warehouse.ColLoadedAt} {
		alter = append(alter, s.alter(`ALTER COLUMN `+warehouse.Quote(col)+` DROP DEFAULT`))
	}
	return s.db.Aside(ctx, s.table, func(ctx context.Context, tx *warehouse.Tx) error {
		for _, change := range alter {
			if err := change(ctx, tx); err != nil {
				return err
			}
		}
		return s.measure(ctx, tx)
	})
}

// measure counts the staged rows and takes their checksum.
func (s *Staged) measure(ctx context.Context, tx *warehouse.Tx) error {
	cols, err := tx.Schema(ctx, s.table)
	if err != nil {
		return err
	}
	s.columns = dataColumns(cols)
	var n int64
	var sum string
	if s.contract.Divided { // each window has its own checksum
		n, err = count(ctx, tx, `SELECT count(*) FROM `+s.table.String())
	} else {
		n, sum, err = checksum(ctx, tx, s.table, plain(s.columns), "")
	}
	if err != nil {
		return err
	}
	if n != s.rows {
		return fmt.Errorf("%w: %d rows were appended, but the stage holds %d", ErrAccounting, s.rows, n)
	}
	s.checksum = sum
	if !isPostgres(tx) {
		return nil
	}
	if _, err := tx.Exec(ctx, `ANALYZE `+s.table.String()); err != nil {
		return err
	}
	ids, err := texts(ctx, tx, `SELECT pg_current_xact_id()::xid::text`)
	if err != nil {
		return err
	}
	s.sealed = ids[0]
	return nil
}

// alteration changes a column of the stage.
type alteration func(ctx context.Context, tx *warehouse.Tx) error

func (s *Staged) alter(clause string) alteration {
	return func(ctx context.Context, tx *warehouse.Tx) error {
		_, err := tx.Exec(ctx, `ALTER TABLE `+s.table.String()+` `+clause)
		return err
	}
}

func isPostgres(tx *warehouse.Tx) bool { return tx.Dialect().Name == "postgres" }
