// Package http is a destination behind an HTTP API that a project describes with
// data: which call a row or a batch makes, and what its reply says of each row.
//
// # Evidence
//
// Without rules a 2xx acknowledges what the call held, but 207, and any other status none
// of it. With outcome.results or outcome.errors a 2xx says nothing by itself:
// each row needs an entry that is paired with it by its position, or by what we
// sent. A row that no entry tells of is unknown, unless outcome.unlisted says ok.
//
// # Replay
//
// An unknown outcome may be sent again only where that cannot make a second row.
// PUT and DELETE of a path that holds the key are that by the rules of HTTP, so
// replay is idempotent there. Anything else is reconcile until the project says
// that the service knows operations by Idempotency-Key or by the op_id that each
// row carries: that is a promise which nobody but the service can give.
//
// # Signature
//
// With hmac each call carries the time of sending in seconds since 1970, and
// sha256= with the hex of HMAC-SHA256(secret, timestamp + "." + body). A receiver
// recomputes it over the body as it came, compares in constant time, and refuses
// timestamps that are more than a few minutes off, so that a call cannot be
// replayed.
package http

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"elt/activate"
	"elt/internal/httpx"
	"elt/internal/secret"
)

// Kind is the kind of destination that a project calls http.
func Kind() activate.Kind {
	return activate.Kind{
		Name:       "http",
		Connection: func() any { return &Connection{} },
		Sync:       func() any { return &Sync{} },
		Account:    account,
		Limits: func(c activate.Config) (activate.Limits, error) {
			d, err := configure(c)
			if err != nil {
				return activate.Limits{}, err
			}
			return d.limits, nil
		},
		Open: func(_ context.Context, c activate.Config) (activate.Connector, error) {
			d, err := configure(c)
			if err != nil {
				return activate.Connector{}, err
			}
			return d.open(c.Dir)
		},
		Serve: serve,
		At:    moved,
	}
}

// account is the host and a fingerprint of the path, which of a hook is often its
// password, and the name that tells the accounts behind it apart. A token is none:
// a new one leads to the same account.
func account(connection any) string {
	c, ok := connection.(*Connection)
	if !ok {
		return ""
	}
	u, err := url.Parse(c.URL.Reveal())
	if err != nil {
		return ""
	}
	name := strings.ToLower(u.Scheme + "://" + u.Host)
	if path := strings.Trim(u.EscapedPath(), "/"); path != "" {
		sum := sha256.Sum256([]byte(path))
		name += "/~" + hex.EncodeToString(sum[:4])
	}
	switch {
	case c.Account != "":
		name += " " + c.Account
	case c.Auth != nil && c.Auth.Username != "":
		name += " " + c.Auth.Username
	}
	return name
}

// destination is one object behind an API.
type destination struct {
	conn   *Connection
	sync   *Sync
	object string
	limits activate.Limits
	host   string
	routes map[activate.Action]route
	lookup *route
	wrap   template // of a batch; nil: one row a call
	header http.Header
	scrub  secret.Scrubber
	client *httpx.Client
	now    func() time.Time
}

// route is how an action is called.
type route struct {
	method string
	path   path
	row    template // nil: no body
}

// configure compiles what a project says; it opens nothing.
func configure(c activate.Config) (*destination, error) {
	conn, ok := c.Connection.(*Connection)
	if !ok || conn.URL.IsZero() {
		return nil, errors.New("a connection of type http needs url: where the API is, such as https://api.example.com/v1")
	}
	base, problem := conn.base()
	if problem != "" {
		return nil, errors.New(problem)
	}
	sync, ok := c.Sync.(*Sync)
	if !ok || sync == nil {
		sync = &Sync{}
	}
	d := &destination{conn: conn, sync: sync, object: c.Object, host: base.Host, now: time.Now}
	d.header, d.scrub = conn.header(base)
	if err := d.compile(base, c.Key); err != nil {
		return nil, err
	}
	d.limits = d.declared(c.Key)
	return d, nil
}

// compile makes the routes, the templates and the lookup.
func (d *destination) compile(base *url.URL, key []string) error {
	usual, err := d.route(Action{Method: d.sync.Method, Path: d.sync.Path, Request: d.sync.Request}, base, key)
	if err != nil {
		return err
	}
	d.routes = map[activate.Action]route{}
	for _, a := range []activate.Action{activate.Create, activate.Update, activate.Upsert, activate.Append, activate.Delete} {
		d.routes[a] = usual
		own := d.sync.Actions[string(a)]
		if own == nil {
			continue
		}
		whole := *own
		if whole.Method == "" && a == activate.Delete {
			whole.Method = http.MethodDelete
		}
		whole.Method, whole.Path = or(whole.Method, d.sync.Method), Path(or(string(whole.Path), string(d.sync.Path)))
		bare := whole.Request == "" && a == activate.Delete && d.sync.Batch == nil
		whole.Request = RowTemplate(or(string(whole.Request), string(d.sync.Request)))
		r, err := d.route(whole, base, key)
		if err != nil {
			return fmt.Errorf("actions.%s: %w", a, err)
		}
		if bare {
			r.row = nil
		}
		d.routes[a] = r
	}
	if b := d.sync.Batch; b != nil {
		if d.wrap, err = parseTemplate(or(string(b.Wrap), defaultWrap), envelopeWords()); err != nil {
			return fmt.Errorf("batch.wrap: %w", err)
		}
	}
	if l := d.sync.Lookup; l != nil {
		r, err := d.route(Action{Method: or(l.Method, http.MethodGet), Path: l.Path}, base, key)
		if err != nil {
			return fmt.Errorf("lookup: %w", err)
		}
		r.row = nil
		d.lookup = &r
	}
	return nil
}

func (d *destination) route(a Action, base *url.URL, key []string) (route, error) {
	r := route{method: or(a.Method, http.MethodPost)}
	var err error
	if r.row, err = parseTemplate(or(string(a.Request), defaultRow), rowWords()); err != nil {
		return r, fmt.Errorf("request: %w", err)
	}
	for _, p := range r.row {
		if p.word == "key" && p.name != "" && !slices.Contains(key, p.name) {
			return r, fmt.Errorf("request: {{key.%s}} is no field of the key, which is %s", p.name, strings.Join(key, ", "))
		}
	}
	if r.path, err = parsePath(or(string(a.Path), defaultPath), base, d.object, key); err != nil {
		return r, fmt.Errorf("path: %w", err)
	}
	return r, nil
}

// declared are the limits that connection and sync say.
func (d *destination) declared(key []string) activate.Limits {
	l := activate.Limits{BatchRows: 1, Concurrency: d.conn.Concurrency, Replay: activate.ReplayClass(d.sync.Replay), Looks: d.sync.Lookup != nil, Modes: []string{
		activate.ModeUpsert, activate.ModeUpdate, activate.ModeInsert, activate.ModeAppend,
	}}
	if l.Concurrency == 0 {
		l.Concurrency = defaultConcurrency
	}
	for _, r := range d.conn.Rates {
		calls, per := r.Less(d.conn.Reserve)
		l.Rates = append(l.Rates, activate.Rate{Calls: calls, Per: per})
	}
	if d.sync.Actions[string(activate.Delete)] != nil {
		l.Modes = append(l.Modes, activate.ModeMirror)
	}
	if b := d.sync.Batch; b != nil {
		l.BatchRows = b.rows()
		if b.Bytes > 0 { // the engine counts keys and fields alone
			l.BatchBytes = max(b.Bytes-l.BatchRows*d.routes[activate.Upsert].row.literal(), b.Bytes/2, 1)
		}
	}
	if l.Replay == "" {
		l.Replay = d.safeReplay(key)
	}
	l.Window = d.sync.Window
	if look := d.sync.Lookup; look != nil {
		l.LookRows = 1
		if l.LookAfter = look.After; l.LookAfter == 0 {
			l.LookAfter = defaultLookAfter
		}
	}
	return l
}

// safeReplay is what HTTP itself promises: PUT and DELETE of a path that holds
// the whole key may be repeated. Of anything else only the service knows.
func (d *destination) safeReplay(key []string) activate.ReplayClass {
	for _, r := range d.routes {
		repeatable := r.method == http.MethodPut || r.method == http.MethodDelete
		if !repeatable || len(key) == 0 || !r.path.holds(key) {
			return activate.Reconcile
		}
	}
	return activate.Idempotent
}

func (d *destination) open(dir string) (activate.Connector, error) {
	ca := d.conn.CAFile
	if ca != "" && !filepath.IsAbs(ca) {
		ca = filepath.Join(dir, ca)
	}
	var err error
	d.client, err = httpx.New(httpx.Options{Timeout: d.conn.Timeout, CAFile: ca, Conns: d.limits.Concurrency, Scrub: d.scrub})
	if err != nil {
		return activate.Connector{}, err
	}
	conn := activate.Connector{Destination: d}
	if d.lookup != nil {
		conn.Lookup = d
	}
	return conn, nil
}

// Limits implements [activate.Destination].
func (d *destination) Limits() activate.Limits { return d.limits }

// Close ends the connections. It is safe to call more than once.
func (d *destination) Close() error {
	d.client.Close()
	return nil
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}
