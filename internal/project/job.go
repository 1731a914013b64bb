package project

import (
	"fmt"
	"regexp"
	"slices"

	"elt/internal/schedule"
	"elt/internal/yamlx"
)

func (l *loader) job(it item) {
	var keys jobKeys
	o := it.d.Struct(it.value, &keys)
	j := &Job{
		Name: it.name, Schedule: keys.Schedule, Run: keys.Run, Catchup: inherit(keys.Catchup, "latest"), Overlap: inherit(keys.Overlap, "skip"),
		Timeout: keys.Timeout, Retries: defaultRetries, CompleteBy: keys.CompleteBy, Heartbeat: keys.Heartbeat,
		Owner: inherit(keys.Owner, l.p.Owner), Runbook: keys.Runbook, Pos: it.pos,
	}
	if len(j.Run) == 0 {
		j.Run = []string{"all"}
	}
	l.p.Jobs[it.name] = j
	l.notActing(it, fmt.Sprintf("job %q", it.name), o, keys)
	if o.Has("retries") {
		j.Retries = keys.Retries
	}
	l.notActingValues(it, j, o)
	if o.Has("schedule") {
		var err error
		if j.Due, err = schedule.Parse(j.Schedule); err != nil {
			it.d.FailAt(o.At("schedule"), "schedule: "+err.Error(), `five fields (minute hour day month weekday), such as "0 2 * * *", or @daily`, "")
		}
	}
	if problem := yamlx.AddressProblem(j.Heartbeat.Reveal()); problem != "" && !j.Heartbeat.IsZero() {
		it.d.FailAt(o.At("heartbeat"), "heartbeat "+problem, yamlx.AddressExpected, "")
	}
	if o.Has("complete_by") && !regexp.MustCompile(`^([01][0-9]|2[0-3]):[0-5][0-9]$`).MatchString(j.CompleteBy) {
		it.d.FailAt(o.At("complete_by"), fmt.Sprintf("complete_by is %q", j.CompleteBy), `a time of day such as "06:00"`, "")
	}
}

// defaultRetries is how often a step whose error may pass is tried again.
const defaultRetries = 3

// notActingValues notes the words of a job that are taken for another one.
func (l *loader) notActingValues(it item, j *Job, o yamlx.Object) {
	if o.Has("catchup") && j.Catchup == "all" {
		l.note(it.d, o.At("catchup"), fmt.Sprintf("catchup: all of job %q does not act yet", j.Name), "one run covers all times that were missed, as with latest")
	}
	if o.Has("overlap") && j.Overlap == "cancel_running" {
		l.note(it.d, o.At("overlap"), fmt.Sprintf("overlap: cancel_running of job %q does not act yet", j.Name), "the run that is on goes on and the new one is skipped, as with skip")
	}
}

func (l *loader) alert(it item) {
	var keys alertKeys
	o := it.d.Struct(it.value, &keys)
	events := []string{"failed", "stale", "held", "recovered"}
	to := l.p.Connections[keys.To]
	switch {
	case keys.To == "": // told as missing
	case to == nil:
		l.unknownConnection(it.d, o.At("to"), keys.To)
	case l.kinds[to.Type].later:
		l.note(it.d, it.pos, fmt.Sprintf("alerts to type %q are not sent yet", to.Type), "elt status and the exit code of elt run tell the same")
	case l.kinds[to.Type].known() && !l.kinds[to.Type].tells:
		it.d.FailAt(o.At("to"), fmt.Sprintf("type %q of connection %q takes no alerts", to.Type, keys.To), "a connection of type "+yamlx.OneOf(l.kinds.telling()), "")
	}
	if i := slices.IndexFunc(l.p.Alerts, func(a Alert) bool { return a.To == keys.To }); i >= 0 && keys.To != "" {
		it.d.FailAt(o.At("to"), fmt.Sprintf("connection %q is told twice", keys.To), "one entry for each connection, with all of when; the other is at "+l.p.Alerts[i].Pos.String(), "")
	}
	if e := o.Get("when"); e != nil {
		for i, n := range it.d.Items(e.Value) {
			if i < len(keys.When) && !slices.Contains(events, keys.When[i]) {
				it.d.Fail(n, fmt.Sprintf("unknown event %q", keys.When[i]), yamlx.OneOf(events), yamlx.DidYouMean(keys.When[i], events))
			}
		}
	}
	if o.Has("repeat_after") && keys.RepeatAfter <= 0 {
		it.d.FailAt(o.At("repeat_after"), "repeat_after is no time at all", "a duration such as 24h, or no repeat_after: then it is told once", "")
	}
	if len(keys.When) == 0 {
		keys.When = events
	}
	l.p.Alerts = append(l.p.Alerts, Alert{To: keys.To, Connection: to, When: keys.When, RepeatAfter: keys.RepeatAfter, Pos: it.pos})
}
