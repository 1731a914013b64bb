package pipeline

import (
	"context"
	"fmt"
	"strings"

	"elt/internal/check"
	"elt/internal/rows"
	"elt/internal/warehouse"
	"elt/transform"
)

// unbuilt is err, of a check of relation, in the words of the project where a
// table that a check names does not exist: the run did not select it.
func (p *Pipeline) unbuilt(ctx context.Context, relation string, err error) error {
	if warehouse.KindOf(err) != warehouse.KindNotFound {
		return err
	}
	for _, c := range p.Graph.Checks(relation) {
		for _, need := range c.Needs {
			if there, asked := p.isThere(ctx, p.DB, need); asked == nil && !there {
				return fmt.Errorf("check %s of %s (%s:%d) reads %s, which is not there yet; make it first: elt run +%s",
					c.Kind, relation, c.Pos.File, c.Pos.Line, need, relation)
			}
		}
	}
	return err
}

// isThere reports whether a table of the project exists in this target.
func (p *Pipeline) isThere(ctx context.Context, q warehouse.Querier, table string) (there bool, err error) {
	schema, name, _ := strings.Cut(table, ".")
	at := p.place(schema, name)
	err = warehouse.Each(ctx, q, `SELECT count(*) FROM information_schema.tables WHERE lower(table_schema) = lower($1) AND lower(table_name) = lower($2)`,
		func(r rows.Row) error { there = r.Int(0) > 0; return nil }, at.Schema, at.Name)
	return there, err
}

// declared are the checks of relation that can be judged. One that reads a table
// which waits for relation only warns: the rows that it misses there may come in
// this very run, which an error would end. Of each of the others,
// which reads a table that waits for relation and that no run has made yet, a
// finding tells that it is not judged.
func (p *Pipeline) declared(ctx context.Context, q warehouse.Querier, relation string) (checks []*transform.Check, waiting []check.Finding, err error) {
declared:
	for _, c := range p.Graph.Checks(relation) {
		for _, table := range c.Before {
			there, err := p.isThere(ctx, q, table)
			if err != nil {
				return nil, nil, fmt.Errorf("look for %s, which a check of %s reads: %w", table, relation, err)
			}
			if !there {
				waiting = append(waiting, check.Finding{Check: c.Kind, Relation: relation, Severity: check.Warn,
					Observed: "not judged, as " + table + " is not there yet", Expected: "to be judged from the next run on"})
				continue declared
			}
		}
		if len(c.Before) > 0 {
			warns := *c
			warns.Severity = string(check.Warn)
			c = &warns
		}
		checks = append(checks, c)
	}
	return checks, waiting, nil
}
