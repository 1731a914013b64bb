//go:build soak

package activate_test

import (
	"fmt"
	nethttp "net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"elt/activate"
	"elt/activate/http"
	limit "elt/internal/rate"
	"elt/internal/secret"
)

// Over a real minute at each rate, one call a row to a server on loopback, in real
// time: what the server sees of the calls in any second, wherever it begins, and
// how much of the rate is used. `make soak` runs it.
func TestRatesOverARealMinute(t *testing.T) {
	for _, rate := range []int{5, 100, 2000} {
		t.Run(fmt.Sprintf("%d a second", rate), func(t *testing.T) { realMinute(t, rate) })
	}
}

func realMinute(t *testing.T, rate int) {
	var mu sync.Mutex
	var calls []time.Time
	server := httptest.NewServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, _ *nethttp.Request) {
		now := time.Now()
		mu.Lock()
		calls = append(calls, now)
		mu.Unlock()
		w.WriteHeader(nethttp.StatusNoContent)
	}))
	defer server.Close()
	w := newWorld(t, quick(t, "duckdb"), activate.ModeUpsert, 1)
	w.fillModel(rate * 60)
	w.sync.Account, w.sync.RunID = "minute", "run1"
	conn, err := http.Kind().Open(t.Context(), activate.Config{
		Connection: &http.Connection{URL: secret.New(server.URL), Rates: []limit.Limit{limit.Limit(fmt.Sprintf("%d/s", rate))}, Concurrency: 8},
		Sync:       &http.Sync{Method: "PUT", Path: "/{object}/{customer_id}"},
		Object:     "contacts", Key: []string{"customer_id"}, Dir: t.TempDir(), Mode: activate.ModeUpsert,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Destination.Close() }()
	w.sync.Key = []string{"id"}
	plan, err := activate.NewPlan(t.Context(), w.db, w.st, w.sync)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = plan.Close(t.Context()) }()
	r, err := plan.Push(t.Context(), conn, activate.Options{})
	if err != nil || r.Acked != int64(rate*60) {
		t.Fatalf("%+v, %v", r, err)
	}
	most, first := 0, 0
	for last, at := range calls {
		for at.Sub(calls[first]) >= time.Second {
			first++
		}
		most = max(most, last-first+1)
	}
	took := calls[len(calls)-1].Sub(calls[0])
	used := float64(len(calls)-1) / took.Seconds() / float64(rate)
	t.Logf("%d calls in %s: %.2f %% of the rate, at most %d in a second", len(calls), took.Round(time.Millisecond), 100*used, most)
	if used < 0.98 {
		t.Errorf("%.2f %% of the rate is used, want 98 %%", 100*used)
	}
	if most > rate {
		t.Errorf("%d calls in a second, and the rate is %d", most, rate)
	}
}
