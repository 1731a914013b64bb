package http

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"elt/activate"
	"elt/activate/fake"
	"elt/internal/yamlx"
)

// told is the answer from which the rules of the destination read these
// outcomes. A row without one is not told of.
func (s *standIn) told(b activate.Batch, outcomes []activate.Outcome) fake.Reply {
	rules := s.d.sync.Outcome
	if rules.Results == nil && rules.Errors == nil {
		return s.whole(outcomes)
	}
	var body any
	byID := map[string]activate.Outcome{}
	refused := false
	for _, o := range outcomes {
		byID[o.OpID] = o
		refused = refused || o.Status == activate.Rejected
	}
	results, errors := []any{}, []any{}
	for i, c := range b.Changes {
		o, ok := byID[c.OpID]
		if !ok {
			continue
		}
		if entry, ok := rules.Results.entry(i, c, o, activate.Acked); ok {
			results = append(results, entry)
		} else if entry, ok := rules.Errors.entry(i, c, o, activate.Rejected); ok {
			errors = append(errors, entry)
		}
	}
	if rules.Results != nil {
		body = put(body, rules.Results.At, results)
	}
	if rules.Errors != nil {
		body = put(body, rules.Errors.At, errors)
	}
	if status := http.StatusMultiStatus; refused && (rules.OK == nil || among(rules.OK, status)) {
		return fake.Said(status, body)
	}
	return fake.Said(s.success(http.StatusOK), body)
}

// entry is what a list says of row i; false: nothing can be said of it there.
// presence is what an entry without a status says.
func (e *Entries) entry(i int, c activate.Change, o activate.Outcome, presence activate.Status) (any, bool) {
	if e == nil {
		return nil, false
	}
	var out any
	if e.Status == "" {
		if o.Status != presence {
			return nil, false
		}
	} else {
		value, ok := e.value(o)
		if !ok {
			return nil, false
		}
		out = put(out, e.Status, value)
	}
	switch name, key := strings.CutPrefix(e.Holds, "key."); {
	case e.byPosition():
	case e.Holds == "index":
		out = put(out, e.By, i)
	case key:
		out = put(out, e.By, member(c.Key, name))
	default:
		out = put(out, e.By, c.OpID)
	}
	for path, value := range map[string]any{e.ID: o.DestID, e.Code: o.Code, e.Message: o.Message} {
		if path != "" && value != "" {
			out = put(out, path, value)
		}
	}
	if e.New != "" {
		out = put(out, e.New, o.Created)
	}
	if out == nil {
		out = map[string]any{}
	}
	return out, true
}

// value is the one among those declared that says an outcome.
func (e *Entries) value(o activate.Outcome) (string, bool) {
	lists := [][]yamlx.Scalar{e.OK, e.Created}
	otherwise := "ok"
	switch {
	case o.Status == activate.Rejected:
		lists, otherwise = [][]yamlx.Scalar{e.Rejected}, "rejected"
	case o.Status == activate.Retry:
		lists, otherwise = [][]yamlx.Scalar{e.Retry}, "retry"
	case o.Created:
		lists = [][]yamlx.Scalar{e.Created, e.OK}
	}
	for _, list := range lists {
		if len(list) > 0 && list[0] == "*" {
			return otherwise, true
		}
		if len(list) > 0 {
			return string(list[0]), true
		}
	}
	return "", false
}

// whole answers with a status that speaks for all rows.
func (s *standIn) whole(outcomes []activate.Outcome) fake.Reply {
	rules := s.d.sync.Outcome
	for _, o := range outcomes {
		if o.Status != activate.Rejected {
			continue
		}
		body := put(put(nil, or(rules.Code, "error.code"), o.Code), or(rules.Message, "error.message"), o.Message)
		return fake.Said(first(rules.Rejected, http.StatusUnprocessableEntity), body)
	}
	created := len(outcomes) == 1 && outcomes[0].Created && s.d.sync.Batch == nil
	var body any = map[string]any{}
	if len(outcomes) == 1 && outcomes[0].DestID != "" {
		body = put(body, or(rules.ID, "id"), outcomes[0].DestID)
	}
	if created {
		return fake.Said(s.success(http.StatusCreated), body)
	}
	return fake.Said(s.success(http.StatusOK), body)
}

// success is the status, if it acknowledges, or one that does.
func (s *standIn) success(status int) int {
	if rules := s.d.sync.Outcome; rules.OK != nil && !among(rules.OK, status) {
		return first(rules.OK, http.StatusOK)
	}
	return status
}

// first is a status that a list names; otherwise when it names none.
func first(list []Status, otherwise int) int {
	for _, s := range list {
		if n, err := strconv.Atoi(strings.ReplaceAll(string(s), "xx", "00")); err == nil {
			return n
		}
	}
	return otherwise
}

// lookedUp answers a lookup by the rules that read it.
func (s *standIn) lookedUp(ctx context.Context, in inbound, values []string) fake.Reply {
	rules := s.d.sync.Lookup
	key, problem := s.keyOf(nil, in.named(values), nil)
	if problem != "" {
		return fake.Problem(http.StatusBadRequest, "bad_request", problem)
	}
	row, err := s.store.Find(ctx, key)
	switch {
	case err != nil:
		return fake.Problem(http.StatusInternalServerError, "internal", err.Error())
	case row == nil:
		return fake.Problem(first(rules.Missing, http.StatusNotFound), "not_found", "there is no row with this key")
	}
	out := map[string]any{}
	for name, value := range members(row.Fields) {
		out[name] = value
	}
	var entry any = out
	if rules.OpID != "" {
		entry = put(entry, rules.OpID, row.OpID)
	}
	if rules.ID != "" {
		entry = put(entry, rules.ID, fake.ID(key))
	}
	return fake.Said(http.StatusOK, put(nil, rules.At, entry))
}

// put sets the value at a dotted path of what is to be JSON, and returns the
// whole. A number is an index of a list.
func put(root any, path string, value any) any {
	if path == "" || path == "." {
		return value
	}
	name, rest, _ := strings.Cut(path, ".")
	if i, err := strconv.Atoi(name); err == nil && i >= 0 && i < 100 {
		list, _ := root.([]any) // nothing there yet: an empty one
		for len(list) <= i {
			list = append(list, nil)
		}
		list[i] = put(list[i], rest, value)
		return list
	}
	object, ok := root.(map[string]any)
	if !ok {
		object = map[string]any{}
	}
	object[name] = put(object[name], rest, value)
	return object
}
