package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

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

// The reason of a bad row tells no value of a personal column, whatever the source
// and the warehouse, and whether the reader or the loader words it.
func TestReasonsTellNoPersonalValue(t *testing.T) {
	t.Parallel()
	csv, jsonl := strings.Builder{}, strings.Builder{}
	csv.WriteString("id,ssn\n")
	for i := range 25_000 { // more than a reader looks at before it says what a column holds
		fmt.Fprintf(&csv, "%d,55\n", i)
		fmt.Fprintf(&jsonl, "{\"id\":%d,\"phone\":55}\n", i)
	}
	csv.WriteString("30001,SECRETNAME\n30002,98761.5\n")
	jsonl.WriteString("{\"id\":30001,\"phone\":\"Ada Lovelace\"}\n{\"id\":30002,\"phone\":98761.5}\n")
	project := `version: 1
name: hidden
targets: {dev: {warehouse: "${env:WAREHOUSE}", push: off}}
connections: {app: {type: postgres, url: "SOURCE"}}
sources:
  shop: {type: files, streams: {people: {path: people.csv, pii: {ssn: ssn}}, calls: {path: calls.jsonl, pii: {phone: phone}}}}
  app: {connection: app, streams: {staff: {key: id, columns: {ssn: "DECIMAL(8,2)"}, quarantine: {max: 5}, pii: {ssn: ssn}}}}
`
	for engine, addr := range map[string]string{"duckdb": "duckdb:wh.duckdb", "postgres": testdb.URL(t)} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			dir, source := t.TempDir(), testdb.URL(t)
			conn, err := pgx.Connect(t.Context(), source)
			if err != nil {
				t.Fatal(err)
			}
			_, err = conn.Exec(t.Context(), "CREATE TABLE staff (id int PRIMARY KEY, ssn numeric); INSERT INTO staff VALUES (1, 5), (2, 98761.555)")
			if err := errors.Join(err, conn.Close(t.Context())); err != nil {
				t.Fatal(err)
			}
			for name, text := range map[string]string{"elt.yaml": strings.Replace(project, "SOURCE", source, 1), "people.csv": csv.String(), "calls.jsonl": jsonl.String()} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			var stderr bytes.Buffer
			code, told := elt(t, dir, addr, &stderr, nil, "run")
			if code != 0 {
				t.Fatalf("exit %d\n%s\n%s", code, told, &stderr)
			}
			logs, err := filepath.Glob(filepath.Join(dir, ".elt", "logs", "*.jsonl"))
			if err != nil || len(logs) != 1 {
				t.Fatalf("%d logs, %v", len(logs), err)
			}
			log, err := os.ReadFile(logs[0])
			if err != nil {
				t.Fatal(err)
			}
			_, aside := elt(t, dir, addr, &stderr, nil, "quarantine")
			_, stored := elt(t, dir, addr, &stderr, nil, "query", "select samples, observed from _elt.finding", "--show-pii")
			for _, stream := range []string{"shop.people", "shop.calls", "app.staff"} {
				if !strings.Contains(aside, stream) {
					t.Errorf("no row of %s is aside:\n%s", stream, aside)
				}
			}
			told += stderr.String() + string(log) + aside + stored
			for _, value := range []string{"SECRETNAME", "98761", "Ada", "Lovelace"} {
				if i := strings.Index(told, value); i >= 0 {
					t.Errorf("%q is told: …%s…", value, told[max(0, i-200):min(len(told), i+100)])
				}
			}
		})
	}
}

// What is printed of a model or a query holds no marked value, wherever the
// query hides it.
func TestPersonalDataStaysOutOfAnswers(t *testing.T) {
	t.Parallel()
	models := map[string]string{
		"alias":  "select o.id, (select b from shop.customers t(a, b, c) limit 1) as m from shop.customers o",
		"joined": "select id, (select max(b) from (select x.id, y.email from shop.customers x join shop.customers y using (id)) t(a, b)) as m from shop.customers",
		"ours":   "select id, email as _elt_mail from shop.customers",
		"star":   "select id, (select max(b) from (select c.* from shop.customers c) t(a, b, d)) as m from shop.customers",
	}
	questions := []string{"select upper(email), id as upper from shop.customers", "select c as x from shop.customers c", "select t.b as x from shop.customers t(a, b)"}
	for engine, addr := range map[string]string{"duckdb": "duckdb:wh.duckdb", "postgres": testdb.URL(t)} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			files := map[string]string{"data/customers.csv": "id,email,name\n1,canary@a,canary b\n", "elt.yaml": `version: 1
name: hidden
targets: {dev: {warehouse: "${env:WAREHOUSE}", push: off}}
sources:
  shop: {type: files, streams: {customers: {path: data/customers.csv, format: csv, pii: {email: email, name: name}}}}
`}
			for name, sql := range models {
				files["models/marts/"+name+".sql"] = sql
			}
			asked := questions
			if engine == "duckdb" {
				files["models/marts/twice.sql"] = "select x.*, y.* from shop.customers x join shop.customers y using (id)"
				files["models/marts/struct.sql"] = "select unnest({'zz': email}) as x from shop.customers"
				asked = append(asked, "select * from marts.twice", "select zz from marts.struct", "select email_1 as q from (from marts.twice)")
			}
			for name, text := range files {
				path := filepath.Join(dir, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			var commands [][]string
			for name := range files {
				if model, ok := strings.CutSuffix(filepath.Base(name), ".sql"); ok {
					commands = append(commands, []string{"show", "marts." + model})
				}
			}
			for _, q := range asked {
				commands = append(commands, []string{"query", q})
			}
			var stderr bytes.Buffer
			if code, out := elt(t, dir, addr, &stderr, nil, "run"); code != 0 {
				t.Fatalf("exit %d\n%s\n%s", code, out, &stderr)
			}
			for _, args := range commands {
				code, out := elt(t, dir, addr, &stderr, nil, args...)
				if code != 0 || !strings.Contains(out, "***") || strings.Contains(strings.ToLower(out), "canary") {
					t.Errorf("%v: exit %d\n%s\n%s", args, code, out, &stderr)
				}
			}
		})
	}
}
