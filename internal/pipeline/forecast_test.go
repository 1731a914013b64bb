package pipeline

import (
	"testing"
	"time"

	"elt/activate"
)

func TestQuotaTime(t *testing.T) {
	t.Parallel()
	rates := []activate.Rate{{Calls: 10, Per: time.Second}, {Calls: 100, Per: time.Minute}}
	for calls, want := range map[int64]time.Duration{0: 0, 10: 6 * time.Second, 1000: 10 * time.Minute} {
		if got := quotaTime(calls, rates); got != want {
			t.Errorf("%d calls take %s, want %s", calls, got, want)
		}
	}
	if got := quotaTime(5, nil); got != 0 {
		t.Errorf("without rates it takes %s", got)
	}
}
