package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"

	"elt/internal/testdb"
)

// sourced is a project with a warehouse of its own and a PostgreSQL database that
// it reads, under SOURCE_URL.
type sourced struct {
	t         *testing.T
	dir, addr string
	conn      *pgx.Conn // to the source
}

// newSourced makes a project of elt.yaml as given, with an empty source and an
// empty warehouse on engine.
func newSourced(t *testing.T, engine, yaml string) *sourced {
	t.Helper()
	s := &sourced{t: t, dir: t.TempDir(), addr: "duckdb:wh.duckdb"}
	if engine == "postgres" {
		s.addr = testdb.URL(t)
	}
	source := testdb.URL(t)
	sources.Store(s.dir, source)
	s.write("elt.yaml", yaml)
	var err error
	if s.conn, err = pgx.Connect(t.Context(), source); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.conn.Close(context.WithoutCancel(t.Context())) })
	return s
}

func (s *sourced) write(name, text string) {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// exec runs statements in the source.
func (s *sourced) exec(q string) {
	s.t.Helper()
	if _, err := s.conn.Exec(s.t.Context(), q); err != nil {
		s.t.Fatal(err)
	}
}

// run runs elt, wants the exit code, and returns all that was told.
func (s *sourced) run(want int) string {
	s.t.Helper()
	var stderr bytes.Buffer
	code, out := elt(s.t, s.dir, s.addr, &stderr, nil, "run")
	if code != want {
		s.t.Fatalf("exit %d, want %d\n%s\n%s", code, want, out, &stderr)
	}
	return out + stderr.String()
}
