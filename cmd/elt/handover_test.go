package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"elt/internal/fault"
	"elt/internal/warehouse"
)

// dayModel is built by days without any lookback, so that nothing but the
// hand-over brings what a backfill has not built.
const dayModel = `-- elt:
--   materialized: incremental
--   time: day
select cast("at" as date) as day, count(*) as orders, sum(v) as total from shop.orders group by 1
`

func newHandover(t *testing.T, engine string) *past {
	t.Helper()
	p := newPast(t, engine, 1)
	p.write("models/marts/by_day.sql", dayModel)
	return p
}

// orders adds an order at noon of each day, which is its id too.
func (p *past) orders(days ...int) {
	p.t.Helper()
	for _, d := range days {
		p.ver++
		p.exec(fmt.Sprintf(`INSERT INTO orders VALUES (%d, %d, '2026-03-%02d 12:00+01', %d)`, 100+p.ver, d, d, p.ver))
	}
}

// A backfill is not the first build of a model, nor the first load of a stream:
// the next run brings what lies outside of its range.
func TestABackfillIsNoFirstBuild(t *testing.T) { onBoth(t, backfillIsNoFirstBuild) }

func backfillIsNoFirstBuild(t *testing.T, engine string) {
	p := newHandover(t, engine)
	p.orders(1, 2, 5, 6, 9)
	p.must("run", "--backfill", "2026-03-05..2026-03-07", "shop.orders+")
	if got := fmt.Sprint(p.lines("marts.by_day")); got != "[05|1|5 06|1|6]" {
		t.Fatalf("the backfill built %s", got)
	}
	p.must("run")
	p.equal("after a run")
}

// What was due before a backfill is due after it, also when the backfill has built
// later days.
func TestABackfillDoesNotHideWhatIsDue(t *testing.T) { onBoth(t, backfillDoesNotHideWhatIsDue) }

func backfillDoesNotHideWhatIsDue(t *testing.T, engine string) {
	p := newHandover(t, engine)
	p.orders(1, 3)
	p.must("run", "--as-of", "2026-03-03T13:00:00+01:00")
	p.orders(3, 4, 6, 7)
	p.must("run", "--backfill", "2026-03-06..2026-03-08", "shop.orders+", "--as-of", "2026-03-08T01:00:00+01:00")
	p.must("run", "--backfill", "2026-03-07..2026-03-09", "shop.orders+", "--as-of", "2026-03-08T01:00:00+01:00")
	p.must("run", "--as-of", "2026-03-08T02:00:00+01:00")
	p.equal("after a run")
}

// A model is built again when another run of the same backfill has done a window of
// what it reads again, whatever the selections.
func TestAModelFollowsWhatItReads(t *testing.T) {
	p := newHandover(t, "duckdb")
	p.orders(1, 2)
	past := []string{"run", "--backfill", "2026-03-01..2026-03-03"}
	p.must(append(past, "shop.orders+")...)
	p.exec(`UPDATE orders SET v = 50`)
	p.must(append(past, "--redo", "shop.orders")...)
	p.must(append(past, "marts.by_day")...)
	if got := fmt.Sprint(p.lines("marts.by_day")); got != "[01|1|50 02|1|50]" {
		t.Errorf("the model is %s", got)
	}
}

// onRun calls back when a run is recorded.
type onRun struct {
	warehouse.Driver
	call func()
}

func (d onRun) Begin(ctx context.Context, readOnly bool) (warehouse.DriverTx, error) {
	tx, err := d.Driver.Begin(ctx, readOnly)
	return onRunTx{tx, d.call}, err
}

type onRunTx struct {
	warehouse.DriverTx
	call func()
}

func (t onRunTx) Exec(ctx context.Context, q string, args ...any) (int64, error) {
	if strings.Contains(q, "INSERT INTO _elt.run") {
		t.call()
	}
	return t.DriverTx.Exec(ctx, q, args...)
}

// A source that is away when a backfill is prepared, and back when it is read, is
// read by windows all the same.
func TestABackfillOfASourceThatComesBack(t *testing.T) {
	p := newHandover(t, "duckdb")
	p.orders(1, 2)
	p.must("run")
	p.exec(`UPDATE orders SET v = 50`)
	direct, _ := sources.Load(p.dir)
	proxy, behind := behindProxy(t, fmt.Sprint(direct))
	sources.Store(p.dir, behind)
	before := p.cursorsAndFreshness()
	proxy.Break(fault.Cut{Break: fault.Close, All: true})
	var stderr bytes.Buffer
	code, out := elt(t, p.dir, p.addr, &stderr, func(d warehouse.Driver) warehouse.Driver { return onRun{d, proxy.Heal} },
		"run", "--backfill", "2026-03-01..2026-03-03", "shop.orders+")
	if code != exitOK || p.cursorsAndFreshness() != before {
		t.Fatalf("exit %d, %s\nafter %s\n%s\n%s", code, p.cursorsAndFreshness(), before, out, &stderr)
	}
	p.equal("after the backfill")
}

// An appended stream that had no rows when it was loaded has no past to read, and
// keeps nobody from reading that of the others; what has come since is left to the
// next load.
func TestABackfillOfAnAppendedStreamWithoutRows(t *testing.T) {
	p := newHandover(t, "duckdb")
	p.orders(1)
	p.must("run")
	p.exec(`INSERT INTO log VALUES (1, '2026-03-01 12:00+01', 1)`)
	p.must("run", "--backfill", "2026-03-01..2026-03-03")
	if got := p.lines("shop.log"); len(got) > 0 {
		t.Errorf("the log is %s", got)
	}
	p.must("run")
	p.must("run", "--backfill", "2026-03-01..2026-03-03")
	p.equal("after a run and a backfill")
}
