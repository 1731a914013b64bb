package retry

import (
	"math/rand/v2"
	"time"
)

// Backoff is exponential with full jitter, as in
// https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/.
type Backoff struct {
	Base time.Duration // before the second try
	Max  time.Duration // longest wait
}

// Wait returns how long to wait after failed try number n, counted from 1.
// at least is what the server asked for; the wait is never shorter.
func (b Backoff) Wait(n int, atLeast time.Duration) time.Duration {
	d := b.Base
	for i := 1; i < n && d < b.Max; i++ {
		d *= 2
	}
	d = min(d, b.Max)
	if d > 0 {
		d = d/2 + rand.N(d/2+1)
	}
	return max(d, atLeast)
}
