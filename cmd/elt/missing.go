package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"elt/internal/rows"
	"elt/internal/warehouse"
)

// notThere is err in the words of the project where the table that a query named
// does not exist: it waits for its first run, or nobody makes it.
func (s *session) notThere(ctx context.Context, name string, t warehouse.Table, err error) error {
	if warehouse.KindOf(err) != warehouse.KindNotFound {
		return err
	}
	exists := false // a view over what is gone exists
	asked := warehouse.Each(ctx, s.db, `SELECT count(*) FROM information_schema.tables WHERE lower(table_schema) = lower($1) AND lower(table_name) = lower($2)`,
		func(r rows.Row) error { exists = r.Int(0) > 0; return nil }, t.Schema, t.Name)
	if asked != nil || exists {
		return errors.Join(err, asked)
	}
	var known []string
	for _, n := range s.graph.Nodes() {
		if strings.EqualFold(n.Name, name) {
			what, selector := "built", "+"+n.Name
			if n.Kind != "model" {
				what, selector = "loaded", n.Name
			}
			return fmt.Errorf("%s is not %s yet on target %s; make it: %s", n.Name, what, s.target.Name, s.target.Command("elt run "+selector))
		}
		known = append(known, n.Name)
	}
	return usage("there is no table %s; %ssee what there is: elt ls", name, meant(name, known))
}
