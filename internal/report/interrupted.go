package report

import (
	"fmt"

	"elt/internal/event"
)

// interrupted tells of the steps that a signal kept from ending: how far each
// came, what readers see, and what to type to go on.
func (p *Plain) interrupted() {
	none := true
	for _, s := range p.failures {
		if s.Status != event.Interrupted {
			continue
		}
		none = false
		what := "not started"
		switch {
		case s.Error != "" && s.Kind == "sync":
			what = "cut short; what the destination has acknowledged is recorded and not pushed again"
		case s.Error != "":
			what = "cut short; nothing of it is kept"
		}
		fmt.Fprintf(p.w, "%-8s %s: %s\n", s.Status, s.Name, what)
	}
	if none {
		return
	}
	fmt.Fprintf(p.w, "%-8s readers still see these as the last good run left them · to continue: %s\n", "", p.typed("elt retry"))
}
