package postgres_test

import (
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/memory"

	"elt/extract"
	"elt/extract/postgres"
	"elt/internal/retry"
	"elt/internal/scan"
	"elt/internal/testdb"
)

// cut ends the server process of one COPY that is under way, and waits for its end.
const cut = `DO $$ BEGIN
  PERFORM pg_terminate_backend(pid, 20000) FROM (
    SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' AND query LIKE 'COPY%' ORDER BY pid LIMIT 1) c;
  IF NOT FOUND THEN RAISE 'no COPY is under way'; END IF;
END $$`

func TestAConnectionCutInMidCopyIsAnError(t *testing.T) {
	w := world{url: testdb.URL(t)}
	// Far more than what fits the buffers between the server and who reads.
	w.exec(t, "CREATE TABLE big (id int PRIMARY KEY, t text)", "INSERT INTO big SELECT i, repeat('x', 8000) FROM generate_series(1, 12000) i")
	for _, parts := range []int{1, 2} {
		alloc := memory.NewCheckedAllocator(memory.NewGoAllocator())
		source, err := w.Open(t.Context(), alloc, extract.StreamConfig{Name: "big", Cursor: "id", Options: &postgres.StreamOptions{Parts: parts}})
		if err != nil {
			t.Fatal(err)
		}
		streams, err := source.Streams(t.Context(), "big")
		if err != nil {
			t.Fatal(err)
		}
		sc, err := streams[0].Open(t.Context(), extract.Request{})
		if err != nil {
			t.Fatal(err)
		}
		if len(sc.Parts()) != parts {
			t.Fatalf("%d parts, want %d", len(sc.Parts()), parts)
		}
		var failed []error
		rows := int64(0)
		for i, err := range cutWhileReading(t, w, sc, &rows) {
			if err != nil {
				failed = append(failed, err)
			} else if parts == 1 {
				t.Errorf("part %d ended without error", i)
			}
		}
		if len(failed) != 1 || rows >= 12000 || sc.Cursor() != "" {
			t.Fatalf("%d parts: failures %v, %d rows, cursor %q, want one failure and no cursor", parts, failed, rows, sc.Cursor())
		}
		if class, _ := retry.Of(failed[0]); class != retry.Transient || !strings.Contains(failed[0].Error(), "read big: ") || !strings.Contains(failed[0].Error(), "the connection was lost") {
			t.Errorf("%d parts: %v (class %v), want one of stream big that may be tried again", parts, failed[0], class)
		}
		if err := source.Close(); err != nil {
			t.Error(err)
		}
		alloc.AssertSize(t, 0)
	}
}

// cutWhileReading opens all parts, takes a batch of each, cuts one connection,
// and reads on.
func cutWhileReading(t *testing.T, w world, sc scan.Scan, rows *int64) []error {
	t.Helper()
	errs := make([]error, len(sc.Parts()))
	var resume []func()
	for i, p := range sc.Parts() {
		r, err := p.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !r.Next() {
			t.Fatalf("no first batch: %v", r.Err())
		}
		*rows += r.RecordBatch().NumRows()
		resume = append(resume, func() {
			defer r.Release()
			for r.Next() {
				*rows += r.RecordBatch().NumRows()
			}
			errs[i] = r.Err()
		})
	}
	w.exec(t, cut)
	for _, f := range resume {
		f()
	}
	return errs
}
