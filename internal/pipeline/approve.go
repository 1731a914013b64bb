package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"elt/activate"
	"elt/internal/project"
	"elt/internal/state"
)

// HeldSync is a sync that is held, with its plan as it stands now.
type HeldSync struct {
	Sync    *project.Sync
	Hold    state.Hold
	Then    activate.Outline // the plan when it was held
	Now     activate.Preview
	Changed bool // the plan is not the one that was held any more
}

// HeldBy plans the syncs that a run has held again, with up to samples rows of each
// kind. Nothing is written.
func (p *Pipeline) HeldBy(ctx context.Context, run string, samples int) ([]HeldSync, error) {
	holds, err := p.Holds(ctx, run)
	if err != nil {
		return nil, err
	}
	var list []HeldSync
	for _, h := range holds {
		s := p.Project.Syncs[h.Sync]
		sync, err := p.activation(s)
		if err != nil {
			return nil, err
		}
		held := HeldSync{Sync: s, Hold: h}
		if held.Now, err = activate.NewPreview(ctx, p.DB, p.Store, sync, activate.PreviewOptions{Samples: samples, Hash: true}); err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(h.Detail), &held.Then); err != nil {
			return nil, fmt.Errorf("what run %s recorded of its plan of %s: %w", h.RunID, h.Sync, err)
		}
		held.Changed = held.Now.Outline.Hash != h.PlanHash
		list = append(list, held)
	}
	return list, nil
}

// Holds are the holds of a run, of all runs when it is "", of the syncs that the
// project has and that lead to where they led then; newest first.
func (p *Pipeline) Holds(ctx context.Context, run string) ([]state.Hold, error) {
	all, err := p.Store.Holds(ctx, run)
	if err != nil {
		return nil, err
	}
	var list []state.Hold
	for _, h := range all {
		s := p.Project.Syncs[h.Sync]
		if s == nil {
			continue
		}
		if sync, err := p.activation(s); err == nil && sync.TargetFP == h.TargetFP {
			list = append(list, h)
		}
	}
	return list, nil
}

// FieldChange is one field of a row of a plan, each side as JSON and masked where
// it may be personal; "" where nobody knows or there is none.
type FieldChange struct{ Field, Old, New string }

// Differences are the fields of a row of a plan that are not what the destination
// acknowledged last: all of them when nobody knows what that was.
func (p *Pipeline) Differences(s *project.Sync, r activate.Shown) []FieldChange {
	before, after := members(r.Old), members(r.New)
	shownBefore, shownAfter := members(p.MaskPushed(s, r.Old)), members(p.MaskPushed(s, r.New))
	names := maps.Clone(after)
	if names == nil {
		names = map[string]json.RawMessage{}
	}
	maps.Copy(names, before)
	var list []FieldChange
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if !bytes.Equal(before[name], after[name]) {
			list = append(list, FieldChange{Field: name, Old: string(shownBefore[name]), New: string(shownAfter[name])})
		}
	}
	return list
}

// members are those of a JSON object; none when the text is no object.
func members(text string) map[string]json.RawMessage {
	var out map[string]json.RawMessage
	if json.Unmarshal([]byte(text), &out) != nil {
		return nil
	}
	return out
}
