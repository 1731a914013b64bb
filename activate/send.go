package activate

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Statuses of a settled row that no destination reports.
const (
	statusDeferred Status = "deferred" // not sent, or refused before anything happened
	statusBlocked  Status = "blocked"  // an earlier outcome is unknown, and replay is not safe
)

// settled is what became of one row in this run.
type settled struct {
	seq      int64
	status   Status
	resent   bool
	doubt    bool // an earlier try of this run may have happened
	local    bool // rejected here: nobody was asked
	busy     bool // the destination may still be at it since a run before
	created  bool
	destID   string
	code     string
	message  string
	attempts int64
}

// sender pushes batches within the limits of a destination. Its methods may be
// called side by side.
type sender struct {
	dest    Destination
	lookup  Lookup // nil: nobody can look
	limits  Limits
	object  string
	guards  Guards
	opts    Options
	account *account
	rested  bool // what runs before this one have sent has had the time to be found

	mu       sync.Mutex
	problem  string    // why nothing more is sent
	resume   time.Time // when that will be over; zero: nobody knows
	barred   error     // the destination takes nothing of this sync, whatever it is sent
	err      error     // what went wrong here, not there
	barren   int       // batches in a row of which no row was answered
	answered int64     // rows that were acknowledged or rejected
	refused  int64     // of those, the rejected
}

// patience is how many batches may go unanswered, one after the other, before
// the destination counts as down.
const patience = 3

// send pushes rows and returns what became of each of them, every row once and
// in an order that does not depend on which call ended first. Calls are side by
// side within one action only: what deletes waits for what adds.
func (s *sender) send(ctx context.Context, list []row) []settled {
	results := make([]settled, 0, len(list))
	for len(list) > 0 {
		n := 1
		for n < len(list) && list[n].change.Action == list[0].change.Action {
			n++
		}
		batches, tooLarge := s.cut(list[:n])
		results = append(results, tooLarge...)
		done := make([][]settled, len(batches))
		sideBySide(s.limits.Concurrency, len(batches), func(i int) { done[i] = s.batch(ctx, batches[i]) })
		for _, d := range done {
			results = append(results, d...)
		}
		list = list[n:]
	}
	return results
}

// sideBySide calls fn with 0..n-1, up to workers at a time, and returns when all
// have ended. A panic of one stops the others after their turn, and is the caller's.
func sideBySide(workers, n int, fn func(i int)) {
	if workers = min(workers, n); workers <= 1 {
		for i := range n {
			fn(i)
		}
		return
	}
	var (
		next     atomic.Int64
		wg       sync.WaitGroup
		once     sync.Once
		panicked any
	)
	for range workers {
		wg.Go(func() {
			defer func() {
				if p := recover(); p != nil {
					once.Do(func() { panicked = p })
					next.Store(int64(n))
				}
			}()
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				fn(int(i))
			}
		})
	}
	wg.Wait()
	if panicked != nil {
		panic(panicked)
	}
}

// cut makes the batches of list. A row that is too large by itself is rejected,
// unless an earlier run may have sent it.
func (s *sender) cut(list []row) (batches [][]row, tooLarge []settled) {
	for len(list) > 0 {
		n := s.fits(list)
		if n == 0 {
			f := flight{s: s, rows: list[:1], results: []settled{{seq: list[0].seq, resent: list[0].resent}}}
			f.take(&f.results[0], Outcome{
				Status: Rejected, Local: true, Code: "too_large",
				Message: fmt.Sprintf("the row has more than the %d bytes that the destination takes in a call", s.limits.BatchBytes),
			})
			tooLarge = append(tooLarge, f.results...)
			n = 1
		} else {
			batches = append(batches, list[:n])
		}
		list = list[n:]
	}
	return batches, tooLarge
}

// fits is how many rows fit into the next batch; 0 when the first is too large
// by itself.
func (s *sender) fits(list []row) int {
	size := 0
	for n, r := range list {
		size += len(r.change.Key) + len(r.change.Fields)
		if n == s.limits.BatchRows || (s.limits.BatchBytes > 0 && size > s.limits.BatchBytes) {
			return n
		}
	}
	return len(list)
}

// interrupted is why sending stops at a signal.
const interrupted = "interrupted: the next run sends the rest"

// stop ends sending for a reason; the first reason counts.
func (s *sender) stop(problem string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.problem == "" {
		s.problem = problem
	}
}

// bar ends sending because no row of this sync can be sent, as a call with changes
// has shown.
func (s *sender) bar(err error, changes []Change) {
	told := &masked{text: s.opts.Mask(err.Error(), changes), err: err}
	s.stop(told.text)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.barred == nil {
		s.barred = told
	}
}

// masked is an error whose text may be told anywhere.
type masked struct {
	text string
	err  error
}

func (e *masked) Error() string { return e.text }

func (e *masked) Unwrap() error { return e.err }

// stopped reports whether sending should end.
func (s *sender) stopped(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		s.stop(interrupted)
	case <-s.opts.Drain:
		s.stop(interrupted)
	default:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.problem != ""
}

// count notes the answers of one call and stops where too many are refusals. It
// is told of each call, since a batch that is halved takes many.
func (s *sender) count(acked, rejected int64) {
	const enough = 200
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answered += acked + rejected
	s.refused += rejected
	limit := s.guards.MaxRejectPercent
	if limit > 0 && s.answered >= enough && float64(s.refused)*100 > limit*float64(s.answered) && s.problem == "" {
		s.problem = fmt.Sprintf("%d of %d rows were rejected, over the guard max_reject of %g%%", s.refused, s.answered, limit)
	}
}

// judge decides after a batch of rows whether the destination is there at all.
func (s *sender) judge(rows []row, done []settled) {
	tried, answered := false, false
	for _, d := range done {
		tried = tried || d.attempts > 0
		answered = answered || d.status == Acked || d.status == Rejected
	}
	if !tried {
		return
	}
	if !s.silent(answered) {
		return
	}
	changes := make([]Change, len(rows))
	for i, r := range rows {
		changes[i] = r.change
	}
	s.stop("the destination does not answer: " + s.opts.Mask(done[len(done)-1].message, changes))
}

// silent counts a batch, and reports whether too many have gone unanswered by now.
func (s *sender) silent(answered bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.barren++; answered {
		s.barren = 0
	}
	return s.barren >= patience && s.problem == ""
}
