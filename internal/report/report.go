// Package report prints the events of a run for people and machines: plain
// lines, progress bars on a terminal, JSON lines, and the log file of each run.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"elt/internal/event"
)

// Many hands every event to each sink in turn; safe for concurrent use.
type Many struct {
	mu    sync.Mutex
	sinks []event.Sink
}

// NewMany returns a sink over sinks; nil ones are left out.
func NewMany(sinks ...event.Sink) *Many {
	m := &Many{}
	for _, s := range sinks {
		if s != nil {
			m.sinks = append(m.sinks, s)
		}
	}
	return m
}

// Emit implements [event.Sink].
func (m *Many) Emit(e event.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.sinks {
		s.Emit(e)
	}
}

// JSON writes one event a line. Err keeps the first error of the writer.
type JSON struct {
	enc *json.Encoder
	err error
}

// NewJSON writes to w.
func NewJSON(w io.Writer) *JSON {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return &JSON{enc: enc}
}

// Emit implements [event.Sink].
func (j *JSON) Emit(e event.Event) {
	if err := j.enc.Encode(e); j.err == nil { // the others fail for the same reason
		j.err = err
	}
}

// Err returns what went wrong while writing.
func (j *JSON) Err() error { return j.err }

// Plain writes one line a step, then warnings and failures, then the outcome.
type Plain struct {
	w        io.Writer
	loc      *time.Location
	verbose  bool
	target   string
	warnings []event.Warning
	failures []event.Step
	blocked  []event.Step
}

// NewPlain writes to w with times in loc.
func NewPlain(w io.Writer, loc *time.Location) *Plain { return &Plain{w: w, loc: loc} }

// NewVerbose is NewPlain with a line for each progress of a step.
func NewVerbose(w io.Writer, loc *time.Location) *Plain { return &Plain{w: w, loc: loc, verbose: true} }

// Emit implements [event.Sink].
func (p *Plain) Emit(e event.Event) {
	switch {
	case e.Progress != nil && p.verbose:
		fmt.Fprintf(p.w, "%-8s %-22s %s rows so far\n", e.Progress.Kind, e.Progress.Name, Number(e.Progress.Rows))
	case e.Start != nil:
		p.target = e.Start.Target
		fmt.Fprintln(p.w, p.start(e.Run, *e.Start))
		if e.Start.Note != "" {
			fmt.Fprintln(p.w, e.Start.Note)
		}
	case e.Step != nil:
		p.note(*e.Step)
		fmt.Fprintln(p.w, Line(*e.Step))
	case e.End != nil:
		p.end(e.Run, *e.End)
	}
}

func (p *Plain) start(run string, s event.Start) string {
	line := fmt.Sprintf("%s · %s · %s · run %s · push: %s", s.Project, s.Target, s.Warehouse, run, s.Push)
	if s.Job != "" {
		line += " · job " + s.Job
	}
	if !s.AsOf.IsZero() {
		line += " · as of " + s.AsOf.In(p.loc).Format("2006-01-02 15:04 MST")
	}
	return line
}

func (p *Plain) note(s event.Step) {
	p.warnings = append(p.warnings, s.Result.Warnings...)
	switch s.Status {
	case event.Failed, event.Interrupted:
		p.failures = append(p.failures, s)
	case event.Blocked:
		p.blocked = append(p.blocked, s)
	}
}

// Line is one step in one line.
func Line(s event.Step) string {
	var facts []string
	if s.Result.Note != "" {
		facts = append(facts, fmt.Sprintf("%-12s", s.Result.Note))
	}
	for i, c := range s.Result.Counts {
		width := 0
		if i < 2 {
			width = 8
		}
		facts = append(facts, fmt.Sprintf("%*s %s", width, Number(c.N), c.Label))
	}
	if n := s.Result.Checks; n == 1 {
		facts = append(facts, "1 check ok")
	} else if n > 1 {
		facts = append(facts, fmt.Sprintf("%d checks ok", n))
	}
	switch s.Status {
	case event.Failed:
		facts = []string{"failed"}
	case event.Blocked:
		facts = []string{"blocked by " + s.Needs}
	case event.Interrupted, event.Skipped:
		facts = []string{string(s.Status)}
	case event.CheckFailed:
		facts = append(facts, failedCheck(s.Result))
	case event.Unfinished, event.Held:
		facts = append(facts, string(s.Status))
	}
	return fmt.Sprintf("%-8s %-22s %-52s %6s", s.Kind, s.Name, strings.Join(facts, "  "), Seconds(s.Result.Took))
}

// failedCheck says what readers see after a check has failed.
func failedCheck(r event.Result) string {
	switch {
	case r.Note == "view":
		return "check failed, the old definition stands"
	case r.Windows > 0: // they were published before the table was judged
		return "check failed"
	}
	return "check failed, the old data stands"
}

// typed is a command that a warning names, for the target of the run.
func (p *Plain) typed(hint string) string {
	if p.target == "" || p.target == "dev" || !strings.HasPrefix(hint, "elt ") {
		return hint
	}
	return hint + " --target " + p.target
}

func (p *Plain) end(run string, e event.End) {
	if len(p.warnings)+len(p.failures)+len(p.blocked) > 0 || e.Reason != "" {
		fmt.Fprintln(p.w)
	}
	for _, w := range p.warnings {
		word := "warning"
		if w.Error {
			word = "failed"
		}
		fmt.Fprintf(p.w, "%-8s %s: %s\n", word, w.Subject, Visible(w.Text, "\n"))
		if detail := join(w.Detail, p.typed(w.Hint)); detail != "" {
			fmt.Fprintf(p.w, "%-8s %s\n", "", Visible(detail, "\n"))
		}
	}
	for _, s := range p.failures {
		if s.Status == event.Interrupted {
			continue // told below, all at once
		}
		fmt.Fprintf(p.w, "%-8s %s: %s\n", s.Status, s.Name, strings.ReplaceAll(Visible(s.Error, "\n\t"), "\n", "\n         "))
	}
	if n := len(p.blocked); n > 0 {
		fmt.Fprintf(p.w, "%-8s %d downstream: %s\n", "blocked", n, names(p.blocked))
	}
	p.interrupted()
	if e.Reason != "" {
		fmt.Fprintf(p.w, "%-8s %s\n", e.Status, Visible(e.Reason, "\n         "))
	}
	fmt.Fprintln(p.w, p.last(run, e))
}

func names(steps []event.Step) string {
	var out []string
	for i, s := range steps {
		if i == 5 {
			out = append(out, fmt.Sprintf("and %d more", len(steps)-i))
			break
		}
		out = append(out, s.Name)
	}
	return strings.Join(out, ", ")
}

func (p *Plain) last(run string, e event.End) string {
	word := map[event.Status]string{event.OK: "OK", event.Failed: "FAILED", event.CheckFailed: "CHECK FAILED",
		event.Unfinished: "UNFINISHED", event.Held: "HELD", event.Interrupted: "INTERRUPTED"}[e.Status]
	parts := []string{word + " in " + Seconds(e.Took)}
	if !e.AsOf.IsZero() {
		parts = append(parts, "data as of "+e.AsOf.In(p.loc).Format("2 Jan 15:04"))
	}
	if e.Log != "" {
		parts = append(parts, "log "+e.Log)
	}
	if e.Exit != 0 {
		parts = append(parts, fmt.Sprintf("exit %d", e.Exit), "elt logs "+run)
	}
	return strings.Join(parts, " · ")
}

func join(parts ...string) string {
	var out []string
	for _, p := range parts {
		if p != "" {
			out = append(out, p)
		}
	}
	return strings.Join(out, " · ")
}

// Number prints n with thousands separated: 18,377.
func Number(n int64) string {
	s := fmt.Sprint(n)
	start := 0
	if n < 0 {
		start = 1
	}
	for i := len(s) - 3; i > start; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Seconds prints d as people read it: 0.8s, 12m 3s.
func Seconds(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	return fmt.Sprintf("%dm %ds", int(d.Minutes()), int(d.Seconds())%60)
}
