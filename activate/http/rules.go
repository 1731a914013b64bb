package http

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"elt/activate"
	"elt/internal/httpx"
	"elt/internal/yamlx"
)

// rows is what a reply that succeeded as a whole says of each row.
func (d *destination) rows(c call, r httpx.Reply) ([]activate.Outcome, error) {
	rules := d.sync.Outcome
	if rules.Results == nil && rules.Errors == nil {
		if r.Status == http.StatusMultiStatus && !among(rules.OK, r.Status) {
			return nil, fmt.Errorf("%s: %s answered %s, which says something of each row, and the sync has no outcome.results or outcome.errors to read it by",
				d.place(c), d.host, named(r.Status))
		}
		return d.acknowledge(c, r)
	}
	var body any
	if err := decode(r.Body, &body); err != nil {
		if len(strings.TrimSpace(string(r.Body))) == 0 {
			return d.silent(c, r)
		}
		return nil, fmt.Errorf("%s: %s answered %s, but not with JSON, so nothing is known of any row", d.place(c), d.host, named(r.Status))
	}
	list := pairing{c: c, outcomes: make([]activate.Outcome, len(c.changes))}
	any := false
	if rules.Results != nil {
		any = list.take(at(body, rules.Results.At), rules.Results, activate.Acked)
	}
	if rules.Errors != nil {
		failures := at(body, rules.Errors.At)
		any = list.take(failures, rules.Errors, activate.Rejected) || any
		// A list of failures that is there and empty says that there was none; one
		// that is missing says nothing, unless results are told beside it.
		any = any || isList(failures) && rules.Results == nil
	}
	takeRest := rules.Unlisted == "ok" && !list.stray
	if !any && !takeRest {
		return d.silent(c, r)
	}
	return d.settle(list.outcomes, c, takeRest), nil
}

// acknowledge takes a success of the whole call for that of its rows.
func (d *destination) acknowledge(c call, r httpx.Reply) ([]activate.Outcome, error) {
	o := activate.Outcome{Status: activate.Acked, Created: c.one && r.Status == 201}
	var body any
	if path := d.sync.Outcome.ID; c.one && path != "" && decode(r.Body, &body) == nil {
		o.DestID = shown(at(body, path))
	}
	return d.all(c, o)
}

// silent is a success that tells of no row though it should: it may have done
// everything or nothing. Where sending again doubles nothing the batch is halved,
// to find the rows that the service cannot deal with; else all of it is unknown.
func (d *destination) silent(c call, r httpx.Reply) ([]activate.Outcome, error) {
	if len(c.changes) > 1 && d.limits.Replay != activate.Reconcile {
		return nil, &activate.RefusedError{Code: "silent", InDoubt: true, Message: fmt.Sprintf("%s answered %s without a result for any row", d.host, named(r.Status))}
	}
	return d.all(c, activate.Outcome{Status: activate.Unknown, Code: "silent",
		Message: fmt.Sprintf("%s answered %s without a result for this row", d.host, named(r.Status))})
}

// settle completes outcomes: rows that no entry tells of, and texts without secrets.
func (d *destination) settle(outcomes []activate.Outcome, c call, takeRest bool) []activate.Outcome {
	for i := range outcomes {
		o := &outcomes[i]
		o.OpID = c.changes[i].OpID
		switch {
		case o.Status != "":
		case takeRest:
			o.Status = activate.Acked
		default:
			o.Status, o.Code, o.Message = activate.Unknown, "unlisted", "the reply tells nothing of this row"
		}
		o.Code, o.Message = clip(d.scrub.Text(o.Code), 100), d.short(o.Message)
	}
	return outcomes
}

// pairing collects what entries say of the rows of a call.
type pairing struct {
	c        call
	outcomes []activate.Outcome // by row; a zero Status is no entry yet
	index    map[string]int     // what entries hold -> row; -1: of several rows
	holds    string             // what index was made of
	stray    bool               // something failed, and it cannot be told what
}

// take pairs each entry of a list with its row. It reports whether one was
// paired. Entries by position count only when there is one for each row.
func (p *pairing) take(list any, rules *Entries, presence activate.Status) bool {
	entries, ok := list.([]any)
	if one, object := list.(map[string]any); object {
		entries, ok = []any{one}, true
	}
	if !ok || rules.byPosition() && len(entries) != len(p.outcomes) {
		p.stray = p.stray || list != nil
		return false
	}
	paired := false
	for i, e := range entries {
		row := i
		if !rules.byPosition() {
			row = p.row(at(e, rules.By), or(rules.Holds, "op_id"))
		}
		o := rules.outcome(e, presence)
		if row < 0 || row >= len(p.outcomes) {
			p.stray = p.stray || o.Status != activate.Acked
			continue
		}
		paired = true
		if before := p.outcomes[row].Status; before != "" && before != o.Status {
			o = activate.Outcome{Status: activate.Unknown, Code: "ambiguous", Message: "the reply tells two things of this row"}
		}
		p.outcomes[row] = o
	}
	return paired
}

// row is the row that an entry is of; -1 for none, or when it could be of several.
func (p *pairing) row(value any, holds string) int {
	text := shown(value)
	if holds == "index" {
		n, err := strconv.Atoi(text)
		if err != nil {
			return -1
		}
		return n
	}
	if p.index == nil || p.holds != holds {
		p.holds, p.index = holds, make(map[string]int, len(p.c.changes))
		for i := range p.c.changes {
			id := p.c.changes[i].OpID
			if name, ok := strings.CutPrefix(holds, "key."); ok {
				var v any
				_ = decode(member(p.c.changes[i].Key, name), &v) // nothing there: ""
				id = shown(v)
			}
			if _, twice := p.index[id]; twice || id == "" {
				p.index[id] = -1
				continue
			}
			p.index[id] = i
		}
	}
	if i, ok := p.index[text]; ok {
		return i
	}
	return -1
}

// outcome is what an entry says. presence is what it says where no status is
// declared.
func (e *Entries) outcome(entry any, presence activate.Status) activate.Outcome {
	o := activate.Outcome{Status: presence}
	if e.Status != "" {
		value := shown(at(entry, e.Status))
		switch {
		case listed(e.OK, value, false):
			o.Status = activate.Acked
		case listed(e.Created, value, false):
			o.Status, o.Created = activate.Acked, true
		case listed(e.Retry, value, false):
			o.Status = activate.Retry
		case listed(e.Rejected, value, true), value == "" && presence == activate.Rejected && slices.Contains(e.Rejected, "*"):
			o.Status = activate.Rejected // to be among the failures says so without a status
		case listed(e.OK, value, true):
			o.Status = activate.Acked
		case len(e.OK)+len(e.Created)+len(e.Rejected) == 0: // only retry is told apart
		default:
			o.Status, o.Code = activate.Unknown, "status"
			if o.Message = "the status of this row is not among those of outcome: " + value; value == "" {
				o.Message = "the reply has no status of this row at " + e.Status
			}
			return o
		}
	}
	if o.Status == activate.Acked {
		o.DestID = read(entry, e.ID)
		o.Created = o.Created || read(entry, e.New) == "true"
		return o
	}
	o.Code, o.Message = or(read(entry, e.Code), "refused"), read(entry, e.Message)
	return o
}

// listed reports whether a value is in a list; any also takes a *, which stands for
// each value that is there: what tells nothing, as a path does that is misspelt,
// acknowledges no row.
func listed(list []yamlx.Scalar, value string, any bool) bool {
	return slices.Contains(list, yamlx.Scalar(value)) || any && value != "" && slices.Contains(list, "*")
}

func isList(v any) bool { _, ok := v.([]any); return ok }

// at is the value at a dotted path of a decoded reply; nil where there is none.
// A number is an index of a list. "" and a dot are the value itself.
func at(v any, path string) any {
	if path == "" || path == "." {
		return v
	}
	for name := range strings.SplitSeq(path, ".") {
		switch t := v.(type) {
		case map[string]any:
			v = t[name]
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i < 0 || i >= len(t) {
				return nil
			}
			v = t[i]
		default:
			return nil
		}
	}
	return v
}

// shown is a value as text: a text or number as it is, nothing for null, and
// JSON for what has members.
func shown(v any) string {
	switch t := v.(type) {
	case nil:
		return ""
	case string:
		return t
	case json.Number:
		return t.String()
	case bool:
		return strconv.FormatBool(t)
	}
	out, _ := json.Marshal(v) // what was decoded from JSON has one
	return string(out)
}

// read is the text at a path; "" where no path is declared.
func read(entry any, path string) string {
	if path == "" {
		return ""
	}
	return shown(at(entry, path))
}
