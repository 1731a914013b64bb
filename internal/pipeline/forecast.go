package pipeline

import (
	"fmt"
	"math"
	"strings"
	"time"

	"elt/activate"
	"elt/internal/project"
)

// forecast is what a push would do and take: rows by what happens to them, calls, the
// time that the rates of the account ask for, and the guards that would hold it.
func (p *Pipeline) forecast(s *project.Sync, sync activate.Sync, v activate.Preview) string {
	o := v.Outline
	if o.Sends() == 0 {
		return ""
	}
	var facts []string
	for _, c := range []struct {
		n    int64
		what string
	}{{o.Creates, "to create"}, {o.Changes, "to change"}, {o.Deletes, "to delete"}, {o.Again, "again, of unknown outcome"}} {
		if c.n > 0 {
			facts = append(facts, fmt.Sprintf("%d %s", c.n, c.what))
		}
	}
	text := "; " + strings.Join(facts, ", ")
	if kind, err := p.destinationKind(s.Connection.Type); err == nil && kind.Limits != nil {
		limits, err := kind.Limits(activate.Config{Connection: s.Connection.Config, Sync: s.Config, Object: s.Object, Key: sync.DestKey(), Dir: p.Project.Dir})
		if err == nil && limits.BatchRows > 0 {
			calls := batches(o.Sends()-o.Deletes, limits.BatchRows) + batches(o.Deletes, limits.BatchRows)
			text += "; " + several(calls, "call")
			if d := quotaTime(calls, limits.Rates); d >= time.Second {
				text += ", at least " + short(d) + " at the rates of the account"
			}
		}
	}
	for _, t := range v.Held {
		text += "; would be held by " + t.String()
	}
	return text
}

func batches(n int64, size int) int64 { return (n + int64(size) - 1) / int64(size) }

// quotaTime is the least time that calls take within every rate.
func quotaTime(calls int64, rates []activate.Rate) time.Duration {
	var longest time.Duration
	for _, r := range rates {
		if r.Calls > 0 {
			seconds := math.Ceil(float64(calls) / float64(r.Calls) * r.Per.Seconds())
			longest = max(longest, time.Duration(seconds)*time.Second)
		}
	}
	return longest
}
