package pipeline

import (
	"context"
	"maps"
	"slices"
	"time"

	"elt/activate"
	"elt/internal/project"
)

// Wait is a sync whose account has asked to be left alone for a time.
type Wait struct {
	Sync, Connection string
	Until            time.Time // in the zone of the project
}

// Waits lists the syncs that can send nothing now because their account has asked to
// be left alone, in the order of their names.
func (p *Pipeline) Waits(ctx context.Context) ([]Wait, error) {
	var list []Wait
	for _, name := range slices.Sorted(maps.Keys(p.Project.Syncs)) {
		w, err := p.waits(ctx, p.Project.Syncs[name])
		if err != nil {
			return nil, err
		}
		if w != nil {
			list = append(list, *w)
		}
	}
	return list, nil
}

// waits is nil when the account of s may be called.
func (p *Pipeline) waits(ctx context.Context, s *project.Sync) (*Wait, error) {
	d, err := p.Store.Silent(ctx, p.accountOf(s))
	if err != nil || d <= 0 {
		return nil, err
	}
	return &Wait{Sync: s.Name, Connection: s.Connection.Name, Until: time.Now().Add(d).In(p.Project.Timezone)}, nil
}

// accountOf names the account of a sync as its rates and its silence are kept.
func (p *Pipeline) accountOf(s *project.Sync) string {
	return activate.Fingerprint(p.Push, s.Connection.Type, p.account(s.Connection))
}
