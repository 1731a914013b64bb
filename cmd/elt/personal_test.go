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
