package load

import (
	"context"
	"fmt"
	"strings"

	"elt/internal/warehouse"
)

// deleteFiles deletes the rows of every file that was read, also of those that
// have no rows any more.
func (p *publisher) deleteFiles(ctx context.Context, existing []warehouse.Column) error {
	if _, ok := find(existing, warehouse.ColSource); !ok {
		return nil // it was added a moment ago: no row has a file yet
	}
	col := warehouse.Quote(warehouse.ColSource)
	staged, err := texts(ctx, p.tx, `SELECT DISTINCT `+col+` FROM `+p.src.String()+` WHERE `+col+` IS NOT NULL`)
	if err != nil {
		return err
	}
	n, err := p.tx.Exec(ctx, `DELETE FROM `+p.table.String()+` WHERE `+col+` IN (SELECT `+col+` FROM `+p.src.String()+`)`)
	if err != nil {
		return err
	}
	p.res.Deleted += n
	return p.deleteEmptyFiles(ctx, existing, staged)
}

// deleteEmptyFiles deletes the rows of the files that were read, those in done excepted.
func (p *publisher) deleteEmptyFiles(ctx context.Context, existing []warehouse.Column, done []string) error {
	if _, ok := find(existing, warehouse.ColSource); !ok {
		return nil
	}
	skip := map[string]bool{}
	for _, name := range done {
		skip[name] = true
	}
	var names []any
	for _, name := range p.staged.files {
		if !skip[name] {
			names = append(names, name)
		}
	}
	const most = 500 // parameters of one statement
	for len(names) > 0 {
		chunk := names[:min(most, len(names))]
		names = names[len(chunk):]
		params := make([]string, len(chunk))
		for i := range chunk {
			params[i] = fmt.Sprintf("$%d", i+1)
		}
		n, err := p.tx.Exec(ctx, `DELETE FROM `+p.table.String()+` WHERE `+warehouse.Quote(warehouse.ColSource)+
			` IN (`+strings.Join(params, ", ")+`)`, chunk...)
		if err != nil {
			return err
		}
		p.res.Deleted += n
	}
	return nil
}

// otherFiles reports whether the table has rows of files that were not read.
func (p *publisher) otherFiles(ctx context.Context, existing []warehouse.Column) (bool, error) {
	if _, ok := find(existing, warehouse.ColSource); !ok {
		return true, nil
	}
	have, err := texts(ctx, p.tx, `SELECT DISTINCT `+warehouse.Quote(warehouse.ColSource)+` FROM `+p.table.String())
	if err != nil {
		return false, err
	}
	read := map[string]bool{}
	for _, name := range p.staged.files {
		read[name] = true
	}
	for _, name := range have {
		if !read[name] {
			return true, nil
		}
	}
	return false, nil
}
