package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"elt/internal/testdb"
)

// A plan that is not the one that was held is not pushed, and the difference is
// told; nor is one approved of a run that holds nothing, or at a prompt without leave.
func TestApproveRefusesAnotherPlan(t *testing.T) {
	t.Parallel()
	for _, engine := range []string{"duckdb", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "project")
			if err := os.CopyFS(dir, os.DirFS(casesDir+"/deletes_over_the_guard_are_held")); err != nil {
				t.Fatal(err)
			}
			addr := "duckdb:wh.duckdb"
			if engine == "postgres" {
				addr = testdb.URL(t)
			}
			var stderr bytes.Buffer
			do := func(exit int, args ...string) string {
				t.Helper()
				stderr.Reset()
				got, out := elt(t, dir, addr, &stderr, nil, args...)
				if got != exit {
					t.Fatalf("elt %v: exit %d, want %d\n%s%s", args, got, exit, out, stderr.String())
				}
				return out + stderr.String()
			}
			put := func(from string) {
				t.Helper()
				data, err := os.ReadFile(filepath.Join(dir, "data", from))
				if err == nil {
					err = os.WriteFile(filepath.Join(dir, "data", "people.csv"), data, 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			do(0, "run")
			put("fewer.csv")
			do(exitUnfinished, "run")
			held := runIDs(t, dir, addr)[0]
			put("other.csv")
			do(0, "run", "marts.people", "raw.people")
			out := do(exitUnfinished, "approve", held, "--yes")
			for _, want := range []string{"1 to create, 2 to change, 2 to delete; 4 there; now 1 to create, 2 to change, 1 to delete; 4 there", "the next run judges it anew"} {
				if !strings.Contains(out, want) {
					t.Errorf("%q is not told:\n%s", want, out)
				}
			}
			do(0, "run") // one delete is within the guard
			do(exitUsage, "approve", held, "--yes")
			do(exitUsage, "approve", "nosuch", "--yes")
			if out := do(0, "status"); strings.Contains(out, "held back") {
				t.Errorf("a hold is left after a plan within the guards:\n%s", out)
			}
		})
	}
}

func TestOnlyYesIsLeave(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]bool{"y\n": true, "Yes\n": true, " y ": true, "": false, "\n": false, "n\n": false, "yep\n": false} {
		var asked bytes.Buffer
		if got := agreed(strings.NewReader(answer), &asked); got != want || !strings.Contains(asked.String(), "[y/N]") {
			t.Errorf("%q: %v, want %v", answer, got, want)
		}
	}
}
