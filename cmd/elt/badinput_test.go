package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"elt/internal/testdb"
)

// What Postgres cannot hold fails with the column named, and a mended file loads.
func TestBadInputForPostgres(t *testing.T) {
	t.Parallel()
	project := "version: 1\nname: tiny\ntimezone: Europe/Berlin\nas_of: 2026-03-10T02:00:00+01:00\n" +
		"targets:\n  dev: {warehouse: \"${env:WAREHOUSE}\", push: fake}\n" +
		"sources:\n  in: {type: files, path: data/a.*, streams: {things: {}}}\n"
	wide := strings.Repeat("c,", 1999) + "c\n" + strings.Repeat("1,", 1999) + "1\n"
	for _, c := range []struct{ name, file, bad, good, says string }{
		{"nul in csv", "a.csv", "a,b\n1,x\x00y\n", "a,b\n1,xy\n", `column "b", row 1: text with a NUL byte`},
		{"nul in json", "a.jsonl", `{"a":"x\u0000y"}` + "\n", `{"a":"xy"}` + "\n", `column "a", row 1: text with a NUL byte`},
		{"2000 columns", "a.csv", numbered(wide), "a,b\n1,2\n", "at most 1600 columns"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir, addr := t.TempDir(), testdb.URL(t)
			write := func(name, text string) {
				if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			write("elt.yaml", project)
			write("data/"+c.file, c.bad)
			var stderr bytes.Buffer
			code, out := elt(t, dir, addr, &stderr, nil, "run")
			if said := out + stderr.String(); code != 1 || !strings.Contains(said, c.says) || strings.Contains(said, "goroutine ") {
				t.Errorf("exit %d, want 1 and %q in\n%s", code, c.says, said)
			}
			if got := dump(t, dir, addr, "in.things"); got != "no table\n" {
				t.Errorf("a failed load published\n%s", got)
			}
			write("data/"+c.file, c.good)
			if code, out := elt(t, dir, addr, &stderr, nil, "run"); code != 0 {
				t.Errorf("after mending: exit %d\n%s\n%s", code, out, &stderr)
			}
		})
	}
}

// numbered gives every column of a header its own name.
func numbered(csv string) string {
	head, body, _ := strings.Cut(csv, "\n")
	names := strings.Split(head, ",")
	for i := range names {
		names[i] += strconv.Itoa(i)
	}
	return strings.Join(names, ",") + "\n" + body
}
