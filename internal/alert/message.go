package alert

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Message is what a place is told after a run, free of any chat's form: the
// renderers turn it into theirs.
type Message struct {
	Title    string // the first cause with its number, and how many more
	Good     bool   // recoveries alone
	Sections []Section
	Footer   string // project, target, job, run
}

// Section is one subject.
type Section struct {
	Head  string
	Good  bool
	Facts []Fact
	Code  []string // samples and what to type, each on its own
}

// Fact is one labelled line.
type Fact struct{ Label, Text string }

// item is a record with what is due of it.
type item struct {
	record Record
	due    Due
}

// Where says which run tells, for the last line of its message.
type Where struct {
	Project, Target, Job, Run string
	Zone                      *time.Location
}

// compose is the message that tells items: what is serious first, causes before
// what they block, recoveries last.
func compose(items []item, w Where, now time.Time) Message {
	slices.SortStableFunc(items, func(a, b item) int {
		if d := b.weight() - a.weight(); d != 0 {
			return d
		}
		return strings.Compare(a.record.Subject, b.record.Subject)
	})
	firing := map[string]Problem{}
	for _, it := range items {
		if it.due == Firing {
			firing[it.record.Subject] = *it.record.Problem
		}
	}
	under := map[string][]string{}
	for _, it := range items {
		if name := it.record.Subject; it.due == Firing && root(firing, name) != name {
			under[root(firing, name)] = append(under[root(firing, name)], name)
		}
	}
	m := Message{Good: len(firing) == 0, Footer: w.line()}
	for _, it := range items {
		if name := it.record.Subject; it.due == Firing && root(firing, name) != name {
			continue
		}
		m.Sections = append(m.Sections, it.section(w, under[it.record.Subject], now))
	}
	m.Title = title(m.Sections)
	return m
}

// root is the subject under which name is told: the last of those that it is a
// consequence of, one of the other, and name itself where they lead back to one of
// them, so that nothing is left out.
func root(firing map[string]Problem, name string) string {
	passed := map[string]bool{}
	for at := name; !passed[at]; at = firing[at].Under {
		passed[at] = true
		if _, told := firing[firing[at].Under]; !told {
			return at
		}
	}
	return name
}

func title(sections []Section) string {
	if len(sections) == 0 {
		return ""
	}
	text := sections[0].Head
	if more := len(sections) - 1; more > 0 {
		text += fmt.Sprintf(" (and %d more)", more)
	}
	return text
}

func (it item) weight() int {
	if it.due == Firing {
		return it.record.Seen.State.rank()
	}
	return 0
}

func (it item) section(w Where, under []string, now time.Time) Section {
	r := it.record
	if it.due == Recovery {
		s := Section{Head: r.Subject + ": recovered", Good: true}
		if !r.Since.IsZero() {
			s.Head += " after " + Lasted(r.Seen.At.Sub(r.Since))
			s.Facts = []Fact{{"In trouble since", w.when(r.Since)}}
		}
		return s
	}
	p := r.Problem
	s := Section{Head: r.Subject + ": " + p.Title}
	fact := func(label, text string) {
		if text != "" {
			s.Facts = append(s.Facts, Fact{label, text})
		}
	}
	if !r.Told.ok() && r.Told.same(r.Seen) {
		fact("Still", fmt.Sprintf("%s since %s", r.Seen.State, w.when(r.Since)))
	}
	for _, c := range p.Causes {
		fact("Observed", strings.TrimPrefix(c.Check+": ", ": ")+c.Observed)
		fact("Expected", c.Expected)
	}
	fact("Error", p.Error)
	fact("Readers", p.Readers)
	fact("Blocked", several(p.Blocked))
	fact("Also", several(under))
	fact("Next", p.Next)
	fact("Owner", p.Owner)
	fact("Runbook", p.Runbook)
	if p.Run != "" && p.Run != w.Run {
		fact("Seen by", "run "+p.Run+", "+w.when(r.Seen.At)+"; it could not be told then")
	}
	for _, c := range p.Causes {
		s.Code = append(s.Code, c.Samples[:min(len(c.Samples), 5)]...)
	}
	s.Code = append(s.Code, p.Commands...)
	return s
}

// several names the first few of a list and counts the rest; "" for none.
func several(names []string) string {
	const most = 5
	if len(names) == 0 {
		return ""
	}
	text := strings.Join(names[:min(len(names), most)], ", ")
	if more := len(names) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return fmt.Sprintf("%d: %s", len(names), text)
}

func (w Where) line() string {
	parts := []string{w.Project, w.Target}
	if w.Job != "" {
		parts = append(parts, "job "+w.Job)
	}
	if w.Run != "" {
		parts = append(parts, "run "+w.Run)
	}
	return strings.Join(parts, " · ")
}

func (w Where) when(t time.Time) string {
	if w.Zone != nil {
		t = t.In(w.Zone)
	}
	return t.Format("2 Jan 15:04")
}

// Lasted prints how long something took in the two units that matter.
func Lasted(d time.Duration) string {
	d = max(d, 0).Round(time.Second)
	days, hours, minutes := int(d/(24*time.Hour)), int(d/time.Hour)%24, int(d/time.Minute)%60
	switch {
	case days > 0:
		return fmt.Sprintf("%dd %dh", days, hours)
	case hours > 0:
		return fmt.Sprintf("%dh %dm", hours, minutes)
	case minutes > 0:
		return fmt.Sprintf("%dm", minutes)
	}
	return fmt.Sprintf("%ds", int(d/time.Second))
}

// scrub is m with every text passed through clean.
func (m Message) scrub(clean func(string) string) Message {
	m.Title, m.Footer = clean(m.Title), clean(m.Footer)
	m.Sections = slices.Clone(m.Sections)
	for i := range m.Sections {
		s := &m.Sections[i]
		s.Head = clean(s.Head)
		s.Facts, s.Code = slices.Clone(s.Facts), slices.Clone(s.Code)
		for j := range s.Facts {
			s.Facts[j].Text = clean(s.Facts[j].Text)
		}
		for j := range s.Code {
			s.Code[j] = clean(s.Code[j])
		}
	}
	return m
}
