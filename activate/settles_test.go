package activate_test

import (
	"testing"
	"time"

	"elt/activate"
)

// Who finds out what became of an operation depends on what the destination
// remembers, and for how long.
func TestSettles(t *testing.T) {
	sent := time.Date(2026, 3, 9, 2, 0, 0, 0, time.UTC)
	keyed := activate.Limits{Replay: activate.IdempotencyKey, Window: time.Hour}
	for name, tt := range map[string]struct {
		limits activate.Limits
		action activate.Action
		after  time.Duration
		ok     bool
		until  time.Time
	}{
		"nobody can look":             {activate.Limits{Replay: activate.Reconcile}, activate.Create, 0, false, time.Time{}},
		"a look":                      {activate.Limits{Replay: activate.Reconcile, Looks: true}, activate.Create, 999 * time.Hour, true, time.Time{}},
		"sent again":                  {activate.Limits{Replay: activate.Idempotent}, activate.Upsert, 999 * time.Hour, true, time.Time{}},
		"a key that is never lost":    {activate.Limits{Replay: activate.IdempotencyKey}, activate.Create, 999 * time.Hour, true, time.Time{}},
		"a key that is known":         {keyed, activate.Create, time.Hour, true, sent.Add(time.Hour)},
		"a key that is forgotten":     {keyed, activate.Create, time.Hour + 1, false, sent.Add(time.Hour)},
		"a key of what may be redone": {keyed, activate.Delete, 999 * time.Hour, true, time.Time{}},
		"a forgotten key, and a look": {activate.Limits{Replay: activate.IdempotencyKey, Window: time.Hour, Looks: true}, activate.Create, 999 * time.Hour, true, time.Time{}},
	} {
		if ok, until := tt.limits.Settles(tt.action, sent, sent.Add(tt.after)); ok != tt.ok || !until.Equal(tt.until) {
			t.Errorf("%s: %t until %s, want %t until %s", name, ok, until, tt.ok, tt.until)
		}
	}
}
