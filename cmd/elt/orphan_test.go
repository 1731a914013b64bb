package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"

	"elt/internal/testdb"
)

// A run that was killed with its machine is closed by the next run, wherever that
// is, and what it had staged is swept.
func TestNextRunClosesOneOfAMachineThatIsGone(t *testing.T) {
	t.Parallel()
	dir, addr := t.TempDir(), testdb.URL(t)
	sources.Store(dir, addr)
	if err := os.WriteFile(filepath.Join(dir, "elt.yaml"), []byte(shopProject), 0o600); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	exec := func(q string) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	exec(`CREATE TABLE orders (id bigint PRIMARY KEY, updated_at timestamptz NOT NULL)`)
	exec(`INSERT INTO orders VALUES (1, '2026-03-09 10:00:00+01')`)
	mustRun(t, dir, addr)
	exec(`INSERT INTO _elt.run (project, target, id, status, started_at, pid, host, session)
		SELECT project, target, 'dead', 'running', now() - interval '1 hour', 1, 'pod-7', 'x' FROM _elt.run LIMIT 1`)
	exec(`CREATE TABLE shop._elt_stage_events_0123456789ab (id int)`)
	var stderr bytes.Buffer
	if code, out := elt(t, dir, addr, &stderr, nil, "run"); code != 0 {
		t.Fatalf("exit %d\n%s\n%s", code, out, &stderr)
	}
	var status string
	var stages int
	err = conn.QueryRow(t.Context(), `SELECT (SELECT status FROM _elt.run WHERE id = 'dead'),
		(SELECT count(*) FROM pg_tables WHERE tablename LIKE '\_elt\_stage%')`).Scan(&status, &stages)
	if err != nil || status != "interrupted" || stages != 0 {
		t.Errorf("the run is %s, and %d stages are left; error %v", status, stages, err)
	}
}
