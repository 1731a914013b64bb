package activate_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"elt/activate"
)

// slots is an account in memory, which any number of pacers share. A booking takes
// as long as a transaction does.
type slots struct {
	mu    sync.Mutex
	next  time.Time
	books int
	rnd   *rand.Rand
}

func (s *slots) book(_ context.Context, n int, every, lead time.Duration) (time.Time, error) {
	s.mu.Lock()
	s.books++
	delay := time.Millisecond + time.Duration(s.rnd.Int64N(int64(20*time.Millisecond)))
	s.mu.Unlock()
	time.Sleep(delay / 2)
	s.mu.Lock()
	at := time.Now().Add(lead)
	if s.next.After(at) {
		at = s.next
	}
	s.next = at.Add(time.Duration(n) * every)
	s.mu.Unlock()
	time.Sleep(delay / 2)
	return at, nil
}

// Over a minute at each rate, with calls that take longer or shorter, no interval
// sees more calls than the rate has, wherever it begins, and nearly all of them
// are used.
func TestRatesAreKeptAndUsed(t *testing.T) {
	for _, rate := range []int{5, 100, 2000} {
		for _, workers := range []int{1, 2, 8} {
			for _, processes := range []int{1, 2} {
				t.Run(fmt.Sprintf("%d a second, %d workers, %d processes", rate, workers, processes), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { keepsRate(t, rate, workers, processes) })
				})
			}
		}
	}
}

func keepsRate(t *testing.T, rate, workers, processes int) {
	const length = time.Minute
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 1))
	account := &slots{rnd: rnd}
	// A call takes nearly no time, or up to 80 % of what its process can spare.
	longest := time.Duration(0.8 * float64(time.Second) * float64(workers) / float64(rate))
	var (
		mu    sync.Mutex
		calls []time.Time
		wg    sync.WaitGroup
	)
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	for range processes {
		pacer := activate.NewPacer([]activate.Rate{{Calls: rate, Per: time.Second}, {Calls: 1_000_000, Per: time.Minute}}, account.book)
		var pushing sync.WaitGroup
		for range workers {
			pushing.Go(func() {
				for pacer.Take(ctx) == nil {
					mu.Lock()
					calls = append(calls, time.Now())
					took := time.Duration(rnd.Int64N(int64(longest)))
					mu.Unlock()
					time.Sleep(took)
				}
			})
		}
		wg.Go(func() { pushing.Wait(); pacer.Close() })
	}
	wg.Wait()
	slices.SortFunc(calls, time.Time.Compare)
	most, from := 0, 0
	for i, c := range calls {
		for calls[from].Add(time.Second).Compare(c) <= 0 {
			from++
		}
		most = max(most, i-from+1)
	}
	used := float64(len(calls)) / (length.Seconds() * float64(rate))
	t.Logf("seed %d: %d calls, %.2f %% used, at most %d in a second, %d bookings in %s", seed, len(calls), 100*used, most, account.books, time.Since(began))
	if most > rate {
		t.Errorf("seed %d: %d calls in one second, over the rate of %d", seed, most, rate)
	}
	if used < 0.98 {
		t.Errorf("seed %d: %.2f %% of the rate was used, want 98", seed, 100*used)
	}
}
