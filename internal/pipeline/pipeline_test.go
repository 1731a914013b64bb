package pipeline_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"

	"elt/internal/event"
	"elt/internal/retry"
	"elt/internal/secret"
	"elt/internal/warehouse"
	"elt/internal/warehouse/warehousetest"
	"elt/scheduler"
)

const oneStream = "sources:\n  in: {type: memory, streams: {things: {key: id, cursor: id, on_empty: replace}}}\n"

// A full refresh of a source that is empty now empties the table. What comes to
// the source afterwards is read from the beginning, not from the cursor of rows
// that are gone.
func TestFullRefreshOfAnEmptySourceForgetsTheCursor(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		w := newWorld(t, db, oneStream, nil)
		w.streams["things"].ids = []int64{1, 2, 9}
		w.mustRun()
		w.streams["things"].ids = nil
		p := w.pipeline()
		p.FullRefresh = true
		if steps, err := w.run(p, nil); err != nil || steps["in.things"].Status != event.OK {
			t.Fatalf("%v %+v", err, steps)
		}
		w.streams["things"].ids = []int64{3, 4}
		w.mustRun()
		if got := w.texts(`SELECT CAST(id AS text) FROM "in".things ORDER BY id`); got != "3 4" {
			t.Errorf("the table has %q, want the new rows 3 4", got)
		}
	})
}

// failOn is a driver whose statements that hold part fail.
type failOn struct {
	warehouse.Driver
	part string
	err  error
}

func (d failOn) Begin(ctx context.Context, readOnly bool) (warehouse.DriverTx, error) {
	tx, err := d.Driver.Begin(ctx, readOnly)
	if err != nil {
		return nil, err
	}
	return failingTx{DriverTx: tx, on: d}, nil
}

type failingTx struct {
	warehouse.DriverTx
	on failOn
}

func (tx failingTx) Exec(ctx context.Context, q string, args ...any) (int64, error) {
	if strings.Contains(q, tx.on.part) {
		return 0, tx.on.err
	}
	return tx.DriverTx.Exec(ctx, q, args...)
}

// eachDriver runs fn over a fresh driver of each engine.
func eachDriver(t *testing.T, fn func(t *testing.T, d warehouse.Driver)) {
	for _, engine := range []string{"duckdb", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			fn(t, warehousetest.Open(t, engine))
		})
	}
}

// open opens d; the test closes it.
func open(t *testing.T, d warehouse.Driver) *warehouse.DB {
	t.Helper()
	db, err := warehouse.Open(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// What the checks found is there to be looked at also when the publish failed
// for another reason, and was rolled back.
func TestFindingsOfAFailedPublishAreKept(t *testing.T) {
	eachDriver(t, func(t *testing.T, d warehouse.Driver) {
		w := newWorld(t, open(t, d), strings.Replace(oneStream, "on_empty: replace", "checks: [{range: {column: id, max: 5}, severity: warn}]", 1), nil)
		w.streams["things"].ids = []int64{1, 9}
		broken := w.on(warehouse.OpenReadOnly(failOn{Driver: d, part: "INSERT INTO _elt.load ", err: errors.New("no record of loads")}))
		steps, err := broken.run(broken.pipeline(), nil)
		if err != nil || steps["in.things"].Status != event.Failed || !strings.Contains(steps["in.things"].Error, "no record of loads") {
			t.Fatalf("%v %+v", err, steps)
		}
		if got := w.texts(`SELECT check_name FROM _elt.finding WHERE NOT ok`); got != "range(id)" {
			t.Errorf("the findings are %q, want that of range(id)", got)
		}
	})
}

// A signal during the wait before another try ends the step with what it has.
func TestDrainEndsTheWaitForAnotherTry(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		w := newWorld(t, db, oneStream, nil)
		w.retries = 1
		drain := make(chan struct{})
		var once sync.Once
		tries := 0
		w.streams["things"].open = func(context.Context) error {
			tries++
			once.Do(func() { close(drain) })
			return retry.AsTransient(errors.New("connection reset"))
		}
		steps, err := w.run(w.pipeline(), drain)
		if err != nil || steps["in.things"].Status == event.OK {
			t.Fatalf("%v %+v", err, steps)
		}
		if tries != 1 {
			t.Errorf("%d tries, want none after the signal", tries)
		}
	})
}

// lockSignal tells when a lock was asked for in vain.
type lockSignal struct {
	warehouse.Driver
	refused func()
}

func (d lockSignal) Lock(ctx context.Context, name string) (context.Context, func(), error) {
	held, release, err := d.Driver.Lock(ctx, name)
	if warehouse.KindOf(err) == warehouse.KindLocked {
		d.refused()
	}
	return held, release, err
}

// A signal during the wait for the lock of a step ends the wait: the step is
// interrupted, and nothing of it was begun.
func TestDrainEndsTheWaitForALock(t *testing.T) {
	eachDriver(t, func(t *testing.T, d warehouse.Driver) {
		w := newWorld(t, open(t, d), oneStream, nil)
		w.streams["things"].ids = []int64{1}
		_, release, err := d.Lock(t.Context(), "elt:tiny:dev:in.things")
		if err != nil {
			t.Fatal(err)
		}
		defer release()
		drain := make(chan struct{})
		var once sync.Once
		waiting := w.on(warehouse.OpenReadOnly(lockSignal{Driver: d, refused: func() { once.Do(func() { close(drain) }) }}))
		steps, err := waiting.run(waiting.pipeline(), drain)
		if err != nil {
			t.Fatal(err)
		}
		if s := steps["in.things"]; s.Status == event.OK || !strings.Contains(s.Error, scheduler.ErrInterrupted.Error()) {
			t.Errorf("the step is %s: %s, want that it was interrupted", s.Status, s.Error)
		}
		if got := w.texts(`SELECT status FROM _elt.run`); got == "running" {
			t.Error("the run is recorded as running")
		}
	})
}

// Invariant 13: whatever puts a secret into the text of an error, no event and
// no record holds it.
func TestInvariant13NoSecretInEventsAndRecords(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		const canary = "s3cr3t-canary"
		w := newWorld(t, db, oneStream, nil)
		w.redact = secret.NewScrubber(canary).Text
		w.streams["things"].open = func(context.Context) error { return errors.New("login with " + canary + " was refused") }
		steps, err := w.run(w.pipeline(), nil)
		if err != nil || steps["in.things"].Status != event.Failed || !strings.Contains(steps["in.things"].Error, "was refused") {
			t.Fatalf("%v %+v", err, steps)
		}
		told, err := json.Marshal(w.events)
		if err != nil {
			t.Fatal(err)
		}
		recorded := w.texts(`SELECT error FROM _elt.step`) + w.texts(`SELECT error FROM _elt.run`)
		if !strings.Contains(recorded, "was refused") {
			t.Errorf("the records say %q, want the reason", recorded)
		}
		if strings.Contains(string(told)+recorded, canary) {
			t.Errorf("the secret got out:\n%s\n%s", told, recorded)
		}
	})
}

// Who looks at the tables sees which of them stand as they were: what failed, and
// what is downstream of it. A good run clears the marks.
func TestWhatIsDownstreamOfAFailureIsStale(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		w := newWorld(t, db, "sources:\n  in: {type: memory, streams: {a: {}, b: {}}}\n", map[string]string{
			"m/of_a": `select id from "in".a`, "m/of_of_a": "select id from m.of_a", "m/of_b": `select id from "in".b`,
		})
		w.streams["a"].ids, w.streams["b"].ids = []int64{1}, []int64{2}
		w.mustRun()
		const marks = `SELECT "table" || ':' || status FROM elt.freshness ORDER BY 1`
		const good = "in.a:ok in.b:ok m.of_a:ok m.of_b:ok m.of_of_a:ok"
		if got := w.texts(marks); got != good {
			t.Errorf("after a good run: %s", got)
		}
		w.streams["a"].open = func(context.Context) error { return errors.New("no such host") }
		if _, err := w.run(w.pipeline(), nil); err != nil {
			t.Fatal(err)
		}
		if got, want := w.texts(marks), "in.a:failed in.b:ok m.of_a:stale m.of_b:ok m.of_of_a:stale"; got != want {
			t.Errorf("after a failure: %s, want %s", got, want)
		}
		w.streams["a"].open = nil
		w.mustRun()
		if got := w.texts(marks); got != good {
			t.Errorf("after the next good run: %s", got)
		}
	})
}

// The text of a failed step says what to type next where the warehouse knows it.
func TestHintOfTheWarehouseIsTold(t *testing.T) {
	eachDriver(t, func(t *testing.T, d warehouse.Driver) {
		w := newWorld(t, open(t, d), oneStream, nil)
		w.streams["things"].ids = []int64{1}
		full := &warehouse.Error{Kind: warehouse.KindDiskFull, Err: errors.New("no space left"), Hint: "free some space and run again"}
		broken := w.on(warehouse.OpenReadOnly(failOn{Driver: d, part: "INSERT INTO _elt.load ", err: full}))
		steps, err := broken.run(broken.pipeline(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if s := steps["in.things"]; strings.Count(s.Error, full.Hint) != 1 {
			t.Errorf("the step says %q, want the hint once", s.Error)
		}
	})
}
