package main

import (
	"bufio"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// With push: fake a destination over HTTP is talked to as the real one would be:
// by its templates, its rules, its limits; and it fails as the target says.
func TestFakeStandsInForHTTP(t *testing.T) {
	p := newPushed(t, "duckdb")
	p.to("https://api.example.com/v1")
	p.fake("faults: {silent: 100%}")
	p.tells(4, "unknown")
	p.fake("faults: {reject: 100%}")
	p.tells(4, "3 rejected", "none of 3 rows was accepted", "the stand-in refuses this row")
	p.fake("faults: {revoked: 100%}")
	p.people("1,Ada L.\n2,Bob\n3,Cid\n")
	p.tells(1, "401 Unauthorized", "the token has been revoked")
	p.fake("faults: {wrong: 1%}")
	p.tells(2, `unknown fault "wrong"`, "expected one of cut_before")
	p.fake("")
	p.tells(0, "1 acked", "2 rejected")
	rows, err := os.ReadFile(filepath.Join(p.dir, ".elt/fake/dev/crm/people.jsonl"))
	if err != nil || !strings.Contains(string(rows), `"fields":{"id":1,"name":"Ada L."}`) {
		t.Errorf("the stand-in has %s, %v", rows, err)
	}
}

// fake makes the target push to stand-ins.
func (p *pushed) fake(keys string) {
	p.t.Helper()
	path := filepath.Join(p.dir, "elt.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		p.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "connections:")
	p.write("elt.yaml", "version: 1\nname: push\ntargets: {dev: {warehouse: \"${env:WAREHOUSE}\", push: fake, "+keys+"}}\nconnections:"+rest)
}

// A service that elt fake serves takes a live push, and ends without complaint.
func TestFakeServes(t *testing.T) {
	p := newPushed(t, "duckdb")
	p.to("https://api.example.com/v1")
	read, write := io.Pipe()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan int, 1)
	go func() {
		a := &app{out: write, err: write, env: func(name string) (string, bool) { return p.addr, name == "WAREHOUSE" }}
		ended <- a.run(ctx, []string{"-C", p.dir, "fake", "--listen", "127.0.0.1:0", "--fault", "limited=0%"})
	}()
	lines := bufio.NewScanner(read)
	if !lines.Scan() {
		t.Fatal(lines.Err())
	}
	address, ok := strings.CutPrefix(lines.Text(), "crm: ")
	if !ok {
		t.Fatalf("it says %q", lines.Text())
	}
	address, _, _ = strings.Cut(address, " ")
	lines.Scan() // that it serves
	p.to(address)
	p.tells(0, "3 acked", "3 new")
	p.people("1,Ada L.\n2,Bob\n3,Cid\n")
	p.tells(0, "1 acked", "2 unchanged")
	stop()
	if code := <-ended; code != exitOK {
		t.Errorf("exit %d after its context ended", code)
	}
	if _, err := os.Stat(filepath.Join(p.dir, ".elt/fake/served/crm/people.jsonl")); err != nil {
		t.Error(err)
	}
}
