package duckread

import (
	"encoding/csv"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// checkHeads refuses CSV files that name two columns alike. The engine would
// call the second one a_1, after its place: a file with the two exchanged would
// then land in each other's column.
func (p *plan) checkHeads(found []described) error {
	var errs []error
	for _, g := range p.groups {
		names := headNames(g)
		if !slices.ContainsFunc(names, func(name string) bool { return has(found, name) }) {
			continue // the engine took the first line for a row
		}
		at := map[string]int{}
		for i, name := range names {
			folded := strings.ToLower(name)
			first, twice := at[folded]
			if !twice {
				at[folded] = i
				continue
			}
			if name != "" { // what has no name gets one by its place
				errs = append(errs, fmt.Errorf("read %s: columns %d and %d are both called %q; rename one of them in the file", g.files[0].Name, first+1, i+1, name))
			}
		}
	}
	return errors.Join(errs...)
}

// setHeads keeps what the sniffer made of the first lines: it finds a head by the
// types of the rows below, which are told it afterwards.
func (p *plan) setHeads(found []described) {
	for i, g := range p.groups {
		names := headNames(g)
		switch {
		case slices.ContainsFunc(names, func(name string) bool { return has(found, name) }):
			p.groups[i].headed = "true"
		case len(names) > 0 && has(found, "column0"):
			p.groups[i].headed = "false"
		}
	}
}

// headNames are the names in the head of g; none where it cannot be split.
func headNames(g group) []string {
	sep, size := utf8.DecodeRuneInString(g.delim)
	if g.head == "" || size == 0 || size != len(g.delim) {
		return nil
	}
	r := csv.NewReader(strings.NewReader(g.head))
	r.Comma, r.LazyQuotes, r.TrimLeadingSpace = sep, true, true
	names, err := r.Read()
	if err != nil {
		return nil
	}
	for i := range names {
		names[i] = strings.TrimSpace(names[i])
	}
	return names
}
