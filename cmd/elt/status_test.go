package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"elt/internal/project"
)

// Staleness is judged as of now, also when no run comes any more to judge it.
func TestFailIfStale(t *testing.T) {
	t.Parallel()
	dir, addr := alertProject(t, "duckdb", newFakeChat(t), "jobs: {nightly: {schedule: \"0 2 * * *\", complete_by: \"06:00\"}, byhand: {run: all}, laps: {schedule: \"0 3 * * *\"}}\n")
	in := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(time.RFC3339) }
	wantSaid(t, dir, addr, exitOK, "run|--job|nightly")
	wantSaid(t, dir, addr, exitCheck, "status|--fail-if-stale", "stale: job laps: no good run since ", "; it has never run here")
	rewrite(t, filepath.Join(dir, "elt.yaml"), "push: live", "push: fake")
	wantSaid(t, dir, addr, exitOK, "status|--fail-if-stale")
	wantSaid(t, dir, addr, exitOK, "status|--as-of|"+in(50*time.Hour))
	wantSaid(t, dir, addr, exitCheck, "status|--fail-if-stale|--as-of|"+in(50*time.Hour), "stale: job nightly: no good run since ", " 02:00, due by ", " 06:00; the last good one ended ")
	wantSaid(t, dir, addr, exitOK, "status|--fail-if-stale|6h", "at most 6h")
	wantSaid(t, dir, addr, exitCheck, "status|--fail-if-stale=6h|--as-of|"+in(7*time.Hour), "stale: in.things is 7h old, expected at most 6h", "stale: marts.m is 7h old, expected at most 6h")
	wantSaid(t, dir, addr, exitCheck, "status|--fail-if-stale=30s|--as-of|"+in(7*time.Hour), "expected at most 30s")
	wantSaid(t, dir, addr, exitUsage, "status|--fail-if-stale|soon", `--fail-if-stale "soon" is no duration, expected one such as 6h`)
	wantSaid(t, dir, addr, exitUsage, "status|6h", "takes no arguments")
	if err := os.WriteFile(filepath.Join(dir, "models", "marts", "late.sql"), []byte("-- elt:\n--   decision_window: 1d\nselect 1 as one"), 0o600); err != nil {
		t.Fatal(err)
	}
	wantSaid(t, dir, addr, exitCheck, "status|--fail-if-stale", "stale: marts.late was never loaded, expected at most 24h")
}

func TestLastDue(t *testing.T) {
	t.Parallel()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	const layout = "2006-01-02 15:04"
	for _, c := range []struct{ schedule, completeBy, now, slot, by string }{
		{"0 2 * * *", "06:00", "2026-03-10 07:00", "2026-03-10 02:00", "2026-03-10 06:00"},
		{"0 2 * * *", "06:00", "2026-03-10 05:00", "2026-03-09 02:00", "2026-03-09 06:00"},
		{"0 2 * * *", "06:00", "2026-03-29 07:00", "2026-03-29 03:00", "2026-03-29 06:00"}, // there is no 02:00
		{"0 22 * * *", "06:00", "2026-03-10 07:00", "2026-03-09 22:00", "2026-03-10 06:00"},
		{"0 22 * * *", "06:00", "2026-03-10 05:00", "2026-03-08 22:00", "2026-03-09 06:00"},
		{"0 2 * * 1-5", "06:00", "2026-03-08 12:00", "2026-03-06 02:00", "2026-03-06 06:00"}, // a Sunday
		{"0 * * * *", "", "2026-03-10 07:10", "2026-03-10 06:00", "2026-03-10 07:00"},
		{"0 2 * * *", "", "2026-03-10 07:00", "2026-03-09 02:00", "2026-03-10 02:00"},
		{"@every 15m", "", "2026-03-10 07:10", "2026-03-10 06:45", "2026-03-10 07:00"},
		{"", "06:00", "2026-03-10 07:00", "2026-03-09 06:00", "2026-03-10 06:00"},
		{"*/5 * * * *", "06:00", "2026-03-10 05:59", "2026-03-09 05:55", "2026-03-09 06:00"},
		{"", "", "2026-03-10 07:00", "", ""},
	} {
		now, err := time.ParseInLocation(layout, c.now, berlin)
		if err != nil {
			t.Fatal(err)
		}
		slot, by := lastDue(&project.Job{Schedule: c.schedule, CompleteBy: c.completeBy}, now)
		show := func(at time.Time) string {
			if at.IsZero() {
				return ""
			}
			return at.Format(layout)
		}
		if show(slot) != c.slot || show(by) != c.by {
			t.Errorf("%q by %q at %s: slot %s due by %s, want %s and %s", c.schedule, c.completeBy, c.now, show(slot), show(by), c.slot, c.by)
		}
	}
}
