package main

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"elt/activate/activatetest"
	"elt/internal/fault"
	"elt/internal/rows"
	"elt/internal/warehouse"
)

// nightProject has each kind of step, rows that a second read must not double, and
// destinations of each replay class. The address of the service is put in.
const nightProject = `version: 1
name: night
timezone: Europe/Berlin
as_of: 2026-03-10T02:00:00+01:00
connections:
  db: {type: postgres, url: "${env:SOURCE_URL}"}
  api: {type: http, url: "%s", timeout: 1s}
targets:
  dev: {warehouse: "${env:WAREHOUSE}", push: live}
sources:
  shop:
    connection: db
    streams: {customers: {key: id, cursor: updated_at, time: updated_at}}
  web:
    type: files
    path: data/{stream}*.csv
    streams:
      events: {load: append, time: at, columns: {id: BIGINT, customer: BIGINT, amount: "DECIMAL(10,2)", at: TIMESTAMPTZ}}
syncs:
  put: {model: marts.customers, to: api.customers, mode: upsert, key: id, fields: {id: id, spent: spent}, method: PUT, path: "/{object}/{id}"}
  keyed:
    model: marts.days
    to: api.days
    mode: append
    key: day
    fields: {day: day, amount: amount}
    replay: idempotency-key
    batch: {rows: 2}
    outcome: {results: {at: results, by: op_id, status: status, ok: [updated], created: [created], rejected: [rejected]}}
  looked: {model: marts.customers, to: api.looked, mode: insert, key: id, fields: {id: id, spent: spent}, lookup: {path: "/{object}/{id}", op_id: op_id, id: id, after: 1ms}}
  table: {model: marts.customers, to: db.spent, mode: mirror, key: id, fields: {id: id, spent: spent}}
`

const (
	nightDays = `-- elt: {materialized: incremental, time: day, key: day, lookback: 2d, checks: [{expression: amount >= 0}]}
select cast(e.at as date) as day, cast(sum(e.amount) as decimal(12, 2)) as amount, count(*) as events
from web.events e group by cast(e.at as date)`
	nightCustomers = `-- elt: {materialized: table, checks: [{unique: id}]}
select c.id, c.name, cast(coalesce(sum(e.amount), 0) as decimal(12, 2)) as spent
from shop.customers c left join web.events e on e.customer = c.id group by c.id, c.name`
)

// night is the project with all that it reads and pushes to, after its first run
// and with something to do for the second.
type night struct {
	*sourced
	engine  string
	api     *activatetest.Service
	proxies [2]*fault.Proxy // to the database, and to the API
}

func newNight(t *testing.T, engine string) *night {
	t.Helper()
	n := &night{engine: engine, api: &activatetest.Service{Answers: activatetest.EachRow}}
	server := httptest.NewServer(n.api)
	t.Cleanup(server.Close)
	api := proxyTo(t, server.Listener.Addr().String())
	n.sourced = newSourced(t, engine, fmt.Sprintf(nightProject, "http://"+api.Addr()))
	direct, _ := sources.Load(n.dir)
	db, behind := behindProxy(t, fmt.Sprint(direct))
	sources.Store(n.dir, behind)
	n.proxies = [2]*fault.Proxy{db, api}
	n.write("models/marts/days.sql", nightDays)
	n.write("models/marts/customers.sql", nightCustomers)
	n.file("data/events-1.csv", "id,customer,amount,at\n1,1,10.50,2026-03-07T10:00:00+01:00\n2,2,1.25,2026-03-08T10:00:00+01:00\n3,1,0.01,2026-03-08T23:30:00+01:00\n")
	n.exec(`CREATE TABLE customers (id bigint PRIMARY KEY, name text, updated_at timestamptz NOT NULL)`)
	n.exec(`INSERT INTO customers VALUES (1, 'Anna', '2026-03-07'), (2, 'Björn', '2026-03-08'), (3, 'Cem', '2026-03-08')`)
	n.exec(`CREATE TABLE spent (id bigint PRIMARY KEY, spent numeric)`)
	n.exec(`INSERT INTO spent VALUES (99, 9)`) // somebody else's
	n.run(0)
	n.file("data/events-2.csv", "id,customer,amount,at\n4,2,5.00,2026-03-08T11:00:00+01:00\n5,3,7.75,2026-03-09T10:00:00+01:00\n")
	n.exec(`UPDATE customers SET name = 'Anna Neu', updated_at = '2026-03-09' WHERE id = 1`)
	n.exec(`INSERT INTO customers VALUES (4, 'Dana', '2026-03-09')`)
	return n
}

// file writes a file whose time is not that of the test, since a cursor has it.
func (n *night) file(name, text string) {
	n.t.Helper()
	n.write(name, text)
	at := time.Date(2026, 3, 9, 0, 0, 0, 0, time.UTC)
	if err := os.Chtimes(filepath.Join(n.dir, name), at, at); err != nil {
		n.t.Fatal(err)
	}
}

// nightState are the records that must be the same however a run came about.
var nightState = map[string]string{
	"cursors": `SELECT stream || ' ' || cursor FROM _elt.cursor`,
	// Who made a row is not known when its first answer was lost.
	"ledger":  `SELECT sync || ' ' || key_json || ' ' || acked_hash || ' ' || status FROM _elt.ledger`,
	"intents": `SELECT sync || ' ' || op_id || ' ' || state FROM _elt.intent`,
	"running": `SELECT id FROM _elt.run WHERE status = 'running'`,
	"unbalanced loads": `SELECT stream || ' ' || id FROM _elt.load
		WHERE rows_read <> staged + quarantined + discarded OR staged <> published + superseded + already_present`,
	"unbalanced syncs": `SELECT sync || ' ' || run_id FROM _elt.sync_run WHERE status <> 'running' AND ended_at IS NOT NULL
		AND (rows_read <> invalid + unchanged + planned OR planned <> acked + rejected + unknown + deferred)`,
	"events loaded": `SELECT cast(sum(published) AS text) FROM _elt.load WHERE stream = 'web.events'`,
}

// left is all that can be seen of the night: tables, destinations, and records.
func (n *night) left(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	db := openAt(t, n.dir, n.addr)
	for _, table := range []string{"shop.customers", "web.events", "marts.days", "marts.customers"} {
		out[table] = dumpFrom(t, db, table)
	}
	for name, q := range nightState {
		var lines []string
		err := warehouse.Each(t.Context(), db, q, func(r rows.Row) error { lines = append(lines, strings.Clone(r.String(0))); return nil })
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		slices.Sort(lines)
		out[name] = strings.Join(lines, "\n")
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for _, object := range []string{"customers", "days", "looked"} {
		var lines []string
		for _, r := range n.api.Rows(object) {
			lines = append(lines, r.Key+" "+r.Fields)
		}
		slices.Sort(lines)
		out["api."+object] = strings.Join(lines, "\n")
	}
	read, err := n.conn.Query(t.Context(), `SELECT id || ' ' || spent FROM spent ORDER BY id`)
	if err != nil {
		t.Fatal(err)
	}
	table, err := pgx.CollectRows(read, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	out["db.spent"] = strings.Join(table, "\n")
	_, _, doubled := n.api.Calls()
	out["doubled"] = fmt.Sprint(doubled)
	return out
}

// child starts the run that is killed.
func (n *night) child(t *testing.T, failpoint int, args ...string) *child {
	t.Helper()
	url, _ := sources.Load(n.dir)
	env := append(os.Environ(), "WAREHOUSE="+n.addr, fmt.Sprintf("SOURCE_URL=%s", url), "HOME="+n.dir)
	if failpoint != 0 {
		env = append(env, fmt.Sprintf("ELT_FAILPOINT=%d", failpoint))
	}
	return start(t, n.dir, env, append([]string{"-C", n.dir}, args...)...)
}

// whole runs a command line without faults.
func (n *night) whole(t *testing.T, wrap func(warehouse.Driver) warehouse.Driver, args ...string) {
	t.Helper()
	var stderr bytes.Buffer
	if code, out := elt(t, n.dir, n.addr, &stderr, wrap, args...); code != exitOK {
		t.Fatalf("exit %d\n%s\n%s", code, out, &stderr)
	}
}

// wantLeft compares what is left with what a run without faults leaves.
func (n *night) wantLeft(t *testing.T, what string, want map[string]string) {
	t.Helper()
	got := n.left(t)
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if got[name] != want[name] {
			t.Errorf("%s, a clean rerun leaves other %s:\n%s\nwant\n%s", what, name, got[name], want[name])
		}
	}
}

// A SIGKILL at failpoints and at random times of a run of extracts, models, checks
// and pushes, and of a backfill of them; a clean rerun ends where a run without
// faults ends: nothing is lost and nothing doubled, in tables, destinations,
// cursors and accounts.
func TestKillsByNight(t *testing.T) {
	for name, args := range map[string][]string{
		"run":      {"run"},
		"backfill": {"run", "--backfill", "2026-03-07..2026-03-10"},
	} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, engine string) { killsByNight(t, engine, args) })
		})
	}
}

func killsByNight(t *testing.T, engine string, args []string) {
	random, n := drawn(t), newNight(t, engine)
	alone := append(slices.Clone(args), "--threads", "1") // its calls come in one order
	calls := 0
	n.whole(t, hooked(func(call int, _ string, _ bool) error {
		calls = max(calls, call)
		return nil
	}), alone...)
	want := n.left(t)
	if want["intents"]+want["running"]+want["unbalanced loads"]+want["unbalanced syncs"] != "" || want["doubled"] != "0" || strings.Contains(want["web.events"], "no table") {
		t.Fatalf("a run without faults leaves %q", want)
	}
	if args[len(args)-1] != "run" {
		delete(want, "events loaded") // windows that were published before the kill count again
	}
	n.whole(t, nil, args...)
	n.wantLeft(t, "after a run without faults", want)
	began := time.Now()
	newNight(t, engine).child(t, 0, args...).wantExit(t, exitOK)
	takes := time.Since(began)
	killed, windows := 0, 0
	for _, at := range failpoints(random, calls) {
		t.Run(fmt.Sprintf("call %d of %d", at, calls), func(t *testing.T) {
			n := newNight(t, engine)
			killed += n.killed(t, n.child(t, at, alone...), nil)
			windows += n.continued(t, args...)
			n.wantLeft(t, fmt.Sprintf("killed at call %d", at), want)
		})
	}
	for range draws(1, 100) {
		after := time.Duration(random.Int64N(int64(takes)))
		t.Run(after.String(), func(t *testing.T) {
			n := newNight(t, engine)
			killed += n.killed(t, n.child(t, 0, args...), time.After(after))
			windows += n.continued(t, args...)
			n.wantLeft(t, fmt.Sprintf("killed after %s of %s", after, takes), want)
		})
	}
	t.Logf("%d were killed, with %d windows done", killed, windows)
}

// continued runs a command line without faults after one that may have been killed,
// and wants no window done again that it had done. It returns how many these were.
func (n *night) continued(t *testing.T, args ...string) int {
	t.Helper()
	done := n.windowsDone()
	n.whole(t, nil, args...)
	now := n.windowsDone()
	for w, by := range done {
		if now[w] != by {
			t.Errorf("window %s was done by run %s, and again by %s", w, by, now[w])
		}
	}
	return len(done)
}

// killed waits for the end of c, which it kills when now comes; 1 when c was
// killed, 0 when it ended well before.
func (n *night) killed(t *testing.T, c *child, now <-chan time.Time) int {
	t.Helper()
	select {
	case <-c.done:
	case <-now:
		c.signal(t, syscall.SIGKILL)
	case <-time.After(patience):
		t.Fatal("the child does not end")
	}
	<-c.done
	if c.code != -1 && c.code != exitOK {
		t.Fatalf("exit %d\n%s", c.code, &c.out)
	}
	if c.code == exitOK {
		return 0
	}
	return 1
}

// Connections to the source, to a database and to an API that are pushed to break
// in any way, at any byte, alone or with all others; clean reruns end where a run
// without faults ends.
func TestNetworkFaultsByNight(t *testing.T) {
	for _, how := range fault.Breaks() {
		for i, which := range []string{"database", "api"} {
			t.Run(fmt.Sprintf("%s/%s", which, how), func(t *testing.T) {
				t.Parallel()
				random, n := drawn(t), newNight(t, "duckdb")
				n.proxies[i].Break(fault.Cut{At: 1 << 40})
				n.whole(t, nil, "run")
				sent, answered := n.proxies[i].Passed()
				want := n.left(t)
				for range draws(1, 20) {
					n := newNight(t, "duckdb")
					cut := fault.Cut{Break: how, Reply: random.IntN(2) == 1, All: *soak && random.IntN(4) == 0}
					cut.At = random.Int64N(map[bool]int64{true: answered, false: sent}[cut.Reply])
					n.proxies[i].Break(cut)
					var stderr bytes.Buffer
					code, out := elt(t, n.dir, n.addr, &stderr, nil, "run")
					if !slices.Contains([]int{exitOK, exitUnfinished, exitTryAgain}, code) {
						t.Errorf("%+v: exit %d\n%s\n%s", cut, code, out, &stderr)
					}
					n.proxies[i].Heal()
					n.whole(t, nil, "run")
					n.wantLeft(t, fmt.Sprintf("after %+v", cut), want)
				}
			})
		}
	}
}

// failpoints are some calls, before or after they are made; in a soak before all,
// and after some.
func failpoints(random *rand.Rand, calls int) []int {
	var at []int
	for call := 1; call <= calls && *soak; call++ {
		at = append(at, call)
	}
	for range draws(1, calls/5) {
		at = append(at, -1-random.IntN(calls))
	}
	for range draws(1, 0) {
		at = append(at, 1+random.IntN(calls))
	}
	return at
}
