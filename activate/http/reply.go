package http

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"elt/activate"
	"elt/internal/httpx"
	"elt/internal/retry"
)

// judge says what a reply means for the rows of a call.
func (d *destination) judge(c call, r httpx.Reply) ([]activate.Outcome, error) {
	rules, status := d.sync.Outcome, r.Status
	switch {
	case among(rules.Retry, status):
		return nil, d.later(c, r)
	case among(rules.Rejected, status):
		return d.refused(c, r)
	case among(rules.OK, status), rules.OK == nil && status/100 == 2:
		return d.rows(c, r)
	case status/100 == 2:
		return nil, fmt.Errorf("%s at %s: outcome.ok does not name %s", d.place(c), d.host, named(status))
	case status/100 == 3:
		return nil, d.barred(c, r, d.elsewhere(r))
	}
	switch status {
	case http.StatusUnauthorized, http.StatusProxyAuthRequired:
		return nil, d.barred(c, r, "the credentials of the connection are not valid (any more): renew what auth or headers hold")
	case http.StatusForbidden:
		return nil, d.barred(c, r, "the credentials of the connection may not do this: let them, or use others; if it is about single rows, outcome: {rejected: [403]}")
	case http.StatusNotFound, http.StatusGone:
		return d.absent(c, r)
	case http.StatusMethodNotAllowed:
		return nil, d.barred(c, r, "mend method, path or url: the service takes no "+c.route.method+" there")
	case http.StatusRequestTimeout, http.StatusLocked, http.StatusTooEarly, http.StatusTooManyRequests:
		return nil, d.later(c, r)
	case http.StatusServiceUnavailable:
		if _, told := httpx.RetryAfter(r.Header, d.now()); told {
			return nil, d.later(c, r)
		}
	}
	if status/100 == 4 {
		return d.refused(c, r)
	}
	return nil, d.asked(d.answer(c, r), r)
}

// absent is a reply of 404: the row is not there where the address is that of a
// row, and a delete has nothing left to do; else there is no such object.
func (d *destination) absent(c call, r httpx.Reply) ([]activate.Outcome, error) {
	switch {
	case !c.route.path.keyed():
		return nil, d.barred(c, r, fmt.Sprintf("there is no object %q: mend to, path or url", d.object))
	case c.changes[0].Action == activate.Delete:
		return d.all(c, activate.Outcome{Status: activate.Acked})
	}
	return d.refused(c, r)
}

// elsewhere is the hint for a redirect, with its host alone.
func (d *destination) elsewhere(r httpx.Reply) string {
	to, err := url.Parse(r.Header.Get("Location"))
	if err != nil || to.Host == "" {
		return "mend url or path: the service redirects, and a push does not follow"
	}
	return fmt.Sprintf("mend url: the service redirects to %s://%s, and a push does not follow", to.Scheme, to.Host)
}

// all is the same outcome for each row.
func (d *destination) all(c call, o activate.Outcome) ([]activate.Outcome, error) {
	list := make([]activate.Outcome, len(c.changes))
	for i := range c.changes {
		list[i] = o
		list[i].OpID = c.changes[i].OpID
	}
	return list, nil
}

// answer is the error of a reply, with what the service says of it.
func (d *destination) answer(c call, r httpx.Reply) error {
	text := fmt.Sprintf("%s: %s answered %s", d.place(c), d.host, named(r.Status))
	if said := d.said(r); said != "" {
		text += ": " + said
	}
	return errors.New(d.scrub.Text(text))
}

func (d *destination) later(c call, r httpx.Reply) error {
	wait, _ := httpx.RetryAfter(r.Header, d.now())
	return retry.After(d.answer(c, r), wait)
}

// asked is err with what the service asks to be left alone for, if it does: every
// service that is tired says so, also with a status that says something else.
func (d *destination) asked(err error, r httpx.Reply) error {
	if wait, told := httpx.RetryAfter(r.Header, d.now()); told && wait > 0 {
		return retry.Asked(err, wait)
	}
	return err
}

func (d *destination) barred(c call, r httpx.Reply, hint string) error {
	return &activate.BarredError{Code: fmt.Sprint(r.Status), Err: d.asked(d.answer(c, r), r), Hint: hint}
}

func (d *destination) refused(c call, r httpx.Reply) ([]activate.Outcome, error) {
	code := fmt.Sprint(r.Status)
	var body any
	if d.sync.Outcome.Code != "" && decode(r.Body, &body) == nil {
		code = or(shown(at(body, d.sync.Outcome.Code)), code)
	}
	list, err := d.refuse(c, d.scrub.Text(code), or(d.said(r), named(r.Status)))
	// So services also answer a key whose first call they are still busy with.
	for i := range list {
		list[i].Contested = r.Status == http.StatusConflict && d.limits.Replay == activate.IdempotencyKey
	}
	return list, err
}

// said is the service's own text, without secrets: where outcome.message points,
// where most services put it, or the beginning of what it sent.
func (d *destination) said(r httpx.Reply) string {
	var body any
	if decode(r.Body, &body) != nil {
		if strings.Contains(r.Header.Get("Content-Type"), "html") {
			return ""
		}
		return d.short(strings.Join(strings.Fields(strings.ToValidUTF8(string(r.Body), "?")), " "))
	}
	for _, path := range []string{d.sync.Outcome.Message, "error.message", "message", "detail", "error", "title"} {
		if text, ok := at(body, path).(string); ok && path != "" && text != "" {
			return d.short(text)
		}
	}
	return d.short(string(r.Body))
}

// short is the beginning of a text of the service, without secrets. They are taken
// out before it is cut: of one that is cut nobody would know the rest.
func (d *destination) short(text string) string { return clip(d.scrub.Text(text), 300) }

func named(status int) string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", status, http.StatusText(status)))
}

// decode decodes one JSON value with exact numbers, and nothing behind it.
func decode(text []byte, into *any) error {
	if !json.Valid(text) {
		return errors.New("the reply is no JSON")
	}
	dec := json.NewDecoder(strings.NewReader(string(text)))
	dec.UseNumber()
	return dec.Decode(into)
}
