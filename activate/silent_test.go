package activate_test

import (
	"context"
	"errors"
	"testing"

	"elt/activate"
	"elt/activate/activatetest"
	"elt/internal/warehouse"
	"elt/internal/warehouse/warehousetest"
)

// silent does its first call, whose answer says nothing, and takes no other.
type silent struct {
	*activatetest.Memory
	calls int
}

func (s *silent) Push(ctx context.Context, b activate.Batch) ([]activate.Outcome, error) {
	if s.calls++; s.calls > 1 {
		return nil, &activate.BarredError{Code: "revoked", Err: errors.New("the token was revoked")}
	}
	_, err := s.Memory.Push(ctx, b)
	return nil, errors.Join(err, &activate.RefusedError{Code: "silent", InDoubt: true})
}

// A call that may have done something is halved, and then sending ends: going back
// to what was acknowledged before is a change, since the other may be there.
func TestASilentCallLeavesItsRowsInDoubt(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		w := newWorld(t, db, activate.ModeUpsert, 10)
		w.model(map[int]string{1: "a", 2: "b"})
		w.mustRun()
		w.model(map[int]string{1: "a2", 2: "b2"})
		if r := w.through(&silent{Memory: w.dest}); r.Unknown != 2 {
			t.Errorf("%+v, want both unknown", r)
		}
		w.model(map[int]string{1: "a", 2: "b"})
		w.mustRun()
		w.want("1:a", "2:b")
	})
}
