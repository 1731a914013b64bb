package activate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"elt/internal/state"
)

// smooth is the longest interval of a rate that is kept by the distance of its
// calls. Those of longer ones are counted: nobody wants a daily budget to be
// spread over the day.
const smooth = time.Minute

// look is how often a push that has no rates looks whether its account has asked
// another one for silence.
const look = 5 * time.Second

// Accounts are the accounts that are pushed to side by side in this process: what
// one push hears from one or books of it, the others use. The zero Accounts are
// ready; they are safe for concurrent use.
type Accounts struct {
	mu   sync.Mutex
	list map[string]*account
}

// join returns the account of a push, which leaves it when it has ended.
func (a *Accounts) join(st *state.Store, name string, rates []Rate) *account {
	a.mu.Lock()
	defer a.mu.Unlock()
	id := fmt.Sprint(name, rates)
	known, ok := a.list[id]
	if !ok {
		known = newAccount(st, name, rates)
		if a.list == nil {
			a.list = map[string]*account{}
		}
		a.list[id] = known
	}
	known.users++
	known.leave = func(ctx context.Context) error { return a.leave(ctx, id, known) }
	return known
}

// leave gives back what was booked and not used, once nobody uses the account any
// more, and returns when nothing is on for it.
func (a *Accounts) leave(ctx context.Context, id string, acc *account) error {
	a.mu.Lock()
	acc.users--
	last := acc.users == 0
	if last {
		delete(a.list, id)
	}
	a.mu.Unlock()
	if !last {
		return nil
	}
	return acc.close(ctx)
}

// account is what a process knows of an account that it calls. Others call it
// too: what they share is in the warehouse. It is safe for concurrent use.
type account struct {
	users   int // guarded by Accounts
	leave   func(context.Context) error
	store   *state.Store
	name    string
	every   time.Duration
	budgets []state.Budget
	pace    *pacer // nil: no rates

	mu     sync.Mutex
	silent time.Time // until then it is not called
	looked time.Time
	clock  state.Clock // the best of the last minute
	tuned  time.Time   // when clock was read
}

func newAccount(st *state.Store, name string, rates []Rate) *account {
	a := &account{store: st, name: name}
	slack := time.Duration(0)
	least := func(d time.Duration) {
		if slack == 0 || d < slack {
			slack = d
		}
	}
	for _, r := range rates {
		switch {
		case r.Calls < 1 || r.Per <= 0:
		case r.Per > smooth:
			a.budget(r)
			least(r.Per / 60)
		default: // the widest distance keeps all
			a.every = max(a.every, (r.Per+time.Duration(headroom*float64(r.Per)))/time.Duration(r.Calls)+1)
			least(time.Duration(lateness * float64(r.Per)))
		}
	}
	if a.every == 0 && len(a.budgets) == 0 {
		return a
	}
	most := 100
	if a.every > 0 {
		most = max(int(ahead/a.every), 1)
	}
	a.pace = &pacer{every: a.every, slack: slack, most: most, n: max(most/8, 1), lead: 2 * time.Millisecond, book: a.book}
	return a
}

// budget notes a budget; of two of one length the smaller one counts.
func (a *account) budget(r Rate) {
	b := state.Budget{Calls: int64(r.Calls), Per: r.Per}
	if i := slices.IndexFunc(a.budgets, func(other state.Budget) bool { return other.Per == b.Per }); i >= 0 {
		a.budgets[i].Calls = min(a.budgets[i].Calls, b.Calls)
		return
	}
	a.budgets = append(a.budgets, b)
}

// book books slots in the warehouse and tells them by the clock of this machine.
func (a *account) book(ctx context.Context, n int, lead time.Duration, back block) (block, error) {
	b, err := a.store.Book(ctx, a.booking(n, lead, back))
	if err != nil {
		return block{}, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	// All blocks are told by one estimate, since another would move them against
	// each other; it is replaced by a better one, or when it is old or wrong, as when
	// one of the clocks was set.
	now := time.Now()
	wrong := (b.Clock.Ahead - a.clock.Ahead).Abs() > time.Second+b.Clock.Within+a.clock.Within
	if a.tuned.IsZero() || wrong || b.Clock.Within < a.clock.Within || now.Sub(a.tuned) > time.Minute {
		a.clock, a.tuned = b.Clock, now
	}
	switch {
	case b.Calls > 0:
		// From here on it counts by the clock that nobody sets.
		next := now.Add(b.At.Add(-a.clock.Ahead).Sub(now))
		return block{next: next, left: b.Calls, size: b.Calls, at: b.At}, nil
	case b.Spent != nil:
		return block{}, &waitError{until: b.Until.Add(-a.clock.Ahead), why: fmt.Sprintf("the budget of %d calls in %s is spent", b.Spent.Calls, brief(b.Spent.Per))}
	}
	return block{}, &waitError{until: b.Until.Add(-a.clock.Ahead), why: Silence}
}

// Silence is why an account that asked for it is not called.
const Silence = "the destination asks to be left alone"

// brief is d without the units that are zero at its end.
func brief(d time.Duration) string {
	text := d.String()
	if d%time.Minute == 0 {
		text = strings.TrimSuffix(text, "0s")
	}
	if d%time.Hour == 0 {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

func (a *account) booking(n int, lead time.Duration, back block) state.Booking {
	return state.Booking{
		Account: a.name, Calls: n, Every: a.every, Lead: lead, Budgets: a.budgets,
		Back: state.Booked{Calls: back.unused(), At: back.at},
	}
}

// close waits for the booking that is on and gives back what was not used.
func (a *account) close(ctx context.Context) error {
	if a.pace == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	for _, b := range a.pace.close() {
		if err := a.store.GiveBack(ctx, a.booking(0, 0, b)); err != nil {
			return err
		}
	}
	return nil
}

// refresh looks what others have heard from the account, at most every few
// seconds.
func (a *account) refresh(ctx context.Context) error {
	a.mu.Lock()
	fresh := !a.looked.IsZero() && time.Since(a.looked) < look
	if !fresh {
		a.looked = time.Now()
	}
	a.mu.Unlock()
	if fresh {
		return nil
	}
	d, err := a.store.Silent(ctx, a.name)
	if err != nil {
		return err
	}
	if d > 0 {
		a.hush(time.Now().Add(d))
	}
	return nil
}

// hush notes that the account is not to be called until then.
func (a *account) hush(until time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if until.After(a.silent) {
		a.silent = until
	}
}

// asked notes that the account asked for silence, also for everybody else.
func (a *account) asked(ctx context.Context, d time.Duration) error {
	a.hush(time.Now().Add(d))
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	return a.store.Silence(ctx, a.name, d)
}

// quiet is until when the account is not to be called; zero: it may be.
func (a *account) quiet() time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.silent
}

// gate waits until the next call may be made; false when none should be.
func (s *sender) gate(ctx context.Context) bool {
	var waited time.Time // the silence that has been waited for
	for !s.stopped(ctx) {
		if until := s.account.quiet(); until.After(waited) && until.After(time.Now()) {
			if !s.linger(ctx, &waitError{until: until, why: Silence}) {
				return false
			}
			waited = until
			continue
		}
		if s.account.pace == nil {
			return true
		}
		var wait *waitError
		switch err := s.account.pace.take(ctx, s.opts.Sleep); {
		case errors.As(err, &wait):
			if !s.linger(ctx, wait) {
				return false
			}
		case err != nil:
			s.fail(ctx, err)
			return false
		case s.account.quiet().After(waited) && s.account.quiet().After(time.Now()): // asked for while the slot was waited for
		default:
			return !s.stopped(ctx)
		}
	}
	return false
}

// open reports, before a page is prepared, whether any of it can be sent in this
// run.
func (s *sender) open(ctx context.Context) bool {
	until := s.account.quiet()
	if !s.stopped(ctx) && time.Until(until) > s.opts.MaxWait {
		return s.linger(ctx, &waitError{until: until, why: Silence})
	}
	return !s.stopped(ctx)
}

// linger waits until w is over, if that is within this run; else it ends sending.
func (s *sender) linger(ctx context.Context, w *waitError) bool {
	d := time.Until(w.until)
	if d > s.opts.MaxWait {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.problem == "" {
			s.problem, s.resume = w.in(s.opts.Zone)+"; a run after that sends the rest", w.until
		}
		return false
	}
	return s.opts.Sleep(ctx, max(d, time.Millisecond)) == nil
}

// fail ends sending because of an error that is not the destination's.
func (s *sender) fail(ctx context.Context, err error) {
	if s.stopped(ctx) {
		return
	}
	s.stop(err.Error())
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
}
