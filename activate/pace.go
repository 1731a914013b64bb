package activate

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// How calls are paced. A rate of n calls in any interval of length Per is kept by
// slots that are (1 + headroom)·Per/n apart. A call is made in its slot or up to
// lateness·Per after it: that an interval sees the slots of one that is longer by
// that much is less than what headroom leaves out. A slot that is later than that
// is lost, so that a pause is never made up for by a burst.
const (
	headroom = 0.015
	lateness = 0.006
	// ahead is for how long slots are booked at a time: at 2,000 calls a second
	// that is four transactions a second, at a few calls one for each.
	ahead = 250 * time.Millisecond
)

// block is a number of slots, of which some may be over.
type block struct {
	next time.Time // of the first that is left, by the clock of this machine
	left int
	size int
	lost int       // slots that nobody was there for
	at   time.Time // what it was booked for, by the clock of the warehouse
}

// unused are the slots of b that no call was made in.
func (b block) unused() int { return b.left + b.lost }

// waitError is why there is no slot to be had, and until when.
type waitError struct {
	until time.Time
	why   string
}

func (e *waitError) Error() string { return e.in(time.UTC) }

// in is the error with its time as the clocks of a zone show it.
func (e *waitError) in(zone *time.Location) string {
	return fmt.Sprintf("%s until %s", e.why, e.until.In(zone).Format("2006-01-02 15:04:05 MST"))
}

// pacer hands out the slots of an account to the calls of this process. It is
// safe for concurrent use.
type pacer struct {
	every time.Duration // between two slots; 0: budgets alone
	slack time.Duration // a slot that is later is lost
	most  int           // slots in a block
	// book books n slots, the first of them not before lead has passed, and gives
	// those of back that were not used back.
	book func(ctx context.Context, n int, lead time.Duration, back block) (block, error)

	mu       sync.Mutex
	cur      block
	spare    block         // booked while cur is used
	over     block         // used up: its unused slots go back with the next booking
	n        int           // slots to book next
	lead     time.Duration // how long a booking takes, generously
	booking  chan struct{} // of the booking that is on: closed when it has ended
	ahead    sync.WaitGroup
	panicked any
}

// take waits for a slot and returns when it is there: the call is to be made at
// once. The error is a [waitError] when there are no slots for now.
func (p *pacer) take(ctx context.Context, sleep func(context.Context, time.Duration) error) error {
	for {
		slot, ok, wait := p.pop(ctx)
		switch {
		case ok:
			if d := time.Until(slot); d > 0 {
				if err := sleep(ctx, d); err != nil {
					return err
				}
			}
			if time.Since(slot) <= p.slack {
				return nil
			}
			p.lose()
		case wait != nil:
			select {
			case <-wait:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		default:
			if err := p.refill(ctx); err != nil {
				return err
			}
		}
	}
}

// lose counts a slot that was handed out and is over.
func (p *pacer) lose() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cur.lost++
}

// pop hands out the next slot. Without one it tells which booking to wait for;
// none: the caller books, and p.booking is its.
func (p *pacer) pop(ctx context.Context) (slot time.Time, ok bool, wait chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.panicked != nil {
		panic(p.panicked)
	}
	now := time.Now()
	p.cur.skip(now.Add(-p.slack), p.every)
	if p.cur.left == 0 && p.spare.left > 0 {
		p.retire()
		p.cur, p.spare = p.spare, block{}
		p.cur.skip(now.Add(-p.slack), p.every)
	}
	if p.cur.left == 0 {
		if p.booking != nil {
			return slot, false, p.booking
		}
		p.retire()
		p.booking = make(chan struct{})
		return slot, false, nil
	}
	slot = p.cur.next
	p.cur.next = slot.Add(p.every)
	p.cur.left--
	// Slots of one block are booked while those of another are used. Single ones
	// are not: the call before it may last longer than until its slot.
	if p.cur.size > 1 && p.cur.left <= p.cur.size/2 && p.spare.left == 0 && p.booking == nil {
		p.booking = make(chan struct{})
		p.ahead.Go(func() {
			defer func() {
				if r := recover(); r != nil {
					p.mu.Lock()
					p.panicked = r
					p.mu.Unlock()
				}
			}()
			_ = p.refill(ctx) // who needs the slots tries again, and tells
		})
	}
	return slot, true, nil
}

// skip drops the slots before t.
func (b *block) skip(t time.Time, every time.Duration) {
	if b.left == 0 || !b.next.Before(t) {
		return
	}
	n := b.left
	if every > 0 {
		n = min(n, int((t.Sub(b.next)+every-1)/every))
	}
	b.next = b.next.Add(time.Duration(n) * every)
	b.left -= n
	b.lost += n
}

// retire puts cur away once it is used up, and learns from it how many slots are
// used in the time of a block.
func (p *pacer) retire() {
	if p.cur.size == 0 {
		return
	}
	switch {
	case p.cur.lost == 0:
		p.n = min(2*p.n, p.most)
	case 2*p.cur.lost >= p.cur.size:
		p.n = max(p.n/2, 1)
	}
	if p.over.lost == 0 {
		p.over = p.cur
	}
	p.cur = block{}
}

// refill books a block; the caller has set p.booking.
func (p *pacer) refill(ctx context.Context) error {
	p.mu.Lock()
	n, lead, back := p.n, p.lead, p.over
	p.over = block{}
	p.mu.Unlock()
	began := time.Now()
	b, err := p.book(ctx, n, lead, back)
	took := time.Since(began)
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.booking)
	p.booking = nil
	if err != nil {
		return err
	}
	p.lead = max(took*3/2, p.lead*3/4)
	p.spare = b
	return nil
}

// close waits for what is on, and returns the slots that were not used. Nobody may
// take one any more.
func (p *pacer) close() []block {
	p.ahead.Wait()
	if p.panicked != nil {
		panic(p.panicked)
	}
	var left []block
	for _, b := range []block{p.cur, p.spare, p.over} {
		if b.unused() > 0 {
			left = append(left, b)
		}
	}
	return left
}
