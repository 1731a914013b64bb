// Package alert decides what people are told of a run and when, and tells them:
// each change of state once, in one message a run, to every place that asked.
//
// It keeps two things apart: what a run saw of a subject, and what a place knows
// of it. Whatever differs is due. So an outage of the chat, a kill between sending
// and recording, and a message that nobody wanted are no special cases: what was
// not told differs still when the next run looks.
package alert

import (
	"slices"
	"time"
)

// State is how a subject is.
type State string

// The states, least serious first. OK is also that of what was never in trouble.
const (
	OK     State = "ok"
	Stale  State = "stale"  // the data are older than they may be, or a job is late
	Held   State = "held"   // a push waits for leave, or is not done
	Failed State = "failed" // an error, a failed check, or a run that could not start
)

// Recovered is the word of `when:` for a subject that is well again.
const Recovered = "recovered"

// rank orders the states by how serious they are.
func (s State) rank() int {
	switch s {
	case Stale:
		return 1
	case Held:
		return 2
	case Failed:
		return 3
	}
	return 0
}

// Cause is one reason for a problem: a check with its numbers.
type Cause struct {
	Check    string   `json:"check"`
	Observed string   `json:"observed"`
	Expected string   `json:"expected"`
	Samples  []string `json:"samples,omitempty"` // with personal data masked
}

// Problem is a subject in trouble, in the words that people read. It is stored with
// what was not told yet, so that a later run can tell it.
type Problem struct {
	State    State    `json:"state"`
	Title    string   `json:"title"`             // the cause and its number: 0 rows, expected 9,300 to 11,900
	Causes   []Cause  `json:"causes,omitempty"`  // failed checks
	Error    string   `json:"error,omitempty"`   // what went wrong, where no check says so
	Readers  string   `json:"readers,omitempty"` // what readers still see
	Blocked  []string `json:"blocked,omitempty"` // what waits for it
	Next     string   `json:"next,omitempty"`    // the next step that elt takes by itself
	Commands []string `json:"commands,omitempty"`
	Owner    string   `json:"owner,omitempty"`
	Runbook  string   `json:"runbook,omitempty"`
	Run      string   `json:"run,omitempty"`
	// Under is the subject that this one is a consequence of: when that one is told
	// too, this one is only counted there.
	Under string `json:"under,omitempty"`
}

// Observation is what a run saw of a subject. Subjects that it did not look at,
// or that were blocked, have none and stay as they were.
type Observation struct {
	Subject string
	At      time.Time // when it was seen; an older one never replaces a younger one
	Problem *Problem  // nil: it is well
}

// set is what fails, in a form that only changes when people should hear of it
// again: the names of the checks, not their numbers and not the text of an error.
func (p *Problem) set() []string {
	var names []string
	for _, c := range p.Causes {
		names = append(names, c.Check)
	}
	return names
}

// scrub is p with every text that people read passed through clean.
func (p *Problem) scrub(clean func(string) string) Problem {
	out := *p
	for _, text := range []*string{&out.Title, &out.Error, &out.Readers, &out.Next, &out.Owner, &out.Runbook} {
		*text = clean(*text)
	}
	out.Causes, out.Commands = slices.Clone(p.Causes), cleaned(p.Commands, clean)
	for i := range out.Causes {
		c := &out.Causes[i]
		c.Check, c.Observed, c.Expected, c.Samples = clean(c.Check), clean(c.Observed), clean(c.Expected), cleaned(c.Samples, clean)
	}
	return out
}

func cleaned(texts []string, clean func(string) string) []string {
	texts = slices.Clone(texts)
	for i := range texts {
		texts[i] = clean(texts[i])
	}
	return texts
}
