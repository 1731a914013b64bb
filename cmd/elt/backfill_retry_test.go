package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"elt/internal/rows"
	"elt/internal/warehouse"
)

// windowsDone are the windows that are done, with the run that did each and when.
func (s *sourced) windowsDone() map[string]string {
	s.t.Helper()
	out := map[string]string{}
	db := openAt(s.t, s.dir, s.addr)
	q := `SELECT backfill || ' ' || step, window_start, run_id, ended_at FROM _elt.windows WHERE status = 'ok'`
	err := warehouse.Each(s.t.Context(), db, q, func(r rows.Row) error {
		out[r.String(0)+" "+r.Time(1).Format("02 15")] = r.String(2) + " " + r.Time(3).String()
		return nil
	})
	if err := errors.Join(err, db.Close()); err != nil {
		s.t.Fatal(err)
	}
	return out
}

// kept wants every window that was done by some of runs as it is in was.
func (p *past) kept(was map[string]string, runs ...string) (n int) {
	p.t.Helper()
	now := p.windowsDone()
	for w, by := range was {
		for _, run := range runs {
			if !strings.HasPrefix(by, run+" ") {
				continue
			}
			if n++; now[w] != by {
				p.t.Errorf("window %s was done by run %s, and again by %s", w, by, now[w])
			}
		}
	}
	return n
}

// lastRun is the id of the last run.
func (p *past) lastRun() (id string) {
	p.t.Helper()
	db := openAt(p.t, p.dir, p.addr)
	err := warehouse.Each(p.t.Context(), db, `SELECT id FROM _elt.run ORDER BY started_at DESC LIMIT 1`, func(r rows.Row) error {
		id = strings.Clone(r.String(0))
		return nil
	})
	if cerr := db.Close(); err != nil || cerr != nil {
		p.t.Fatal(err, cerr)
	}
	return id
}

// calls are how many calls of the warehouse a command line makes that ends well.
func (p *past) calls(args ...string) (n int) {
	p.t.Helper()
	var stderr bytes.Buffer
	code, out := elt(p.t, p.dir, p.addr, &stderr, hooked(func(call int, _ string, _ bool) error {
		n = max(n, call)
		return nil
	}), args...)
	if code != exitOK {
		p.t.Fatalf("elt %s: exit %d\n%s\n%s", strings.Join(args, " "), code, out, &stderr)
	}
	return n
}

// A retry of a backfill goes on where it ended, and does no window again that it
// had done, also when the backfill was asked to do all of them again, and when the
// retry dies and is retried itself.
func TestRetryOfABackfill(t *testing.T) { onBoth(t, retryOfABackfill) }

func retryOfABackfill(t *testing.T, engine string) {
	p := newHandover(t, engine)
	p.orders(1, 2, 3, 4, 5, 6, 7, 8, 9)
	p.must("run")
	past := []string{"run", "--backfill", "2026-03-01..2026-03-10", "--redo", "--threads", "1"}
	calls := p.calls(past...)
	kept := 0
	for i, dies := range []int{calls * 6 / 10, calls * 8 / 10} {
		p.exec(fmt.Sprintf(`UPDATE orders SET v = v + 1, ver = ver + %d`, 100*(i+1)))
		before := p.lastRun()
		if code, out := p.elt(dies, past...); code == exitOK {
			t.Fatalf("did not die at call %d\n%s", dies, out)
		}
		first, done := p.lastRun(), p.windowsDone()
		if first == before {
			t.Fatalf("no run was recorded before call %d of %d", dies, calls)
		}
		code, out := p.elt(calls/2, "retry", "--threads", "1")
		kept += p.kept(done, first)
		if code != exitOK {
			second, done := p.lastRun(), p.windowsDone()
			out += p.must("retry")
			p.kept(done, first, second)
		}
		if !strings.Contains(out, "retry of run "+first) {
			t.Errorf("the run that died is not retried:\n%s", out)
		}
		for w, by := range p.windowsDone() {
			if strings.HasPrefix(by, before+" ") {
				t.Errorf("window %s is still as run %s left it", w, by)
			}
		}
		p.must("run")
		p.equal("after the retry and a run")
	}
	if kept < 5 {
		t.Errorf("only %d windows were done when the runs died", kept)
	}
}

// forgetWindows makes windows of the orders, by their day, as if they were not done.
func (p *past) forgetWindows(days ...int) {
	p.t.Helper()
	db := openAt(p.t, p.dir, p.addr)
	err := db.Update(p.t.Context(), func(ctx context.Context, tx *warehouse.Tx) error {
		for _, day := range days {
			n, err := tx.Exec(ctx, fmt.Sprintf(`DELETE FROM _elt.windows WHERE step = 'shop.orders' AND window_start = timestamptz '2026-03-%02d 00:00:00+01'`, day))
			if err != nil || n != 1 {
				return fmt.Errorf("%d windows of day %d: %w", n, day, err)
			}
		}
		return nil
	})
	if err := errors.Join(err, db.Close()); err != nil {
		p.t.Fatal(err)
	}
}

// A stream of which a backfill has done some windows goes on with the others: what
// the source holds of these by then is there, a row that has moved into one from a
// window that was done is there once, windows that were done stay as they are, and models are built again
// for both.
func TestABackfillGoesOnWithinAStream(t *testing.T) { onBoth(t, backfillGoesOnWithinAStream) }

func backfillGoesOnWithinAStream(t *testing.T, engine string) {
	p := newHandover(t, engine)
	p.orders(1, 2, 3, 4, 5)
	p.must("run")
	past := []string{"run", "--backfill", "2026-03-01..2026-03-06", "shop.orders+"}
	p.must(past...)
	p.forgetWindows(2, 4)
	done := p.windowsDone()
	p.exec(`UPDATE orders SET v = v + 50`)
	p.exec(`UPDATE orders SET at = '2026-03-04 13:00+01' WHERE v = 51`)
	p.exec(`DELETE FROM orders WHERE v = 52`)
	p.must(past...)
	if got := fmt.Sprint(p.lines("shop.orders")); got != "[101|51|04 12|1 103|3|03 11|3 104|54|04 11|4 105|5|05 11|5]" {
		t.Errorf("the orders are %s", got)
	}
	if got := fmt.Sprint(p.lines("marts.by_day")); got != "[03|1|3 04|2|105 05|1|5]" {
		t.Errorf("the days are %s", got)
	}
	now := p.windowsDone()
	for w, by := range done {
		if run, _, _ := strings.Cut(by, " "); strings.Contains(w, "shop.orders") && !strings.HasPrefix(now[w], run+" ") {
			t.Errorf("window %s was done by run %s, and again by %s", w, by, now[w])
		}
	}
}
