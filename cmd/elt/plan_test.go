package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A plan of a new project shows every step, a sync of a model that nothing has
// built yet included, and on DuckDB leaves no file behind.
func TestPlanOfANewProject(t *testing.T) { onBoth(t, planOfANewProject) }

func planOfANewProject(t *testing.T, engine string) {
	dir, addr := faultProject(t, engine)
	before := listing(t, dir)
	wantSaid(t, dir, addr, exitOK, "plan", "from the beginning", "not built yet", "all rows of marts.people, which is not built yet")
	wantSaid(t, dir, addr, exitChange, "plan|--exit-code")
	if after := listing(t, dir); after != before {
		t.Errorf("a plan left files:\n%s\nbefore:\n%s", after, before)
	}
}

func listing(t *testing.T, dir string) string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		names = append(names, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(names, "\n")
}

// plan --exit-code gives 10 for what people care about and 0 for what a run does
// each time, such as making a view again.
func TestPlanExitCode(t *testing.T) { onBoth(t, planExitCode) }

func planExitCode(t *testing.T, engine string) {
	dir, addr := faultProject(t, engine)
	mustRun(t, dir, addr)
	wantSaid(t, dir, addr, exitOK, "plan|--exit-code", "nothing is new", "0 to send")
	model := filepath.Join(dir, "models", "marts", "people.sql")
	text, err := os.ReadFile(model)
	if err != nil {
		t.Fatal(err)
	}
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(model, string(text)+"\n-- changed\n")
	wantSaid(t, dir, addr, exitChange, "plan|--exit-code", "its text has changed")
	write(model, string(text))
	wantSaid(t, dir, addr, exitOK, "plan|--exit-code")
	write(filepath.Join(dir, "data", "people-2.csv"), "id,name,updated_at\n77,New,2026-03-09T12:00:00Z\n")
	wantSaid(t, dir, addr, exitChange, "plan|--exit-code|--json", `"name":"shop.people","would":"read and merge","detail":"what is new","changes":true`)
}

// A stream of Postgres counts as changed by what its cursor and its count tell.
func TestPlanExitCodeOfPostgresStreams(t *testing.T) {
	t.Parallel()
	yaml := strings.Replace(shopProject, "      orders:", "      kinds: {}\n      late: {table: orders, key: id, cursor: updated_at, lookback: 1h}\n      orders:", 1)
	s := newSourced(t, "duckdb", yaml)
	dir, addr, exec := s.dir, s.addr, s.exec
	exec(`CREATE TABLE orders (id bigint PRIMARY KEY, updated_at timestamptz NOT NULL)`)
	exec(`INSERT INTO orders SELECT i, '2026-03-09 10:00:00+01' FROM generate_series(1, 10) i`)
	exec(`CREATE TABLE kinds AS SELECT 1 AS id`)
	wantSaid(t, dir, addr, exitChange, "plan|--exit-code", "from the beginning: 10 rows", "from the beginning: 1 row")
	mustRun(t, dir, addr)
	wantSaid(t, dir, addr, exitOK, "plan|--exit-code", "nothing is new", "all of it again: 1 row", "the last 1h again: 10 rows")
	exec(`INSERT INTO kinds VALUES (2)`)
	wantSaid(t, dir, addr, exitChange, "plan|--exit-code", "all of it again: 2 rows")
	mustRun(t, dir, addr)
	exec(`INSERT INTO orders VALUES (11, '2026-03-09 11:00:00+01')`)
	wantSaid(t, dir, addr, exitChange, "plan|--exit-code", "what is new: 1 row")
}

// What cannot be planned has its line, its error stands below, and hides nothing.
func TestPlanShowsTheRestBesideWhatIsWrong(t *testing.T) {
	t.Parallel()
	dir, addr := faultProject(t, "duckdb")
	mustRun(t, dir, addr)
	yaml, err := os.ReadFile(filepath.Join(dir, "elt.yaml"))
	// Behind a * validate does not know the columns: the plan finds the one that is not there.
	err = errors.Join(err, os.WriteFile(filepath.Join(dir, "elt.yaml"), []byte(strings.Replace(string(yaml), "spent: spent", "spent: spnt", 1)), 0o600),
		os.WriteFile(filepath.Join(dir, "models", "marts", "people.sql"), []byte("select * from shop.people\n"), 0o600),
		os.WriteFile(filepath.Join(dir, "models", "marts", "wrong.sql"), []byte("select nme from shop.people\n"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	wantSaid(t, dir, addr, exitFailed, "plan", "nothing is new", "build table", "cannot be planned",
		`there is no column`, `sync people: `, `has no column "spnt"`)
}

// A plan of a backfill counts the rows of the windows that are to be done, and no
// others: not those of a day beside, whose times have no zone, nor those between.
func TestPlanOfABackfillCountsItsRows(t *testing.T) {
	p := newHandover(t, "duckdb")
	p.exec(`ALTER TABLE orders ALTER COLUMN at TYPE timestamp`)
	p.orders(1, 2, 3, 4, 5, 6, 7, 8, 9)
	p.must("run")
	plan := []string{"plan", "--backfill", "2026-03-03..2026-03-07", "shop.orders+"}
	wantPlan := func(texts ...string) {
		t.Helper()
		out := p.must(plan...)
		for _, text := range texts {
			if !strings.Contains(out, text) {
				t.Errorf("the plan lacks %q:\n%s", text, out)
			}
		}
	}
	wantPlan("4 windows of 1d, 2026-03-03..2026-03-07: 4 rows, about", "4 windows of 1d, 2026-03-03..2026-03-07, about")
	p.must("run", "--backfill", "2026-03-03..2026-03-07", "shop.orders+")
	wantPlan("2026-03-03..2026-03-07, all done before")
	p.forgetWindows(3, 6)
	wantPlan("2 done before: 2 rows", "2 done before, about")
}
