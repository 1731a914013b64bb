package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"elt/internal/fault"
)

// doneTwice lists steps that a retry ran although the run that it retries had done
// them; the run before it is the only other one.
const doneTwice = `SELECT name, CAST(count(*) AS text) FROM _elt.step WHERE status = 'ok' GROUP BY name HAVING count(*) > 1 ORDER BY name`

// calls are how many calls of the warehouse a run of the project in dir makes.
func calls(t *testing.T, dir, addr string) (n int) {
	t.Helper()
	var stderr bytes.Buffer
	code, out := elt(t, dir, addr, &stderr, hooked(func(call int, _ string, _ bool) error {
		n = max(n, call)
		return nil
	}), "run", "--threads", "1")
	if code != exitOK {
		t.Fatalf("exit %d\n%s\n%s", code, out, &stderr)
	}
	return n
}

// A run with a fault at a call of the warehouse and a retry of it end where a run
// without faults ends, and nothing that had ended well is done again. The calls are
// spread over the run: those before it, which make the tables of _elt, are none of it.
func TestRetryAfterFaults(t *testing.T) { onBoth(t, retryAfterFaults) }

func retryAfterFaults(t *testing.T, engine string) {
	const tries = 9
	all, used := t, make(chan string, tries)
	dir, addr := projectOf(t, smallCase, engine)
	total := calls(t, dir, addr)
	clean := outcome(t, smallCase, dir, addr)
	retried := 0
	for i := range tries {
		if retryAfter(t, emptied(t, all, engine, used), total-1-i*total/(2*tries), clean) {
			retried++
		}
	}
	if retried < tries/2 {
		t.Errorf("only %d of %d runs with a fault were retried", retried, tries)
	}
}

// retryAfter runs with a fault at one call, and then retries. It reports whether there
// was something to retry.
func retryAfter(t *testing.T, addr string, call int, clean map[string]string) (retried bool) {
	t.Helper()
	dir := copyOf(t, smallCase)
	var stderr bytes.Buffer
	elt(t, dir, addr, &stderr, hooked(fault.At(call, true, errors.New("injected fault"))), "run", "--threads", "1")
	stderr.Reset()
	code, out := elt(t, dir, addr, &stderr, nil, "retry", "--threads", "1")
	if code != exitOK {
		t.Fatalf("fault at call %d, then the retry exits with %d\n%s\n%s", call, code, out, &stderr)
	}
	if retried = strings.Contains(out, "retry of run"); !retried { // it had not begun, or had ended well all the same
		mustRun(t, dir, addr)
	}
	if got := outcome(t, smallCase, dir, addr); !maps.Equal(got, clean) {
		t.Fatalf("fault at call %d, then the retry ends elsewhere:\n%v\nwant\n%v\n%s", call, got, clean, out)
	}
	if got := statuses(t, &child{dir: dir, addr: addr}, doneTwice); retried && got != "" {
		t.Fatalf("fault at call %d: done twice: %s\n%s", call, got, out)
	}
	return retried
}

// A run that was killed can be retried.
func TestRetryAfterKills(t *testing.T) { onBoth(t, retryAfterKills) }

func retryAfterKills(t *testing.T, engine string) {
	dir, addr := faultProject(t, engine)
	total := calls(t, dir, addr)
	clean := outcome(t, faultCase, dir, addr)
	retried := 0
	for _, at := range []int{total * 6 / 10, -total * 7 / 10, total * 8 / 10, -total * 9 / 10} {
		dir, addr := faultProject(t, engine)
		c := start(t, dir, append(os.Environ(), "WAREHOUSE="+addr, "ELT_FAILPOINT="+strconv.Itoa(at)), "-C", dir, "run", "--threads", "1")
		<-c.done // killed, or ended before
		var stderr bytes.Buffer
		code, out := elt(t, dir, addr, &stderr, nil, "retry", "--threads", "1")
		if strings.Contains(out, "retry of run") {
			retried++
		} else {
			mustRun(t, dir, addr)
		}
		if got := outcome(t, faultCase, dir, addr); code != exitOK || !maps.Equal(got, clean) {
			t.Fatalf("killed at %d, the retry exits with %d and ends elsewhere:\n%v\nwant\n%v\n%s\n%s", at, code, got, clean, out, &stderr)
		}
		if got := statuses(t, &child{dir: dir, addr: addr}, doneTwice); strings.Contains(out, "retry of run") && got != "" {
			t.Fatalf("killed at %d: done twice: %s\n%s", at, got, out)
		}
	}
	if retried < 2 {
		t.Errorf("only %d of the runs that were killed were retried", retried)
	}
}

// What a retry tells: what it saves, what has been mended since, and what is another
// one now.
func TestRetryTellsWhatItSaves(t *testing.T) { onBoth(t, retryTellsWhatItSaves) }

func retryTellsWhatItSaves(t *testing.T, engine string) {
	dir, addr := faultProject(t, engine)
	model := filepath.Join(dir, "models", "marts", "people.sql")
	good, err := os.ReadFile(model)
	if err != nil {
		t.Fatal(err)
	}
	bad := strings.Replace(string(good), "{unique: id}", "{expression: id < 0}", 1)
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	say := func(code int, want string, args ...string) string {
		t.Helper()
		var stderr bytes.Buffer
		got, out := elt(t, dir, addr, &stderr, nil, append(args, "--threads", "1")...)
		if got != code || !strings.Contains(out+stderr.String(), want) {
			t.Errorf("elt %s: exit %d, want %d and %q\n%s\n%s", args, got, code, want, out, &stderr)
		}
		return out
	}
	say(exitOK, "nothing to retry: no run has ended badly", "retry")
	write(model, bad)
	say(exitCheck, "CHECK FAILED", "run")
	say(exitCheck, "2 of 4 steps, 2 saved", "retry")
	write(model, string(good))
	write(filepath.Join(dir, "models", "marts", "more.sql"), "select 1 as one")
	out := say(exitOK, "2 of 2 steps, 0 saved\nchanged since: marts.people", "retry")
	if strings.Contains(out, "shop.orders") || strings.Contains(out, "marts.more") {
		t.Errorf("more is done than what failed:\n%s", out)
	}
	list := statuses(t, &child{dir: dir, addr: addr}, `SELECT id, coalesce(trigger, '') || ':' || coalesce(retry_of, '') FROM _elt.run ORDER BY started_at`)
	runs := strings.Fields(list)
	first, _, _ := strings.Cut(runs[0], "=")
	second, _, _ := strings.Cut(runs[1], "=")
	if !strings.HasSuffix(runs[1], "=retry:"+first) || !strings.HasSuffix(runs[2], "=retry:"+second) {
		t.Errorf("runs: %s", list)
	}
	third, _, _ := strings.Cut(runs[2], "=")
	say(exitOK, fmt.Sprintf("nothing to retry of run %s\ndone since by run %s: marts.people, people\nnew since, and not part of the retry: marts.more", first, third), "retry", first[:4])
	say(exitOK, "nothing to retry: run "+third+" ended well", "retry", third)
	say(exitUsage, `no run "zzz", or more than one that begins so`, "retry", "zzz")
}
