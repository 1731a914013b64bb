package activate_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"elt/activate"
	"elt/activate/activatetest"
	"elt/internal/warehouse"
	"elt/internal/warehouse/warehousetest"
)

// late does its first call only after somebody has waited for it, or at the end.
type late struct {
	*activatetest.Memory
	under *activate.Batch
	ended bool
}

// end ends the first call.
func (l *late) end(ctx context.Context) error {
	if l.ended || l.under == nil {
		return nil
	}
	l.ended = true
	_, err := l.Memory.Push(ctx, *l.under)
	return err
}

func (l *late) Push(ctx context.Context, b activate.Batch) ([]activate.Outcome, error) {
	if l.Calls() == 0 && l.under == nil {
		l.under = &b
		return nil, errors.New("no reply in time")
	}
	return l.Memory.Push(ctx, b)
}

// A lookup that comes too early finds nothing of a call that the service is still
// busy with: it waits, within a run and at the beginning of the next one, and no row
// is there twice.
func TestALookupWaitsForTheCallBefore(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		for _, tries := range []int{4, 1} {
			w := newWorld(t, db, activate.ModeAppend, 10)
			w.dest.Max.Replay, w.dest.Max.LookAfter = activate.Reconcile, 10*time.Second
			w.model(map[int]string{1: "a"})
			dest := &late{Memory: w.dest}
			opts := activate.Options{Tries: tries, Sleep: func(ctx context.Context, d time.Duration) error {
				if d >= w.dest.Max.LookAfter {
					return dest.end(ctx)
				}
				return nil
			}}
			for range 2 {
				w.runs++
				plan, err := activate.NewPlan(t.Context(), w.db, w.st, w.sync)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := plan.Push(t.Context(), activate.Connector{Destination: dest, Lookup: w.dest}, opts); err != nil {
					t.Fatal(err)
				}
				if err := plan.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if err := dest.end(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := w.there(); len(got) != 1 {
				t.Errorf("%d tries: %v there, want one row", tries, got)
			}
			w.exec(`DELETE FROM _elt.ledger`)
		}
	})
}
