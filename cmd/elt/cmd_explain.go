package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"elt/activate"
	"elt/internal/pipeline"
	"elt/internal/project"
	"elt/internal/report"
)

type explainFlags struct {
	limit   int
	showPII bool
}

func (a *app) cmdExplain() *cobra.Command {
	var f explainFlags
	cmd := command("operate", "explain SYNC KEY", "Tell what was sent for a key, when, by which run, with which outcome, and from which rows of which load",
		"elt explain crm_contacts 4711\nelt explain prices sku=A1,country=DE\nelt explain prices '{\"sku\": \"A1\", \"country\": \"DE\"}' --json",
		[]int{exitOK, exitFailed, exitUsage, exitLocked, exitTryAgain},
		func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usage("explain takes a sync and a key, such as: elt explain crm_contacts 4711")
			}
			return a.look(cmd.Context(), func(ctx context.Context, s *session) error { return a.explain(ctx, s, args[0], args[1], f) })
		})
	addShowPII(cmd, &f.showPII)
	cmd.Flags().IntVar(&f.limit, "limit", 20, "how many of the operations that were sent")
	return cmd
}

func (a *app) explain(ctx context.Context, s *session, name, key string, f explainFlags) error {
	sync := s.project.Syncs[name]
	if sync == nil {
		return usage("no sync %q; %ssee what there is: elt ls", name, meant(name, slices.Sorted(maps.Keys(s.project.Syncs))))
	}
	p := a.pipeline(s)
	x, err := p.Explain(ctx, sync, key, f.limit)
	switch {
	case errors.Is(err, pipeline.ErrKey), errors.Is(err, activate.ErrNoSuchKey):
		return &exitError{code: exitUsage, err: err}
	case err != nil:
		return err
	}
	mask := func(text string) any {
		if text == "" {
			return nil
		}
		if !f.showPII {
			text = p.MaskPushed(sync, text)
		}
		return document(text)
	}
	if !f.showPII {
		maskExplained(p, sync, &x)
	}
	if a.flags.JSON {
		return a.explainJSON(sync, x, verdict(x, sync, p.Target, settles(p, sync, x)), mask)
	}
	a.explainText(s, sync, x, verdict(x, sync, p.Target, settles(p, sync, x)), mask)
	return nil
}

// settles reports whether the next run finds out what became of the last operation
// whose outcome is unknown.
func settles(p *pipeline.Pipeline, sync *project.Sync, x pipeline.Explained) bool {
	if len(x.Open) == 0 {
		return true
	}
	ok, _ := p.Settles(sync)(x.Open[0].Action, x.Open[0].At)
	return ok
}

// verdict says in words what a class of a plan means for a key.
func verdict(x pipeline.Explained, sync *project.Sync, target *project.Target, settles bool) string {
	switch x.Class {
	case "null_key":
		return "NULL in the key: not sent"
	case "duplicate_key":
		return fmt.Sprintf("%d rows of the model have this key: none of them is sent", len(x.Rows))
	case "unchanged":
		return "unchanged: the destination acknowledged what the model has now"
	case "rejected":
		return "refused: not sent again before its payload changes, or " + target.Command("elt quarantine "+sync.Name+" --release")
	case "unknown":
		if !settles {
			return "the outcome of the last try is not known: say whether it is there with " + target.Command("elt quarantine resolve "+sync.Name+" KEY --sent|--not-sent")
		}
		return "the outcome of the last try is not known: the next run settles it"
	case "add":
		return "new: the next run sends it"
	case "change":
		return "changed: the next run sends it"
	}
	switch {
	case x.Acked == nil && len(x.Sent) == 0 && len(x.Open) == 0:
		return "the model has no such row, and nothing was ever sent for it"
	case x.Acked == nil && len(x.Open) > 0:
		return "gone from the model; it may be there, its last outcome is not known"
	case x.Acked == nil:
		return "gone from the model, and not there either as far as this sync knows"
	case sync.Mode == activate.ModeMirror:
		return "gone from the model: the next run deletes it there"
	default:
		return "gone from the model; mode " + sync.Mode + " leaves it there"
	}
}

func (a *app) explainText(s *session, sync *project.Sync, x pipeline.Explained, verdict string, mask func(string) any) {
	at := func(t time.Time) string { return t.In(s.project.Timezone).Format("2006-01-02 15:04:05") }
	line := func(format string, args ...any) {
		fmt.Fprintln(a.out, report.Visible(fmt.Sprintf(format, args...), ""))
	}
	text := func(v any) string {
		if raw, ok := v.(json.RawMessage); ok {
			return string(raw)
		}
		return fmt.Sprint(v)
	}
	line("%s %s to %s: %s", sync.Name, text(mask(x.Key)), sync.To, verdict)
	if x.Held != "" {
		line("  the sync is held: %s", x.Held)
	}
	for _, row := range x.Rows {
		line("  the model has  %s", text(mask(row)))
	}
	if k := x.Acked; k != nil {
		id := ""
		if k.DestID != "" {
			id = ", there it is " + k.DestID
		}
		line("  acknowledged %s, run %s, %s%s", at(k.At), k.RunID, k.Ownership, id)
	}
	for _, o := range x.Open {
		line("  not known since %s, run %s: %s %s", at(o.At), o.RunID, o.Action, text(mask(o.Payload)))
	}
	if b := x.Block; b != nil {
		line("  refused since %s, last by run %s, %s: %s", at(b.Since), b.RunID, report.Several(int(b.Attempts), "time"), strings.TrimSpace(b.Code+" "+b.Message))
	}
	line("sent:")
	for _, t := range x.Sent {
		payload := ""
		if t.Payload != "" {
			payload = "  " + text(mask(t.Payload))
		}
		line("  %s  run %s  %s  %s%s%s", at(t.At), t.RunID, t.Action, t.Status, why(t), payload)
	}
	if len(x.Sent) == 0 {
		line("  nothing that is still recorded")
	}
	line("from:")
	for _, r := range x.Sources {
		by := ""
		if r.RunID != "" {
			by = ", run " + r.RunID
		}
		line("  %s: %s with this %s, loaded %s%s (load %s)", r.Table, report.Several(int(r.Rows), "row"), r.Column, at(r.LoadedAt), by, r.LoadID)
	}
	if len(x.Sources) == 0 {
		line("  no row of a source has the key, as it is, any more")
	}
	for _, table := range x.Lost {
		line("  %s is read too, but the key does not lead to its rows", table)
	}
}

// maskExplained hides what may be personal in what the destination has said.
func maskExplained(p *pipeline.Pipeline, sync *project.Sync, x *pipeline.Explained) {
	rows := append([]string{x.Key}, x.Rows...)
	for _, t := range x.Sent {
		rows = append(rows, t.Payload)
	}
	for i := range x.Sent {
		x.Sent[i].Message = p.MaskSaid(sync, x.Sent[i].Message, rows...)
	}
	if x.Block != nil {
		x.Block.Message = p.MaskSaid(sync, x.Block.Message, rows...)
	}
}

// why is what the destination said of an attempt, in front of which stand two spaces.
func why(t activate.Attempt) string {
	text := strings.TrimSpace(t.Code + " " + t.Message)
	if text == "" {
		return ""
	}
	return "  " + text
}

func (a *app) explainJSON(sync *project.Sync, x pipeline.Explained, verdict string, mask func(string) any) error {
	type sent struct {
		activate.Attempt
		Payload any `json:"payload"`
	}
	type open struct {
		activate.Open
		Payload any `json:"payload"`
	}
	out := struct {
		Sync    string                 `json:"sync"`
		Key     any                    `json:"key"`
		Class   string                 `json:"class"`
		Verdict string                 `json:"verdict"`
		Held    string                 `json:"held,omitempty"`
		Rows    []any                  `json:"rows"`
		Acked   *activate.Acknowledged `json:"acknowledged"`
		Open    []open                 `json:"open"`
		Refused *activate.Refusal      `json:"refused"`
		Sent    []sent                 `json:"sent"`
		From    []pipeline.SourceRows  `json:"from"`
		Lost    []string               `json:"not_followed"`
	}{Sync: sync.Name, Key: mask(x.Key), Class: x.Class, Verdict: verdict, Held: x.Held, Acked: x.Acked, Refused: x.Block, From: x.Sources, Lost: x.Lost}
	for _, r := range x.Rows {
		out.Rows = append(out.Rows, mask(r))
	}
	for _, o := range x.Open {
		out.Open = append(out.Open, open{o, mask(o.Payload)})
	}
	for _, t := range x.Sent {
		out.Sent = append(out.Sent, sent{t, mask(t.Payload)})
	}
	return json.NewEncoder(a.out).Encode(out)
}
