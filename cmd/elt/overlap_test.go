package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// process starts elt with the project's source and warehouse.
func (p *past) process(t *testing.T, env []string, args ...string) *child {
	t.Helper()
	url, _ := sources.Load(p.dir)
	env = append(env, append(os.Environ(), "WAREHOUSE="+p.addr, fmt.Sprintf("SOURCE_URL=%s", url))...)
	c := start(t, p.dir, env, append([]string{"-C", p.dir}, args...)...)
	c.addr = p.addr
	return c
}

// A nightly run and a backfill at the same time, in two processes, end where the
// source stands, whichever came first and wherever it was: on PostgreSQL they take
// turns at each table, on DuckDB the second waits for the file.
func TestANightlyRunAndABackfillOverlap(t *testing.T) { onBoth(t, nightlyRunAndBackfillOverlap) }

func nightlyRunAndBackfillOverlap(t *testing.T, engine string) {
	night, past := []string{"run", "--threads", "1"}, []string{"run", "--backfill", "2026-03-01..2026-03-10", "--redo", "--threads", "1"}
	for name, order := range map[string][2][]string{"the night first": {night, past}, "the backfill first": {past, night}} {
		for _, schema := range []string{"shop", "marts"} {
			t.Run(name+", in "+schema, func(t *testing.T) { overlapIn(t, engine, schema, order[0], order[1]) })
		}
	}
}

// overlapIn starts a second process while the first stands still in what writes to
// schema: it has read its source before, which has changed since.
func overlapIn(t *testing.T, engine, schema string, first, second []string) {
	p := newPast(t, engine, 7)
	p.write("elt.yaml", strings.Replace(pastProject, "push: off", "push: off, wait_for_lock: 2m", 1))
	p.change()
	p.must("run")
	for range 4 {
		p.change()
	}
	one := p.process(t, []string{"ELT_TEST_HOLD=" + p.dir, "ELT_TEST_HOLD_IN=" + schema}, first...)
	one.until(t, "it stands still", func() bool { return exists(filepath.Join(p.dir, holdFile)) })
	for range 4 {
		p.change()
	}
	asked := filepath.Join(p.dir, "child.asked")
	other := p.process(t, []string{"ELT_TEST_ASKED=" + asked}, second...)
	other.until(t, "the second has read its project", func() bool { return exists(asked) })
	if engine == "postgres" {
		other.until(t, "two runs are on", func() bool { return strings.Count(statuses(t, other, runsQuery), "running") == 2 })
	}
	one.release(t)
	one.wantExit(t, exitOK)
	other.wantExit(t, exitOK)
	p.must("run")
	p.equal("after both and a run")
}
