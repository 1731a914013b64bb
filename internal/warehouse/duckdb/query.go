package duckdb

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	duckdb "github.com/duckdb/duckdb-go/v2"

	"elt/internal/warehouse"
)

// pageRows is how many rows of a result are in memory at a time: half a row
// group, so that a page is found without reading the others.
const pageRows = 61_440

// Query implements [warehouse.DriverTx]. The engine's Go driver holds a whole
// result in memory that no limit counts, so the rows go into a temporary table
// first, which spills to disk, and are handed out page by page.
func (t *tx) Query(ctx context.Context, q string, args ...any) (array.RecordReader, error) {
	if t.ended {
		return nil, errEnded
	}
	// Preparing it alone first keeps the engine's line numbers those of q.
	sel, err := t.isSelect(q)
	if err != nil {
		return nil, t.note(wrap(err))
	}
	if !sel || bounded(q) {
		return t.direct(ctx, q, args...)
	}
	t.pages++
	table := fmt.Sprintf("temp.main._elt_page_%d", t.pages)
	_, err = exec(ctx, t.conn, "CREATE TEMP TABLE "+warehouse.Quote(fmt.Sprintf("_elt_page_%d", t.pages))+" AS\n"+q, args)
	if isSyntax(err) { // SHOW and the like, which are SELECTs by themselves only
		return t.direct(ctx, q, args...)
	}
	if err != nil {
		return nil, t.note(err)
	}
	r := &pages{ctx: ctx, tx: t, table: table, refs: 1}
	if err := r.begin(); err != nil {
		r.Release()
		return nil, t.note(err)
	}
	return r, nil
}

// limit is how a statement ends that bounds its result.
var limit = regexp.MustCompile(`(?i)\bLIMIT\s+(\d{1,6})\s*$`)

// bounded reports whether a statement says itself that its result is no more than
// a page: a table of it would cost more than it spares.
func bounded(q string) bool {
	m := limit.FindStringSubmatch(q)
	if m == nil || strings.Contains(q[strings.LastIndexByte(q, '\n')+1:], "--") {
		return false
	}
	n, err := strconv.Atoi(m[1])
	return err == nil && n <= pageRows
}

// isSelect reports whether q is a single SELECT, in the engine's own judgement.
func (t *tx) isSelect(q string) (bool, error) {
	s, err := t.conn.Prepare(q)
	if err != nil {
		return false, err
	}
	defer func() { _ = s.Close() }()
	stmt, ok := s.(*duckdb.Stmt)
	if !ok {
		return false, nil
	}
	kind, err := stmt.StatementType()
	return kind == duckdb.STATEMENT_TYPE_SELECT, err
}

// direct runs q with its whole result in memory.
func (t *tx) direct(ctx context.Context, q string, args ...any) (array.RecordReader, error) {
	a, err := duckdb.NewArrowFromConn(t.conn)
	if err != nil {
		return nil, wrap(err)
	}
	r, err := a.QueryContext(ctx, q, args...)
	if err != nil {
		return nil, t.note(wrap(err))
	}
	return r, nil
}

// pages reads a temporary table by ranges of its row ids, which are consecutive
// because nothing was ever deleted from it, and drops it on Release. Retain and
// Release are its owner's: one goroutine's, like the transaction.
type pages struct {
	ctx    context.Context // of the query, as its reader's contract says
	tx     *tx
	table  string
	next   int64 // the row id that the next page begins with
	end    int64 // the row id after the last
	page   array.RecordReader
	schema *arrow.Schema
	err    error
	refs   int
}

// begin finds the range of row ids, which does not start at 0 inside the
// transaction that made the table, and opens the first page.
func (p *pages) begin() error {
	r, err := p.tx.direct(p.ctx, "SELECT coalesce(min(rowid), 0), coalesce(max(rowid) + 1, 0) FROM "+p.table)
	if err != nil {
		return err
	}
	defer r.Release()
	for r.Next() {
		first, _ := r.RecordBatch().Column(0).(*array.Int64)
		end, _ := r.RecordBatch().Column(1).(*array.Int64)
		p.next, p.end = first.Value(0), end.Value(0)
	}
	if err := r.Err(); err != nil {
		return wrap(err)
	}
	return p.turn()
}

// turn opens the next page.
func (p *pages) turn() error {
	if p.page != nil {
		p.page.Release()
		p.page = nil
	}
	q := fmt.Sprintf("SELECT * FROM %s WHERE rowid >= %d AND rowid < %d ORDER BY rowid", p.table, p.next, p.next+pageRows)
	if p.end-p.next <= pageRows {
		q = fmt.Sprintf("SELECT * FROM %s WHERE rowid >= %d ORDER BY rowid", p.table, p.next)
	}
	page, err := p.tx.direct(p.ctx, q)
	if err != nil {
		return err
	}
	p.page, p.schema, p.next = page, page.Schema(), p.next+pageRows
	return nil
}

// Next implements [array.RecordReader].
func (p *pages) Next() bool {
	for p.err == nil && p.page != nil {
		if p.ctx.Err() != nil {
			p.err = context.Cause(p.ctx)
			break
		}
		if p.page.Next() {
			return true
		}
		if err := p.page.Err(); err != nil {
			p.err = p.tx.note(wrap(err))
			break
		}
		if p.next >= p.end {
			break
		}
		p.err = p.turn()
	}
	return false
}

// Schema implements [array.RecordReader].
func (p *pages) Schema() *arrow.Schema { return p.schema }

// RecordBatch implements [array.RecordReader]. It is valid until the next call of Next.
func (p *pages) RecordBatch() arrow.RecordBatch { return p.page.RecordBatch() }

// Record implements [array.RecordReader].
func (p *pages) Record() arrow.RecordBatch { return p.page.RecordBatch() }

// Err implements [array.RecordReader].
func (p *pages) Err() error { return p.err }

// Retain implements [array.RecordReader].
func (p *pages) Retain() { p.refs++ }

// Release implements [array.RecordReader].
func (p *pages) Release() {
	if p.refs--; p.refs != 0 {
		return
	}
	if p.page != nil {
		p.page.Release()
		p.page = nil
	}
	if !p.tx.ended {
		// Only to free its space early: the table ends with the transaction.
		_, _ = exec(context.WithoutCancel(p.ctx), p.tx.conn, "DROP TABLE IF EXISTS "+p.table, nil)
	}
}
