package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What a destination quotes of a personal column is masked where it refuses a row,
// and where nobody knows what became of it.
func TestQuotedPersonalValuesAreMasked(t *testing.T) {
	for _, status := range []int{422, 403, 500, 429} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			p := newPushed(t, "duckdb")
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				_ = body
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(status)
				fmt.Fprint(w, `{"message":"person ada@example.org: no"}`)
			}))
			defer srv.Close()
			p.people("1,ada@example.org\n")
			p.write("elt.yaml", "version: 1\nname: push\ntargets: {dev: {warehouse: \"${env:WAREHOUSE}\", push: live}}\n"+
				"connections:\n  crm: {type: http, url: "+srv.URL+", concurrency: 1}\n"+
				"sources:\n  raw: {type: files, path: \"data/{stream}.csv\", streams: {people: {load: replace, key: id, pii: {name: name}}}}\n"+
				"syncs:\n  people:\n    model: marts.people\n    to: crm.people\n    key: id\n    fields: {id: id, name: {column: name, allow_pii: true}}\n")
			var stderr bytes.Buffer
			code, out := elt(p.t, p.dir, p.addr, &stderr, nil, "run")
			told := out + stderr.String()
			logs, _ := filepath.Glob(filepath.Join(p.dir, ".elt", "logs", "*.jsonl"))
			for _, l := range logs {
				text, _ := os.ReadFile(l)
				told += "\nLOG\n" + string(text)
			}
			_, q := elt(p.t, p.dir, p.addr, &stderr, nil, "quarantine")
			told += "\nQUARANTINE\n" + q
			_, q = elt(p.t, p.dir, p.addr, &stderr, nil, "quarantine", "people")
			told += q
			_, q = elt(p.t, p.dir, p.addr, &stderr, nil, "explain", "people", "1")
			told += "\nEXPLAIN\n" + q
			t.Logf("exit %d", code)
			for _, line := range strings.Split(told, "\n") {
				if strings.Contains(line, "ada@example.org") {
					i := strings.Index(line, "ada@example.org")
					t.Errorf("told: …%s…", line[max(0, i-160):min(len(line), i+40)])
				}
			}
		})
	}
}
