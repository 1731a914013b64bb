package report

import (
	"strings"
	"testing"
	"time"

	"elt/internal/event"
)

func TestNumber(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 18377: "18,377", 1234567: "1,234,567", -1000: "-1,000", -999: "-999"} {
		if got := Number(n); got != want {
			t.Errorf("Number(%d) = %q, want %q", n, got, want)
		}
	}
}

func events(exit int) []event.Event {
	status := event.OK
	if exit != 0 {
		status = event.Failed
	}
	return []event.Event{
		{Run: "7f3a", Start: &event.Start{Project: "shop", Target: "dev", Warehouse: ".elt/dev.duckdb", Push: "fake"}},
		{Run: "7f3a", Step: &event.Step{Kind: "extract", Name: "shop.orders", Status: event.OK, Result: event.Result{
			Counts: []event.Count{{Label: "read", N: 18377}, {Label: "published", N: 18376}, {Label: "quarantined", N: 1}}, Took: 1900 * time.Millisecond,
			Warnings: []event.Warning{{Subject: "shop.orders", Text: "1 row quarantined (0.01%, limit 1%)", Detail: `amount "12,50" is no decimal`, Hint: "elt quarantine shop.orders"}}}}},
		{Run: "7f3a", End: &event.End{Status: status, Exit: exit, Took: 4200 * time.Millisecond, AsOf: time.Date(2026, 11, 24, 1, 58, 0, 0, time.UTC), Log: ".elt/logs/7f3a.jsonl"}},
	}
}

func TestPlainReadsAsTheDesignShows(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	p := NewPlain(&b, time.UTC)
	for _, e := range events(0) {
		p.Emit(e)
	}
	want := `shop · dev · .elt/dev.duckdb · run 7f3a · push: fake
extract  shop.orders              18,377 read    18,376 published  1 quarantined       1.9s

warning  shop.orders: 1 row quarantined (0.01%, limit 1%)
         amount "12,50" is no decimal · elt quarantine shop.orders
OK in 4.2s · data as of 24 Nov 01:58 · log .elt/logs/7f3a.jsonl
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

func TestQuietTellsOnlyFailures(t *testing.T) {
	t.Parallel()
	for exit, silent := range map[int]bool{0: true, 1: false} {
		var b strings.Builder
		q := NewQuiet(&b, time.UTC)
		for _, e := range events(exit) {
			q.Emit(e)
		}
		if (b.Len() == 0) != silent {
			t.Errorf("exit %d printed %q", exit, b.String())
		}
	}
}

// A command that a warning names leads to the target of the run.
func TestHintsNameTheTarget(t *testing.T) {
	t.Parallel()
	for target, want := range map[string]string{"dev": "elt quarantine shop.orders\n", "prod": "elt quarantine shop.orders --target prod\n"} {
		var b strings.Builder
		p := NewPlain(&b, time.UTC)
		list := events(0)
		list[0].Start.Target = target
		for _, e := range list {
			p.Emit(e)
		}
		if !strings.Contains(b.String(), want) {
			t.Errorf("%s printed %q, want %q in it", target, b.String(), want)
		}
	}
}
