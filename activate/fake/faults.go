package fake

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"

	"elt/activate"
)

// Faults are the switches of a stand-in: how often which outage strikes, and how
// many rows it refuses. The zero Faults strike never. Safe for concurrent use.
type Faults struct {
	mu     sync.Mutex
	shares []share
	reject float64
	random *rand.Rand
}

type share struct {
	outage Outage
	of     float64
}

// reject is the switch of rows that are refused, whatever call they come in.
const reject = "reject"

// ParseFaults reads switches such as cut_after=5% or reject=1%: shares of the
// calls, or of the rows. The same seed draws the same outages for the same calls.
func ParseFaults(switches []string, seed uint64) (*Faults, error) {
	f := &Faults{random: rand.New(rand.NewPCG(seed, 0))} //nolint:gosec // repeatable on purpose
	var sum float64
	for _, text := range switches {
		name, value, ok := strings.Cut(text, "=")
		name = strings.TrimSpace(name)
		at := slices.Index(names(), name)
		of, err := percent(value)
		switch {
		case !ok || err != nil:
			return nil, fmt.Errorf("fault %q: expected NAME=SHARE, such as cut_after=5%%", text)
		case name == reject:
			f.reject = of
		case at <= 0:
			return nil, fmt.Errorf("unknown fault %q, expected one of %s, %s", name, strings.Join(names()[1:], ", "), reject)
		default:
			f.shares = append(f.shares, share{Outage(at), of})
			sum += of
		}
	}
	if sum > 1 {
		return nil, fmt.Errorf("the faults of calls add up to %g%%: no call has more than one", sum*100)
	}
	return f, nil
}

func percent(text string) (float64, error) {
	digits, ok := strings.CutSuffix(strings.TrimSpace(text), "%")
	n, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
	if err != nil || !ok || !(n >= 0 && n <= 100) {
		return 0, fmt.Errorf("%q is no share from 0%% to 100%%", text)
	}
	return n / 100, nil
}

// draw is what goes wrong with the next call.
func (f *Faults) draw() Outage {
	if f == nil || len(f.shares) == 0 {
		return Fine
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	at := f.random.Float64()
	for _, s := range f.shares {
		if at < s.of {
			return s.outage
		}
		at -= s.of
	}
	return Fine
}

// refuses reports whether a row is refused. It is always the same rows, whatever
// they are sent with.
func (f *Faults) refuses(c activate.Change) bool {
	if f == nil || f.reject == 0 || c.Action == activate.Delete {
		return false
	}
	h := activate.Fingerprint(string(c.Key))
	n, err := strconv.ParseUint(h[:8], 16, 64)
	return err == nil && float64(n) < f.reject*(1<<32)
}
