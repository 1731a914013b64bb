package duckread

import (
	"context"
	"fmt"
	"strings"

	"elt/internal/rows"
)

// nameTypes asks the engine for its own names of the types that were declared:
// INT8, LONG and BIGINT are one type, and how its values are read depends on it.
func (p *plan) nameTypes(ctx context.Context, e Execer) error {
	for i, c := range p.cols {
		if !c.declared {
			continue
		}
		r, err := e.Query(ctx, "SELECT typeof(CAST(NULL AS "+c.typ+"))")
		if err != nil {
			return fmt.Errorf("column %q is declared as %s: %w", c.name, c.typ, err)
		}
		if err := rows.Each(r, func(row rows.Row) error { p.cols[i].engine = row.String(0); return nil }); err != nil {
			return fmt.Errorf("column %q is declared as %s: %w", c.name, c.typ, err)
		}
	}
	return nil
}

// kind is the engine's name of c's type.
func (c column) kind() string {
	if c.engine != "" {
		return c.engine
	}
	return strings.ToUpper(c.typ)
}

// decimal reports whether c's values have a fixed number of places.
func (c column) decimal() bool { return strings.HasPrefix(c.kind(), "DECIMAL") }
