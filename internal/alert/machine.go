package alert

import (
	"slices"
	"strings"
	"time"
)

// Known is what somebody knows of a subject: a run that looked, or a place that
// was told.
type Known struct {
	State State     `json:"state"`
	Set   string    `json:"set,omitempty"` // what fails, see [Problem]
	At    time.Time `json:"at"`
}

func (k Known) same(other Known) bool {
	return k.ok() && other.ok() || k.State == other.State && k.Set == other.Set
}

func (k Known) ok() bool { return k.State == OK || k.State == "" }

// Record is a subject and a place: what was last seen, what the place knows.
type Record struct {
	To      string    `json:"to"`
	Subject string    `json:"subject"`
	Seen    Known     `json:"seen"`
	Told    Known     `json:"told"`
	Since   time.Time `json:"since"` // since when the subject is in trouble
	// Perhaps is what the place may know instead of Told: each is recorded before a
	// message that says so leaves, and stays where no reply came or the process was
	// killed.
	Perhaps []Known  `json:"perhaps,omitempty"`
	Problem *Problem `json:"problem,omitempty"` // of Seen; nil: it is well
}

// Place is who is told, and what it wants to hear.
type Place struct {
	To   string
	When []string // states and recovered
	// Repeat tells what is still in trouble again after this long. 0: never.
	Repeat time.Duration
}

func (p Place) wants(word string) bool { return slices.Contains(p.When, word) }

// Due is what a place must be told of a record.
type Due int

// What may be due. Clear is a recovery that the place does not want to hear of:
// nothing is sent, but the subject starts afresh.
const (
	Nothing Due = iota
	Firing
	Recovery
	Clear
)

// See is r after o. What is older than what r has seen changes nothing: two runs
// may overlap, and the one that looked first may end last.
func (r Record) See(o Observation) Record {
	if o.At.Before(r.Seen.At) {
		return r
	}
	was := r.Seen
	r.Seen, r.Problem = Known{State: OK, At: o.At}, o.Problem
	if o.Problem == nil {
		return r
	}
	set := o.Problem.set()
	slices.Sort(set)
	r.Seen = Known{State: o.Problem.State, Set: strings.Join(slices.Compact(set), ", "), At: o.At}
	if was.ok() && !r.perhapsTold() {
		r.Since = o.At // a new trouble; one that is known to people goes on
	}
	return r
}

// perhapsTold reports whether the place knows, or may know, of a trouble.
func (r Record) perhapsTold() bool {
	return !r.Told.ok() || slices.ContainsFunc(r.Perhaps, func(k Known) bool { return !k.ok() })
}

// Due tells what p must be told of r now.
func (r Record) Due(p Place, now time.Time) Due {
	if r.Seen.ok() {
		switch {
		case !r.perhapsTold():
			return Nothing
		case p.wants(Recovered):
			return Recovery
		default:
			return Clear
		}
	}
	if !p.wants(string(r.Seen.State)) {
		return Nothing
	}
	// A recovery that perhaps arrived leaves people believing that all is well.
	other := func(k Known) bool { return !k.same(r.Seen) }
	if other(r.Told) || slices.ContainsFunc(r.Perhaps, other) || p.Repeat > 0 && now.Sub(r.Told.At) >= p.Repeat {
		return Firing
	}
	return Nothing
}

// Attempt is r before its message leaves.
func (r Record) Attempt(now time.Time) Record {
	if !slices.ContainsFunc(r.Perhaps, r.Seen.same) {
		r.Perhaps = append(slices.Clone(r.Perhaps), Known{State: r.Seen.State, Set: r.Seen.Set, At: now})
	}
	return r
}

// Delivered is r once the place has taken the message that [Record.Attempt]
// announced.
func (r Record) Delivered(now time.Time) Record {
	r.Told = Known{State: r.Seen.State, Set: r.Seen.Set, At: now}
	r.Perhaps = nil
	if r.Told.ok() {
		r.Since = time.Time{}
	}
	return r
}

// gone reports whether nothing of r needs to be remembered.
func (r Record) gone() bool { return r.Seen.ok() && !r.perhapsTold() }
