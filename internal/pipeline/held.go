package pipeline

import (
	"strings"

	"elt/activate"
	"elt/internal/event"
	"elt/internal/project"
)

// heldBack is the result of a sync that its guards hold: what tripped, what stays as
// it is, and how it goes on.
func (p *Pipeline) heldBack(s *project.Sync, r activate.Result) event.Result {
	res := event.Result{Status: event.Held, Counts: []event.Count{{Label: "read", N: r.Read}, {Label: "unchanged", N: r.Unchanged},
		{Label: "deferred", N: r.Deferred + r.Gone.Deferred}}}
	for _, t := range r.Held {
		res.Warnings = append(res.Warnings, event.Warning{Subject: s.Name, Text: "held by " + t.String(), Cause: true})
	}
	if n := len(res.Warnings); n > 0 {
		res.Warnings[n-1].Detail = "nothing was sent: " + s.To + " stays as it was, until a plan is within the guards or this one is approved"
		res.Warnings[n-1].Hint = "elt approve " + p.RunID
	}
	return res
}

// toldOfGone are the warnings about keys that the model does not have any more.
func toldOfGone(s *project.Sync, r activate.Result) []event.Warning {
	var list []event.Warning
	if r.Gone.Deferred > 0 && r.Problem == "" {
		list = append(list, event.Warning{Subject: s.Name, Text: several(r.Gone.Deferred, "row") + " to delete: they wait until every row of the model is there", Cause: true})
	}
	if r.Gone.Settled > 0 {
		list = append(list, event.Warning{Subject: s.Name, Text: several(r.Gone.Settled, "row") + " that the model has no more, of unknown outcome, is there: the next run deletes what is"})
	}
	if r.Gone.Left > 0 {
		list = append(list, event.Warning{Subject: s.Name, Text: several(r.Gone.Left, "row") + " that the model has no more may be there: its last outcome is not known, and mode " + s.Mode + " sends nothing for it",
			Hint: "elt quarantine " + s.Name})
	}
	return list
}

// toldOfTwins is the warning about keys of the model that are one row there.
func toldOfTwins(s *project.Sync, r activate.Result) []event.Warning {
	if r.Twins.Keys == 0 {
		return nil
	}
	return []event.Warning{{Subject: s.Name,
		Text:   several(r.Twins.Keys, "row") + " of the model lead to fewer rows there: the destination takes several of the keys for one, and what was sent last is there",
		Detail: strings.Join(r.Twins.Samples, " "), Hint: "let " + s.Model + " have each key once, as the destination compares keys"}}
}
