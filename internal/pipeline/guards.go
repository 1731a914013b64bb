package pipeline

import (
	"fmt"

	"elt/activate"
	"elt/internal/project"
)

// guardsOf are the guards of a sync: those that it sets, and for the others what
// holds where nobody says anything.
func guardsOf(s *project.Sync) (activate.Guards, error) {
	out := activate.DefaultGuards()
	out.EmptySource = s.Guards["source_empty"] != "delete"
	for name, guard := range map[string]*activate.Guard{
		"max_delete": &out.MaxDelete, "max_change": &out.MaxChange, "max_create": &out.MaxCreate,
	} {
		limit, set, err := limitOf(s, name)
		if err != nil {
			return out, err
		}
		if set {
			*guard = activate.Guard{On: true, Share: limit.Rows == 0 && limit.Percent > 0, Percent: limit.Percent, Rows: limit.Rows}
		}
	}
	limit, set, err := limitOf(s, "max_reject")
	if set {
		out.MaxRejectPercent = limit.Percent
	}
	return out, err
}

func limitOf(s *project.Sync, name string) (project.Limit, bool, error) {
	text := s.Guards[name]
	if text == "" {
		return project.Limit{}, false, nil
	}
	limit, err := project.ParseLimit(text)
	if err != nil {
		return limit, false, fmt.Errorf("%s:%d: guard %s: %w", s.Pos.File, s.Pos.Line, name, err)
	}
	return limit, true, nil
}
