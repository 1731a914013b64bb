// Package event is what happens in a run, as data: the printers, the run's log
// file and the run record all read the same events.
package event

import "time"

// Count is one labelled number of a step: 1,204 read.
type Count struct {
	Label string `json:"label"`
	N     int64  `json:"n"`
}

// Status is how a step or run ended.
type Status string

// The statuses.
const (
	OK          Status = "ok"
	Failed      Status = "failed"      // an error
	CheckFailed Status = "check"       // a check of severity error failed; the old data stands
	Blocked     Status = "blocked"     // something upstream did not end well
	Skipped     Status = "skipped"     // not wanted in this run
	Unfinished  Status = "unfinished"  // deferred, unknown, or rejected over its guard or altogether
	Held        Status = "held"        // a guard tripped: nothing was sent, and somebody has to approve it
	Interrupted Status = "interrupted" // cancelled
)

// Result is what a step reports when it ends without error.
type Result struct {
	Counts   []Count       `json:"counts,omitempty"`
	Note     string        `json:"note,omitempty"` // a word in place of counts: view
	Checks   int           `json:"checks,omitempty"`
	Warnings []Warning     `json:"warnings,omitempty"`
	Status   Status        `json:"status,omitempty"` // "" means OK
	AsOf     time.Time     `json:"as_of,omitzero"`   // event-time high water
	Took     time.Duration `json:"took,omitempty"`
	Windows  int           `json:"windows,omitempty"` // of a backfill, that were done
}

// Warning is something that a person should look at.
type Warning struct {
	Subject string `json:"subject"`          // shop.orders
	Text    string `json:"text"`             // 1 row quarantined (0.01%, limit 1%)
	Detail  string `json:"detail,omitempty"` // the first case of it
	Hint    string `json:"hint,omitempty"`   // the command to type
	Error   bool   `json:"error,omitempty"`  // of severity error
	Cause   bool   `json:"cause,omitempty"`  // it is why the step is held or unfinished
}

// Event is one thing that happened. Exactly one of the pointers is set.
type Event struct {
	At       time.Time `json:"at"`
	Run      string    `json:"run"`
	Start    *Start    `json:"start,omitempty"`
	Step     *Step     `json:"step,omitempty"`
	Progress *Progress `json:"progress,omitempty"`
	End      *End      `json:"end,omitempty"`
	Alert    *Alert    `json:"alert,omitempty"`
}

// Start opens a run.
type Start struct {
	Project   string    `json:"project"`
	Target    string    `json:"target"`
	Warehouse string    `json:"warehouse"` // without credentials
	Push      string    `json:"push"`
	AsOf      time.Time `json:"as_of,omitzero"` // set when the clock is not now
	Steps     int       `json:"steps"`
	Job       string    `json:"job,omitempty"`
	Note      string    `json:"note,omitempty"` // what is special about it: retry of run 7f3a2c
}

// Step tells that a step ended.
type Step struct {
	Kind   string `json:"kind"` // extract, model, check, sync
	Name   string `json:"name"`
	Status Status `json:"status"`
	Result Result `json:"result"`
	Error  string `json:"error,omitempty"`
	Needs  string `json:"blocked_by,omitempty"`
	Stack  string `json:"stack,omitempty"` // of a panic: for the log, not for people
}

// Progress is a step under way.
type Progress struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
	Rows int64  `json:"rows"`
}

// End closes a run.
type End struct {
	Status Status        `json:"status"`
	Exit   int           `json:"exit"`
	Took   time.Duration `json:"took"`
	AsOf   time.Time     `json:"as_of,omitzero"`
	Log    string        `json:"log,omitempty"`
	Reason string        `json:"reason,omitempty"` // why it ended so, where no step says that
}

// Alert tells, after the end of a run, that somebody was told of it, or could not be.
type Alert struct {
	To       string `json:"to"`                 // the connection
	Subjects int    `json:"subjects,omitempty"` // in the message
	Error    string `json:"error,omitempty"`    // why it was not delivered
}

// Sink takes events, in order, from one goroutine at a time.
type Sink interface{ Emit(Event) }
