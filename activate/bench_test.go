package activate_test

import (
	"context"
	"fmt"
	"testing"

	"elt/activate"
	"elt/internal/warehouse"
	"elt/internal/warehouse/warehousetest"
)

// ackAll acknowledges every change at once: what is left is the cost of elt.
type ackAll struct{ limits activate.Limits }

func (d ackAll) Limits() activate.Limits { return d.limits }

func (d ackAll) Close() error { return nil }

func (d ackAll) Push(_ context.Context, b activate.Batch) ([]activate.Outcome, error) {
	outs := make([]activate.Outcome, len(b.Changes))
	for i, c := range b.Changes {
		outs[i] = activate.Outcome{OpID: c.OpID, Status: activate.Acked, Created: true}
	}
	return outs, nil
}

// BenchmarkPush pushes 200,000 new rows in batches of 100 to a destination that
// costs nothing.
func BenchmarkPush(b *testing.B) {
	for _, engine := range []string{"duckdb", "postgres"} {
		b.Run(engine, func(b *testing.B) { benchPush(b, engine) })
	}
}

func benchPush(b *testing.B, engine string) {
	const rows = 200_000
	db, err := warehouse.Open(b.Context(), warehousetest.Open(b, engine))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	w := newWorld(b, db, activate.ModeUpsert, 100)
	w.exec(fmt.Sprintf(`INSERT INTO marts.customers SELECT i, 'name ' || i FROM generate_series(1, %d) AS s(i)`, rows))
	dest := ackAll{limits: w.dest.Max}
	n := 0
	for b.Loop() {
		n++
		sync := w.sync
		sync.Name, sync.RunID = fmt.Sprintf("bench%d", n), fmt.Sprintf("run%d", n)
		plan, err := activate.NewPlan(b.Context(), db, w.st, sync)
		if err != nil {
			b.Fatal(err)
		}
		r, err := plan.Push(b.Context(), activate.Connector{Destination: dest}, activate.Options{})
		if err != nil || r.Acked != rows {
			b.Fatalf("%+v, %v", r, err)
		}
		if err := plan.Close(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(rows)*float64(n)/b.Elapsed().Seconds(), "rows/s")
}
