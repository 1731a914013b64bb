package state

import (
	"context"
	"fmt"
	"time"

	"elt/internal/retry"
	"elt/internal/rows"
	"elt/internal/warehouse"
)

// Budget is the most calls that an account takes in any interval of a length, by
// count: how they are spread does not matter.
type Budget struct {
	Calls int64
	Per   time.Duration
}

// counter names what the calls of a budget are counted under. How many it has is no
// part of it: a budget that is given other numbers remembers what was used.
func (b Budget) counter() string { return b.Per.String() }

// slice is the length of the slices in which the calls of a budget are counted:
// short enough that little of the budget is lost where one begins and ends.
func (b Budget) slice() time.Duration { return max(b.Per/60, time.Second) }

// open is when the slice that begins at start no longer counts. A call is made
// at most a slice after the time that it was booked for.
func (b Budget) open(start time.Time) time.Time { return start.Add(b.Per + 2*b.slice()) }

// Booking asks for calls to an account. Accounts belong to no project: whoever
// calls one shares what it takes.
type Booking struct {
	Account string
	Calls   int           // as many, or fewer where a budget has no more left
	Every   time.Duration // distance between calls; 0: none
	Lead    time.Duration // the first is not before that has passed
	Budgets []Budget      // each of another length
	Back    Booked        // calls of an earlier booking that were not made: they go back to the budgets
}

// Booked are calls that their booker may make: the first at At, each other one
// after the distance that was asked for.
type Booked struct {
	Calls int
	At    time.Time
	Until time.Time // when there may be some again, if there are none
	Spent *Budget   // why there are none; nil: the account asked for silence
	Clock Clock
}

// Clock is how far the clock of the account is before that of this machine, and
// how exactly that is known. On DuckDB, with one process, both are one.
type Clock struct{ Ahead, Within time.Duration }

// bookTries bounds how often a booking that met another one is tried again: each
// time one of the two went through.
const bookTries = 100

// Book books calls in one short transaction. The times in it are by the clock of
// the warehouse, which all processes share.
func (s *Store) Book(ctx context.Context, b Booking) (out Booked, err error) {
	err = s.retried(ctx, func(ctx context.Context, tx *warehouse.Tx) error {
		out, err = book(ctx, tx, b)
		return err
	})
	if err != nil {
		return Booked{}, fmt.Errorf("book calls of an account: %w", err)
	}
	return out, nil
}

// retried runs fn in a transaction, and again while others were faster.
func (s *Store) retried(ctx context.Context, fn func(context.Context, *warehouse.Tx) error) error {
	backoff := retry.Backoff{Base: time.Millisecond, Max: 50 * time.Millisecond}
	for try := 1; ; try++ {
		err := s.db.Update(ctx, fn)
		kind := warehouse.KindOf(err)
		if err == nil || try == bookTries || kind != warehouse.KindConflict && kind != warehouse.KindUnique {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(backoff.Wait(try, 0)):
		}
	}
}

func book(ctx context.Context, tx *warehouse.Tx, b Booking) (Booked, error) {
	acc, err := lockAccount(ctx, tx, b.Account)
	if err != nil {
		return Booked{}, err
	}
	now, clock, err := clockOf(ctx, tx)
	if err != nil {
		return Booked{}, err
	}
	if err := giveBack(ctx, tx, b); err != nil {
		return Booked{}, err
	}
	out := Booked{Calls: b.Calls, At: now.Add(b.Lead), Clock: clock}
	if acc.silence.After(now) {
		out.Calls, out.Until = 0, acc.silence
		return out, nil
	}
	if next := acc.nextAt(now); next.After(out.At) && b.Every > 0 {
		out.At = next
	}
	for i, budget := range b.Budgets {
		left, opens, err := budgetLeft(ctx, tx, b.Account, budget, out.At)
		if err != nil {
			return Booked{}, err
		}
		if left < int64(out.Calls) {
			out.Calls = int(max(left, 0))
		}
		if out.Calls == 0 {
			out.Until, out.Spent = opens, &b.Budgets[i]
			return out, nil
		}
	}
	if b.Every > 0 {
		after := out.At.Add(time.Duration(out.Calls)*b.Every + time.Microsecond) // what the table cuts off
		if _, err := tx.Exec(ctx, `UPDATE _elt.quota SET next_at = $2, booked_at = $3 WHERE account = $1`, b.Account, stamp(after), stamp(now)); err != nil {
			return Booked{}, err
		}
	}
	for _, budget := range b.Budgets {
		if err := spend(ctx, tx, b.Account, budget, out.At, int64(out.Calls)); err != nil {
			return Booked{}, err
		}
	}
	return out, nil
}

// accountRow is what is kept of an account; the zero time is none.
type accountRow struct{ next, booked, silence time.Time }

// nextAt is when the next call may be made. A booking of later than now shows that
// the clock was set back since, by so much at least: the calls that wait are as many
// as they were, and not as far away as the clock says.
func (a accountRow) nextAt(now time.Time) time.Time {
	if a.booked.After(now) {
		return a.next.Add(-a.booked.Sub(now))
	}
	return a.next
}

// lockAccount reads the row of an account, and makes it where there is none. The
// update makes two bookings wait for each other, or conflict.
func lockAccount(ctx context.Context, tx *warehouse.Tx, account string) (row accountRow, err error) {
	n, err := tx.Exec(ctx, `UPDATE _elt.quota SET next_at = next_at WHERE account = $1`, account)
	if err == nil && n == 0 {
		_, err = tx.Exec(ctx, `INSERT INTO _elt.quota (account) VALUES ($1)`, account)
	}
	if err != nil {
		return row, err
	}
	err = warehouse.Each(ctx, tx, `SELECT next_at, booked_at, not_before FROM _elt.quota WHERE account = $1`, func(r rows.Row) error {
		row = accountRow{next: timeOr(r, 0), booked: timeOr(r, 1), silence: timeOr(r, 2)}
		return nil
	}, account)
	return row, err
}

func timeOr(r rows.Row, i int) time.Time {
	if r.Null(i) {
		return time.Time{}
	}
	return r.Time(i)
}

// clockOf reads the clock that the processes share.
func clockOf(ctx context.Context, q warehouse.Querier) (now time.Time, c Clock, err error) {
	now = time.Now()
	if tx, ok := q.(*warehouse.Tx); ok && tx.Dialect().Name == "duckdb" {
		return now, c, nil
	}
	before := now
	err = warehouse.Each(ctx, q, `SELECT clock_timestamp()`, func(r rows.Row) error {
		now = r.Time(0)
		return nil
	})
	took := time.Since(before)
	return now, Clock{Ahead: now.Sub(before.Add(took / 2)), Within: took / 2}, err
}

// budgetLeft is how many calls of a budget are left at a time, and when the next
// slice of it opens.
func budgetLeft(ctx context.Context, tx *warehouse.Tx, account string, b Budget, at time.Time) (left int64, opens time.Time, err error) {
	left = b.Calls
	since := at.Add(-b.Per - 2*b.slice())
	err = warehouse.Each(ctx, tx, `SELECT slice_start, used FROM _elt.quota_slice WHERE account = $1 AND rate = $2 AND slice_start > $3
		ORDER BY slice_start`, func(r rows.Row) error {
		if opens.IsZero() && r.Int(1) > 0 {
			opens = b.open(r.Time(0))
		}
		left -= r.Int(1)
		return nil
	}, account, b.counter(), stamp(since))
	return left, opens, err
}

// spend counts n calls at a time; -n gives them back. Slices that are over go.
func spend(ctx context.Context, tx *warehouse.Tx, account string, b Budget, at time.Time, n int64) error {
	start := stamp(at.Truncate(b.slice()))
	known, err := tx.Exec(ctx, `UPDATE _elt.quota_slice SET used = used + $4 WHERE account = $1 AND rate = $2 AND slice_start = $3`,
		account, b.counter(), start, n)
	if err != nil || known > 0 || n < 0 {
		return err
	}
	_, err = tx.Exec(ctx, `DELETE FROM _elt.quota_slice WHERE account = $1 AND rate = $2 AND slice_start < $3`,
		account, b.counter(), stamp(at.Add(-2*b.Per-2*b.slice())))
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO _elt.quota_slice (account, rate, slice_start, used) VALUES ($1, $2, $3, $4)`,
		account, b.counter(), start, n)
	return err
}

func giveBack(ctx context.Context, tx *warehouse.Tx, b Booking) error {
	if b.Back.Calls == 0 {
		return nil
	}
	for _, budget := range b.Budgets {
		if err := spend(ctx, tx, b.Account, budget, b.Back.At, -int64(b.Back.Calls)); err != nil {
			return err
		}
	}
	return nil
}

// GiveBack gives the calls of a booking that were not made back to the budgets.
func (s *Store) GiveBack(ctx context.Context, b Booking) error {
	if b.Back.Calls == 0 || len(b.Budgets) == 0 {
		return nil
	}
	err := s.retried(ctx, func(ctx context.Context, tx *warehouse.Tx) error {
		if _, err := lockAccount(ctx, tx, b.Account); err != nil {
			return err
		}
		return giveBack(ctx, tx, b)
	})
	if err != nil {
		return fmt.Errorf("give back calls of an account: %w", err)
	}
	return nil
}

// Silence keeps everybody from calling an account until d has passed, as it
// asked; an earlier call that asked for longer stands.
func (s *Store) Silence(ctx context.Context, account string, d time.Duration) error {
	err := s.retried(ctx, func(ctx context.Context, tx *warehouse.Tx) error {
		acc, err := lockAccount(ctx, tx, account)
		if err != nil {
			return err
		}
		now, _, err := clockOf(ctx, tx)
		if until := now.Add(d); err == nil && until.After(acc.silence) {
			_, err = tx.Exec(ctx, `UPDATE _elt.quota SET not_before = $2 WHERE account = $1`, account, stamp(until))
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("keep that an account asked to wait: %w", err)
	}
	return nil
}

// Silent is how long an account is not to be called from now on; 0: it may be.
func (s *Store) Silent(ctx context.Context, account string) (d time.Duration, err error) {
	var until time.Time
	err = warehouse.Each(ctx, s.db, `SELECT not_before FROM _elt.quota WHERE account = $1 AND not_before IS NOT NULL`, func(r rows.Row) error {
		until = r.Time(0)
		return nil
	}, account)
	if s.lenient && warehouse.KindOf(err) == warehouse.KindNotFound { // of an older elt, which kept none
		return 0, nil
	}
	if err != nil || until.IsZero() {
		return 0, err
	}
	err = s.db.View(ctx, func(ctx context.Context, tx *warehouse.Tx) error {
		now, _, err := clockOf(ctx, tx)
		d = max(until.Sub(now), 0)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("read how long an account is to be left alone: %w", err)
	}
	return d, nil
}
