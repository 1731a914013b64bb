package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"sync"
	"testing"

	"elt/internal/rows"
	"elt/internal/secret"
	"elt/internal/testdb"
	"elt/internal/warehouse"
	"elt/internal/warehouse/duckdb"
	"elt/internal/warehouse/postgres"
)

var updateWant = flag.Bool("update", false, "rewrite the want folders of the cases")

func TestMain(m *testing.M) { os.Exit(testdb.Run(m)) }

// sources are the addresses behind ${env:SOURCE_URL}, by project folder.
var sources sync.Map

const casesDir = "../../testdata/cases"

// A case is a folder: a whole small project, the command lines to run, and want/
// with what must come out of it. A line of `commands` is `ARGS` and, where it is
// not 0, `=> EXIT`; a line `copy FROM TO` puts a file of the case in place first.
// An argument with spaces stands in double quotes. Where want/stdout is, it holds
// what the commands other than run print.
// The argument RUN is the id of the last run, and ids of runs are RUN in what is told.
// It runs on both warehouses, with the address in ${env:WAREHOUSE}.
func TestCases(t *testing.T) {
	t.Parallel()
	entries, err := os.ReadDir(casesDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		for _, engine := range []string{"duckdb", "postgres"} {
			t.Run(e.Name()+"/"+engine, func(t *testing.T) {
				t.Parallel()
				runCase(t, filepath.Join(casesDir, e.Name()), engine)
			})
		}
	}
}

func runCase(t *testing.T, source, engine string) {
	dir := filepath.Join(t.TempDir(), "project")
	if err := os.CopyFS(dir, os.DirFS(source)); err != nil {
		t.Fatal(err)
	}
	addr := "duckdb:wh.duckdb"
	if engine == "postgres" {
		addr = testdb.URL(t)
	}
	var stderr bytes.Buffer
	script, err := os.ReadFile(filepath.Join(source, "commands"))
	if err != nil {
		t.Fatal(err)
	}
	var told, stdout strings.Builder
	for _, line := range strings.Split(strings.TrimSpace(string(script)), "\n") {
		told.WriteString(step(t, dir, addr, line, &stdout, &stderr))
	}
	nameless := func(s string) string { return s }
	if strings.Contains(string(script), " RUN") {
		var pairs []string
		for _, id := range runIDs(t, dir, addr) {
			pairs = append(pairs, id, "RUN")
		}
		nameless = strings.NewReplacer(pairs...).Replace
	}
	if _, err := os.Stat(filepath.Join(source, "want", "stdout")); err == nil {
		want(t, source, "stdout", nameless(timeless(scrub(stdout.String(), dir, addr))))
	}
	want(t, source, "stderr", nameless(scrub(stderr.String(), dir, addr)))
	want(t, source, "told", nameless(withoutVolatile(scrub(told.String(), dir, addr))))
	for _, table := range wanted(t, source, "tables") {
		want(t, source, "tables/"+table, dump(t, dir, addr, strings.TrimSuffix(table, ".csv")))
	}
	for _, object := range wanted(t, source, "destination") {
		got, err := os.ReadFile(filepath.Join(dir, ".elt", "fake", "dev", object))
		if err != nil {
			t.Error(err)
		}
		want(t, source, "destination/"+object, withoutIDs(string(got)))
	}
}

// step runs one line of `commands` and returns the story of a run that failed:
// what stands between its steps and its last line. What any other command prints
// goes to stdout.
func step(t *testing.T, dir, addr, line string, stdout *strings.Builder, stderr *bytes.Buffer) (told string) {
	t.Helper()
	if parts := strings.Fields(line); parts[0] == "copy" {
		data, err := os.ReadFile(filepath.Join(dir, parts[1]))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, parts[2]), data, 0o600); err != nil {
			t.Fatal(err)
		}
		return ""
	}
	args, exit := line, 0
	if i := strings.Index(line, "=>"); i >= 0 {
		if _, err := fmt.Sscan(line[i+2:], &exit); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		args = line[:i]
	}
	typed := words.FindAllString(args, -1)
	for i := range typed {
		if typed[i] = strings.Trim(typed[i], `"`); typed[i] == "RUN" {
			typed[i] = runIDs(t, dir, addr)[0]
		}
	}
	got, out := elt(t, dir, addr, stderr, nil, typed...)
	if typed[0] != "run" {
		stdout.WriteString(out)
	}
	if got != exit {
		t.Errorf("elt %s: exit %d, want %d\n%s\n%s", args, got, exit, out, stderr)
	}
	_, story, failed := strings.Cut(out, "\n\n")
	if end := strings.LastIndex(strings.TrimSpace(story), "\n"); got != 0 && failed && strings.HasPrefix(args, "run") {
		return story[:end+1]
	}
	return ""
}

// runIDs are the ids of the runs so far, the last one first.
func runIDs(t *testing.T, dir, addr string) []string {
	t.Helper()
	_, out := elt(t, dir, addr, &bytes.Buffer{}, nil, "runs", "--json")
	var ids []string
	for _, found := range regexp.MustCompile(`"run":"(\w+)"`).FindAllStringSubmatch(out, -1) {
		ids = append(ids, found[1])
	}
	return ids
}

// elt runs a command line in process, in dir, on the warehouse at addr.
func elt(t *testing.T, dir, addr string, stderr *bytes.Buffer, wrap func(warehouse.Driver) warehouse.Driver, args ...string) (int, string) {
	t.Helper()
	return eltContext(context.WithoutCancel(t.Context()), dir, addr, stderr, wrap, args...)
}

// eltContext is elt in a context that a test may cancel.
func eltContext(ctx context.Context, dir, addr string, stderr *bytes.Buffer, wrap func(warehouse.Driver) warehouse.Driver, args ...string) (int, string) {
	var out bytes.Buffer
	sourceURL, _ := sources.Load(dir)
	a := &app{in: strings.NewReader(""), out: &out, err: stderr, wrap: wrap, env: func(name string) (string, bool) {
		switch name {
		case "WAREHOUSE", "WAREHOUSE_URL":
			return addr, true
		case "SOURCE_URL":
			return fmt.Sprint(sourceURL), sourceURL != nil
		case "HOME":
			return dir, true
		}
		return "", false
	}}
	code := a.run(ctx, append([]string{"-C", dir}, args...))
	return code, out.String()
}

// openAt opens the warehouse at addr of the project in dir for a test to look at.
func openAt(t *testing.T, dir, addr string) *warehouse.DB {
	t.Helper()
	var d warehouse.Driver
	var err error
	if path, ok := strings.CutPrefix(addr, "duckdb:"); ok {
		d, err = duckdb.Open(t.Context(), duckdb.Options{Path: filepath.Join(dir, path), TimeZone: "Europe/Berlin"})
	} else {
		d, err = postgres.Open(t.Context(), secret.New(addr), postgres.Options{TimeZone: "Europe/Berlin"})
	}
	if err != nil {
		t.Fatal(err)
	}
	return warehouse.OpenReadOnly(d)
}

// dump prints a table as CSV in a form that both engines share: columns by name
// without those of elt, values as canonical text, lines sorted.
func dump(t *testing.T, dir, addr, table string) string {
	t.Helper()
	db := openAt(t, dir, addr)
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	return dumpFrom(t, db, table)
}

func dumpFrom(t *testing.T, db *warehouse.DB, table string) string {
	t.Helper()
	schema, name, _ := strings.Cut(table, ".")
	tab := warehouse.Table{Schema: schema, Name: name}
	var names, exprs []string
	err := db.View(t.Context(), func(ctx context.Context, tx *warehouse.Tx) error {
		cols, err := tx.Schema(ctx, tab)
		sort.Slice(cols, func(i, j int) bool { return cols[i].Name < cols[j].Name })
		for _, c := range cols {
			if !strings.HasPrefix(c.Name, warehouse.Reserved) {
				names = append(names, c.Name)
				exprs = append(exprs, "coalesce("+db.Dialect().Canonical(warehouse.Quote(c.Name), c.Type)+", 'NULL')")
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(names) == 0 {
		return "no table\n"
	}
	var lines []string
	err = warehouse.Each(t.Context(), db, "SELECT "+strings.Join(exprs, " || ',' || ")+" FROM "+tab.String(), func(r rows.Row) error {
		lines = append(lines, strings.Clone(r.String(0)))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	sort.Strings(lines)
	return strings.Join(append([]string{strings.Join(names, ",")}, lines...), "\n") + "\n"
}

func wanted(t *testing.T, source, folder string) []string {
	t.Helper()
	root := filepath.Join(source, "want", folder)
	var out []string
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil
		}
		if err == nil && !d.IsDir() && !strings.HasSuffix(path, ".FAIL") {
			rel, _ := filepath.Rel(root, path)
			out = append(out, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// want compares got with want/name; what differs is written beside it as .FAIL.
func want(t *testing.T, source, name, got string) {
	t.Helper()
	path := filepath.Join(source, "want", name)
	if *updateWant {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	expected, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if string(expected) != got {
		if err := os.WriteFile(path+".FAIL", []byte(got), 0o600); err != nil {
			t.Log(err)
		}
		t.Errorf("%s differs\ngot:\n%s\nwant:\n%s", name, got, expected)
	}
}

var opID = regexp.MustCompile(`,"op_id":"[^"]*","batch":"[^"]*"`)

// withoutIDs drops what differs from run to run.
func withoutIDs(s string) string {
	lines := strings.Split(strings.TrimSpace(opID.ReplaceAllString(s, "")), "\n")
	sort.Strings(lines)
	return strings.Join(lines, "\n") + "\n"
}

// standIn is where a stand-in listens, on a port that was free.
var standIn = regexp.MustCompile(`\b127\.0\.0\.1:\d{5}\b`)

// volatile is what differs from load to load and from engine to engine in what
// a failed run tells: elt's own columns, and how many parts a scan has.
var volatile = regexp.MustCompile(`,"_elt_load_id":"[^"]*","_elt_loaded_at":"[^"]*"|part \d+ of \d+: `)

// timeless takes out of what a command prints the ids and times of this very
// run, the padding that depends on them, and how engines space their JSON.
func timeless(s string) string {
	s = regexp.MustCompile(`\b20\d{6}T\d{6}\.\d{6}\w+`).ReplaceAllString(s, "LOAD")
	s = regexp.MustCompile(`\b20\d\d-\d\d-\d\d[ T]\d\d:\d\d(:[\d.]+)?(Z|\+00(:00)?)?`).ReplaceAllString(s, "TIME")
	return regexp.MustCompile(` {2,}`).ReplaceAllString(s, "  ")
}

func withoutVolatile(s string) string { return volatile.ReplaceAllString(s, "") }

func scrub(s, dir, addr string) string {
	return standIn.ReplaceAllString(strings.NewReplacer(addr, "WAREHOUSE", dir, "PROJECT").Replace(s), "127.0.0.1:PORT")
}
