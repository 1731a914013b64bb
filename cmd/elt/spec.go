package main

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"elt/internal/pipeline"
	"elt/scheduler"
)

// runSpec is what a run was asked for, as its record keeps it, so that it can be
// retried. Fields are only added.
type runSpec struct {
	Select      []string          `json:"select,omitempty"`
	Exclude     []string          `json:"exclude,omitempty"`
	NoPush      bool              `json:"no_push,omitempty"`
	FullRefresh bool              `json:"full_refresh,omitempty"`
	Backfill    *backfillSpec     `json:"backfill,omitempty"`
	Steps       map[string]string `json:"steps"` // by name; of a model the fingerprint of its text
}

// backfillSpec is the part of a spec that makes its run a backfill. Its range is that
// of the day on which it was asked for.
type backfillSpec struct {
	From     time.Time `json:"from"`
	To       time.Time `json:"to"`
	Chunk    string    `json:"chunk,omitempty"`
	Parallel int       `json:"parallel,omitempty"`
	Redo     bool      `json:"redo,omitempty"`
}

// specOf is the spec of a run of steps as text.
func specOf(args []string, f runFlags, p *pipeline.Pipeline, steps []scheduler.Step) string {
	spec := runSpec{Select: slices.Concat(args, f.sel), Exclude: f.exclude, NoPush: f.noPush, FullRefresh: f.fullRefresh, Steps: p.Fingerprints(steps)}
	if b := p.Backfill; b != nil {
		spec.Backfill = &backfillSpec{From: b.Range.Start, To: b.Range.End, Chunk: f.backfill.chunk, Parallel: f.backfill.parallel, Redo: f.backfill.redo}
	}
	return spec.text()
}

func (s runSpec) text() string {
	text, err := json.Marshal(s)
	if err != nil { // of texts there is none
		return ""
	}
	return string(text)
}

// readSpec reads a spec; that of an older version, which kept none, is empty.
func readSpec(text string) runSpec {
	var spec runSpec
	if json.Unmarshal([]byte(text), &spec) != nil {
		return runSpec{}
	}
	return spec
}

// covers reports whether a step that a run of s has done needs no doing for one of
// other: a backfill does windows of the past alone, and only a full refresh does
// everything again.
func (s runSpec) covers(other runSpec) bool {
	a, b := s.Backfill, other.Backfill
	if (a == nil) != (b == nil) || a != nil && (!a.From.Equal(b.From) || !a.To.Equal(b.To) || a.Chunk != b.Chunk) {
		return false
	}
	return s.FullRefresh || !other.FullRefresh
}

// commandOf is the command line of a run as people read it.
func commandOf(args []string, f runFlags) string {
	words := slices.Concat([]string{"elt", "run"}, strings.Fields(f.backfill.typed()), args)
	for _, s := range f.sel {
		words = append(words, "-s", s)
	}
	for _, s := range f.exclude {
		words = append(words, "--exclude", s)
	}
	if f.job != "" {
		words = append(words, "--job", f.job)
	}
	if f.fullRefresh {
		words = append(words, "--full-refresh")
	}
	if f.noPush {
		words = append(words, "--no-push")
	}
	return strings.Join(words, " ")
}
