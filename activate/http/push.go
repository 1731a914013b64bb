package http

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strconv"

	"elt/activate"
	"elt/internal/httpx"
	"elt/internal/retry"
)

// call is one call on its way.
type call struct {
	route   route
	changes []activate.Change
	one     bool // a row by itself, not a batch of one
	header  http.Header
	url     string
	body    []byte
}

// Push makes one call. Changes that go to different places are refused, so that
// the engine sends them apart.
func (d *destination) Push(ctx context.Context, b activate.Batch) ([]activate.Outcome, error) {
	if ctx.Err() != nil {
		return nil, retry.AsTransient(context.Cause(ctx))
	}
	if len(b.Changes) == 0 {
		return nil, nil
	}
	c := call{changes: b.Changes, one: d.sync.Batch == nil, route: d.routes[b.Changes[0].Action]}
	if c.one && len(b.Changes) > 1 || !d.together(b.Changes) {
		return nil, &activate.RefusedError{Code: "several_calls", Message: "the rows of this batch go to different places"}
	}
	if refused := d.prepare(&c, b); refused != nil {
		outcomes, err := d.refuse(c, refused.Code, refused.Message)
		for i := range outcomes {
			outcomes[i].Local = true
		}
		return outcomes, err
	}
	reply, err := d.client.Do(ctx, httpx.Request{Method: c.route.method, URL: c.url, Header: c.header, Body: c.body})
	if err != nil && (reply.Status == 0 || reply.Status/100 == 2 || reply.Status/100 == 5) {
		return nil, d.asked(d.failed(c, err), reply)
	}
	return d.judge(c, reply)
}

// together reports whether all changes make the same call.
func (d *destination) together(changes []activate.Change) bool {
	first := changes[0].Action
	for i := range changes {
		if a := changes[i].Action; a != first && d.sync.Actions[string(a)] != d.sync.Actions[string(first)] {
			return false
		}
	}
	return true
}

// prepare makes the address, the body and the headers of a call.
func (d *destination) prepare(c *call, b activate.Batch) *activate.RefusedError {
	id := b.ID
	if c.one {
		id = b.Changes[0].OpID
	}
	var problem string
	if c.url, problem = c.route.path.url(b.Changes[0].Key); problem != "" {
		return &activate.RefusedError{Code: "bad_path", Message: problem}
	}
	switch {
	case c.one && c.route.row != nil:
		buf := bytes.NewBuffer(make([]byte, 0, 256+len(b.Changes[0].Key)+len(b.Changes[0].Fields)))
		c.route.row.row(buf, d.object, &b.Changes[0])
		c.body = buf.Bytes()
	case !c.one:
		size := 256
		for i := range b.Changes {
			size += len(b.Changes[i].Key) + len(b.Changes[i].Fields) + c.route.row.literal()
		}
		b.Object = d.object
		buf := bytes.NewBuffer(make([]byte, 0, size))
		d.wrap.envelope(buf, c.route.row, &b)
		c.body = buf.Bytes()
		if most := d.sync.Batch.Bytes; most > 0 && len(c.body) > most {
			return &activate.RefusedError{Code: "too_large", Message: fmt.Sprintf("the call has %d bytes, and the limit is %d", len(c.body), most)}
		}
	}
	c.header = maps.Clone(d.header)
	c.header[http.CanonicalHeaderKey(or(d.sync.KeyHeader, defaultKeyHeader))] = []string{id}
	d.sign(c)
	return nil
}

// sign adds the time and the signature over it and the body.
func (d *destination) sign(c *call) {
	s := d.conn.HMAC
	if s == nil {
		return
	}
	at := strconv.FormatInt(d.now().Unix(), 10)
	c.header.Set(or(s.TimestampHeader, defaultTimestamp), at)
	c.header.Set(or(s.Header, defaultSignature), s.signature(at, c.body))
}

// signature is that of a body sent at a time.
func (h *HMAC) signature(at string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(h.Secret.Reveal()))
	mac.Write([]byte(at + "."))
	mac.Write(body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

// failed is the error of a call without a whole reply: barred where every call
// would fail so, transient where nothing was sent, else of unknown outcome.
func (d *destination) failed(c call, err error) error {
	var e *httpx.Error
	if !errors.As(err, &e) {
		return fmt.Errorf("%s: %w", d.place(c), err)
	}
	if e.Permanent() {
		return &activate.BarredError{Code: string(e.Reason), Err: fmt.Errorf("%s: %w", d.place(c), e), Hint: e.Hint}
	}
	text := e.Text
	if e.Hint != "" {
		text += "; " + e.Hint
	}
	wrapped := fmt.Errorf("%s: %w", d.place(c), &told{text: text, cause: err})
	if class, after := retry.Of(err); class == retry.Transient {
		return retry.After(wrapped, after)
	}
	return wrapped
}

// told is an error with what to do about it.
type told struct {
	text  string
	cause error
}

func (e *told) Error() string { return e.text }

func (e *told) Unwrap() error { return e.cause }

// place names a call in errors. Fields of the key stand in it as names.
func (d *destination) place(c call) string {
	return c.route.method + " " + c.route.path.shown
}

// refuse is what becomes of a call that the destination, or a limit, refuses for
// its rows: one row is rejected, and more are sent apart by the engine.
func (d *destination) refuse(c call, code, message string) ([]activate.Outcome, error) {
	if len(c.changes) > 1 {
		return nil, &activate.RefusedError{Code: code, Message: message}
	}
	return []activate.Outcome{{OpID: c.changes[0].OpID, Status: activate.Rejected, Code: code, Message: message}}, nil
}
