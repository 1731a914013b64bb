package pipeline

import (
	"context"
	"fmt"
	"strings"

	"elt/internal/rows"
	"elt/internal/warehouse"
)

// unbuilt is err, of a check of relation, in the words of the project where a
// table that a check names does not exist: the run did not select it.
func (p *Pipeline) unbuilt(ctx context.Context, relation string, err error) error {
	if warehouse.KindOf(err) != warehouse.KindNotFound {
		return err
	}
	for _, c := range p.Graph.Checks(relation) {
		for _, need := range c.Needs {
			schema, name, _ := strings.Cut(need, ".")
			at, exists := p.place(schema, name), false
			asked := warehouse.Each(ctx, p.DB, `SELECT count(*) FROM information_schema.tables WHERE lower(table_schema) = lower($1) AND lower(table_name) = lower($2)`,
				func(r rows.Row) error { exists = r.Int(0) > 0; return nil }, at.Schema, at.Name)
			if asked == nil && !exists {
				return fmt.Errorf("check %s of %s (%s:%d) reads %s, which is not there yet; make it first: elt run +%s",
					c.Kind, relation, c.Pos.File, c.Pos.Line, need, relation)
			}
		}
	}
	return err
}
