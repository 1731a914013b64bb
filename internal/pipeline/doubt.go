package pipeline

import (
	"context"
	"strings"
	"time"

	"elt/activate"
	"elt/internal/event"
	"elt/internal/project"
)

// Settles tells of a row of a sync whose outcome is unknown, by what was sent first
// and when, whether the next run finds out by itself what became of it; else
// somebody has to say so. until is when it cannot any more; zero: never.
func (p *Pipeline) Settles(s *project.Sync) func(action string, sent time.Time) (ok bool, until time.Time) {
	limits := p.settling(s)
	return func(action string, sent time.Time) (bool, time.Time) {
		return limits.Settles(activate.Action(action), sent, time.Now())
	}
}

// settling are the limits of the destination of a sync.
func (p *Pipeline) settling(s *project.Sync) activate.Limits {
	stands := activate.Limits{Looks: true} // what stands in for it can look
	kind, cfg, err := Destination(p.Destinations, p.Project, s)
	if err != nil || kind.Limits == nil {
		return stands
	}
	limits, err := kind.Limits(cfg)
	if err != nil {
		return stands
	}
	return limits
}

// doubts is the warning about rows of which nobody knows whether they are there:
// the first one, what its call came to, and who finds out.
func (p *Pipeline) doubts(ctx context.Context, s *project.Sync, r activate.Result) ([]event.Warning, error) {
	n := r.Unknown + r.Gone.Unknown
	if n == 0 {
		return nil, nil
	}
	w := event.Warning{Subject: s.Name, Text: several(n, "row") + " of unknown outcome: ", Hint: "elt quarantine " + s.Name, Cause: true}
	limits, now := p.settling(s), time.Now()
	waiting := int64(0) // for somebody to say what became of them
	ok, until := limits.Settles(activate.Create, now, now)
	switch {
	case !ok:
		waiting = n
	case !until.IsZero():
		forgotten, err := p.Store.UnknownBefore(ctx, s.Name, now.Add(-limits.Window))
		if err != nil {
			return nil, err
		}
		waiting = min(forgotten, n)
	}
	switch {
	case waiting == n:
		w.Text += "nothing more is sent for them until you say whether they are there"
		w.Hint = "elt quarantine resolve " + s.Name + " KEY --not-sent|--sent"
	case waiting > 0:
		w.Text += "nothing more is sent for " + several(waiting, "row") + " until you say whether they are there; of the others the next run finds out, within replay_window"
	case !until.IsZero():
		w.Text += "the next run finds out, if it comes within replay_window of the first try"
	default:
		w.Text += "the next run finds out"
	}
	first, err := p.Store.UnknownRows(ctx, s.Name, 1)
	if err != nil {
		return nil, err
	}
	for _, u := range first {
		w.Detail = strings.TrimPrefix(p.MaskSaid(s, u.Why, u.Key, u.Payload)+" · "+p.MaskPushed(s, u.Key), " · ")
	}
	return []event.Warning{w}, nil
}
