package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// How long an account is to be left alone stands in what a run, status and plan
// say, by the clock of the project.
func TestWhoWaitsForAnAccountIsTold(t *testing.T) { onBoth(t, whoWaits) }

func whoWaits(t *testing.T, engine string) {
	p := newPushed(t, engine)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "86400")
		w.WriteHeader(http.StatusTooManyRequests)
		fmt.Fprint(w, `{}`)
	}))
	defer srv.Close()
	p.to(srv.URL)
	rewrite(t, filepath.Join(p.dir, "elt.yaml"), "name: push\n", "name: push\ntimezone: Asia/Kolkata\n")
	for _, c := range []struct {
		args, text string
		exit       int
	}{
		{"run", "the destination asks to be left alone until TIME:", exitUnfinished},
		{"run|-s|sync:people", "the destination asks to be left alone until TIME:", exitUnfinished},
		{"status", "people  crm  TIME  the destination asks to be left alone", exitOK},
		{"status|--json", `{"waits":"people","connection":"crm","until":"TIME","reason":"the destination asks to be left alone"}`, exitOK},
		{"plan", "; crm asks to be left alone until TIME: nothing is sent before", exitOK},
	} {
		code, out := said(t, p.dir, p.addr, strings.Split(c.args, "|")...)
		pattern := strings.ReplaceAll(regexp.QuoteMeta(c.text), "TIME", `(20[0-9-]{8} [0-9]{2}:[0-9]{2})`)
		m := regexp.MustCompile(strings.ReplaceAll(pattern, "  ", " +")).FindStringSubmatch(out)
		if code != c.exit || m == nil {
			t.Errorf("elt %s: exit %d, want %d and %q\n%s", c.args, code, c.exit, c.text, out)
			continue
		}
		zone := time.FixedZone("IST", 19800)
		until, err := time.ParseInLocation(minuteLayout, m[1], zone)
		if d := time.Until(until); err != nil || d > 24*time.Hour || d < 23*time.Hour {
			t.Errorf("elt %s: until %s, which is in %s, %v", c.args, m[1], d, err)
		}
	}
}
