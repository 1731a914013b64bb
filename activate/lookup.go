package activate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"elt/internal/retry"
	"elt/internal/rows"
	"elt/internal/state"
	"elt/internal/warehouse"
)

// statusFound is that of an earlier operation that is there, while its row has
// become another one since. It is no outcome of this run.
const statusFound Status = "found"

// resolve looks what became of the operations of a page whose outcome is unknown,
// and settles what it finds before anything of the page is prepared: a row that is
// there as it is now is acknowledged; where an earlier payload is there, the ledger
// says so, and the row goes out as a change; where nothing is there, it goes out.
// It returns those rows with the others, and the results of those that do not: the
// acknowledged, and those of which nobody knows anything still.
func (p *Plan) resolve(ctx context.Context, s *sender, page int64, list []row) (send []row, results []settled, err error) {
	found := s.lookUp(ctx, list)
	var older []settled
	var again []int64
	for _, r := range list {
		if !s.looks(r) {
			send = append(send, r)
			continue
		}
		o := found[r.seq]
		if r.stale && o.Status == "" {
			o.Code, o.Message = "forgotten", fmt.Sprintf("it was sent more than %s ago, so that the destination may not know its key any more", s.limits.Window)
		}
		switch {
		case r.before.Action == Delete: // to send the row is right whether it is gone or not
		case o.Status == Acked && r.current:
			results = append(results, settled{seq: r.seq, status: Acked, resent: true, created: o.Created, destID: o.DestID, message: foundThere})
			continue
		case o.Status == Acked:
			older = append(older, settled{seq: r.seq, status: statusFound, resent: true, created: o.Created, destID: o.DestID})
		case o.Status != Retry:
			results = append(results, settled{seq: r.seq, status: statusBlocked, code: o.Code, message: o.Message})
			continue
		}
		again = append(again, r.seq)
		r.class, r.resent, r.change = classChange, false, r.now
		send = append(send, r)
	}
	if len(again) == 0 {
		return send, results, nil
	}
	return send, results, p.reclass(ctx, page, list, again, older)
}

// reclass makes changes of the rows of a page that may go out, and writes to the
// ledger what was found to be there. The intents of the others stay: until their
// row is acknowledged nobody has refuted them.
func (p *Plan) reclass(ctx context.Context, page int64, list []row, again []int64, older []settled) error {
	numbers := make([]string, len(again))
	for i, n := range again {
		numbers[i] = strconv.FormatInt(n, 10)
	}
	byNumber := make(map[int64]row, len(list))
	for _, r := range list {
		byNumber[r.seq] = r
	}
	// The tables of the plan may lie in another database than the ledger, and one
	// transaction writes one of the two. Should the process die in between, the
	// ledger is right, and the next run plans anew.
	if len(older) > 0 {
		if err := p.aside(ctx, func(ctx context.Context, tx *warehouse.Tx) error {
			return p.appendResults(ctx, tx, page, byNumber, older)
		}); err != nil {
			return err
		}
		if err := p.db.Update(ctx, func(ctx context.Context, tx *warehouse.Tx) error {
			if err := p.fence(ctx, tx); err != nil {
				return err
			}
			return p.run(ctx, tx, p.settleFound(page))
		}); err != nil {
			return err
		}
	}
	return p.aside(ctx, func(ctx context.Context, tx *warehouse.Tx) error {
		if len(older) > 0 {
			if err := p.run(ctx, tx, []statement{p.adoptFound(page)}); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, `UPDATE `+p.table.String()+` SET class = 'change' WHERE seq IN (`+strings.Join(numbers, ", ")+`)`)
		return err
	})
}

// settleFound makes the ledger say what is there, as the earlier operation sent it.
func (p *Plan) settleFound(page int64) []statement {
	found := p.keys(`o.status = 'found'`)
	return []statement{
		{`DELETE FROM ` + state.Ledger + ` WHERE ` + mine + ` AND key_hash IN ` + found, p.id(page)},
		{`INSERT INTO ` + state.Ledger + ` (project, target, sync, target_fp, key_hash, key_json, dest_id,
				acked_hash, stable_hash, acked_at, acked_run, ownership, status)
			SELECT CAST($1 AS text), CAST($2 AS text), CAST($3 AS text), CAST($4 AS text), p.key_hash, p.key_json,
				CASE WHEN o.dest_id = '' THEN p.dest_id ELSE o.dest_id END, p.prev_payload_hash, p.prev_stable_hash,
				CAST($6 AS timestamp with time zone), CAST($7 AS text),
				CASE WHEN o.created THEN 'created' ELSE coalesce(p.ownership, 'adopted') END, CAST($8 AS text)
			FROM ` + p.table.String() + ` AS p JOIN ` + p.out.String() + ` AS o ON o.seq = p.seq
			WHERE o.page = $5 AND o.status = 'found'`, p.id(page, time.Now().UTC(), p.sync.RunID, p.sync.ledgerStatus())},
		{`INSERT INTO ` + state.Attempts + ` (project, target, sync, target_fp, op_id, run_id, attempts, status, message, recorded_at,
				key_hash, key_json, action, payload)
			SELECT project, target, sync, target_fp, op_id, run_id, 0, 'acked', CAST($7 AS text), CAST($6 AS timestamp with time zone),
				key_hash, key_json, action, payload
			FROM ` + state.Intents + ` WHERE ` + mine + ` AND state = 'UNKNOWN' AND key_hash IN ` + found, p.id(page, time.Now().UTC(), foundThere)},
		{`DELETE FROM ` + state.Intents + ` WHERE ` + mine + ` AND key_hash IN ` + found, p.id(page)},
	}
}

// adoptFound makes the plan say of its rows what the ledger says of them now.
func (p *Plan) adoptFound(page int64) statement {
	return statement{`UPDATE ` + p.table.String() + ` AS t SET ownership = l.ownership, dest_id = l.dest_id FROM ` + state.Ledger + ` AS l
		WHERE ` + mine + ` AND l.key_hash = t.key_hash AND t.key_hash IN ` + p.keys(`o.status = 'found'`), p.id(page)}
}

// foundThere is what the record of an operation says of its outcome that was looked up.
const foundThere = "a look found it there"

// looks reports whether a row may be sent only after somebody has looked for it.
func (s *sender) looks(r row) bool {
	return r.class == classUnknown && (s.limits.Replay == Reconcile || r.stale)
}

// longestCall is how long a service may be at a call whose caller is gone: within
// that a conflict may mean that call. Proxies and servers give up in minutes.
const longestCall = time.Hour

// markOld marks the rows whose operation the destination has forgotten since it was
// first sent, and returns their numbers: with the same key it would be done once
// more. It marks those, too, that it may still be at since they were last sent.
func (p *Plan) markOld(ctx context.Context, s *sender, list []row) (forgotten []string, err error) {
	if s.limits.Replay != IdempotencyKey || !p.unknown {
		return nil, nil
	}
	type age struct{ first, last time.Time }
	ages := map[int64]age{}
	err = warehouse.Each(ctx, p.db, `SELECT p.seq, min(i.prepared_at), max(coalesce(i.settled_at, i.prepared_at)) FROM `+p.table.String()+` AS p
		JOIN (SELECT op_id, prepared_at, settled_at FROM `+state.Intents+` WHERE `+mine+`) AS i ON i.op_id = p.prev_op_id
		WHERE p.seq >= $5 AND p.seq <= $6 AND p.class = 'unknown' AND p.prev_action <> 'delete' GROUP BY p.seq`, func(r rows.Row) error {
		ages[r.Int(0)] = age{r.Time(1), r.Time(2)}
		return nil
	}, p.id(list[0].seq, list[len(list)-1].seq)...)
	now := time.Now()
	for i := range list {
		r := &list[i]
		a, ok := ages[r.seq]
		if !ok {
			continue
		}
		r.busy = a.last.After(now.Add(-longestCall))
		if s.limits.Window > 0 && a.first.Before(now.Add(-s.limits.Window)) {
			r.stale = true
			forgotten = append(forgotten, strconv.FormatInt(r.seq, 10))
		}
	}
	return forgotten, err
}

// lookUp asks what became of the unknown operations of list, by the number of
// their row. It asks for what was sent then.
func (s *sender) lookUp(ctx context.Context, list []row) map[int64]Outcome {
	var unknown []row
	for _, r := range list {
		if s.looks(r) && r.before.Action != Delete {
			unknown = append(unknown, r)
		}
	}
	found := make(map[int64]Outcome, len(unknown))
	if s.lookup == nil {
		return found
	}
	if len(unknown) > 0 && !s.rested { // the run before may have ended a moment ago
		if s.rested = s.rest(ctx); !s.rested {
			return found
		}
	}
	changes := make([]Change, len(unknown))
	for i, r := range unknown {
		changes[i] = r.before
	}
	for i, o := range s.findAll(ctx, changes, s.limits.Concurrency) {
		found[unknown[i].seq] = o
	}
	return found
}

// findAll is find in calls that each take their turn among those of the account, up
// to workers of them side by side. It gives up when some have failed in a row.
func (s *sender) findAll(ctx context.Context, changes []Change, workers int) []Outcome {
	size := s.limits.LookRows
	if size < 1 {
		size = s.limits.BatchRows
	}
	parts := slices.Collect(slices.Chunk(changes, size))
	outcomes := make([][]Outcome, len(parts))
	var failed atomic.Int64
	sideBySide(workers, len(parts), func(i int) {
		if failed.Load() >= patience {
			outcomes[i] = each(parts[i], Outcome{Status: Unknown, Code: "not_looked_up", Message: "nobody looked, since the looks before it failed"})
			return
		}
		var ok bool
		if outcomes[i], ok = s.find(ctx, parts[i]); ok {
			failed.Store(0)
		} else {
			failed.Add(1)
		}
	})
	return slices.Concat(outcomes...)
}

// rest waits until a lookup finds what the calls before it have done; false
// when there should be none in this run.
func (s *sender) rest(ctx context.Context) bool {
	d := s.limits.LookAfter
	return d <= s.opts.MaxWait && !s.stopped(ctx) && (d == 0 || s.opts.Sleep(ctx, d) == nil)
}

// find asks in one call what became of changes and returns an outcome for each, in
// their order: Acked, Retry, or Unknown where nobody can tell. ok: it was answered.
func (s *sender) find(ctx context.Context, changes []Change) (list []Outcome, ok bool) {
	unknown := Outcome{Status: Unknown, Code: "not_looked_up", Message: "sending has stopped before anybody looked"}
	for try := 1; s.gate(ctx); try++ {
		outcomes, err := s.lookup.Find(ctx, changes)
		var barred *BarredError
		class, after := retry.Of(err)
		switch {
		case err == nil:
			return correlate(changes, outcomes), true
		case errors.As(err, &barred):
			s.bar(err, changes)
		}
		if after > 0 {
			if err := s.account.asked(ctx, after); err != nil {
				s.fail(ctx, err)
			}
		}
		unknown.Code, unknown.Message = "lookup_failed", "to look up what became of it: "+s.said(err, changes)
		if class != retry.Transient || !s.wait(ctx, try) {
			break
		}
	}
	return each(changes, unknown), false
}

// look asks what became of the rows of a flight of which nothing is known, where
// they may not be sent again without that. It returns those that are not there.
func (f *flight) look(ctx context.Context, at []int) (again []int) {
	changes := make([]Change, len(at))
	for i, n := range at {
		changes[i] = f.rows[n].change
	}
	for i, o := range f.s.findAll(ctx, changes, 1) { // its batch is one of those side by side
		r := &f.results[at[i]]
		switch o.Status {
		case Acked:
			f.take(r, o)
		case Retry:
			r.status, r.doubt = statusDeferred, false
			again = append(again, at[i])
		}
	}
	return again
}

// inDoubt are the rows of a flight that somebody has to look for before they may be
// sent again; none where nobody can, or where they may be sent again as they are.
func (f *flight) inDoubt() (at []int) {
	if f.s.lookup == nil || f.s.limits.Replay != Reconcile {
		return nil
	}
	for i, r := range f.results {
		if r.doubt {
			at = append(at, i)
		}
	}
	return at
}
