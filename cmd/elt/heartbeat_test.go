package main

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"elt/internal/project"
	"elt/internal/secret"
)

// pings is a watcher that keeps the calls of a heartbeat: path and body.
type pings struct {
	url string
	mu  sync.Mutex
	got []string
	rid []string
}

func newPings(t *testing.T, status int) *pings {
	t.Helper()
	p := &pings{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.got, p.rid = append(p.got, r.URL.Path+" "+string(body)), append(p.rid, r.URL.Query().Get("rid"))
		w.WriteHeader(status)
	}))
	t.Cleanup(srv.Close)
	p.url = srv.URL + "/ping/s3cr3t-uuid"
	return p
}

func TestHeartbeat(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		things string
		addr   string // "": the usual one
		status int
		exit   int
		calls  []string
	}{
		"a good run":                     {goodThings, "", 200, exitOK, []string{"/start ", " run R: ok, exit 0\n"}},
		"a failed check":                 {badThings, "", 200, exitCheck, []string{"/start ", "/3 run R: check, exit 3\nin.things check failed\nmarts.m blocked failed\n"}},
		"a watcher that is out of order": {goodThings, "", 500, exitOK, []string{"/start ", "/start ", " run R: ok, exit 0\n", " run R: ok, exit 0\n"}},
		"a warehouse that is down":       {goodThings, "postgres://nobody@127.0.0.1:1/none", 200, exitTryAgain, []string{"/start ", "/75 the run could not start: "}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPings(t, c.status)
			dir, addr := alertProject(t, "duckdb", newFakeChat(t), `jobs: {nightly: {heartbeat: "`+p.url+"\"}}\n")
			if c.addr != "" {
				addr = c.addr
			}
			if err := os.WriteFile(filepath.Join(dir, "data", "a.csv"), []byte(c.things), 0o600); err != nil {
				t.Fatal(err)
			}
			var errs bytes.Buffer
			if code, out := elt(t, dir, addr, &errs, nil, "run", "--job", "nightly"); code != c.exit {
				t.Fatalf("exit %d, want %d\n%s\n%s", code, c.exit, out, errs.String())
			}
			if len(p.got) != len(c.calls) {
				t.Fatalf("calls %q, want %q", p.got, c.calls)
			}
			for i, call := range p.got {
				call = strings.TrimPrefix(call, "/ping/s3cr3t-uuid")
				if at := strings.Index(call, "run "); at >= 0 && len(call) > at+10 && call[at+10] == ':' {
					call = call[:at+4] + "R" + call[at+10:]
				}
				if !strings.HasPrefix(call, c.calls[i]) {
					t.Errorf("call %d is %q, want %q", i, call, c.calls[i])
				}
			}
			slices.Sort(p.rid)
			if rids := slices.Compact(p.rid); len(rids) != 1 || len(rids[0]) != 36 {
				t.Errorf("run ids %q, want one UUID", rids)
			}
			if strings.Contains(errs.String(), "s3cr3t") || (c.status != 200) != strings.Contains(errs.String(), "heartbeat of job nightly") {
				t.Errorf("stderr: %s", errs.String())
			}
		})
	}
}

// Without --job, or with a push that is not live, the watcher hears nothing.
func TestHeartbeatOfLiveJobsAlone(t *testing.T) {
	t.Parallel()
	p := newPings(t, 200)
	dir, addr := alertProject(t, "duckdb", newFakeChat(t), `jobs: {nightly: {heartbeat: "`+p.url+"\"}}\n")
	wantSaid(t, dir, addr, exitOK, "run")
	rewrite(t, filepath.Join(dir, "elt.yaml"), "push: live", "push: fake")
	wantSaid(t, dir, addr, exitOK, "run|--job|nightly")
	if len(p.got) > 0 {
		t.Errorf("calls %q", p.got)
	}
}

// A secret that lies where the first line of an error is cut is taken out whole.
func TestHeartbeatBodyHoldsNoPartOfASecret(t *testing.T) {
	a := &app{project: &project.Project{Secrets: []secret.String{secret.New("hunter22-SECRET-0123456789")}}}
	for fill := 150; fill < 210; fill++ {
		if text := a.heartbeatBody(errors.New(strings.Repeat("x", fill) + "hunter22-SECRET-0123456789 is wrong")); strings.Contains(text, "hunt") {
			t.Fatalf("behind %d characters: %s", fill, text)
		}
	}
}
