package load

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"elt/internal/scan"
)

// fittingReader sets aside the rows that the warehouse cannot store, such as
// text with a NUL byte on Postgres, before they reach an insert that would fail
// as a whole. Batches without such a row pass as they are; others pass as the
// slices between those rows.
type fittingReader struct {
	array.RecordReader
	refused func(f arrow.Field, column arrow.Array) func(row int) error // nil: everything fits
	reject  func(scan.Reject) error
	locate  func(columns []string) []string

	batch  arrow.RecordBatch // in hand, where it has rows that do not fit
	why    []func(row int) error
	next   int               // row of batch
	sliced arrow.RecordBatch // handed out
	err    error
}

func (r *fittingReader) RecordBatch() arrow.RecordBatch {
	if r.sliced != nil {
		return r.sliced
	}
	return r.RecordReader.RecordBatch()
}

func (r *fittingReader) Record() arrow.RecordBatch { return r.RecordBatch() }

func (r *fittingReader) Err() error {
	if r.err != nil {
		return r.err
	}
	return r.RecordReader.Err()
}

// drop releases what is in hand.
func (r *fittingReader) drop() {
	if r.sliced != nil {
		r.sliced.Release()
		r.sliced = nil
	}
}

func (r *fittingReader) Next() bool {
	r.drop()
	for r.err == nil {
		if r.batch == nil {
			if !r.RecordReader.Next() {
				return false
			}
			if r.look(r.RecordReader.RecordBatch()); r.batch == nil {
				return true
			}
		}
		if r.slice(); r.sliced != nil {
			return true
		}
	}
	return false
}

// look takes batch in hand when it may have a row that does not fit.
func (r *fittingReader) look(batch arrow.RecordBatch) {
	if r.refused == nil {
		return
	}
	r.why, r.next = make([]func(int) error, batch.NumCols()), 0
	for i, column := range batch.Columns() {
		if r.why[i] = r.refused(batch.Schema().Field(i), column); r.why[i] != nil {
			r.batch = batch
		}
	}
}

// slice hands out the rows up to the next one that does not fit, and rejects
// that one. At the end of the batch it lets go of it.
func (r *fittingReader) slice() {
	from, n := r.next, int(r.batch.NumRows())
	var column int
	var why error
	for ; r.next < n; r.next++ {
		if column, why = r.misfit(r.next); why != nil {
			break
		}
	}
	if r.next > from {
		r.sliced = r.batch.NewSlice(int64(from), int64(r.next))
	}
	if why != nil {
		r.err = r.reject(r.describe(r.next, column, why))
		r.next++
	}
	if r.next >= n {
		r.batch = nil
	}
}

// misfit is the first column of a row that does not fit, and why.
func (r *fittingReader) misfit(row int) (int, error) {
	for i, why := range r.why {
		if why == nil {
			continue
		}
		if err := why(row); err != nil {
			return i, err
		}
	}
	return 0, nil
}

// describe makes the quarantine row: the key or the file as its place, and its
// content as JSON, in which a NUL byte is \u0000.
func (r *fittingReader) describe(row, column int, why error) scan.Reject {
	names := make([]string, r.batch.NumCols())
	content := make(map[string]any, len(names))
	for i := range names {
		names[i] = r.batch.ColumnName(i)
		content[names[i]] = r.batch.Column(i).GetOneForMarshal(row)
	}
	places := r.locate(names)
	for i, name := range places {
		places[i] = fmt.Sprintf("%s=%v", name, content[name])
	}
	payload, err := json.Marshal(content)
	if err != nil { // a number that JSON has no form for
		payload = fmt.Appendf(nil, "%v", content)
	}
	locator := strings.Join(places, " ")
	if locator == "" {
		locator = "row"
	}
	return scan.Reject{Locator: locator, Reason: fmt.Sprintf("column %q: %s", names[column], why), Payload: string(payload)}
}
