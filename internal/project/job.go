package project

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"elt/internal/yamlx"
)

func (l *loader) job(it item) {
	var keys jobKeys
	o := it.d.Struct(it.value, &keys)
	j := &Job{
		Name: it.name, Schedule: keys.Schedule, Run: keys.Run, Catchup: inherit(keys.Catchup, "latest"), Overlap: inherit(keys.Overlap, "skip"),
		Timeout: keys.Timeout, Retries: keys.Retries, CompleteBy: keys.CompleteBy, Heartbeat: keys.Heartbeat,
		Owner: inherit(keys.Owner, l.p.Owner), Runbook: keys.Runbook, Pos: it.pos,
	}
	if len(j.Run) == 0 {
		j.Run = []string{"all"}
	}
	l.p.Jobs[it.name] = j
	l.notActing(it, fmt.Sprintf("job %q", it.name), o, keys)
	if o.Has("schedule") {
		if _, err := ParseSchedule(j.Schedule); err != nil {
			it.d.FailAt(o.At("schedule"), "schedule: "+err.Error(), `five fields (minute hour day month weekday), such as "0 2 * * *", or @daily`, "")
		}
	}
	if o.Has("complete_by") && !regexp.MustCompile(`^([01][0-9]|2[0-3]):[0-5][0-9]$`).MatchString(j.CompleteBy) {
		it.d.FailAt(o.At("complete_by"), fmt.Sprintf("complete_by is %q", j.CompleteBy), `a time of day such as "06:00"`, "")
	}
}

// ParseSchedule reads a cron spec of five fields or a descriptor such as @daily
// or @every 15m. 7 is Sunday, as 0 is. A spec that never fires, that names a
// zone of its own, or that fires more than once a second is refused.
func ParseSchedule(spec string) (schedule cron.Schedule, err error) {
	defer func() {
		// The parser cuts strings without looking on some malformed specs.
		if recover() != nil {
			schedule, err = nil, fmt.Errorf("%q is no schedule", spec)
		}
	}()
	text := strings.TrimSpace(spec)
	if strings.Contains(strings.ToUpper(text), "TZ=") {
		return nil, errors.New("it names a time zone; the one of the project counts")
	}
	if every, ok := strings.CutPrefix(text, "@every "); ok {
		if d, err := time.ParseDuration(strings.TrimSpace(every)); err != nil || d < time.Second {
			return nil, fmt.Errorf("%q is no interval of a second or more", every)
		}
	} else if fields := strings.Fields(text); len(fields) == 5 {
		days := strings.Split(fields[4], ",")
		for i, d := range days {
			if d == "7" {
				days[i] = "0"
			}
		}
		fields[4] = strings.Join(days, ",")
		text = strings.Join(fields, " ")
	} else if !strings.HasPrefix(text, "@") {
		return nil, fmt.Errorf("%q has %d fields", spec, len(fields))
	}
	schedule, err = cron.ParseStandard(text)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", spec, err)
	}
	if schedule.Next(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return nil, fmt.Errorf("%q never fires: there is no such date", spec)
	}
	return schedule, nil
}

func (l *loader) alert(it item) {
	var keys alertKeys
	o := it.d.Struct(it.value, &keys)
	events := []string{"failed", "stale", "held", "recovered"}
	if keys.To != "" && l.p.Connections[keys.To] == nil {
		l.unknownConnection(it.d, o.At("to"), keys.To)
	}
	if e := o.Get("when"); e != nil {
		for i, n := range it.d.Items(e.Value) {
			if i < len(keys.When) && !slices.Contains(events, keys.When[i]) {
				it.d.Fail(n, fmt.Sprintf("unknown event %q", keys.When[i]), yamlx.OneOf(events), yamlx.DidYouMean(keys.When[i], events))
			}
		}
	}
	if len(keys.When) == 0 {
		keys.When = events
	}
	l.note(it.d, it.pos, "alerts are not sent yet", "elt status and the exit code of elt run tell the same")
	l.p.Alerts = append(l.p.Alerts, Alert{To: keys.To, When: keys.When, Pos: it.pos})
}
