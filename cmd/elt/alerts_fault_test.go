package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// A warehouse that is gone from any call on after the end of the run, as after a
// kill between sending and recording, changes nothing of how the run ended; the
// next run tells what was not recorded as told, so that people hear of it once, or
// twice at most.
func TestInvariant12FaultsWhileTelling(t *testing.T) {
	t.Parallel()
	count := func(keys string) int {
		dir, addr := alertProject(t, "duckdb", newFakeChat(t), keys)
		calls := 0
		runBad(t, dir, addr, func(call int, _ string, _ bool) error {
			calls = max(calls, call)
			return nil
		})
		return calls
	}
	first, last := count(""), count(told)
	if last-first < 5 {
		t.Fatalf("telling makes %d calls: are they counted?", last-first)
	}
	for from := first + 1; from <= last; from += 2 { // a transaction has three calls at least
		chat := newFakeChat(t)
		dir, addr := alertProject(t, "duckdb", chat, told)
		runBad(t, dir, addr, func(call int, _ string, _ bool) error {
			if call >= from {
				return errors.New("injected: the warehouse is gone")
			}
			return nil
		})
		runBad(t, dir, addr, nil)
		if n := len(chat.take()); n < 1 || n > 2 {
			t.Errorf("gone from call %d of %d on: %d messages, want 1 or 2", from, last, n)
		}
		runBad(t, dir, addr, nil)
		if got := chat.take(); len(got) > 0 {
			t.Errorf("gone from call %d on, told once more without a change: %q", from, got)
		}
	}
}

func runBad(t *testing.T, dir, addr string, hook func(int, string, bool) error) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "data", "a.csv"), []byte(badThings), 0o600); err != nil {
		t.Fatal(err)
	}
	var errs bytes.Buffer
	wrap := hooked(hook)
	if hook == nil {
		wrap = nil
	}
	if code, out := elt(t, dir, addr, &errs, wrap, "run", "--threads", "1"); code != exitCheck {
		t.Errorf("exit %d, want %d\n%s\n%s", code, exitCheck, out, errs.String())
	}
}
