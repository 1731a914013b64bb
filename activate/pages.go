package activate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"elt/internal/warehouse"
)

// sheet is one page of a plan on its way: rows that are prepared in one
// transaction, sent, and settled in another.
type sheet struct {
	number    int64
	after, to int64 // numbers of its rows: after..to, to included
	list      []row
	send      []row // those of list that go out
	results   []settled
	took      time.Duration // from the first call to the end of the last
	ended     chan struct{} // closed when the last call has; nil: none has begun
	panicked  any
}

// pages pushes page by page and returns the number of the last row that was
// dealt with. While one page is being sent, the one before it is settled and the
// one behind it is prepared: whoever has to keep a rate loses no call to that.
func (p *Plan) pages(ctx context.Context, s *sender) (done int64, err error) {
	var sent *sheet // on its way, or answered
	defer func() {
		sent.wait() // also when this panics
		err = errors.Join(err, s.account.leave(ctx))
	}()
	end := func(sh *sheet) error {
		if sh == nil {
			return nil
		}
		sh.join()
		p.grow(sh)
		if len(sh.list) > 0 {
			if err := p.settle(ctx, sh); err != nil {
				s.stop(err.Error())
				return fmt.Errorf("settle: %w", err)
			}
		}
		done = sh.to
		s.opts.Progress(p.result.Acked + p.result.Rejected + p.result.Unknown + p.result.Deferred)
		return nil
	}
	for number, after := int64(1), int64(0); after < p.last; number++ {
		if s.limits.Replay == Reconcile || after == p.adds {
			// Looks are calls too, and deletes wait for what became of all else.
			if err := end(sent); err != nil {
				sent = nil
				return done, err
			}
			sent = nil
			if wait, err := p.deletesWait(ctx, after); wait || err != nil {
				return done, s.interruptedOr(ctx, err)
			}
		}
		next, err := p.begin(ctx, s, number, after)
		if err != nil || next == nil {
			err = errors.Join(err, end(sent))
			sent = nil
			return done, err
		}
		before := sent
		before.join()
		sent = next
		next.start(ctx, s)
		if err := end(before); err != nil {
			err = errors.Join(err, end(sent))
			sent = nil
			return done, err
		}
		after = next.to
	}
	err = end(sent)
	sent = nil
	return done, err
}

// begin reads and prepares a page; nil when no more should be sent in this run.
// Where what is unknown must not be sent blindly, it looks first.
func (p *Plan) begin(ctx context.Context, s *sender, number, after int64) (*sheet, error) {
	sh := &sheet{number: number, after: after, to: p.pageEnd(after, s.limits)}
	err := s.account.refresh(ctx)
	if err == nil && !s.open(ctx) {
		return nil, nil
	}
	if err == nil {
		sh.list, err = p.page(ctx, after, sh.to, s.limits)
	}
	if err == nil && len(sh.list) > 0 {
		err = p.ready(ctx, s, sh)
	}
	if err != nil {
		return nil, s.interruptedOr(ctx, err)
	}
	return sh, nil
}

// interruptedOr is err, or nil after ctx has ended: Push returns the cause of that.
func (s *sender) interruptedOr(ctx context.Context, err error) error {
	if ctx.Err() == nil || errors.Is(err, warehouse.ErrCommitUnknown) {
		return err
	}
	s.stop(interrupted)
	return nil
}

// ready commits the intents of a page.
func (p *Plan) ready(ctx context.Context, s *sender, sh *sheet) (err error) {
	sh.send = sh.list
	if sh.after >= p.adds {
		if sh.send, sh.results, err = p.moved(ctx, sh.list); err != nil {
			return fmt.Errorf("look for keys that moved: %w", err)
		}
	}
	skip := ``
	stale, err := p.markOld(ctx, s, sh.list)
	switch {
	case err != nil:
		return fmt.Errorf("look for what the destination has forgotten: %w", err)
	case s.limits.Replay == Reconcile:
		skip = ` AND class <> 'unknown'`
	case len(stale) > 0:
		skip = ` AND (class <> 'unknown' OR seq NOT IN (` + strings.Join(stale, ", ") + `))`
	}
	if skip != `` && sh.after < p.adds {
		if sh.send, sh.results, err = p.resolve(ctx, s, sh.number, sh.list); err != nil {
			return fmt.Errorf("resolve what is unknown: %w", err)
		}
	}
	if err := p.prepare(ctx, sh.after, sh.list[len(sh.list)-1].seq, skip, s.limits); err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	return nil
}

// start begins to send a page.
func (sh *sheet) start(ctx context.Context, s *sender) {
	sh.ended = make(chan struct{})
	go func() {
		defer close(sh.ended)
		defer func() { sh.panicked = recover() }()
		start := time.Now()
		sh.results = append(sh.results, s.send(ctx, sh.send)...)
		sh.took = time.Since(start)
	}()
}

// wait returns when no call of the page is on any more.
func (sh *sheet) wait() {
	if sh != nil && sh.ended != nil {
		<-sh.ended
	}
}

// join is wait; a panic of a call is the caller's.
func (sh *sheet) join() {
	if sh.wait(); sh != nil && sh.panicked != nil {
		panic(sh.panicked)
	}
}

// mostRows and mostBytes are what pages grow to: two row groups of DuckDB, which
// stores whole ones without writing them to its log first, and what is sent of them.
const (
	mostRows  = 245_760
	mostBytes = 64 << 20
)

// pageRows is how many rows are prepared and settled at a time: whole batches,
// so that a page is few calls of big batches or many of small ones, and memory
// stays flat. Where a row may be sent twice for a time only, or needs a look, it is
// few: as many as a crash then leaves in doubt. Where a row may be sent again and no
// rate holds calls back, it is up to 200 calls, since a page has a cost of its own,
// and more where they take no time.
func (p *Plan) pageRows(limits Limits) int64 {
	if p.few > 0 {
		return p.few
	}
	batch := int64(limits.BatchRows)
	most := map[ReplayClass]int64{Idempotent: 5000, IdempotencyKey: 1000}[limits.Replay]
	batches := max(most/batch, int64(limits.Concurrency), 1)
	if limits.Replay == Idempotent && len(limits.Rates) == 0 {
		batches = max(batches, min(20_000/batch, 200))
		rows := int64(mostRows)
		if p.bytes > 0 {
			rows = min(rows, mostBytes*p.sends/p.bytes)
		}
		batches = max(batches, min(batches*p.growth, (rows+batch-1)/batch))
	}
	return batches * batch
}

// quick is how long the calls of a page may take for the next ones to be bigger: a
// crash leaves no more in doubt than what is sent in a few times that.
const quick = time.Second

// grow makes the next pages bigger where the calls of one took no time.
func (p *Plan) grow(sh *sheet) {
	if sh.took < quick {
		p.growth = max(4, min(p.growth*4, mostRows))
	}
}
