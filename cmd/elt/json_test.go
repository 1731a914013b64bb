package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"elt/internal/testdb"
)

// PostgreSQL's json takes half a surrogate pair and numbers of any size, its jsonb
// does not: such a row goes into the quarantine, and the others are loaded.
func TestJSONThatJSONBDoesNotTake(t *testing.T) {
	for name, bad := range map[string]string{"surrogate": `{"k":"\ud83d"}`, "number": `{"k":1e200000}`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, source, addr := t.TempDir(), testdb.URL(t), testdb.URL(t)
			sources.Store(dir, source)
			if err := os.WriteFile(filepath.Join(dir, "elt.yaml"), []byte(shopProject), 0o600); err != nil {
				t.Fatal(err)
			}
			conn, err := pgx.Connect(t.Context(), source)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close(t.Context()) }()
			if _, err := conn.Exec(t.Context(), `CREATE TABLE orders (id bigint PRIMARY KEY, updated_at timestamptz NOT NULL, doc json);
				INSERT INTO orders SELECT i, '2026-03-09 10:00:00+01', '{"a":1}' FROM generate_series(1, 300) i;
				INSERT INTO orders VALUES (1001, '2026-03-09 11:00:00+01', '`+bad+`')`); err != nil {
				t.Fatal(err)
			}
			var stderr bytes.Buffer
			code, out := elt(t, dir, addr, &stderr, nil, "run")
			if code != 0 || !strings.Contains(out, "301 read") || !strings.Contains(out, "300 published") {
				t.Errorf("exit %d\n%s\n%s", code, out, &stderr)
			}
			_, list := elt(t, dir, addr, &stderr, nil, "quarantine", "shop.orders")
			if !strings.Contains(list, `column "doc": JSON`) {
				t.Errorf("the quarantine lacks the reason:\n%s", list)
			}
		})
	}
}
