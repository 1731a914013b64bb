package main

import (
	"bytes"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"elt/activate/activatetest"
)

// pushed is a project that pushes people live over HTTP.
type pushed struct {
	*sourced
	keys string // of the sync
}

const pushToken = "s3cr3t-push-token"

func newPushed(t *testing.T, engine string) *pushed {
	t.Helper()
	p := &pushed{sourced: newSourced(t, engine, ""), keys: "batch: {rows: 2}\n    replay: idempotency-key\n    outcome:\n" +
		"      results: {at: results, by: op_id, status: status, ok: [updated], created: [created], rejected: [rejected], code: code, message: message, id: id}\n"}
	p.write("models/marts/people.sql", "select id, name from raw.people")
	p.people("1,Ada\n2,Bob\n3,Cid\n")
	return p
}

func (p *pushed) people(lines string) { p.write("data/people.csv", "id,name\n"+lines) }

// to points the connection at a url.
func (p *pushed) to(url string) {
	p.write("elt.yaml", "version: 1\nname: push\ntargets: {dev: {warehouse: \"${env:WAREHOUSE}\", push: live}}\n"+
		"connections:\n  crm: {type: http, url: "+url+", concurrency: 1, auth: {bearer: "+pushToken+"}}\n"+
		"sources:\n  raw: {type: files, path: \"data/{stream}.csv\", streams: {people: {load: replace, key: id}}}\n"+
		"syncs:\n  people:\n    model: marts.people\n    to: crm.people\n    key: id\n    fields: {id: id, name: name}\n    "+p.keys)
}

// tells runs elt and wants an exit code and texts in what it tells, and no secret.
func (p *pushed) tells(exit int, texts ...string) {
	p.t.Helper()
	var stderr bytes.Buffer
	code, out := elt(p.t, p.dir, p.addr, &stderr, nil, "run")
	out += stderr.String()
	if code != exit {
		p.t.Errorf("exit %d, want %d\n%s", code, exit, out)
	}
	for _, text := range texts {
		if !strings.Contains(out, text) {
			p.t.Errorf("%q is not told:\n%s", text, out)
		}
	}
	if strings.Contains(out, pushToken) {
		p.t.Errorf("the token is told:\n%s", out)
	}
}

func TestPushOverHTTP(t *testing.T) { onBoth(t, pushOverHTTP) }

func pushOverHTTP(t *testing.T, engine string) {
	p := newPushed(t, engine)
	service := &activatetest.Service{BatchRows: 2, Token: pushToken, Answers: activatetest.EachRow, Reject: func(key, fields string) (string, string) {
		if strings.Contains(fields, "much too long") {
			return "too_long", "name is longer than 10"
		}
		return "", ""
	}}
	srv := httptest.NewServer(service)
	defer srv.Close()
	p.to(srv.URL)
	p.tells(0, "3 acked", "3 new")
	before, _, _ := service.Calls()
	p.tells(0, "3 unchanged")
	if after, _, _ := service.Calls(); after != before {
		t.Errorf("%d calls for nothing new", after-before)
	}

	p.people("1,Ada L.\n2,a name that is much too long\n3,Cid\n4,Dan\n")
	p.tells(0, "2 acked", "1 rejected", "name is longer than 10", "elt quarantine people")
	want := []activatetest.Row{
		{Key: `{"id":1}`, Fields: `{"id":1,"name":"Ada L."}`}, {Key: `{"id":2}`, Fields: `{"id":2,"name":"Bob"}`},
		{Key: `{"id":3}`, Fields: `{"id":3,"name":"Cid"}`}, {Key: `{"id":4}`, Fields: `{"id":4,"name":"Dan"}`},
	}
	rows := service.Rows("people")
	if len(rows) != len(want) {
		t.Fatalf("rows %v, want %v", rows, want)
	}
	for i := range want {
		if rows[i] != want[i] {
			t.Errorf("row %v, want %v", rows[i], want[i])
		}
	}
}

// What stops a whole sync is told once, with what to do, and the rows wait.
func TestPushThatCannotWork(t *testing.T) { onBoth(t, pushThatCannotWork) }

func pushThatCannotWork(t *testing.T, engine string) {
	p := newPushed(t, engine)
	service := &activatetest.Service{Token: "another", Answers: activatetest.EachRow}
	srv := httptest.NewServer(service)
	defer srv.Close()
	p.to(srv.URL)
	p.tells(1, "401 Unauthorized", "the token is not valid", "renew what auth or headers hold")
	if calls, _, _ := service.Calls(); calls != 1 {
		t.Errorf("%d calls with a token that is not valid, want 1", calls)
	}

	p.to("https://no-such-host.invalid/v1")
	p.tells(1, "no-such-host.invalid")

	p.to(strings.Replace(srv.URL, "http:", "https:", 1))
	p.tells(1, "does not speak TLS")

	tls := httptest.NewUnstartedServer(service)
	tls.Config.ErrorLog = log.New(io.Discard, "", 0)
	tls.StartTLS()
	defer tls.Close()
	p.to(tls.URL)
	p.tells(1, "an authority that is not trusted", "ca_file")

	service.Token = pushToken
	p.to(srv.URL)
	p.tells(0, "3 acked")
}

// What a service quotes of a row does not tell what the project calls personal.
func TestWhatAServiceQuotesIsMasked(t *testing.T) {
	p := newPushed(t, "duckdb")
	service := &activatetest.Service{Token: pushToken, Answers: activatetest.EachRow, Reject: func(_, fields string) (string, string) {
		return "bad", "cannot take " + fields
	}}
	srv := httptest.NewServer(service)
	defer srv.Close()
	p.to(srv.URL)
	path := filepath.Join(p.dir, "elt.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	marked := strings.Replace(string(text), "key: id}}}", "key: id, pii: {name: name}}}}", 1)
	p.write("elt.yaml", strings.Replace(marked, "name: name}\n", "name: {column: name, allow_pii: true}}\n", 1))
	p.people("1,Grace Hopper\n2,Hopper\n")
	p.tells(4, "2 rejected", "cannot take")
	for _, args := range [][]string{{"quarantine", "people"}, {"explain", "people", "2"}, {"explain", "people", "2", "--json"}, {"logs"}} {
		var stderr bytes.Buffer
		code, out := elt(t, p.dir, p.addr, &stderr, nil, args...)
		if strings.Contains(out+stderr.String(), "Hopper") || !strings.Contains(out, "cannot take") {
			t.Errorf("%v: exit %d, tells the name, or not what was said:\n%s%s", args, code, out, &stderr)
		}
	}
}
