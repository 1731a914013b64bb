package report

import (
	"fmt"
	"strings"

	"elt/internal/event"
)

// interrupted tells of the steps that a signal kept from ending: how far each
// came, what readers see, and what to type to go on.
func (p *Plain) interrupted() {
	var names []string
	for _, s := range p.failures {
		if s.Status != event.Interrupted {
			continue
		}
		names = append(names, s.Name)
		what := "not started"
		switch {
		case s.Error != "" && s.Kind == "sync":
			what = "cut short; what the destination has acknowledged is recorded and not pushed again"
		case s.Error != "":
			what = "cut short; nothing of it is kept"
		}
		fmt.Fprintf(p.w, "%-8s %s: %s\n", s.Status, s.Name, what)
	}
	if len(names) == 0 {
		return
	}
	for _, s := range p.blocked {
		names = append(names, s.Name)
	}
	if len(names) > 5 { // a run does again only what is due
		names = nil
	}
	command := strings.Join(append([]string{"elt run"}, names...), " ")
	if p.target != "" && p.target != "dev" {
		command += " --target " + p.target
	}
	fmt.Fprintf(p.w, "%-8s readers still see these as the last good run left them · to continue: %s\n", "", command)
}
