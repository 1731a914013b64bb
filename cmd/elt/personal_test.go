package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"elt/internal/testdb"
)

// Nothing that a run prints or logs, and nothing that its checks store, holds a
// value of a column that is marked as personal.
func TestPersonalDataStaysOutOfLogs(t *testing.T) {
	t.Parallel()
	for engine, addr := range map[string]string{"duckdb": "duckdb:wh.duckdb", "postgres": testdb.URL(t)} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(filepath.Join(casesDir, "personal_data_is_masked"))); err != nil {
				t.Fatal(err)
			}
			var stderr bytes.Buffer
			code, out := elt(t, dir, addr, &stderr, nil, "run")
			if code != 0 || !strings.Contains(out, "***") {
				t.Fatalf("exit %d\n%s\n%s", code, out, &stderr)
			}
			told := out + stderr.String()
			logs, err := filepath.Glob(filepath.Join(dir, ".elt", "logs", "*.jsonl"))
			if err != nil || len(logs) != 1 {
				t.Fatalf("%d logs, %v", len(logs), err)
			}
			log, err := os.ReadFile(logs[0])
			if err != nil {
				t.Fatal(err)
			}
			told += string(log)
			_, stored := elt(t, dir, addr, &stderr, nil, "query", "select samples, observed, expected from _elt.finding", "--show-pii")
			_, steps := elt(t, dir, addr, &stderr, nil, "query", "select result, error from _elt.step", "--show-pii")
			told += stored + steps
			for _, value := range []string{"example.org", "Ann", "Bob", "1990-01-01", "1985-05-05", "the 5th of May"} {
				if i := strings.Index(told, value); i >= 0 {
					t.Errorf("%q is told: …%s…", value, told[max(0, i-200):min(len(told), i+100)])
				}
			}
		})
	}
}
