package load_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"elt/internal/rows"
	"elt/internal/scan"
	"elt/internal/warehouse"
	"elt/load"
)

var orders = warehouse.Table{Schema: "shop", Name: "orders"}

// field makes an Arrow field.
func field(name string, typ arrow.DataType) arrow.Field {
	return arrow.Field{Name: name, Type: typ, Nullable: true}
}

var (
	text    = arrow.BinaryTypes.String
	bigint  = arrow.PrimitiveTypes.Int64
	integer = arrow.PrimitiveTypes.Int32
	instant = &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}
)

// standard is the schema of most tests.
func standard() *arrow.Schema {
	return arrow.NewSchema([]arrow.Field{field("id", bigint), field("name", text), field("at", instant)}, nil)
}

// fakeScan is a scan of batches in memory, each a JSON array; a part fails
// after its batches when its error is set.
type fakeScan struct {
	schema  *arrow.Schema
	parts   [][]string
	err     error
	counted int64
	known   bool
	closed  bool
}

// given is a scan of one part with one batch.
func given(schema *arrow.Schema, rows string) *fakeScan {
	return &fakeScan{schema: schema, parts: [][]string{{rows}}}
}

func (s *fakeScan) Schema() *arrow.Schema  { return s.schema }
func (s *fakeScan) Cursor() scan.Cursor    { return "c1" }
func (s *fakeScan) Counted() (int64, bool) { return s.counted, s.known }
func (s *fakeScan) Close() error           { s.closed = true; return nil }
func (s *fakeScan) Parts() (ps []scan.Part) {
	for _, batches := range s.parts {
		ps = append(ps, scan.Part{Open: func(context.Context) (array.RecordReader, error) {
			return s.open(batches)
		}})
	}
	return ps
}

func (s *fakeScan) open(batches []string) (array.RecordReader, error) {
	r := &fakeReader{schema: s.schema, err: s.err}
	for _, b := range batches {
		rec, _, err := array.RecordFromJSON(memory.DefaultAllocator, s.schema, strings.NewReader(b))
		if err != nil {
			return nil, fmt.Errorf("test data %s: %w", b, err)
		}
		r.batches = append(r.batches, rec)
	}
	return r, nil
}

type fakeReader struct {
	schema  *arrow.Schema
	batches []arrow.RecordBatch
	now     arrow.RecordBatch
	err     error
}

func (r *fakeReader) Retain()                        {}
func (r *fakeReader) Release()                       {}
func (r *fakeReader) Schema() *arrow.Schema          { return r.schema }
func (r *fakeReader) RecordBatch() arrow.RecordBatch { return r.now }
func (r *fakeReader) Record() arrow.RecordBatch      { return r.now }
func (r *fakeReader) Next() bool {
	if len(r.batches) == 0 {
		return false
	}
	r.now, r.batches = r.batches[0], r.batches[1:]
	return true
}
func (r *fakeReader) Err() error {
	if len(r.batches) > 0 {
		return nil
	}
	return r.err
}

func contract(id string) load.Contract {
	return load.Contract{Table: orders, LoadID: id, LoadedAt: time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)}
}

// stage stages s and drops the stage when the test ends.
func stage(t *testing.T, db *warehouse.DB, s scan.Scan, c load.Contract) *load.Staged {
	t.Helper()
	st, err := load.Stage(t.Context(), db, s, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Drop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return st
}

func publish(db *warehouse.DB, st *load.Staged, to load.Target) (res load.Result, err error) {
	err = db.Update(context.Background(), func(ctx context.Context, tx *warehouse.Tx) error {
		res, err = st.Publish(ctx, tx, to)
		return err
	})
	return res, err
}

// run stages and publishes, and fails the test on any error.
func run(t *testing.T, db *warehouse.DB, id string, s scan.Scan, to load.Target) load.Result {
	t.Helper()
	c := contract(id)
	c.Replaces = to.Disposition == load.Replace
	if to.Disposition == load.Merge {
		c.Key, c.Cursor = to.Key, to.Cursor
	}
	st := stage(t, db, s, c)
	res, err := publish(db, st, to)
	if err != nil {
		t.Fatal(err)
	}
	balanced(t, res)
	if err := st.Drop(t.Context()); err != nil {
		t.Fatal(err)
	}
	return res
}

func balanced(t *testing.T, r load.Result) {
	t.Helper()
	if r.Read != r.Staged+r.Quarantined+r.Discarded || r.Staged != r.Published+r.Superseded+r.AlreadyPresent {
		t.Errorf("the counts do not balance: %+v", r)
	}
}

// table returns the rows of a SELECT as text, columns by spaces, NULL as "-".
func table(t *testing.T, db *warehouse.DB, q string) string {
	t.Helper()
	var out []string
	err := warehouse.Each(t.Context(), db, q, func(r rows.Row) error {
		cells := make([]string, r.Len())
		for i := range cells {
			if cells[i] = r.String(i); r.Null(i) {
				cells[i] = "-"
			}
		}
		out = append(out, strings.Join(cells, " "))
		return nil
	})
	if err != nil {
		t.Fatalf("%s: %v", q, err)
	}
	return strings.Join(out, "; ")
}

func same(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n got %s\nwant %s", what, got, want)
	}
}

// aside lists the tables that loads have left in the schema.
func aside(t *testing.T, db *warehouse.DB) string {
	t.Helper()
	return table(t, db, `SELECT table_name FROM information_schema.tables WHERE table_name LIKE '%elt_stage%' OR table_name LIKE '%elt_pick%' ORDER BY 1`)
}
