package activatetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"elt/activate"
	"elt/internal/rows"
	"elt/internal/state"
	"elt/internal/warehouse"
)

// Place is an empty object of a destination for one history, and how its calls
// are made to fail. Rows have the key id and the value v; see [RowOf].
type Place struct {
	// Open opens it as a process does for one run.
	Open func() (activate.Connector, error)
	// Rows are all rows that are there.
	Rows func() ([]Row, error)
	// Put makes a row that is somebody else's, before the history begins.
	Put func(Row)
	// Break makes calls fail as s says, those of one run or of several; nil: they
	// never do. Heal ends that.
	Break func(s *Script)
	Heal  func()
	// Mend ends that rows are refused, at last; nil: those that are refused are
	// another ones then.
	Mend func()
	// Died is called after a process has died; nil: it leaves nothing behind.
	Died func()
	// Twice is how many operations were done again that must not be; nil: nobody
	// can tell, or they may.
	Twice func() int
	// Replay is the class that the destination has.
	Replay activate.ReplayClass
	// Refuses tells that rows with the value bad are refused.
	Refuses bool
	// Alone tells that one process opens the object at a time.
	Alone bool
	Close func()
}

// At is a history that a place is made for.
type At struct {
	T    *rapid.T
	Mode string
	N    int // another one for each history of a test
}

// Histories pushes random histories of a model to places that fail at random, by
// processes that die at any call, lose their locks, or begin while another one is
// on. Each run accounts for all that it was given. When nothing fails any more,
// the destination has what the model has, nothing twice, and what is not ours is
// as it was. modes are those that the destination has; place makes one of these.
func Histories(t *testing.T, modes []string, place func(at At) *Place) {
	t.Helper()
	h := hosts{}
	rapid.Check(t, func(rt *rapid.T) {
		host := h.draw(t, rt)
		mode := rapid.SampledFrom(modes).Draw(rt, "mode")
		w := &history{rt: rt, host: host, model: newThings(), place: place(At{rt, mode, host.number()})}
		if w.place.Close != nil {
			defer w.place.Close()
		}
		w.sync = activate.Sync{
			Name: fmt.Sprintf("s%d", host.n), Model: host.model, Object: "things", Mode: mode, Key: []string{"id"},
			Fields:   []activate.Field{{Theirs: "id", Column: "id"}, {Theirs: "v", Column: "v"}},
			TargetFP: activate.Fingerprint("place", fmt.Sprint(host.n)),
		}
		w.few = rapid.IntRange(0, 3).Draw(rt, "rows in a page")
		w.play()
	})
}

// hosts are the warehouses of many histories, by engine: what these leave in the
// tables would slow down those to come, so that a hundred share one.
type hosts map[string]*host

type host struct {
	a, b  *Process
	model warehouse.Table
	n     int
}

func (h *host) number() int { h.n++; return h.n }

// draw is a warehouse for a history; of five histories one is on PostgreSQL, where
// they take longer.
func (h hosts) draw(t *testing.T, rt *rapid.T) *host {
	t.Helper()
	engine := rapid.SampledFrom([]string{"duckdb", "duckdb", "postgres", "duckdb", "duckdb"}).Draw(rt, "engine")
	known := h[engine]
	if known == nil || known.n >= 100 {
		d := Quick(t, engine)
		known = &host{a: NewProcess(t, d), b: NewProcess(t, d), model: warehouse.Table{Schema: "marts", Name: "things"}}
		if err := write(known.a.DB, `CREATE SCHEMA marts`, `CREATE TABLE `+known.model.String()+` (id bigint, v text)`); err != nil {
			t.Fatal(err)
		}
		h[engine] = known
	}
	return known
}

func write(db *warehouse.DB, statements ...string) error {
	return db.Update(context.Background(), func(ctx context.Context, tx *warehouse.Tx) error {
		for _, q := range statements {
			if _, err := tx.Exec(ctx, q); err != nil {
				return fmt.Errorf("%s: %w", q, err)
			}
		}
		return nil
	})
}

// history is one of them.
type history struct {
	rt     *rapid.T
	host   *host
	place  *Place
	sync   activate.Sync
	model  *things
	few    int // rows in a page; 0: as in production
	runs   int
	wild   bool  // calls of the destination fail
	second error // what is wrong with a run that began while another was on
}

// errInjected is what a warehouse answers that is made to fail.
var errInjected = errors.New("injected")

// errOpen is of a destination that could not be opened.
var errOpen = errors.New("open the destination")

// play is a history; it ends with runs that nothing happens to.
func (w *history) play() {
	w.put(foreign)
	// A row that a lookup finds where one was to be made may be ours or theirs: its
	// outcome stays unknown until a person says, which no history does.
	looked := w.sync.Mode == activate.ModeInsert && w.place.Replay == activate.Reconcile
	if w.sync.Mode != activate.ModeAppend && !looked {
		for _, id := range rapid.SliceOfNDistinct(rapid.IntRange(1, 6), 0, 3, rapid.ID).Draw(w.rt, "foreign rows") {
			w.put(id)
			w.model.there[id] = true
		}
	}
	for range rapid.IntRange(1, 4).Draw(w.rt, "runs") {
		w.model.apply(drawEdits(w.rt))
		w.setModel()
		w.heal()
		if w.place.Break != nil && rapid.Bool().Draw(w.rt, "calls fail") {
			w.place.Break(script(w.rt))
			w.wild = true
		}
		w.happen()
		if rapid.Bool().Draw(w.rt, "time passes") {
			w.timePasses()
		}
	}
	w.settle()
}

func (w *history) put(id int) { w.place.Put(RowOf(id, theirs)) }

func (w *history) must(err error) {
	w.rt.Helper()
	if err != nil {
		w.rt.Fatal(err)
	}
}

func (w *history) setModel() {
	w.rt.Helper()
	w.must(write(w.host.b.DB, w.model.insert(w.host.model)...))
}

// timePasses ends the waits that a destination has asked for, and what it may still be at.
func (w *history) timePasses() {
	w.must(write(w.host.b.DB, `UPDATE _elt.quota SET not_before = NULL`))
	w.must(write(w.host.b.DB, `UPDATE _elt.intent SET prepared_at = prepared_at - INTERVAL '61 minutes', settled_at = settled_at - INTERVAL '61 minutes'`))
}

// run plans and pushes once, as the pipeline does. died tells that the process
// ended on the way.
func (w *history) run(p *Process) (result activate.Result, died bool, err error) {
	w.runs++
	w.model.begin()
	sync := w.sync
	sync.RunID = fmt.Sprintf("run%d", w.runs)
	var conn activate.Connector
	defer func() {
		switch r := recover().(type) {
		case nil:
		case Crash:
			died = true
			p.Bury()
			if conn.Destination != nil {
				_ = conn.Destination.Close() // the system ends what the process had open
			}
			if w.place.Died != nil {
				w.place.Died()
			}
		default:
			panic(r)
		}
	}()
	ctx := context.Background()
	plan, err := activate.NewPlan(ctx, p.DB, p.Store, sync)
	if err != nil {
		return result, false, err
	}
	if conn, err = w.place.Open(); err != nil {
		return result, false, errors.Join(fmt.Errorf("%w: %w", errOpen, err), plan.Close(ctx))
	}
	opts := activate.Options{Sleep: func(context.Context, time.Duration) error { return nil }, PageRows: w.few}
	result, err = plan.Push(ctx, p.Calling(conn), opts)
	if closed := conn.Destination.Close(); !w.wild { // else its connection may be gone
		err = errors.Join(err, closed)
	}
	return result, false, errors.Join(err, plan.Close(ctx))
}

func (w *history) heal() {
	if w.place.Break != nil {
		w.place.Heal()
	}
	w.wild = false
}

// settle runs until nothing is left to do, without faults, and judges what is
// there.
func (w *history) settle() {
	w.heal()
	if w.place.Mend != nil {
		w.place.Mend()
	}
	w.model.mend(rapid.Bool().Draw(w.rt, "keys are told apart"))
	w.setModel()
	w.timePasses()
	_, err := w.host.b.Store.ReleaseRefused(context.Background(), w.sync.Name)
	w.must(err)
	last := w.cleanUntilSettled()
	if len(w.model.twice) > 0 && last.Gone.Deferred > 0 { // the deletes wait for what is open of these keys
		w.model.mend(true)
		w.setModel()
		last = w.cleanUntilSettled()
	}
	if !w.settled(last) {
		w.rt.Fatalf("%+v, want all %d rows unchanged, but for %d that are refused", last, len(w.model.rows), w.model.refused(w.sync.Mode))
	}
	if r := w.clean(); !w.settled(r) {
		w.rt.Fatalf("%+v: a run with nothing to do did something", r)
	}
	w.judge(last)
}

func (w *history) cleanUntilSettled() (last activate.Result) {
	w.rt.Helper()
	for try := 0; try < 6 && (try == 0 || !w.settled(last)); try++ {
		last = w.clean()
	}
	return last
}

func (w *history) clean() activate.Result {
	w.rt.Helper()
	r, died, err := w.run(w.host.a)
	if err != nil || died {
		w.rt.Fatalf("a run without faults: died %t, %v", died, err)
	}
	w.accounts(r, w.model.read(), w.model.invalid())
	return r
}

// settled reports whether all is there, and nothing is known to be open.
func (w *history) settled(r activate.Result) bool {
	return r.Unchanged+r.Rejected == int64(len(w.model.rows)) && r.Rejected == w.model.refused(w.sync.Mode) && r.Gone.Planned == r.Gone.Rejected && r.Problem == ""
}

// judge compares the place with the model once all is settled.
func (w *history) judge(last activate.Result) {
	got, err := w.place.Rows()
	w.must(err)
	if wrong := w.model.compare(w.sync.Mode, got); wrong != "" {
		w.rt.Fatalf("%s\nthere: %v\nmodel: %v", wrong, got, w.model.rows)
	}
	if w.place.Twice != nil {
		if n := w.place.Twice(); n > 0 {
			w.rt.Fatalf("%d operations were done twice", n)
		}
	}
	if len(w.model.twice) > 0 || last.Rejected+last.Gone.Rejected > 0 {
		return // what is open of their keys may stay so
	}
	open := int64(-1)
	w.must(warehouse.Each(context.Background(), w.host.b.DB, `SELECT count(*) FROM `+state.Intents+` WHERE sync = $1`, func(r rows.Row) error {
		open = r.Int(0)
		return nil
	}, w.sync.Name))
	if open != last.Gone.Left {
		w.rt.Fatalf("%d intents are open, and the run says %d", open, last.Gone.Left)
	}
}

// accounts checks invariant 9 of a run, and that it saw the model.
func (w *history) accounts(r activate.Result, read, invalid int64) {
	w.rt.Helper()
	g := r.Gone
	if r.Read != r.Invalid+r.Unchanged+r.Planned || r.Planned != r.Acked+r.Rejected+r.Unknown+r.Deferred ||
		g.Planned != g.Deleted+g.Settled+g.Rejected+g.Unknown+g.Deferred || r.Read != read || r.Invalid != invalid {
		w.rt.Fatalf("the accounting does not balance: %+v; read %d, invalid %d", r, read, invalid)
	}
}
