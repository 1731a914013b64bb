package activate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"elt/internal/retry"
	"elt/internal/rows"
	"elt/internal/state"
	"elt/internal/warehouse"
)

// Options tune a push; the zero Options are right for production.
type Options struct {
	Tries int // most tries of one change; 0: 4
	// MaxWait is the longest wait that a destination may ask for, else what is left
	// is deferred; 0: 30 s. Waits for the next call that a rate allows are not counted.
	MaxWait time.Duration
	// PageRows is how many rows are prepared and settled at a time; 0: as many as
	// the limits of the destination suggest.
	PageRows int
	// Drain is closed when no more calls should begin: what is left is deferred. nil:
	// never.
	Drain <-chan struct{}
	// Accounts are those of all pushes of this process that run side by side; nil: it
	// is the only one.
	Accounts *Accounts
	// Zone is whose clocks tell until when something waits; nil: UTC.
	Zone *time.Location
	// Sleep waits before calls; nil: a timer. Tests replace it.
	Sleep func(ctx context.Context, d time.Duration) error
	// Mask hides in what the destination said of a call what only the warehouse may
	// hold of its rows, since many quote what they refuse: the Problem of the Result and
	// Barred are told outside. nil: nothing is hidden.
	Mask func(said string, of []Change) string
	// Progress is called with the rows dealt with so far; nil: nobody listens.
	Progress func(rows int64)
}

func (o Options) defaults() Options {
	if o.Tries <= 0 {
		o.Tries = 4
	}
	if o.MaxWait <= 0 {
		o.MaxWait = 30 * time.Second
	}
	if o.Accounts == nil {
		o.Accounts = &Accounts{}
	}
	if o.Zone == nil {
		o.Zone = time.UTC
	}
	if o.Sleep == nil {
		o.Sleep = o.sleep
	}
	if o.Mask == nil {
		o.Mask = func(said string, _ []Change) string { return said }
	}
	if o.Progress == nil {
		o.Progress = func(int64) {}
	}
	return o
}

func (o Options) sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-o.Drain:
		return errors.New(interrupted)
	case <-timer.C:
		return nil
	}
}

// row is one row of the plan on its way.
type row struct {
	seq    int64
	key    string // hash
	class  string
	gone   bool // its key is not in the model any more
	resent bool // an earlier intent goes out again, as it was
	change Change
	*earlier
}

// earlier is the operation of a row whose outcome is unknown; other rows have none.
type earlier struct {
	before  Change // what was sent
	now     Change // what would be sent if there had been nothing before
	stale   bool   // the destination does not know the operation any more
	busy    bool   // it may still be at the last call with the operation
	current bool   // what was sent is what the row is now, or all that is ever sent of it
}

// Push sends the plan to where conn leads, page by page. A page is prepared in
// one transaction before a byte leaves, and settled in one afterwards, ledger and
// intents together. Push closes nothing of conn.
//
// The error is nil when everything was accounted for, whatever the destination
// said: the Result tells, also that it takes nothing at all (Barred). A plan is
// pushed once. After ctx ends, or the lease is lost, what was answered is settled,
// the rest is deferred, and the cause is returned with the Result so far.
func (p *Plan) Push(ctx context.Context, conn Connector, opts Options) (Result, error) {
	limits := conn.Destination.Limits()
	if err := p.accepts(limits); err != nil {
		return p.result, err
	}
	p.pushed = true
	p.few = int64(opts.PageRows)
	ctx, done := p.leased(ctx)
	defer done()
	p.definite = p.sync.once() || limits.Replay == IdempotencyKey
	opts = opts.defaults()
	s := &sender{dest: conn.Destination, lookup: conn.Lookup, limits: limits, object: p.sync.Object, guards: p.sync.Guards, opts: opts,
		account: opts.Accounts.join(p.store, p.sync.account(), limits.Rates)}
	after, err := p.pages(ctx, s)
	if err != nil {
		return p.result, p.wrap(p.blame(ctx, err))
	}
	p.result.Problem, p.result.Barred, p.result.Resume = s.problem, s.barred, s.resume
	// The counts are written also after ctx has ended: they are the record of the
	// interruption.
	final, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	if err := p.finish(final, after); err != nil {
		return p.result, p.wrap(p.blame(ctx, err))
	}
	if ctx.Err() != nil {
		return p.result, p.wrap(context.Cause(ctx))
	}
	if s.err != nil {
		return p.result, p.wrap(s.err)
	}
	return p.result, nil
}

// leased ends with ctx, and when the lease is lost: whoever has it then may have
// sent other rows of the same keys, and an older one must not follow.
func (p *Plan) leased(ctx context.Context) (context.Context, func()) {
	held, cancel := context.WithCancelCause(p.lease)
	stop := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
	return held, func() {
		stop()
		cancel(nil)
	}
}

// blame is err, or that another run has taken over, where that is behind it: the
// tables of this plan may be gone then.
func (p *Plan) blame(ctx context.Context, err error) error {
	if p.epoch == 0 || errors.Is(err, ErrFenced) {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	epoch := p.epoch
	asked := warehouse.Each(ctx, p.db, `SELECT lease_epoch FROM `+state.SyncTargets+` WHERE `+mine, func(r rows.Row) error {
		epoch = r.Int(0)
		return nil
	}, p.id()...)
	if asked == nil && epoch > p.epoch {
		return fmt.Errorf("%w: %w", ErrFenced, err)
	}
	return err
}

func (p *Plan) wrap(err error) error { return fmt.Errorf("sync %s: %w", p.sync.Name, err) }

func (p *Plan) accepts(limits Limits) error {
	if !slices.Contains(limits.Modes, p.sync.Mode) {
		return p.wrap(fmt.Errorf("the destination does not support mode %s; it supports %v", p.sync.Mode, limits.Modes))
	}
	if p.pushed {
		return p.wrap(errors.New("a plan is pushed once; make another"))
	}
	if limits.BatchRows < 1 {
		return p.wrap(errors.New("the destination allows no rows in a batch"))
	}
	return nil
}

// page reads the rows with the numbers after..to, to included. The range finds its
// rows without reading the others; the limit says how many they are at most. What
// came before is read only where the outcome of something is not known.
func (p *Plan) page(ctx context.Context, after, to int64, limits Limits) ([]row, error) {
	before := ``
	if p.unknown {
		before = `, ` + p.resent(limits.Replay) + `, prev_op_id, prev_payload, coalesce(prev_action, ''), coalesce(prev_payload_hash = payload_hash, false)`
	}
	list := make([]row, 0, min(to, p.last)-after)
	err := warehouse.Each(ctx, p.db, `SELECT seq, class, op_id, key_json, payload, key_hash, coalesce(gone, false)`+before+`
		FROM `+p.table.String()+fmt.Sprintf(` WHERE seq > %d AND seq <= %d LIMIT %d`, after, to, to-after), func(r rows.Row) error {
		item := row{seq: r.Int(0), key: r.String(5), class: r.String(1), gone: r.Bool(6), change: Change{
			OpID: r.String(2), Action: p.sync.action(), Key: r.Bytes(3), Fields: r.Bytes(4),
		}}
		if item.class == classUnknown {
			item.resent = r.Bool(7)
			item.earlier = &earlier{
				before: Change{OpID: r.String(8), Action: Action(r.String(10)), Key: item.change.Key, Fields: r.Bytes(9)},
				now:    item.change, current: r.Bool(11) || p.sync.once(),
			}
		}
		if item.resent {
			item.change.OpID, item.change.Fields = item.before.OpID, item.before.Fields
		}
		if item.class == classRemove {
			item.change.Action, item.change.Fields = Delete, nil
		}
		list = append(list, item)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the plan: %w", err)
	}
	slices.SortFunc(list, func(a, b row) int { return cmp.Compare(a.seq, b.seq) })
	return list, nil
}

// resent is an SQL expression: whether a row goes out as its earlier intent did,
// with the same op id. That is so for the same payload, for keys that are sent
// once, and where the destination knows operations by their key.
func (p *Plan) resent(replay ReplayClass) string {
	if p.sync.once() || replay == IdempotencyKey {
		return `(class = 'unknown' AND prev_action <> 'delete')`
	}
	return `(class = 'unknown' AND prev_action <> 'delete' AND prev_payload_hash = payload_hash)`
}

// wait sleeps before another try; false when there should be none in this run.
// What the destination asked to wait for comes on top, before its next call.
func (s *sender) wait(ctx context.Context, try int) bool {
	if try >= s.opts.Tries || s.stopped(ctx) {
		return false
	}
	backoff := retry.Backoff{Base: 200 * time.Millisecond, Max: s.opts.MaxWait}
	return s.opts.Sleep(ctx, backoff.Wait(try, 0)) == nil
}
