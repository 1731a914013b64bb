package activate

import (
	"context"
	"fmt"
	"time"

	"elt/internal/retry"
)

// Statuses of a settled row that no destination reports.
const (
	statusDeferred Status = "deferred" // not sent, or refused before anything happened
	statusBlocked  Status = "blocked"  // an earlier outcome is unknown, and replay is not safe
)

// settled is what became of one row in this run.
type settled struct {
	seq      int64
	status   Status
	resent   bool
	doubt    bool // an earlier try of this run may have happened
	created  bool
	destID   string
	code     string
	message  string
	attempts int64
}

// sender pushes batches within the limits of a destination.
type sender struct {
	dest    Destination
	limits  Limits
	object  string
	guards  Guards
	opts    Options
	problem string // why nothing more is sent
	barren  int    // batches in a row of which no row was answered
	sent    int64
	refused int64
}

// patience is how many batches may go unanswered, one after the other, before
// the destination counts as down.
const patience = 3

// send pushes rows and returns what became of each of them, every row once.
func (s *sender) send(ctx context.Context, list []row) []settled {
	results := make([]settled, 0, len(list))
	for len(list) > 0 {
		n := s.cut(list)
		if n == 0 {
			results = append(results, settled{
				seq: list[0].seq, status: Rejected, resent: list[0].resent, code: "too_large",
				message: fmt.Sprintf("the row has more than the %d bytes that the destination takes in a call", s.limits.BatchBytes),
			})
			list = list[1:]
			continue
		}
		if s.stopped(ctx) {
			for _, r := range list[:n] {
				results = append(results, settled{seq: r.seq, status: statusDeferred, resent: r.resent})
			}
		} else {
			done := s.batch(ctx, list[:n])
			s.judge(done)
			results = append(results, done...)
		}
		list = list[n:]
	}
	return results
}

// cut is how many rows fit into the next batch; 0 when the first is too large
// by itself.
func (s *sender) cut(list []row) int {
	size := 0
	for n, r := range list {
		size += len(r.change.Key) + len(r.change.Fields)
		if n == s.limits.BatchRows || (s.limits.BatchBytes > 0 && size > s.limits.BatchBytes) {
			return n
		}
	}
	return len(list)
}

// judge decides after a batch whether to go on.
func (s *sender) judge(done []settled) {
	answered := false
	for _, d := range done {
		s.sent++
		switch d.status {
		case Rejected:
			s.refused++
			answered = true
		case Acked:
			answered = true
		}
	}
	if s.barren++; answered {
		s.barren = 0
	}
	if s.barren >= patience && s.problem == "" {
		s.problem = "the destination does not answer: " + done[len(done)-1].message
	}
	const enough = 200
	limit := s.guards.MaxRejectPercent
	if limit > 0 && s.sent >= enough && float64(s.refused)*100 > limit*float64(s.sent) && s.problem == "" {
		s.problem = fmt.Sprintf("%d of %d rows were rejected, over the guard max_reject of %g%%", s.refused, s.sent, limit)
	}
}

// batch pushes one batch, and again what may be tried again, until every row
// has an outcome or the tries are used up.
func (s *sender) batch(ctx context.Context, list []row) []settled {
	results := make([]settled, len(list))
	pending := make([]int, len(list)) // indexes into list
	for i, r := range list {
		results[i] = settled{seq: r.seq, resent: r.resent, status: statusDeferred}
		pending[i] = i
	}
	for try := 1; len(pending) > 0; try++ {
		changes := make([]Change, len(pending))
		for i, at := range pending {
			changes[i] = list[at].change
		}
		outcomes := s.call(ctx, changes)
		var again []int
		var atLeast time.Duration
		for i, at := range pending {
			o, r := outcomes[i], &results[at]
			r.attempts++
			r.code, r.message = o.Code, o.Message
			if s.take(r, o) {
				again = append(again, at)
				atLeast = max(atLeast, o.After)
			}
		}
		pending = again
		if len(pending) > 0 && !s.wait(ctx, try, atLeast) {
			break
		}
	}
	return results
}

// take notes an outcome and reports whether the row may be tried again at once.
// What was in doubt stays in doubt until it is acknowledged: a later refusal
// does not undo what an earlier try may have done.
func (s *sender) take(r *settled, o Outcome) (again bool) {
	switch o.Status {
	case Acked:
		r.status, r.destID, r.created, r.doubt = Acked, o.DestID, o.Created, false
	case Rejected:
		r.status = Rejected
	case Retry:
		r.status = statusDeferred
		if r.doubt {
			r.status = Unknown
		}
		return true
	default:
		r.status, r.doubt = Unknown, true
		return s.limits.Replay == Idempotent || s.limits.Replay == IdempotencyKey
	}
	return false
}

// call pushes changes once and returns one outcome for each, in their order.
func (s *sender) call(ctx context.Context, changes []Change) []Outcome {
	batch := Batch{ID: batchID(changes), Object: s.object, Changes: changes}
	answers, err := s.dest.Push(ctx, batch)
	if err != nil {
		return failed(changes, err)
	}
	return correlate(changes, answers)
}

// failed is the outcome of every change of a call that failed as a whole:
// unknown, unless the error says that nothing was sent.
func failed(changes []Change, err error) []Outcome {
	o := Outcome{Status: Unknown, Code: "call_failed", Message: err.Error()}
	if class, after := retry.Of(err); class == retry.Transient {
		o.Status, o.After = Retry, after
	}
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
