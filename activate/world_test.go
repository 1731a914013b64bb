package activate_test

import (
	"context"
	"fmt"
	"os"
	"sort"
	"strings"
	"testing"
	"time"

	"elt/activate"
	"elt/activate/activatetest"
	"elt/internal/rows"
	"elt/internal/state"
	"elt/internal/warehouse"
)

// TestMain sets how many histories are tried; -rapid.checks=N tries more, as `make soak` does.
func TestMain(m *testing.M) { os.Exit(activatetest.Main(m, 100)) }

// quick is an empty warehouse for thousands of small tests.
func quick(t testing.TB, engine string) *warehouse.DB {
	t.Helper()
	db, err := warehouse.Open(context.Background(), activatetest.Quick(t, engine))
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// world is a warehouse with one model, and one destination.
type world struct {
	t    testing.TB
	db   *warehouse.DB
	st   *state.Store
	dest *activatetest.Memory
	// lookup tells of what is unknown; nil: nobody does.
	lookup activate.Lookup
	sync   activate.Sync
	runs   int
	few    int // rows in a page; 0: as in production
}

var model = warehouse.Table{Schema: "marts", Name: "customers"}

func newWorld(t testing.TB, db *warehouse.DB, mode string, batch int) *world {
	t.Helper()
	st, err := state.Open(context.Background(), db, "shop", "dev")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, db: db, st: st, dest: activatetest.NewMemory(batch), sync: activate.Sync{
		Name: "crm", Model: model, Object: "contacts", Mode: mode, Key: []string{"id"},
		Fields:   []activate.Field{{Theirs: "name", Column: "name"}, {Theirs: "customer_id", Column: "id"}},
		TargetFP: activate.Fingerprint("memory", "1", "contacts"),
	}}
	w.exec(`CREATE SCHEMA IF NOT EXISTS marts`, `DROP TABLE IF EXISTS marts.customers`,
		`CREATE TABLE marts.customers (id bigint, name text)`)
	return w
}

func (w *world) exec(statements ...string) {
	w.t.Helper()
	err := w.db.Update(context.Background(), func(ctx context.Context, tx *warehouse.Tx) error {
		for _, q := range statements {
			if _, err := tx.Exec(ctx, q); err != nil {
				return fmt.Errorf("%s: %w", q, err)
			}
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// model sets the rows of the model.
func (w *world) model(values map[int]string) {
	w.t.Helper()
	statements, rows := []string{`DELETE FROM marts.customers`}, []string{}
	for id, name := range values {
		rows = append(rows, fmt.Sprintf(`(%d, %s)`, id, warehouse.Literal(name)))
	}
	if len(rows) > 0 {
		statements = append(statements, `INSERT INTO marts.customers VALUES `+strings.Join(rows, ", "))
	}
	w.exec(statements...)
}

// noWait makes retries immediate.
var noWait = activate.Options{Sleep: func(context.Context, time.Duration) error { return nil }}

// run plans and pushes once. crashed tells that the process died on the way.
func (w *world) run(ctx context.Context) (result activate.Result, crashed bool, err error) {
	w.t.Helper()
	return w.runWith(ctx, noWait)
}

func (w *world) runWith(ctx context.Context, opts activate.Options) (result activate.Result, crashed bool, err error) {
	w.t.Helper()
	w.runs++
	sync := w.sync
	sync.RunID = fmt.Sprintf("run%d", w.runs)
	plan, err := activate.NewPlan(ctx, w.db, w.st, sync)
	if err != nil {
		return result, false, err
	}
	defer func() {
		switch p := recover().(type) {
		case nil:
			if closeErr := plan.Close(context.Background()); err == nil {
				err = closeErr
			}
		case activatetest.Crash:
			crashed = true
			plan.Abandon()
		default:
			panic(p)
		}
	}()
	opts.PageRows = w.few
	result, err = plan.Push(ctx, activate.Connector{Destination: w.dest, Lookup: w.lookup}, opts)
	return result, false, err
}

// mustRun runs once and checks the accounting by hand.
func (w *world) mustRun() activate.Result {
	w.t.Helper()
	return w.mustRunWith(noWait)
}

func (w *world) mustRunWith(opts activate.Options) activate.Result {
	w.t.Helper()
	r, crashed, err := w.runWith(context.Background(), opts)
	if err != nil || crashed {
		w.t.Fatalf("run: crashed %v, %v", crashed, err)
	}
	balanced(w.t, r)
	return r
}

func balanced(t testing.TB, r activate.Result) {
	t.Helper()
	if r.Read != r.Invalid+r.Unchanged+r.Planned || r.Planned != r.Acked+r.Rejected+r.Unknown+r.Deferred {
		t.Fatalf("the accounting does not balance: %+v", r)
	}
}

// want checks what the destination has, as id:name pairs.
func (w *world) want(pairs ...string) {
	w.t.Helper()
	if got := w.there(); strings.Join(got, " ") != strings.Join(pairs, " ") {
		w.t.Errorf("the destination has %v, want %v", got, pairs)
	}
}

func (w *world) there() []string {
	var got []string
	for _, r := range w.dest.Rows() {
		var id int
		if _, err := fmt.Sscanf(r.Key, `{"customer_id":%d}`, &id); err != nil {
			w.t.Fatalf("key %s: %v", r.Key, err)
		}
		name := strings.TrimSuffix(strings.TrimPrefix(r.Fields, fmt.Sprintf(`{"customer_id":%d,"name":"`, id)), `"}`)
		got = append(got, fmt.Sprintf("%d:%s", id, name))
	}
	sort.Strings(got)
	return got
}

// one reads one number.
func (w *world) one(q string, args ...any) int64 {
	w.t.Helper()
	var n int64
	err := warehouse.Each(context.Background(), w.db, q, func(r rows.Row) error {
		n = r.Int(0)
		return nil
	}, args...)
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}
