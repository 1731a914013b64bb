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

// slow does its first call only after the caller has given up, and meanwhile
// refuses the same operations.
type slow struct {
	*activatetest.Memory
	first activate.Batch
}

func (s *slow) Push(_ context.Context, b activate.Batch) ([]activate.Outcome, error) {
	if s.first.ID == "" {
		s.first = b
		return nil, errors.New("no reply in time")
	}
	var outs []activate.Outcome
	for _, c := range b.Changes {
		outs = append(outs, activate.Outcome{OpID: c.OpID, Status: activate.Rejected, Code: "409", Contested: true})
	}
	return outs, nil
}

// An operation that is refused because it is still under way is not refused: its
// row is not made a second time when the payload becomes another one.
func TestAnOperationUnderWayIsNotRefused(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		w := newWorld(t, db, activate.ModeUpsert, 10)
		w.dest.Max.Replay = activate.IdempotencyKey
		w.model(map[int]string{1: "a"})
		dest := &slow{Memory: w.dest}
		if r := w.through(dest); r.Unknown != 1 || r.Rejected != 0 {
			t.Errorf("%+v, want one unknown", r)
		}
		if _, err := w.dest.Push(t.Context(), dest.first); err != nil {
			t.Fatal(err)
		}
		w.model(map[int]string{1: "b"})
		var ops []string
		w.dest.Fault = func(_ int, b activate.Batch) activatetest.Fault {
			ops = append(ops, b.Changes[0].OpID)
			return activatetest.None
		}
		w.mustRun()
		w.mustRun()
		if len(ops) != 2 || ops[0] != dest.first.Changes[0].OpID {
			t.Errorf("sent %v, want the first operation again, and then another", ops)
		}
		w.want("1:b")
	})
}
