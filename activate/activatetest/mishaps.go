package activatetest

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"sync"

	"pgregory.net/rapid"

	"elt/activate"
	"elt/internal/retry"
	"elt/internal/warehouse"
)

// Script says what happens to calls. It is drawn before they are made, so that
// calls side by side may come in any order.
type Script struct {
	next func(id string) int
}

// Pick is a number below n, in half of the cases 0: nothing goes wrong. id is what
// the call is about where calls come side by side; else it is "".
func (s *Script) Pick(id string, n int) int {
	v := s.next(id)
	if n <= 1 || v%2 == 0 {
		return 0
	}
	return v / 2 % n
}

// script draws what happens to calls. After its end nothing does.
func script(rt *rapid.T) *Script {
	list := rapid.SliceOfN(rapid.IntRange(0, 1<<12), 10, 40).Draw(rt, "script")
	return newScript(list)
}

// happen runs once while something happens to the process, or nothing.
func (w *history) happen() {
	what := rapid.SampledFrom([]string{"nothing", "it dies", "the warehouse fails", "another takes over", "another begins"}).Draw(w.rt, "what happens")
	var m *Mishap
	switch what {
	case "it dies":
		m = moment(w.rt, BeforeCall, BeforeCall, AfterCommit, BeforePush, AfterPush)
		m.Do = w.host.a.Kill
	case "the warehouse fails":
		m = moment(w.rt, BeforeCall, BeforeCall, AfterCommit)
		m.Do = func() error { return errInjected }
	case "another takes over":
		m = w.takeover()
	case "another begins":
		m = moment(w.rt, BeforePush)
		m.Do = func() error {
			if _, _, err := w.run(w.host.b); warehouse.KindOf(err) != warehouse.KindLocked {
				w.second = fmt.Errorf("want that it is locked out, not %w", err)
			}
			return nil
		}
	}
	read, invalid := w.model.read(), w.model.invalid()
	w.host.a.Start(m)
	r, died, err := w.run(w.host.a)
	fired := w.host.a.Fired()
	switch {
	case w.second != nil:
		w.rt.Fatalf("a second run beside the first: %v", w.second)
	case died:
	case err == nil:
		w.accounts(r, read, invalid)
	case w.wild && errors.Is(err, errOpen):
	case fired && what == "the warehouse fails":
	case fired && what == "another takes over" && excused(err):
	default:
		w.rt.Fatalf("run: %v", err)
	}
	w.host.a.Start(nil)
}

// moment draws when something happens.
func moment(rt *rapid.T, where ...Moment) *Mishap {
	m := &Mishap{Where: rapid.SampledFrom(where).Draw(rt, "where")}
	most := map[Moment]int{BeforeCall: 90, AfterCommit: 10, AtBegin: 16, BeforePush: 4, AfterPush: 4}[m.Where]
	m.At = rapid.IntRange(1, most).Draw(rt, "at")
	return m
}

// excused reports whether a run may end so that has lost its lock.
func excused(err error) bool {
	class, _ := retry.Of(err)
	return errors.Is(err, activate.ErrFenced) || errors.Is(err, ErrLost) || errors.Is(err, context.Canceled) || class == retry.Transient
}

// takeover is the loss of the lock, and a whole run of another process before the
// first one notices. A call that the first had on its way arrives before that; or
// afterwards, where it can be told apart from a second one and the rows are still
// the same: what a call that is late enough overwrites nobody can help.
func (w *history) takeover() *Mishap {
	m := moment(w.rt, AtBegin, BeforePush, AfterPush)
	var edits edits
	if rapid.Bool().Draw(w.rt, "the model has changed meanwhile") {
		edits = drawEdits(w.rt)
	}
	late := m.Where == BeforePush && edits.list == nil && w.place.Replay != activate.Reconcile && rapid.Bool().Draw(w.rt, "a call is late")
	m.Do = func() error {
		w.second = w.host.a.LoseLocks(func() error {
			if edits.list != nil {
				w.model.apply(edits)
				if err := write(w.host.b.DB, w.model.insert(w.host.model)...); err != nil {
					return err
				}
			}
			_, _, err := w.run(w.host.b)
			w.host.b.Start(nil) // should it have died too
			if errors.Is(err, errOpen) && (w.wild || w.place.Alone) || excused(err) {
				return nil
			}
			return err
		})
		if late {
			return ErrLate
		}
		return nil
	}
	return m
}

// newScript is a script of a list: what happens to a call depends on what it is
// about, and on how often that has come.
func newScript(list []int) *Script {
	var mu sync.Mutex
	times, all := map[string]int{}, 0
	return &Script{func(id string) int {
		h := fnv.New32a()
		_, _ = h.Write([]byte(id))
		mu.Lock()
		defer mu.Unlock()
		n := times[id]
		times[id]++
		if all++; all > len(list) {
			return 0
		}
		if id != "" {
			n += int(h.Sum32() >> 1)
		}
		return list[n%len(list)]
	}}
}
