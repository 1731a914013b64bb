package activate

import (
	"testing"
	"time"
)

// Pages grow while their calls take no time, up to what memory holds; where a crash
// would leave more in doubt, or a rate holds calls back, they do not.
func TestPagesGrowWhereCallsTakeNoTime(t *testing.T) {
	t.Parallel()
	table := Limits{BatchRows: 50_000, Concurrency: 1, Replay: Idempotent}
	api := Limits{BatchRows: 100, Concurrency: 8, Replay: Idempotent}
	keyed := Limits{BatchRows: 100, Concurrency: 8, Replay: IdempotencyKey}
	paced := Limits{BatchRows: 100, Concurrency: 8, Replay: Idempotent, Rates: []Rate{{Calls: 10, Per: time.Second}}}
	for _, c := range []struct {
		name        string
		limits      Limits
		plan        Plan
		took        time.Duration
		first, last int64
	}{
		{"a table", table, Plan{sends: 1000, bytes: 100_000}, time.Millisecond, 50_000, 250_000},
		{"a table that is slow", table, Plan{sends: 1000, bytes: 100_000}, quick, 50_000, 50_000},
		{"wide rows", table, Plan{sends: 1000, bytes: 1000 << 20}, time.Millisecond, 50_000, 50_000},
		{"an API", api, Plan{sends: 1000, bytes: 100_000}, time.Millisecond, 20_000, 245_800},
		{"rows of 640 bytes", api, Plan{sends: 1000, bytes: 640_000}, time.Millisecond, 20_000, 104_900},
		{"an API with keys", keyed, Plan{sends: 1000, bytes: 100_000}, time.Millisecond, 1000, 1000},
		{"an API with a rate", paced, Plan{sends: 1000, bytes: 100_000}, time.Millisecond, 5000, 5000},
		{"as the caller wants", api, Plan{sends: 1000, bytes: 100_000, few: 7}, time.Millisecond, 7, 7},
	} {
		p := &c.plan
		if got := p.pageRows(c.limits); got != c.first {
			t.Errorf("%s: the first page has %d rows, expected %d", c.name, got, c.first)
		}
		for range 10 {
			p.grow(&sheet{took: c.took})
		}
		if got := p.pageRows(c.limits); got != c.last {
			t.Errorf("%s: pages grow to %d rows, expected %d", c.name, got, c.last)
		}
	}
}
