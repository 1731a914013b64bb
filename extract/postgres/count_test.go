package postgres

import (
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/jackc/pgx/v5"

	"elt/extract"
	"elt/internal/scan"
	"elt/internal/secret"
	"elt/internal/testdb"
)

func drained(r array.RecordReader) error {
	defer r.Release()
	for r.Next() {
	}
	return r.Err()
}

// The server counts another number than the parts have, as only a fault of the
// server, of its network or of this package could bring about.
func TestTheLastPartComparesTheSumWithTheCount(t *testing.T) {
	url := testdb.URL(t)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "CREATE TABLE n AS SELECT generate_series(1, 5000) AS id"); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, parts := range []int{1, 3} {
		for _, wrong := range []int64{0, 1, -1} {
			alloc := memory.NewCheckedAllocator(memory.NewGoAllocator())
			source, err := open(t.Context(), extract.Config{Connection: &Connection{URL: secret.New(url)}, Allocator: alloc,
				Streams: []extract.StreamConfig{{Name: "n", Options: &StreamOptions{Parts: parts}}}})
			if err != nil {
				t.Fatal(err)
			}
			streams, err := source.Streams(t.Context(), "n")
			if err != nil {
				t.Fatal(err)
			}
			sc, err := streams[0].Open(t.Context(), extract.Request{})
			if err != nil {
				t.Fatal(err)
			}
			sn, ok := sc.(*snapshot)
			if !ok {
				t.Fatalf("a scan is a %T", sc)
			}
			sn.count += wrong
			sn.next = scan.Cursor("next")
			for i, p := range sc.Parts() {
				r, err := p.Open(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				switch err := drained(r); {
				case i < parts-1 || wrong == 0:
					if err != nil {
						t.Errorf("%d parts, off by %d: part %d: %v", parts, wrong, i, err)
					}
				case err == nil || !strings.Contains(err.Error(), "5000 rows arrived, but the server counted"):
					t.Errorf("%d parts, off by %d: the last part ended with %v", parts, wrong, err)
				}
			}
			if (sc.Cursor() == "next") != (wrong == 0) {
				t.Errorf("%d parts, off by %d: the cursor is %q", parts, wrong, sc.Cursor())
			}
			if err := source.Close(); err != nil {
				t.Error(err)
			}
			alloc.AssertSize(t, 0)
		}
	}
}
