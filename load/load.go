// Package load owns the way of rows into a warehouse table: staged where nobody
// sees them, judged against their contract, then published in one transaction.
package load

import (
	"errors"
	"fmt"
	"time"

	"elt/internal/warehouse"
	"elt/window"
)

// The dispositions: what publishing does with the rows that a table has already.
const (
	Append  = "append"  // adds the rows
	Replace = "replace" // the staged rows become the table
	Merge   = "merge"   // replaces the rows of the same key
	Window  = "window"  // replaces the rows whose time lies in the window
	File    = "file"    // replaces the rows of the files that were read
)

// The policies of a contract, for tables, columns and types that a table does
// not have yet. The empty policy is Evolve.
const (
	Evolve     = "evolve"     // the table grows, without loss
	Freeze     = "freeze"     // the load fails
	Quarantine = "quarantine" // rows that need the change are set aside
	Discard    = "discard"    // what needs the change is left out, and counted
)

// What an empty, unbounded source does to a table that has rows.
const (
	EmptyFail    = "fail"    // the load fails; the default
	EmptyKeep    = "keep"    // the table keeps its rows
	EmptyReplace = "replace" // the table is emptied
)

// Contract says where a load goes and what its rows must be.
type Contract struct {
	// Table is the table that the rows are published to. The stage lies in its schema.
	Table warehouse.Table
	// LoadID names the load. Publishing the same LoadID again changes nothing.
	LoadID string
	// LoadedAt goes into every row.
	LoadedAt time.Time
	// Key are the columns that identify a row: rows without one are quarantined.
	// Leave it empty where the disposition needs no key.
	Key []string
	// Cursor is the column whose highest value wins among rows of one key.
	Cursor string
	// NullCursor says what becomes of rows without a cursor: raise fails the load,
	// include keeps and exclude discards them. Empty where the source sees to it.
	NullCursor string
	// Columns, Types and Tables are policies.
	Columns, Types, Tables string
	// Files keeps the name of the file of each row in _source_file.
	Files bool
	// Replaces says that the stage will become the table, so that Postgres
	// writes it to its log from the start and not a second time on publishing.
	Replaces bool
	// Divided says that the stage will be published window by window, after [Staged.Divide].
	Divided bool
	// Rejects collects the rows that are set aside: those of the source, which
	// the caller hands in while it reads, and those of the contract. nil: a new one.
	Rejects *Rejects
	// TimeZone is what files without an offset mean.
	TimeZone string
	// Progress, where set, hears how many rows have been staged so far, from
	// several goroutines.
	Progress func(rows int64)
}

// Target says how staged rows are published.
type Target struct {
	Disposition string
	// Key identifies a row for Merge and Overlap.
	Key []string
	// Cursor is the column whose highest value wins among staged rows of one key.
	Cursor string
	// Time is the column that Window compares.
	Time string
	// Window bounds what Window replaces. Without bounds that is the whole table,
	// which only a read that is Full may do.
	Window window.Window
	// Full says that the source was read from the beginning to its end.
	Full bool
	// OnEmpty is EmptyFail, EmptyKeep or EmptyReplace.
	OnEmpty string
	// Distinct makes Replace keep one row of each Key, the one that Merge would.
	Distinct bool
	// Overlap says that the source re-reads rows: those that the table has
	// already, unchanged, count as already present and are not written again.
	Overlap bool
}

// Result accounts for a load: Read = Staged + Quarantined + Discarded and
// Staged = Published + Superseded + AlreadyPresent.
type Result struct {
	Read, Staged, Quarantined, Discarded  int64
	Published, Superseded, AlreadyPresent int64
	// Deleted counts the rows of the table that made way.
	Deleted int64
	// Checksum is over the staged rows, indifferent to their order.
	Checksum string
	// Changes tells how the table grew: "added column x text".
	Changes []string
	// Gone tells of the columns of the table that the source has no more, and of
	// the values that were lost by that.
	Gone []string
}

// distinct reports whether one row of each key is published.
func (t Target) distinct() bool {
	return t.Disposition == Merge || t.Disposition == Replace && t.Distinct
}

// ErrEmpty means that an empty source would have emptied a table that has rows.
var ErrEmpty = errors.New("the source gave no rows")

// ErrAccounting means that two counts, or two checksums, of the same rows differ.
var ErrAccounting = errors.New("accounting")

// ErrContract means that the source and the contract of the stream disagree.
var ErrContract = errors.New("contract")

func (c *Contract) validate() error {
	var errs []error
	if c.Table.Schema == "" || c.Table.Name == "" {
		errs = append(errs, errors.New("a load needs a table with its schema"))
	}
	if c.LoadID == "" {
		errs = append(errs, errors.New("a load needs an id"))
	}
	for _, p := range [][2]string{{"columns", c.Columns}, {"types", c.Types}, {"tables", c.Tables}} {
		switch p[1] {
		case "", Evolve, Freeze, Quarantine, Discard:
		default:
			errs = append(errs, fmt.Errorf("contract %s: %q is no policy; expected evolve, freeze, quarantine or discard", p[0], p[1]))
		}
	}
	return errors.Join(errs...)
}

func (t *Target) validate() error {
	switch t.OnEmpty {
	case "", EmptyFail, EmptyKeep, EmptyReplace:
	default:
		return fmt.Errorf("on_empty: %q is unknown; expected fail, keep or replace", t.OnEmpty)
	}
	switch t.Disposition {
	case Append, Replace, File:
	case Merge:
		if len(t.Key) == 0 {
			return errors.New("load: merge needs a key; add `key:` to the stream, or use `load: append`")
		}
	case Window:
		if t.Time == "" {
			return errors.New("load: window needs a time column; add `time:` to the stream")
		}
		if t.Window.IsZero() && !t.Full {
			return errors.New("load: window without a window would replace the whole table with what was read of the source; " +
				"use `load: merge` for what is read by a cursor, and `load: file` for files")
		}
	default:
		return fmt.Errorf("load: %q is unknown; expected append, replace, merge, window or file", t.Disposition)
	}
	if t.Overlap && len(t.Key) == 0 && (t.Disposition == Append || t.Disposition == Merge) {
		return errors.New("a lookback needs a key to tell rows that were read before; add `key:` to the stream")
	}
	return nil
}
