package http

import (
	"context"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"

	"elt/activate"
	"elt/internal/httpx"
)

// Find looks up one row after the other. It tells only of rows whose reply leaves
// no doubt; the first call that fails as a whole ends it, with what was found.
func (d *destination) Find(ctx context.Context, changes []activate.Change) ([]activate.Outcome, error) {
	var found []activate.Outcome
	for i := range changes {
		o, err := d.find(ctx, &changes[i])
		if err != nil {
			return found, err
		}
		if o.Status != "" {
			found = append(found, o)
		}
	}
	return found, nil
}

func (d *destination) find(ctx context.Context, change *activate.Change) (activate.Outcome, error) {
	rules := d.sync.Lookup
	c := call{route: *d.lookup, changes: []activate.Change{*change}, one: true}
	var problem string
	if c.url, problem = c.route.path.url(change.Key); problem != "" {
		return activate.Outcome{}, nil // there is no place to look
	}
	c.header = d.header.Clone()
	d.sign(&c)
	reply, err := d.client.Do(ctx, httpx.Request{Method: c.route.method, URL: c.url, Header: c.header})
	if err != nil {
		return activate.Outcome{}, d.failed(c, err)
	}
	missing := rules.Missing
	if missing == nil {
		missing = []Status{"404", "410"}
	}
	switch {
	case among(missing, reply.Status):
		return d.found(change, nil), nil
	case reply.Status/100 != 2:
		_, err := d.judge(c, reply)
		if err == nil {
			err = d.asked(d.answer(c, reply), reply)
		}
		return activate.Outcome{}, err
	}
	var body any
	if err := decode(reply.Body, &body); err != nil {
		return activate.Outcome{}, fmt.Errorf("%s: %w", d.place(c), err)
	}
	row := at(body, rules.At)
	if list, ok := row.([]any); ok {
		switch len(list) {
		case 0:
			return d.found(change, nil), nil
		case 1:
			row = list[0]
		default:
			return activate.Outcome{}, nil // which of them is ours cannot be told
		}
	}
	object, ok := row.(map[string]any)
	if !ok {
		return activate.Outcome{}, nil
	}
	return d.found(change, object), nil
}

// found is the outcome of a change whose row is as it stands there; nil: there is
// no such row. The zero Outcome says nothing: a row that is there, but not as it
// was sent, may be ours or not, and making it again could double it.
func (d *destination) found(change *activate.Change, row map[string]any) activate.Outcome {
	o := activate.Outcome{OpID: change.OpID, Status: activate.Retry, Code: "not_found"}
	switch gone := change.Action == activate.Delete; {
	case gone && row == nil:
		o.Status, o.Code = activate.Acked, ""
	case gone, row == nil:
	case d.same(change, row):
		o.Status, o.Code, o.DestID = activate.Acked, "", read(row, d.sync.Lookup.ID)
	case change.Action == activate.Update, change.Action == activate.Upsert:
		o.Code = "differs"
	default:
		return activate.Outcome{}
	}
	return o
}

// same reports whether a row is as a change sent it: with its op_id where the
// service keeps that, else with each field that was sent. null is the same as
// nothing.
func (d *destination) same(change *activate.Change, row map[string]any) bool {
	if path := d.sync.Lookup.OpID; path != "" {
		return read(row, path) == change.OpID
	}
	for name, text := range members(change.Fields) {
		var sent any
		if decode(text, &sent) != nil || !equal(sent, row[name]) {
			return false
		}
	}
	return true
}

// equal compares decoded JSON; numbers by their value.
func equal(a, b any) bool {
	switch x := a.(type) {
	case json.Number:
		y, ok := b.(json.Number)
		return ok && sameNumber(x.String(), y.String())
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for k, v := range x {
			if w, has := y[k]; !has || !equal(v, w) {
				return false
			}
		}
		return true
	case []any:
		y, ok := b.([]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for i := range x {
			if !equal(x[i], y[i]) {
				return false
			}
		}
		return true
	}
	if _, list := b.([]any); list {
		return false
	}
	if _, object := b.(map[string]any); object {
		return false
	}
	return a == b
}

// sameNumber compares exactly. Numbers with an exponent are compared as text:
// one of a thousand digits is not worked out.
func sameNumber(a, b string) bool {
	if a == b {
		return true
	}
	if strings.ContainsAny(a+b, "eE") {
		return false
	}
	x, okX := new(big.Rat).SetString(a)
	y, okY := new(big.Rat).SetString(b)
	return okX && okY && x.Cmp(y) == 0
}
