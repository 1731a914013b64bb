package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"testing"

	"go.uber.org/goleak"

	"elt/scheduler"
)

// Invariant 14: a run that is cancelled, at whichever call, leaves no goroutine
// behind and a warehouse from which the next run ends as if it had not been. It
// runs beside no other test, whose goroutines would be taken for leaks.
//
//nolint:paralleltest // see above
func TestInvariant14CancelledRunLeavesNothingRunning(t *testing.T) {
	for _, engine := range []string{"duckdb", "postgres"} {
		dir, addr := projectOf(t, smallCase, engine)
		mustRun(t, dir, addr)
		clean := outcome(t, smallCase, dir, addr)
		for _, call := range []int{5, 30, 45, 60, 80, 100, 120, 150, 180, 210} {
			t.Run(fmt.Sprintf("%s/%d", engine, call), func(t *testing.T) {
				dir, addr := projectOf(t, smallCase, engine)
				before := goleak.IgnoreCurrent()
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				var stderr bytes.Buffer
				code, out := eltContext(ctx, dir, addr, &stderr, hooked(func(n int, _ string, b bool) error {
					if b && n == call {
						cancel(scheduler.ErrInterrupted)
					}
					return nil
				}), "run", "--threads", "1")
				goleak.VerifyNone(t, before)
				if code != exitInterrupted {
					t.Errorf("exit %d, want %d\n%s\n%s", code, exitInterrupted, out, &stderr)
				}
				mustRun(t, dir, addr)
				if got := outcome(t, smallCase, dir, addr); !maps.Equal(got, clean) {
					t.Errorf("cancelled at call %d, a clean rerun ends elsewhere:\n%v\nwant\n%v", call, got, clean)
				}
			})
		}
	}
}
