package duckdb_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"elt/internal/warehouse"
	"elt/internal/warehouse/duckdb"
)

// Two drivers of one process on one file would overwrite each other, since the
// engine's lock tells processes apart and nothing else.
func TestASecondDriverOfTheProcessIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "wh.duckdb")
	open := func(path string, readOnly bool) (*duckdb.Driver, error) {
		return duckdb.Open(t.Context(), duckdb.Options{Path: path, ReadOnly: readOnly})
	}
	first, err := open(path, false)
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "other.duckdb")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	for _, at := range []string{path, link} {
		for _, readOnly := range []bool{false, true} {
			_, err := open(at, readOnly)
			var locked *warehouse.LockedError
			if warehouse.KindOf(err) != warehouse.KindLocked || !errors.As(err, &locked) || locked.PID != os.Getpid() || !strings.Contains(err.Error(), "this process") {
				t.Errorf("a second driver, read only %t: %v", readOnly, err)
			}
		}
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	// Given back; and those that only read do not disturb each other.
	for range 2 {
		d, err := open(path, true)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = d.Close() }()
	}
	if _, err := open(path, false); warehouse.KindOf(err) != warehouse.KindLocked {
		t.Errorf("a writer beside readers: %v", err)
	}
}
