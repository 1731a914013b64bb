//go:build soak

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// A process that runs again and again, as one that serves does, keeps its memory
// and its open files flat. `make soak` runs it.
func TestSoakMemoryAndFilesStayFlat(t *testing.T) {
	const warm, runs = 250, 500 // allocators fill up to then
	for _, engine := range []string{"duckdb", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			dir, addr := projectOf(t, smallCase, engine)
			var kB, files, goroutines int
			for n := range runs {
				change := fmt.Sprintf(`{"id": 1, "amount": %d.00, "updated_at": "2026-03-09T10:00:00+01:00"}`+"\n", n)
				if err := os.WriteFile(filepath.Join(dir, "data", "orders-2.jsonl"), []byte(change), 0o600); err != nil {
					t.Fatal(err)
				}
				var stderr bytes.Buffer
				if code, out := elt(t, dir, addr, &stderr, nil, "run"); code != exitOK {
					t.Fatalf("run %d: exit %d\n%s\n%s", n, code, out, &stderr)
				}
				if n%50 == 0 {
					now, _, _ := footprint(t)
					t.Logf("run %d: %d kB", n, now)
				}
				if n == warm {
					kB, files, goroutines = footprint(t)
				}
			}
			kBAfter, filesAfter, goroutinesAfter := footprint(t)
			t.Logf("after %d runs %d kB, %d files, %d goroutines; after %d runs %d kB, %d files, %d goroutines",
				warm, kB, files, goroutines, runs, kBAfter, filesAfter, goroutinesAfter)
			if filesAfter > files || goroutinesAfter > goroutines || kBAfter > kB+kB/10 {
				t.Error("it grows")
			}
		})
	}
}

// footprint is what this process holds, after a collection.
func footprint(t *testing.T) (kB, files, goroutines int) {
	t.Helper()
	runtime.GC()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	if _, err := fmt.Sscan(rest, &kB); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return kB, len(entries), runtime.NumGoroutine()
}
