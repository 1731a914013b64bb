package main

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"testing"

	"elt/internal/warehouse"
	"elt/internal/warehouse/duckdb"
)

// State that a newer elt has written is refused, by commands that only look too.
func TestNewerStateIsRefused(t *testing.T) {
	t.Parallel()
	dir, addr := faultProject(t, "duckdb")
	mustRun(t, dir, addr)
	d, err := duckdb.Open(t.Context(), duckdb.Options{Path: filepath.Join(dir, "wh.duckdb")})
	if err != nil {
		t.Fatal(err)
	}
	db, err := warehouse.Open(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Update(t.Context(), func(ctx context.Context, tx *warehouse.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO _elt.meta (version, migrated_at) VALUES (9999, now())`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"run", "status"} {
		var stderr bytes.Buffer
		if code, _ := elt(t, dir, addr, &stderr, nil, command); code == 0 || !strings.Contains(stderr.String(), "9999") {
			t.Errorf("elt %s: exit %d, %s", command, code, &stderr)
		}
	}
}
