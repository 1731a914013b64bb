package load

import (
	"context"
	"fmt"
	"strings"

	"elt/internal/rows"
	"elt/internal/warehouse"
	"elt/window"
)

// worthIt is how many rows make a transaction of their own worth while. With fewer
// than some 500,000 DuckDB writes them to its log first and then once more.
const worthIt = 1_000_000

// Groups puts windows that meet together, so that a transaction has about as many
// rows as are worth one; a window with more is alone.
func (d *Divided) Groups(windows []window.Window) [][]window.Window {
	most := len(windows)
	if d.staged.rows > worthIt {
		most = max(1, int(int64(len(windows))*worthIt/d.staged.rows))
	}
	var out [][]window.Window
	for i, w := range windows {
		n := len(out)
		if i > 0 && windows[i-1].End.Equal(w.Start) && len(out[n-1]) < most {
			out[n-1] = append(out[n-1], w)
			continue
		}
		out = append(out, []window.Window{w})
	}
	return out
}

// Count tells how many staged rows lie in each of windows.
func (d *Divided) Count(ctx context.Context, tx *warehouse.Tx, windows []window.Window) ([]int64, error) {
	out := make([]int64, len(windows))
	if len(d.staged.columns) == 0 || d.staged.rows == 0 {
		return out, nil
	}
	var counts []string
	var args []any
	for _, w := range windows {
		cond, more := d.in(w, len(args))
		counts, args = append(counts, `count(*) FILTER (WHERE `+cond+`)`), append(args, more...)
	}
	cond, more := d.inAny(windows, len(args))
	err := warehouse.Each(ctx, tx, `SELECT `+strings.Join(counts, ", ")+` FROM `+d.staged.table.String()+` WHERE `+cond, func(r rows.Row) error {
		for i := range out {
			out[i] = r.Int(i)
		}
		return nil
	}, append(args, more...)...)
	if err != nil {
		return nil, fmt.Errorf("count the staged rows of windows: %w", err)
	}
	return out, nil
}
