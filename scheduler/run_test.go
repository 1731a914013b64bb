package scheduler

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"elt/internal/event"
	"elt/internal/retry"
	"elt/window"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func step(name string, needs []string, run func(context.Context) error) Step {
	return Step{Name: name, Kind: "model", Needs: needs, Run: func(ctx context.Context, _ window.Window) (event.Result, error) {
		return event.Result{}, run(ctx)
	}}
}

func fine(context.Context) error { return nil }

func statuses(ended []event.Step) map[string]event.Status {
	m := map[string]event.Status{}
	for _, s := range ended {
		m[s.Name] = s.Status
	}
	return m
}

func TestStepsRunAfterTheirNeeds(t *testing.T) {
	t.Parallel()
	var order []string
	steps := []Step{step("c", []string{"a", "b"}, fine), step("b", []string{"a"}, fine), step("a", []string{"elsewhere"}, fine)}
	_, err := Run(t.Context(), steps, Options{Parallel: 4, Ended: func(_ context.Context, s event.Step) error {
		order = append(order, s.Name)
		return nil
	}})
	if err != nil || !slices.Equal(order, []string{"a", "b", "c"}) {
		t.Fatalf("order %v, err %v", order, err)
	}
}

func TestFailureBlocksOnlyDownstream(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	steps := []Step{
		step("a", nil, func(context.Context) error { return boom }),
		step("b", []string{"a"}, fine), step("c", []string{"b"}, fine), step("d", nil, fine),
	}
	ended, err := Run(t.Context(), steps, Options{Parallel: 2})
	if !errors.Is(err, boom) {
		t.Fatalf("err = %v", err)
	}
	got := statuses(ended)
	want := map[string]event.Status{"a": event.Failed, "b": event.Blocked, "c": event.Blocked, "d": event.OK}
	for name, st := range want {
		if got[name] != st {
			t.Errorf("%s is %s, want %s", name, got[name], st)
		}
	}
}

func TestOnlyTransientErrorsAreRetried(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tries := map[string]int{}
		steps := []Step{
			step("flaky", nil, func(context.Context) error {
				if tries["flaky"]++; tries["flaky"] < 3 {
					return retry.After(errors.New("busy"), time.Minute)
				}
				return nil
			}),
			step("wrong", nil, func(context.Context) error { tries["wrong"]++; return errors.New("no such column") }),
		}
		began := time.Now()
		ended, _ := Run(t.Context(), steps, Options{Retries: 3, Backoff: retry.Backoff{Base: time.Second, Max: time.Minute}})
		if tries["flaky"] != 3 || tries["wrong"] != 1 {
			t.Errorf("tries %v", tries)
		}
		if waited := time.Since(began); waited < 2*time.Minute {
			t.Errorf("waited %s, the server asked for a minute twice", waited)
		}
		if s := statuses(ended); s["flaky"] != event.OK || s["wrong"] != event.Failed {
			t.Errorf("statuses %v", s)
		}
	})
}

func TestPoolsAndParallelAreLimits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int64
		work := func(context.Context) error {
			if n := now.Add(1); n > most.Load() {
				most.Store(n)
			}
			<-time.After(time.Second)
			now.Add(-1)
			return nil
		}
		var steps []Step
		for _, n := range []string{"a", "b", "c", "d", "e"} {
			s := step(n, nil, work)
			s.Pool = "api"
			steps = append(steps, s)
		}
		if _, err := Run(t.Context(), steps, Options{Parallel: 5, Pools: map[string]int{"api": 2}}); err != nil {
			t.Fatal(err)
		}
		if most.Load() != 2 {
			t.Errorf("%d steps of a pool of 2 ran side by side", most.Load())
		}
	})
}

func TestDrainLetsRunningStepsEnd(t *testing.T) {
	t.Parallel()
	drain, started := make(chan struct{}), make(chan struct{})
	steps := []Step{
		step("a", nil, func(ctx context.Context) error { close(started); <-drain; return ctx.Err() }),
		step("b", []string{"a"}, fine),
	}
	go func() { <-started; close(drain) }()
	ended, err := Run(t.Context(), steps, Options{Drain: drain})
	if err != nil {
		t.Fatal(err)
	}
	if s := statuses(ended); s["a"] != event.OK || s["b"] != event.Interrupted {
		t.Errorf("statuses %v", s)
	}
}

// Invariant 14: Run returns only when every goroutine has ended; goleak in
// TestMain sees those that did not.
func TestInvariant14CancelEndsEveryStep(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	var ended atomic.Bool
	steps := []Step{step("a", nil, func(ctx context.Context) error {
		cancel(ErrInterrupted)
		<-ctx.Done()
		ended.Store(true)
		return ctx.Err()
	}), step("b", nil, fine)}
	got, err := Run(ctx, steps, Options{})
	if !errors.Is(err, ErrInterrupted) || !ended.Load() {
		t.Fatalf("err %v, step ended %v", err, ended.Load())
	}
	if s := statuses(got); s["a"] != event.Interrupted || s["b"] != event.Interrupted {
		t.Errorf("statuses %v", s)
	}
}

func TestPanicAndTimeoutAreErrorsOfTheirStep(t *testing.T) {
	t.Parallel()
	slow := step("slow", nil, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
	slow.Timeout = time.Millisecond
	ended, err := Run(t.Context(), []Step{step("bad", nil, func(context.Context) error { panic("ouch") }), slow}, Options{})
	if err == nil || len(ended) != 2 {
		t.Fatalf("ended %v err %v", ended, err)
	}
	for _, s := range ended {
		if s.Status != event.Failed {
			t.Errorf("%s is %s", s.Name, s.Status)
		}
	}
	if s := ended[slices.IndexFunc(ended, func(s event.Step) bool { return s.Name == "bad" })]; strings.Contains(s.Error, "goroutine") || !strings.Contains(s.Error, "internal error: ouch") || !strings.Contains(s.Stack, "goroutine") {
		t.Errorf("the error is %q and the stack %q", s.Error, s.Stack)
	}
	if want := "model slow: timeout of 1ms"; !slices.ContainsFunc(ended, func(s event.Step) bool { return len(s.Error) >= len(want) && s.Error[:len(want)] == want }) {
		t.Errorf("no step says %q: %v", want, ended)
	}
}

func TestRecordingErrorStopsTheRun(t *testing.T) {
	t.Parallel()
	full := errors.New("disk full")
	steps := []Step{step("a", nil, fine), step("b", []string{"a"}, fine)}
	ended, err := Run(t.Context(), steps, Options{Ended: func(_ context.Context, s event.Step) error {
		if s.Name == "a" {
			return full
		}
		return nil
	}})
	var unrecorded *RecordError
	if !errors.As(err, &unrecorded) || unrecorded.Step != "a" || err.Error() != "disk full" || statuses(ended)["b"] != event.Blocked {
		t.Errorf("ended %v err %v", ended, err)
	}
}
