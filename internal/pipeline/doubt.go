package pipeline

import (
	"context"
	"strings"

	"elt/activate"
	"elt/internal/event"
	"elt/internal/project"
)

// Settles reports whether the next run of a sync finds out by itself what became
// of rows whose outcome is unknown; else somebody has to say so.
func (p *Pipeline) Settles(s *project.Sync) bool {
	kind, cfg, err := Destination(p.Destinations, p.Project, s)
	if err != nil || kind.Limits == nil {
		return true // what stands in for it can look
	}
	limits, err := kind.Limits(cfg)
	return err != nil || limits.Settles()
}

// doubts is the warning about rows of which nobody knows whether they are there:
// the first one, what its call came to, and who finds out.
func (p *Pipeline) doubts(ctx context.Context, s *project.Sync, r activate.Result) ([]event.Warning, error) {
	n := r.Unknown + r.Gone.Unknown
	if n == 0 {
		return nil, nil
	}
	w := event.Warning{Subject: s.Name, Text: several(n, "row") + " of unknown outcome: the next run finds out", Hint: "elt quarantine " + s.Name}
	if !p.Settles(s) {
		w.Text = several(n, "row") + " of unknown outcome: nothing more is sent for them until you say whether they are there"
		w.Hint = "elt quarantine resolve " + s.Name + " KEY --not-sent|--sent"
	}
	first, err := p.Store.UnknownRows(ctx, s.Name, 1)
	if err != nil {
		return nil, err
	}
	for _, u := range first {
		w.Detail = strings.TrimPrefix(u.Why+" · "+p.MaskPushed(s, u.Key), " · ")
	}
	return []event.Warning{w}, nil
}
