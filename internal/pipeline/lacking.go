package pipeline

import (
	"fmt"

	"elt/internal/project"
	"elt/internal/yamlx"
)

// lacking are the columns that a sync names and its model cannot have, as far as
// the text of the model tells its columns.
func (p *Pipeline) lacking(s *project.Sync) []*project.Error {
	model := p.Graph.Model(s.Model)
	var out []*project.Error
	check := func(at project.Pos, what, column string) {
		if known, lacks := model.Lacks(column); lacks {
			out = append(out, &project.Error{Pos: at, Msg: fmt.Sprintf("%s of sync %s names the column %s, which %s does not have", what, s.Name, column, s.Model),
				Expected: yamlx.OneOf(known), Hint: yamlx.DidYouMean(column, known)})
		}
	}
	for _, f := range s.Fields {
		check(f.Pos, fmt.Sprintf("field %q", f.Theirs), f.Column)
	}
	for _, k := range s.Key {
		check(s.Pos, "the key", k)
	}
	return out
}
