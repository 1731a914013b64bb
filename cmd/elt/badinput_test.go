package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"elt/internal/fault"
	"elt/internal/testdb"
	"elt/internal/warehouse"
)

// badProject makes a project in a folder of its own whose stream in.things reads
// data/a.*, and returns what writes a file of it.
func badProject(t *testing.T) (dir string, write func(name, text string)) {
	t.Helper()
	dir = t.TempDir()
	write = func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("elt.yaml", "version: 1\nname: tiny\ntimezone: Europe/Berlin\nas_of: 2026-03-10T02:00:00+01:00\n"+
		"targets:\n  dev: {warehouse: \"${env:WAREHOUSE}\", push: fake}\n"+
		"sources:\n  in: {type: files, path: data/a.*, streams: {things: {}}}\n")
	return dir, write
}

// A NUL byte is text to DuckDB and none to Postgres: there its row goes into the
// quarantine, as a warning within the limit and a failed check over it.
func TestNULByteInText(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, file, head, bad, good string }{
		{"csv", "a.csv", "a,b\n", "1,x\x00y\n", "2,y\n"},
		{"json", "a.jsonl", "", `{"a":1,"b":"x\u0000y"}` + "\n", `{"a":2,"b":"y"}` + "\n"},
		{"json nested", "a.jsonl", "", `{"a":1,"b":{"c":"x\u0000y"}}` + "\n", `{"a":2,"b":{"c":"y"}}` + "\n"},
	} {
		for _, engine := range []string{"duckdb", "postgres"} {
			t.Run(c.name+"/"+engine, func(t *testing.T) {
				t.Parallel()
				dir, write := badProject(t)
				addr, landed, exit := "duckdb:wh.duckdb", 200, 0
				if engine == "postgres" {
					addr, landed, exit = testdb.URL(t), 199, 3
				}
				var stderr bytes.Buffer
				write("data/"+c.file, c.head+c.bad+strings.Repeat(c.good, 199))
				code, out := elt(t, dir, addr, &stderr, nil, "run")
				if got := strings.Count(dump(t, dir, addr, "in.things"), "\n") - 1; code != 0 || got != landed {
					t.Errorf("exit %d and %d rows, want 0 and %d\n%s\n%s", code, got, landed, out, &stderr)
				}
				if _, list := elt(t, dir, addr, &stderr, nil, "quarantine", "in.things"); engine == "postgres" {
					for _, says := range []string{`column "b": text with a NUL byte`, `data/` + c.file, `u0000y`} {
						if !strings.Contains(list, says) {
							t.Errorf("the quarantine lacks %q:\n%s", says, list)
						}
					}
				}
				write("data/"+c.file, c.head+c.bad+c.good)
				if code, out := elt(t, dir, addr, &stderr, nil, "run"); code != exit {
					t.Errorf("over the limit: exit %d, want %d\n%s\n%s", code, exit, out, &stderr)
				}
			})
		}
	}
}

// More columns than a table of Postgres holds fail with both numbers and nothing
// half made; DuckDB takes them.
func TestTwoThousandColumns(t *testing.T) {
	t.Parallel()
	var head, body []string
	for i := range 2000 {
		head, body = append(head, "c"+strconv.Itoa(i)), append(body, "1")
	}
	wide := strings.Join(head, ",") + "\n" + strings.Join(body, ",") + "\n"
	for _, engine := range []string{"duckdb", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			dir, write := badProject(t)
			addr, exit, says := "duckdb:wh.duckdb", 0, "OK in"
			if engine == "postgres" {
				addr, exit, says = testdb.URL(t), 1, "the source has 2001 columns, and a table on postgres holds at most 1600"
			}
			write("data/a.csv", wide)
			var stderr bytes.Buffer
			code, out := elt(t, dir, addr, &stderr, nil, "run")
			if said := out + stderr.String(); code != exit || !strings.Contains(said, says) || strings.Contains(said, "SQLSTATE") {
				t.Errorf("exit %d, want %d and %q in\n%s", code, exit, says, said)
			}
			if n := width(t, dir, addr, warehouse.Table{Schema: "in", Name: "things"}); (n == 0) != (exit != 0) {
				t.Errorf("exit %d, and the table has %d columns", exit, n)
			}
			write("data/a.csv", "a,b\n1,2\n")
			if code, out := elt(t, dir, addr, &stderr, nil, "run"); code != 0 {
				t.Errorf("after mending: exit %d\n%s\n%s", code, out, &stderr)
			}
		})
	}
}

// width is how many columns a table has; 0: it does not exist.
func width(t *testing.T, dir, addr string, table warehouse.Table) (n int) {
	t.Helper()
	db := openAt(t, dir, addr)
	err := db.View(t.Context(), func(ctx context.Context, tx *warehouse.Tx) error {
		cols, err := tx.Schema(ctx, table)
		n = len(cols)
		return err
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	return n
}

// A disk that is full from any moment on is told once, with what to do, however
// many records it keeps from being written; and a run with space ends well.
func TestFullDiskIsToldOnce(t *testing.T) {
	t.Parallel()
	for _, engine := range []string{"duckdb", "postgres"} {
		for _, from := range []int{20, 40, 60, 80, 100, 120, 160, 200, 240, 280} {
			t.Run(fmt.Sprintf("%s/%d", engine, from), func(t *testing.T) {
				t.Parallel()
				dir, addr := faultProject(t, engine)
				full := &warehouse.Error{Kind: warehouse.KindDiskFull, Err: errors.New("no space left"), Hint: "free some space and run again"}
				var stderr bytes.Buffer
				code, out := elt(t, dir, addr, &stderr, func(d warehouse.Driver) warehouse.Driver {
					return fault.Driver(d, func(call int, op string, before bool) error {
						if before && call >= from && (op == fault.Exec || op == fault.Append) {
							return full
						}
						return nil
					})
				}, "run", "--threads", "1")
				said := out + stderr.String()
				stories := max(1, strings.Count(said, "\nfailed ")) // of steps side by side, or of the record alone
				if code != 1 || strings.Count(said, "no space left") != stories || strings.Count(said, full.Hint) != stories {
					t.Errorf("exit %d, want 1, and %d times the cause and the advice in\n%s", code, stories, said)
				}
				_, runs := elt(t, dir, addr, &stderr, nil, "runs", "--json")
				if recorded := strings.Contains(runs, `"status":"failed","exit":1`); recorded && strings.Contains(said, "could not be recorded") {
					t.Errorf("the run is recorded as failed:\n%s\nand told as not recorded:\n%s", runs, said)
				}
				mustRun(t, dir, addr)
			})
		}
	}
}

// Names that hold quotes, spaces and keywords are names like others: of a file,
// its folder, a stream, a column, a key, a model and a field that is pushed.
// The files are made here, since no module may hold such names.
func TestOddNames(t *testing.T) {
	t.Parallel()
	for _, engine := range []string{"duckdb", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			dir, write := badProject(t)
			write("elt.yaml", `version: 1
name: tiny
timezone: Europe/Berlin
as_of: 2026-03-10T02:00:00+01:00
connections: {out: {type: file, path: .elt/out}}
targets:
  dev: {warehouse: "${env:WAREHOUSE}", push: live}
sources:
  in:
    type: files
    path: "da'ta \"x\" [[]1]/*.csv"
    streams: {"it's \"odd\"; --": {load: merge, key: [select], checks: [{not_null: select}, {unique: select}]}}
syncs:
  odd: {model: "mar ts.it's \"odd\"", to: out.things, mode: upsert, key: 'the "key"', fields: {"th'eir \"x\"": "x; --"}}
`)
			write(`da'ta "x" [1]/it's "odd".csv`, "select,\"x \"\"y\"\"\"\n1,one\n2,two\n")
			write(`models/mar ts/it's "odd".sql`, `select "select" as "the ""key""", x_y as "x; --" from "in"."it's ""odd""; --"`)
			addr := "duckdb:wh.duckdb"
			if engine == "postgres" {
				addr = testdb.URL(t)
			}
			for range 2 { // the second run reads nothing new and pushes nothing
				mustRun(t, dir, addr)
			}
			if got, want := dump(t, dir, addr, `mar ts.it's "odd"`), "the \"key\",x; --\n1,one\n2,two\n"; got != want {
				t.Errorf("got\n%swant\n%s", got, want)
			}
		})
	}
}
