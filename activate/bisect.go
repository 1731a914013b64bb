package activate

import (
	"context"
	"errors"
	"time"

	"elt/internal/retry"
)

// flight is one batch on its way: its rows and what has become of them so far.
type flight struct {
	s       *sender
	rows    []row
	results []settled
}

// batch pushes one batch, and again what may be tried again, until every row
// has an outcome or the tries are used up.
func (s *sender) batch(ctx context.Context, list []row) []settled {
	f := &flight{s: s, rows: list, results: make([]settled, len(list))}
	pending := make([]int, len(list)) // indexes into list
	for i, r := range list {
		f.results[i] = settled{seq: r.seq, resent: r.resent, busy: r.resent && r.busy, status: statusDeferred}
		pending[i] = i
	}
	for try := 1; ; try++ {
		pending = f.deliver(ctx, pending)
		unknown := f.inDoubt()
		if len(pending)+len(unknown) == 0 || !s.wait(ctx, try) {
			break
		}
		if len(unknown) > 0 && s.rest(ctx) {
			pending = append(pending, f.look(ctx, unknown)...)
		}
	}
	s.judge(f.rows, f.results)
	return f.results
}

// deliver pushes some rows in one call and returns those that may be tried again
// in this run. A call that the destination refuses as a whole is made again in
// halves until single rows are left, which it refuses for good: with b rows to
// blame among n that is in the order of b·log n calls, and each good row is
// taken by the largest call that has no bad one in it. Once sending has stopped,
// the rows stay as they are. No rows are no call.
func (f *flight) deliver(ctx context.Context, at []int) (again []int) {
	if len(at) == 0 || !f.s.gate(ctx) {
		return nil
	}
	changes := make([]Change, len(at))
	for i, n := range at {
		changes[i] = f.rows[n].change
		f.results[n].attempts++
	}
	outcomes, err := f.s.call(ctx, changes)
	var refused *RefusedError
	if errors.As(err, &refused) {
		if refused.InDoubt {
			for _, n := range at {
				f.results[n].status, f.results[n].doubt = Unknown, true
			}
		}
		if half := len(at) / 2; half > 0 {
			said := f.s.opts.Mask(refused.Message, changes)
			for _, n := range at { // told when sending stops before its half is sent
				if r := &f.results[n]; !r.doubt || refused.InDoubt {
					r.code, r.message = refused.Code, said
				}
			}
			again = f.deliver(ctx, at[:half])
			return append(again, f.deliver(ctx, at[half:])...)
		}
		outcomes = []Outcome{{OpID: changes[0].OpID, Status: Rejected, Code: refused.Code, Message: refused.Message}}
		if refused.InDoubt {
			outcomes[0].Status = Unknown
		}
	}
	return f.note(ctx, at, outcomes)
}

// note takes the outcomes of one call, in the order of its rows.
// What one of them asks to wait for, the whole account waits for.
func (f *flight) note(ctx context.Context, at []int, outcomes []Outcome) (again []int) {
	var acked, rejected int64
	var after time.Duration
	for i, n := range at {
		o := outcomes[i]
		if f.take(&f.results[n], o) {
			again = append(again, n)
		}
		after = max(after, o.After)
		switch f.results[n].status {
		case Acked:
			acked++
		case Rejected:
			rejected++
		}
	}
	f.s.count(acked, rejected)
	if after > 0 {
		if err := f.s.account.asked(ctx, after); err != nil {
			f.s.fail(ctx, err)
		}
	}
	return again
}

// take notes an outcome and reports whether the row may be tried again at once.
// What was in doubt stays in doubt until it is acknowledged: a later refusal
// does not undo what an earlier try may have done. Of a row that is sent again as an
// earlier run sent it, that run's try counts too where the refusal is none of the
// operation: it may still be under way, or nobody was asked.
func (f *flight) take(r *settled, o Outcome) (again bool) {
	code, message := r.code, r.message
	r.code, r.message = o.Code, o.Message
	switch o.Status {
	case Acked:
		r.status, r.destID, r.created, r.doubt = Acked, o.DestID, o.Created, false
	case Rejected:
		if o.Contested && (r.doubt || r.busy) || o.Local && (r.doubt || r.resent) {
			r.status, r.doubt = Unknown, true
			return o.Contested
		}
		r.status, r.local = Rejected, o.Local
	case Retry:
		r.status = statusDeferred
		if r.doubt { // for the reason of the try that may have happened
			r.status = Unknown
			if message != "" {
				r.code, r.message = code, message
			}
		}
		return true
	default:
		r.status, r.doubt = Unknown, true
		return f.s.limits.Replay == Idempotent || f.s.limits.Replay == IdempotencyKey
	}
	return false
}

// call pushes changes once and returns one outcome for each, in their order. The
// error is a [RefusedError], whose rows are still to be told apart; every other is
// in the outcomes.
func (s *sender) call(ctx context.Context, changes []Change) ([]Outcome, error) {
	answers, err := s.dest.Push(ctx, Batch{ID: batchID(changes), Object: s.object, Changes: changes})
	var refused *RefusedError
	var barred *BarredError
	switch {
	case err == nil:
		return correlate(changes, answers), nil
	case errors.As(err, &barred):
		s.bar(err, changes)
		_, after := retry.Of(err)
		return each(changes, Outcome{Status: Retry, Code: barred.Code, Message: s.said(err, changes), After: after}), nil
	case errors.As(err, &refused):
		return nil, err
	}
	return s.failed(changes, err), nil
}

// failed is the outcome of every change of a call that failed as a whole:
// unknown, unless the error says that nothing was sent.
func (s *sender) failed(changes []Change, err error) []Outcome {
	class, after := retry.Of(err)
	o := Outcome{Status: Unknown, Code: "call_failed", Message: s.said(err, changes), After: after}
	if class == retry.Transient {
		o.Status = Retry
	}
	return each(changes, o)
}

// said is what an error says of a call, as it is kept for each of its rows: of
// several, none may be told what it quotes of another.
func (s *sender) said(err error, changes []Change) string {
	if len(changes) == 1 {
		return err.Error()
	}
	return s.opts.Mask(err.Error(), changes)
}

// each is o for every change.
func each(changes []Change, o Outcome) []Outcome {
	list := make([]Outcome, len(changes))
	for i, c := range changes {
		list[i] = o
		list[i].OpID = c.OpID
	}
	return list
}

// correlate pairs answers with changes by OpID alone. A change without an
// answer, or with two that differ, is unknown (invariant 8).
func correlate(changes []Change, answers []Outcome) []Outcome {
	byID := make(map[string]Outcome, len(answers))
	for _, a := range answers {
		if before, ok := byID[a.OpID]; ok && before.Status != a.Status {
			a = Outcome{OpID: a.OpID, Status: Unknown, Code: "ambiguous", Message: "the destination gave two answers"}
		}
		byID[a.OpID] = a
	}
	list := make([]Outcome, len(changes))
	for i, c := range changes {
		o, ok := byID[c.OpID]
		if !ok {
			o = Outcome{OpID: c.OpID, Status: Unknown, Code: "no_answer", Message: "the destination said nothing about this row"}
		}
		list[i] = o
	}
	return list
}

// batchID is the same for the same operations with the same content.
func batchID(changes []Change) string {
	parts := make([]string, 0, 4*len(changes))
	for _, c := range changes {
		parts = append(parts, c.OpID, string(c.Action), string(c.Key), string(c.Fields))
	}
	return Fingerprint(parts...)
}
