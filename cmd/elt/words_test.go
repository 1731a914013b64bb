package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"elt/internal/testdb"
)

// said runs a command and returns its exit code and all that it printed.
func said(t *testing.T, dir, addr string, args ...string) (int, string) {
	t.Helper()
	var stderr bytes.Buffer
	code, out := elt(t, dir, addr, &stderr, nil, args...)
	return code, out + stderr.String()
}

// wantSaid runs a command and compares its exit code and parts of what it printed.
func wantSaid(t *testing.T, dir, addr string, exit int, args string, parts ...string) {
	t.Helper()
	code, out := said(t, dir, addr, strings.Split(args, "|")...)
	if code != exit {
		t.Errorf("elt %s: exit %d, want %d\n%s", args, code, exit, out)
	}
	for _, part := range parts {
		if !strings.Contains(out, part) {
			t.Errorf("elt %s lacks %q:\n%s", args, part, out)
		}
	}
}

// A project with nothing in it says what to add, from init on.
func TestEmptyProjectSaysWhatToAdd(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "mine")
	var stderr bytes.Buffer
	code, out := elt(t, t.TempDir(), "", &stderr, nil, "init", "--minimal", dir)
	if code != 0 || !strings.Contains(out, "add a source to elt.yaml") || strings.Contains(out, "&& elt run") {
		t.Errorf("exit %d\n%s", code, out)
	}
	wantSaid(t, dir, "", exitUsage, "run", "no source, model or sync yet", "add a source to elt.yaml")
	wantSaid(t, dir, "", exitUsage, "plan|--rows|x", `--rows "x" is no whole number`, "see: elt plan --help")
	wantSaid(t, dir, "", exitUsage, "plan|--rows|-1", "--rows -1 is no number of rows")
	wantSaid(t, dir, "", exitUsage, "plan|--exit-code=7", `--exit-code "7" is neither true nor false`)
	wantSaid(t, dir, "", exitUsage, "fake|--fault|wrong=3%", `elt: --fault: unknown fault "wrong"`)
	wantSaid(t, dir, "", exitOK, "validate", "0 streams, 0 models, 0 syncs, 0 jobs")
	wantSaid(t, dir, "", exitFailed, "logs", "no run has left a log", "elt run")
}

// One thing is one thing, and an unknown name is answered with the nearest.
func TestWordsOfCommands(t *testing.T) {
	t.Parallel()
	dir, addr := faultProject(t, "duckdb")
	wantSaid(t, dir, addr, exitOK, "validate", "2 streams, 1 model, 1 sync, 0 jobs")
	mustRun(t, dir, addr)
	wantSaid(t, dir, addr, exitUsage, "logs|zzz", `no log of a run "zzz"`, "elt runs")
	wantSaid(t, dir, addr, exitUsage, "quarantine|shop.order", `no stream or sync "shop.order"`, `did you mean "shop.orders"?`)
	wantSaid(t, dir, addr, exitUsage, "quarantine|shop.order|--release", `did you mean "shop.orders"?`)
	wantSaid(t, dir, addr, exitOK, "quarantine|shop.orders")
	wantSaid(t, dir, addr, exitUsage, "run|--exclude|source:shop+", "nothing is left without source:shop+")
	wantSaid(t, dir, addr, exitUsage, "run|--threads|0", "--threads is \"0\", expected a whole number from 1")
}

// A killed run is told as such as long as no run has closed it: it has no exit
// code, and nobody waits for it.
func TestKilledRunIsToldAsDied(t *testing.T) { onBoth(t, killedRunIsToldAsDied) }

func killedRunIsToldAsDied(t *testing.T, engine string) {
	c := holding(t, engine)
	wantSaid(t, c.dir, c.addr, exitOK, "status", "running")
	c.signal(t, syscall.SIGKILL)
	c.wantExit(t, -1)
	wantSaid(t, c.dir, c.addr, exitOK, "status", "died: its process has ended")
	wantSaid(t, c.dir, c.addr, exitOK, "runs", "died")
	wantSaid(t, c.dir, c.addr, exitOK, "runs|--json", `"took":null,"status":"died","exit":null`)
	mustRun(t, c.dir, c.addr)
	wantSaid(t, c.dir, c.addr, exitOK, "runs|--json", `"status":"ok","exit":0`, `"status":"interrupted","exit":130`)
}

// What --json prints has types: exact numbers, booleans, null.
func TestJSONIsTyped(t *testing.T) { onBoth(t, jsonIsTyped) }

func jsonIsTyped(t *testing.T, engine string) {
	dir, addr := faultProject(t, engine)
	mustRun(t, dir, addr)
	const query = `select cast(9007199254740993 as bigint) as big, cast(12345678901234567890.10 as decimal(38,2)) as exact,
		cast(0.5 as double precision) as half, true as yes, cast(null as text) as nothing, 'NULL' as word, '1' as one`
	const want = `{"big":9007199254740993,"exact":12345678901234567890.10,"half":0.5,"yes":true,"nothing":null,"word":"NULL","one":"1"}` + "\n"
	var stderr bytes.Buffer
	if code, out := elt(t, dir, addr, &stderr, nil, "query", "--json", query); code != 0 || out != want {
		t.Errorf("exit %d\n%swant\n%s%s", code, out, want, &stderr)
	}
	wantSaid(t, dir, addr, exitOK, "query|select cast(null as text) as nothing", "NULL")
	code, out := elt(t, dir, addr, &stderr, nil, "show", "--json", "shop.orders", "--limit", "1")
	var row map[string]any
	if err := json.Unmarshal([]byte(out), &row); err != nil || code != 0 {
		t.Fatalf("exit %d, %v\n%s", code, err, out)
	}
	if _, number := row["id"].(float64); !number {
		t.Errorf("id is a %T in %s", row["id"], out)
	}
}

// Rows that a sync cannot send are named by the run, both kinds, and listed.
func TestInvalidRowsOfASyncAreListed(t *testing.T) { onBoth(t, invalidRowsOfASyncAreListed) }

func invalidRowsOfASyncAreListed(t *testing.T, engine string) {
	dir, write := badProject(t)
	addr := "duckdb:wh.duckdb"
	if engine == "postgres" {
		addr = testdb.URL(t)
	}
	yaml, err := os.ReadFile(filepath.Join(dir, "elt.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	write("elt.yaml", string(yaml)+"connections:\n  crm: {type: file, path: crm}\n"+
		"syncs:\n  people: {model: marts.people, to: crm.people, key: id, fields: {id: id, name: name}}\n")
	write("models/marts/people.sql", "select id, name from \"in\".things\n")
	write("data/a.csv", "id,name\n1,Ada\n1,Ida\n2,Bob\n,Eve\n")
	wantSaid(t, dir, addr, exitOK, "run",
		"people: 1 row not sent: NULL in the key", `{"id":null}`,
		"people: 2 rows not sent: other rows have the same key", `{"id":1}`, "elt quarantine people")
	for _, args := range []string{"quarantine|people|--json", "quarantine|--json"} {
		code, out := said(t, dir, addr, strings.Split(args, "|")...)
		var reasons []string
		for _, line := range strings.Split(strings.TrimSpace(out), "\n") {
			var row struct {
				At      *string
				Reason  string
				Payload struct {
					ID   *int64
					Name string
				}
			}
			if err := json.Unmarshal([]byte(line), &row); err != nil || row.At != nil {
				t.Fatalf("%v: %s", err, line)
			}
			id := "null"
			if row.Payload.ID != nil {
				id = fmt.Sprint(*row.Payload.ID)
			}
			reasons = append(reasons, id+" "+row.Payload.Name+" "+row.Reason)
		}
		const dup = " 2 rows have this key: none of them is sent"
		if got, want := strings.Join(reasons, "\n"), "null Eve NULL in the key: not sent\n1 Ada"+dup+"\n1 Ida"+dup; code != 0 || got != want {
			t.Errorf("elt %s: exit %d\n%s\nwant\n%s", args, code, got, want)
		}
	}
}

// Quiet is silent on success, warnings and --json included, and tells the whole
// story otherwise.
func TestQuietIsSilentOnSuccess(t *testing.T) {
	t.Parallel()
	dir, addr := faultProject(t, "duckdb")
	yaml, err := os.ReadFile(filepath.Join(dir, "elt.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	unwise := strings.Replace(string(yaml), "connections:\n", "connections:\n  db: {type: postgres, url: \"${env:SOURCE_URL}\"}\n", 1)
	sources.Store(dir, "postgres://me:y@127.0.0.1:1/db")
	broken := strings.Replace(unwise, "data/{stream}*.csv", "data/{stream}*.parquet", 1)
	for _, c := range []struct {
		yaml, flags string
		exit        int
		parts       []string
	}{
		{unwise, "--quiet", exitOK, nil},
		{unwise, "--quiet|--json", exitOK, nil},
		{unwise, "--json", exitOK, []string{`"push":"fake"`, "warning: a secret of the project has less than 4 characters"}},
		{broken, "--quiet", exitFailed, []string{"FAILED", "too short to be masked"}},
		{broken, "--quiet|--json", exitFailed, []string{`"push":"fake"`, `"status":"failed"`}},
	} {
		if err := os.WriteFile(filepath.Join(dir, "elt.yaml"), []byte(c.yaml), 0o600); err != nil {
			t.Fatal(err)
		}
		wantSaid(t, dir, addr, c.exit, "run|"+c.flags, c.parts...)
		if _, out := said(t, dir, addr, append([]string{"run"}, strings.Split(c.flags, "|")...)...); c.exit == exitOK && c.parts == nil && out != "" {
			t.Errorf("run %s prints\n%s", c.flags, out)
		}
	}
}

// Two targets that push to a stand-in do not share it.
func TestFakePushOfTwoTargets(t *testing.T) {
	t.Parallel()
	dir, addr := faultProject(t, "duckdb")
	yaml, err := os.ReadFile(filepath.Join(dir, "elt.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(yaml), "connections:\n", "  other: {warehouse: \"duckdb:other.duckdb\", push: fake}\nconnections:\n", 1)
	if err := os.WriteFile(filepath.Join(dir, "elt.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var pushed []string
	for _, target := range []string{"dev", "other"} {
		wantSaid(t, dir, addr, exitOK, "run|--target|"+target)
		data, err := os.ReadFile(filepath.Join(dir, ".elt", "fake", target, "crm", "people.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		pushed = append(pushed, withoutIDs(string(data)))
	}
	if pushed[0] != pushed[1] {
		t.Errorf("dev:\n%s\nother:\n%s", pushed[0], pushed[1])
	}
}

// Files have nobody who casts: where two of them disagree on a type, what they are
// can be declared.
func TestFilesOfTwoTypesSayWhatToDeclare(t *testing.T) { onBoth(t, filesOfTwoTypes) }

func filesOfTwoTypes(t *testing.T, engine string) {
	p := newSourced(t, engine, "")
	settings := func(stream string) {
		p.write("elt.yaml", "version: 1\nname: types\ntargets: {dev: {warehouse: \"${env:WAREHOUSE}\"}}\n"+
			"sources:\n  raw: {type: files, path: \"data/{stream}*.csv\", volume: off, streams: {people: {"+stream+"}}}\n")
	}
	settings("")
	p.write("data/people1.csv", "id,n\n1,5\n")
	wantSaid(t, p.dir, p.addr, exitOK, "run")
	p.write("data/people2.csv", "id,n\n2,2024-01-01\n3,7\n")
	wantSaid(t, p.dir, p.addr, exitFailed, "run", `say what it is, such as `+"`"+`columns: {n: "bigint"}`+"`"+` in the stream`)
	settings(`columns: {n: "bigint"}, quarantine: {max: 1}`)
	wantSaid(t, p.dir, p.addr, exitOK, "run", "1 quarantined", "1 published")
}

// The clocks of a machine have a name that people know.
func TestClocksOfAMachine(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 10, 7, 0, 0, 0, time.UTC)
	if got := clocks(time.UTC, now); got != "UTC" {
		t.Errorf("%q", got)
	}
	if got := clocks(time.Local, now); strings.Contains(got, "Local") {
		t.Errorf("%q is the name of no zone", got)
	}
}
