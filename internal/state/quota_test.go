package state_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"elt/internal/state"
	"elt/internal/warehouse"
	"elt/internal/warehouse/warehousetest"
)

// Two stores of different projects share one account: whatever the order of their
// bookings, no two calls are closer than the distance.
func TestBookingsOfOneAccountDoNotOverlap(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		const every, calls, rounds = 3 * time.Millisecond, 7, 10
		var (
			mu   sync.Mutex
			wg   sync.WaitGroup
			list []state.Booked
		)
		for _, project := range []string{"shop", "other"} {
			st, err := state.Open(t.Context(), db, project, "dev")
			if err != nil {
				t.Fatal(err)
			}
			wg.Go(func() {
				for range rounds {
					b, err := st.Book(t.Context(), state.Booking{Account: "a", Calls: calls, Every: every, Lead: time.Second})
					if err != nil || b.Calls != calls {
						t.Errorf("%+v, %v", b, err)
						return
					}
					mu.Lock()
					list = append(list, b)
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		for i, a := range list {
			for _, b := range list[:i] {
				if d := a.At.Sub(b.At).Abs(); d < calls*every {
					t.Errorf("two blocks of %d calls are %s apart, want %s", calls, d, calls*every)
				}
			}
		}
	})
}

// A booking is not in the past, and not before the lead, also when nobody called
// for long.
func TestABookingHasItsLead(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		st, err := state.Open(t.Context(), db, "shop", "dev")
		if err != nil {
			t.Fatal(err)
		}
		before := time.Now()
		b, err := st.Book(t.Context(), state.Booking{Account: "a", Calls: 1, Every: time.Second, Lead: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		at := b.At.Add(-b.Clock.Ahead)
		if early := before.Add(time.Minute - b.Clock.Within); at.Before(early) || at.After(time.Now().Add(time.Minute+b.Clock.Within)) {
			t.Errorf("first call at %s, clock %+v; want a minute after %s", at, b.Clock, before)
		}
	})
}

// When the clock is set back, what waits moves with it: no call is an hour away, and
// none is too early. What the account asked for stands.
func TestBookingsAfterTheClockWasSetBack(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		st, err := state.Open(t.Context(), db, "shop", "dev")
		if err != nil {
			t.Fatal(err)
		}
		const every = 10 * time.Second
		ask := state.Booking{Account: "a", Calls: 3, Every: every}
		first, err := st.Book(t.Context(), ask)
		if err != nil {
			t.Fatal(err)
		}
		err = db.Update(t.Context(), func(ctx context.Context, tx *warehouse.Tx) error {
			_, err := tx.Exec(ctx, `UPDATE _elt.quota SET next_at = next_at + INTERVAL '1 hour', booked_at = booked_at + INTERVAL '1 hour'`)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		for n := range 3 {
			b, err := st.Book(t.Context(), ask)
			after := time.Duration(3*(n+1)) * every
			if d := b.At.Sub(first.At); err != nil || b.Calls != 3 || d < after || d > after+time.Minute {
				t.Errorf("booking %d is %s after the first, want about %s: %+v, %v", n, d, after, b, err)
			}
		}
		if err := st.Silence(t.Context(), "a", 2*time.Hour); err != nil {
			t.Fatal(err)
		}
		if b, err := st.Book(t.Context(), ask); err != nil || b.Calls != 0 || b.Until.Sub(first.At) < 119*time.Minute {
			t.Errorf("%+v, %v, want silence for two hours", b, err)
		}
	})
}

// A budget gives no more than it has in any interval, tells when it opens again,
// and takes back what was not used.
func TestBudgetIsCounted(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		st, err := state.Open(t.Context(), db, "shop", "dev")
		if err != nil {
			t.Fatal(err)
		}
		ask := state.Booking{Account: "a", Calls: 70, Budgets: []state.Budget{{Calls: 1000, Per: time.Hour}, {Calls: 100, Per: 24 * time.Hour}}}
		for _, want := range []int{70, 30, 0} {
			b, err := st.Book(t.Context(), ask)
			if err != nil || b.Calls != want {
				t.Fatalf("%+v, %v, want %d calls", b, err, want)
			}
			if in := b.Until.Sub(b.At); want == 0 && (b.Spent == nil || b.Spent.Calls != 100 || in < 23*time.Hour || in > 25*time.Hour) {
				t.Errorf("%+v: want it to open in a day", b)
			}
			if want == 30 {
				ask.Back = state.Booked{Calls: 0, At: b.At}
			}
		}
		ask.Back.Calls = 5
		if err := st.GiveBack(t.Context(), ask); err != nil {
			t.Fatal(err)
		}
		ask.Back.Calls = 0
		if b, err := st.Book(t.Context(), ask); err != nil || b.Calls != 5 {
			t.Errorf("%+v, %v, want the 5 calls that came back", b, err)
		}
	})
}

// What was used of a budget is used, whatever the budget is now: also by others who
// give the account other numbers.
func TestABudgetOfOtherNumbersRemembersItsUse(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		st, err := state.Open(t.Context(), db, "shop", "dev")
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct{ budget, ask, want int }{{100, 80, 80}, {50, 80, 0}, {200, 200, 120}, {210, 80, 10}} {
			b, err := st.Book(t.Context(), state.Booking{Account: "a", Calls: c.ask, Budgets: []state.Budget{{Calls: int64(c.budget), Per: 24 * time.Hour}}})
			if err != nil || b.Calls != c.want {
				t.Errorf("%d of %d a day: %+v, %v, want %d calls", c.ask, c.budget, b, err, c.want)
			}
		}
		b, err := st.Book(t.Context(), state.Booking{Account: "a", Calls: 5, Budgets: []state.Budget{{Calls: 5, Per: time.Hour}}})
		if err != nil || b.Calls != 5 {
			t.Errorf("%+v, %v: a budget of another length is another one", b, err)
		}
	})
}

// Who asked for silence has it from everybody, for as long as the longest wait.
func TestSilence(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		st, err := state.Open(t.Context(), db, "shop", "dev")
		if err != nil {
			t.Fatal(err)
		}
		if d, err := st.Silent(t.Context(), "a"); d != 0 || err != nil {
			t.Errorf("silent for %s, %v before anybody asked", d, err)
		}
		for _, d := range []time.Duration{2 * time.Hour, time.Minute} {
			if err := st.Silence(t.Context(), "a", d); err != nil {
				t.Fatal(err)
			}
		}
		other, err := state.Open(t.Context(), db, "other", "prod")
		if err != nil {
			t.Fatal(err)
		}
		if d, err := other.Silent(t.Context(), "a"); err != nil || d < 119*time.Minute || d > 2*time.Hour {
			t.Errorf("silent for %s, %v, want two hours", d, err)
		}
		b, err := other.Book(t.Context(), state.Booking{Account: "a", Calls: 1, Every: time.Second})
		if in := b.Until.Sub(b.At); err != nil || b.Calls != 0 || b.Spent != nil || in < 119*time.Minute {
			t.Errorf("%+v, %v: want no call for two hours", b, err)
		}
		if b, err := other.Book(t.Context(), state.Booking{Account: "b", Calls: 1, Every: time.Second}); err != nil || b.Calls != 1 {
			t.Errorf("%+v, %v: another account is silent too", b, err)
		}
	})
}
