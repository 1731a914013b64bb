package http_test

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"elt/activate"
	"elt/activate/activatetest"
	"elt/activate/fake"
	"elt/internal/state"
	"elt/internal/testdb"
	"elt/internal/warehouse"
	"elt/internal/warehouse/warehousetest"
)

// TestMain sets how many histories are tried; -rapid.checks=N tries more.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "2"); err != nil {
		panic(err)
	}
	os.Exit(testdb.Run(m))
}

// TestInvariant8 pushes random histories of a model to a service that fails at
// random. When it fails no more, it has what the model has, nothing twice, and the
// row that is not ours. With reconcile the service knows no operation again, so
// that any call that should not have been repeated shows.
func TestInvariant8(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		n := 0
		for _, name := range slices.Sorted(maps.Keys(setups())) {
			modes := []string{activate.ModeUpsert, activate.ModeInsert, activate.ModeAppend}
			if strings.Contains(setups()[name], "delete:") {
				modes = append(modes, activate.ModeMirror)
			}
			t.Run(name, func(t *testing.T) {
				rapid.Check(t, func(rt *rapid.T) {
					n++
					w := newWorld(t, db, n, name, rapid.SampledFrom(modes).Draw(rt, "mode"))
					defer w.server.Close()
					w.history(rt)
				})
			})
		}
	})
}

// world is a model, and a service that it is pushed to.
type world struct {
	t       *testing.T
	db      *warehouse.DB
	st      *state.Store
	service *activatetest.Service
	server  *httptest.Server
	conn    activate.Connector
	sync    activate.Sync
	runs    int
}

func newWorld(t *testing.T, db *warehouse.DB, n int, setup, mode string) *world {
	t.Helper()
	st, err := state.Open(context.Background(), db, "shop", "dev")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, db: db, st: st, service: &activatetest.Service{Answers: answers(setups()[setup]), Forgetful: setup == "reconcile"}}
	w.server = httptest.NewServer(w.service)
	w.conn = open(t, config(t, w.server.URL, "concurrency: 1", strings.ReplaceAll(setups()[setup], "rows: 10", "rows: 3")))
	w.sync = activate.Sync{Name: fmt.Sprintf("s%d", n), Model: warehouse.Table{Schema: "marts", Name: fmt.Sprintf("m%d", n)}, Object: "things", Mode: mode,
		Key: []string{"id"}, Fields: []activate.Field{{Theirs: "id", Column: "id"}, {Theirs: "v", Column: "v"}}, TargetFP: fmt.Sprint("fp", n)}
	w.service.Put("things", `{"id":100}`, `{"id":100,"v":"theirs"}`)
	w.exec(`CREATE SCHEMA IF NOT EXISTS marts`, `CREATE TABLE `+w.sync.Model.String()+` (id bigint, v text)`)
	return w
}

func (w *world) exec(statements ...string) {
	w.t.Helper()
	err := w.db.Update(context.Background(), func(ctx context.Context, tx *warehouse.Tx) error {
		for _, q := range statements {
			if _, err := tx.Exec(ctx, q); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// push sets the model and pushes it once.
func (w *world) push(rt *rapid.T, rows map[int]string) activate.Result {
	statements := []string{`DELETE FROM ` + w.sync.Model.String()}
	for id, v := range rows {
		statements = append(statements, fmt.Sprintf(`INSERT INTO %s VALUES (%d, '%s')`, w.sync.Model, id, v))
	}
	w.exec(statements...)
	w.runs++
	w.sync.RunID = fmt.Sprint("run", w.runs)
	plan, err := activate.NewPlan(context.Background(), w.db, w.st, w.sync)
	if err != nil {
		rt.Fatal(err)
	}
	result, err := plan.Push(context.Background(), w.conn, activate.Options{Sleep: func(context.Context, time.Duration) error { return nil }})
	if err != nil {
		rt.Fatal(err)
	}
	if err := plan.Close(context.Background()); err != nil {
		rt.Fatal(err)
	}
	return result
}

// outages are those after which a service says what is true, or nothing; without
// a rejection, which would hold the row back for days.
func (w *world) outages() []fake.Outage {
	out := []fake.Outage{fake.Conflict, fake.Bomb, fake.Slow}
	if w.service.Answers != activatetest.EachRow {
		out = append(out, fake.SilentIdle)
	}
	list := fake.Outages()
	for range fake.Outages() { // half of the calls work
		list = append(list, fake.Fine)
	}
	return slices.DeleteFunc(list, func(o fake.Outage) bool { return slices.Contains(out, o) })
}

func (w *world) history(rt *rapid.T) {
	script := rapid.SliceOfN(rapid.SampledFrom(w.outages()), 20, 60).Draw(rt, "outages")
	w.service.Fault = func(call int) fake.Outage {
		if call > len(script) {
			return fake.Fine
		}
		return script[call-1]
	}
	rows := map[int]string{}
	for range rapid.IntRange(1, 4).Draw(rt, "runs") {
		for range rapid.IntRange(1, 5).Draw(rt, "edits") {
			id, v := rapid.IntRange(1, 6).Draw(rt, "id"), rapid.SampledFrom([]string{"a", "b", "c", ""}).Draw(rt, "v")
			if rows[id] = v; v == "" {
				delete(rows, id)
			}
		}
		w.push(rt, rows)
	}
	script = nil
	var last activate.Result
	for try := 0; try < 5 && (try == 0 || last.Unchanged != int64(len(rows)) || last.Gone.Planned > 0); try++ {
		last = w.push(rt, rows)
	}
	if last.Unchanged != int64(len(rows)) {
		rt.Fatalf("%+v, want all %d rows unchanged", last, len(rows))
	}
	w.once(rt)
	w.compare(rt, rows)
}

// once wants no key and no operation twice, and the row that is not ours as it was.
func (w *world) once(rt *rapid.T) {
	got := w.service.Rows("things")
	seen := map[string]string{}
	for _, r := range got {
		if _, twice := seen[r.Key]; twice {
			rt.Fatalf("row %s is there twice: %v", r.Key, got)
		}
		seen[r.Key] = r.Fields
	}
	if seen[`{"id":100}`] != `{"id":100,"v":"theirs"}` {
		rt.Fatalf("the foreign row has changed: %v", got)
	}
	if _, _, doubled := w.service.Calls(); doubled > 0 {
		rt.Fatalf("%d operations were done twice", doubled)
	}
}

// compare wants each row of the model, as it is unless the mode sends a key once,
// and none that a mirror should have deleted.
func (w *world) compare(rt *rapid.T, rows map[int]string) {
	got := w.service.Rows("things")
	fields := map[string]string{}
	for _, r := range got {
		fields[r.Key] = r.Fields
	}
	mirror := w.sync.Mode == activate.ModeMirror
	for id, v := range rows {
		there := fields[fmt.Sprintf(`{"id":%d}`, id)]
		if there == "" || (mirror || w.sync.Mode == activate.ModeUpsert) && there != fmt.Sprintf(`{"id":%d,"v":"%s"}`, id, v) {
			rt.Fatalf("row %d is %q, want %q: %v", id, there, v, got)
		}
	}
	if mirror && len(got) != len(rows)+1 {
		rt.Fatalf("the mirror has %v, want %v and the foreign row", got, rows)
	}
}
