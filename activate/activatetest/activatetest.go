// Package activatetest holds every destination to the contract of package
// activate, and has a destination in memory that fails as it is told.
package activatetest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"elt/activate"
)

// Row is a row as a reader of the destination sees it.
type Row struct{ Key, Fields string }

// Harness opens one object of a destination for a test.
type Harness struct {
	// Open opens it, again and again; the first time it is empty. What Open
	// returned before has been closed.
	Open func(t *testing.T) activate.Destination
	// Rows reads all rows while the destination is closed, in any order.
	Rows func(t *testing.T) []Row
}

// Run holds a destination to the contract. fresh makes a harness with an empty object.
func Run(t *testing.T, fresh func(t *testing.T) Harness) {
	tests := []struct {
		name string
		run  func(t *testing.T, h Harness)
	}{
		{"limits are sane", limits},
		{"every change has one outcome", oneOutcome},
		{"a repeated batch changes nothing", repeated},
		{"a repeated append does not double", repeatedAppend},
		{"an operation in another batch does not double", regrouped},
		{"numbers stay exact", exact},
		{"a cancelled call sends nothing", cancelled},
		{"close twice", closeTwice},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.run(t, fresh(t)) })
	}
}

func limits(t *testing.T, h Harness) {
	d := h.Open(t)
	defer shut(t, d)
	l := d.Limits()
	if l.BatchRows < 1 || len(l.Modes) == 0 {
		t.Errorf("limits %+v: want at least one row and one mode", l)
	}
	if !slices.Contains([]activate.ReplayClass{activate.Idempotent, activate.IdempotencyKey, activate.Reconcile}, l.Replay) {
		t.Errorf("replay class %q is none", l.Replay)
	}
}

// change makes the change of row n with value v in the mode's action.
func change(action activate.Action, n int, v string) activate.Change {
	return activate.Change{
		OpID: fmt.Sprintf("op-%s-%d-%s", action, n, v), Action: action,
		Key:    json.RawMessage(fmt.Sprintf(`{"id":%d}`, n)),
		Fields: json.RawMessage(fmt.Sprintf(`{"id":%d,"v":%s}`, n, v)),
	}
}

// action is one that the destination supports and that makes rows.
func action(t *testing.T, d activate.Destination) activate.Action {
	t.Helper()
	for mode, a := range map[string]activate.Action{activate.ModeUpsert: activate.Upsert, activate.ModeInsert: activate.Create} {
		if slices.Contains(d.Limits().Modes, mode) {
			return a
		}
	}
	return activate.Append
}

func batch(changes ...activate.Change) activate.Batch {
	id := ""
	for _, c := range changes {
		id += c.OpID + ";"
	}
	return activate.Batch{ID: activate.Fingerprint(id), Object: "things", Changes: changes}
}

// push pushes and wants every change acknowledged.
func push(t *testing.T, d activate.Destination, b activate.Batch) []activate.Outcome {
	t.Helper()
	outs, err := d.Push(context.Background(), b)
	if err != nil {
		t.Fatalf("push: %v", err)
	}
	var want, got []string
	for _, c := range b.Changes {
		want = append(want, c.OpID)
	}
	for _, o := range outs {
		got = append(got, o.OpID)
		if o.Status != activate.Acked {
			t.Errorf("%s: %s %s %s, want acked", o.OpID, o.Status, o.Code, o.Message)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(want, got) {
		t.Fatalf("outcomes for %v, want one for each of %v", got, want)
	}
	return outs
}

func shut(t *testing.T, d activate.Destination) {
	t.Helper()
	if err := d.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

func wantRows(t *testing.T, h Harness, want ...Row) {
	t.Helper()
	got := h.Rows(t)
	order := func(a, b Row) int {
		if a.Key != b.Key {
			return compare(a.Key, b.Key)
		}
		return compare(a.Fields, b.Fields)
	}
	slices.SortFunc(got, order)
	slices.SortFunc(want, order)
	if !slices.Equal(got, want) {
		t.Errorf("rows %v\nwant %v", got, want)
	}
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func oneOutcome(t *testing.T, h Harness) {
	d := h.Open(t)
	a := action(t, d)
	var changes []activate.Change
	var want []Row
	for n := range min(5, d.Limits().BatchRows) {
		c := change(a, n, "1")
		changes = append(changes, c)
		want = append(want, Row{string(c.Key), string(c.Fields)})
	}
	push(t, d, batch(changes...))
	shut(t, d)
	wantRows(t, h, want...)
}

func repeated(t *testing.T, h Harness) {
	d := h.Open(t)
	if d.Limits().Replay == activate.Reconcile {
		shut(t, d)
		return
	}
	c := change(action(t, d), 1, "1")
	push(t, d, batch(c))
	push(t, d, batch(c))
	shut(t, d)
	d = h.Open(t)
	push(t, d, batch(c))
	shut(t, d)
	wantRows(t, h, Row{string(c.Key), string(c.Fields)})
}

func repeatedAppend(t *testing.T, h Harness) {
	d := h.Open(t)
	if d.Limits().Replay == activate.Reconcile || !slices.Contains(d.Limits().Modes, activate.ModeAppend) {
		shut(t, d)
		return
	}
	one, two := change(activate.Append, 1, "1"), change(activate.Append, 1, "2")
	push(t, d, batch(one))
	push(t, d, batch(two))
	shut(t, d)
	d = h.Open(t)
	push(t, d, batch(one))
	push(t, d, batch(two))
	shut(t, d)
	wantRows(t, h, Row{string(one.Key), string(one.Fields)}, Row{string(two.Key), string(two.Fields)})
}

func regrouped(t *testing.T, h Harness) {
	d := h.Open(t)
	if d.Limits().Replay == activate.Reconcile || d.Limits().BatchRows < 2 {
		shut(t, d)
		return
	}
	a := action(t, d)
	one, two := change(a, 1, "1"), change(a, 2, "1")
	push(t, d, batch(one))
	push(t, d, batch(one, two))
	shut(t, d)
	wantRows(t, h, Row{string(one.Key), string(one.Fields)}, Row{string(two.Key), string(two.Fields)})
}

func exact(t *testing.T, h Harness) {
	d := h.Open(t)
	c := change(action(t, d), 1, "12345678901234567890.123456789012345678")
	push(t, d, batch(c))
	shut(t, d)
	wantRows(t, h, Row{string(c.Key), string(c.Fields)})
}

func cancelled(t *testing.T, h Harness) {
	d := h.Open(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if outs, err := d.Push(ctx, batch(change(action(t, d), 1, "1"))); err == nil {
		t.Errorf("push after cancellation: %v, want an error", outs)
	}
	shut(t, d)
	wantRows(t, h)
}

func closeTwice(t *testing.T, h Harness) {
	d := h.Open(t)
	shut(t, d)
	shut(t, d)
}
