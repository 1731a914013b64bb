package http

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"elt/activate"
	"elt/activate/fake"
	"elt/internal/secret"
)

// standIn is the service behind a destination, as the project describes it: it
// reads calls by the templates that make them, and answers by the rules that read
// the answers.
type standIn struct {
	d      *destination
	key    []string
	store  activate.Store
	routes []inbound
}

// inbound is a route as calls arrive on it.
type inbound struct {
	action activate.Action // "": a lookup
	route  route
	match  *regexp.Regexp
	fields []string // of the key, by group
}

// serve makes the stand-in of what c says.
func serve(c activate.Config, store activate.Store) (activate.Service, error) {
	d, err := configure(c)
	if err != nil {
		return nil, err
	}
	s := &standIn{d: d, key: c.Key, store: store}
	for _, a := range []activate.Action{activate.Upsert, activate.Create, activate.Update, activate.Append, activate.Delete} {
		s.routes = append(s.routes, arriving(a, d.routes[a]))
	}
	if d.lookup != nil {
		s.routes = append(s.routes, arriving("", *d.lookup))
	}
	return s, nil
}

// arriving compiles the address of a route, without its host, to what matches it.
func arriving(a activate.Action, r route) inbound {
	in := inbound{action: a, route: r}
	var b strings.Builder
	for i, p := range r.path.parts {
		text := p.text
		if i == 0 {
			if u, err := url.Parse(text); err == nil {
				u.Scheme, u.Host, u.User = "", "", nil
				u.Path = cmp.Or(u.Path, "/") // a call of a host alone asks for that
				text = u.String()
			}
		}
		b.WriteString(regexp.QuoteMeta(text))
		if p.name != "" {
			b.WriteString(`([^/?]+)`)
			in.fields = append(in.fields, p.name)
		}
	}
	in.match = regexp.MustCompile(`^` + b.String() + `$`)
	return in
}

// moved is a connection whose service is at another address.
func moved(connection any, address string) any {
	c, ok := connection.(*Connection)
	if !ok {
		return connection
	}
	there := *c
	there.URL, there.CAFile = secret.New(address), ""
	return &there
}

// named are the fields of the key that an address holds.
func (in inbound) named(values []string) map[string]string {
	path := map[string]string{}
	for i, name := range in.fields {
		path[name] = values[i]
		if text, err := url.PathUnescape(values[i]); err == nil {
			path[name] = text
		}
	}
	return path
}

// Takes implements [activate.Service].
func (s *standIn) Takes(r *http.Request) bool {
	_, _, ok := s.route(r, nil)
	return ok
}

// ServeHTTP implements [http.Handler].
func (s *standIn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 64<<20))
	if err != nil {
		panic(http.ErrAbortHandler) // the caller is gone
	}
	fake.Fine.Write(w, r, s.answer(r, body))
}

func (s *standIn) answer(r *http.Request, body []byte) fake.Reply {
	if problem := s.admit(r, body); problem != "" {
		return fake.Problem(http.StatusUnauthorized, "unauthorized", problem)
	}
	in, values, found := s.route(r, body)
	if !found {
		return fake.Problem(http.StatusNotFound, "not_found", fmt.Sprintf("the project describes no call %s %s", r.Method, r.URL.Path))
	}
	if in.action == "" {
		return s.lookedUp(r.Context(), in, values)
	}
	b, status, problem := s.read(in, values, r, body)
	if problem != "" {
		return fake.Problem(status, "bad_request", problem)
	}
	lists := s.d.sync.Outcome.Results != nil || s.d.sync.Outcome.Errors != nil
	outcomes, err := s.store.Take(r.Context(), b, !lists)
	if err != nil {
		return fake.Problem(http.StatusInternalServerError, "internal", err.Error())
	}
	return s.told(b, outcomes)
}

// admit holds a call to the credentials that the project sends: that they are
// there, and that the signature is right.
func (s *standIn) admit(r *http.Request, body []byte) (problem string) {
	if s.d.conn.Auth != nil && r.Header.Get("Authorization") == "" {
		return "the call has no Authorization header"
	}
	h := s.d.conn.HMAC
	if h == nil {
		return ""
	}
	at := r.Header.Get(or(h.TimestampHeader, defaultTimestamp))
	if r.Header.Get(or(h.Header, defaultSignature)) != h.signature(at, body) {
		return "the signature is not that of the body and its timestamp"
	}
	return ""
}

// route finds the route of a call; of several, the one whose action the body names.
func (s *standIn) route(r *http.Request, body []byte) (found inbound, values []string, ok bool) {
	for _, in := range s.routes {
		groups := in.match.FindStringSubmatch(r.URL.RequestURI())
		if groups == nil || in.route.method != r.Method {
			continue
		}
		named := in.action != "" && bytes.Contains(body, []byte(`"`+string(in.action)+`"`))
		if !ok || named {
			found, values = in, groups[1:]
		}
		if ok = true; named {
			break
		}
	}
	return found, values, ok
}

// read reads the operations of a call.
func (s *standIn) read(in inbound, values []string, r *http.Request, body []byte) (b activate.Batch, status int, problem string) {
	b.ID = r.Header.Get(or(s.d.sync.KeyHeader, defaultKeyHeader))
	b.Object = s.d.object
	path := in.named(values)
	if s.d.sync.Batch == nil {
		c, problem := s.change(in, path, body)
		if c.OpID == "" {
			c.OpID = or(b.ID, rand.Text())
		}
		b.Changes = []activate.Change{c}
		return b, http.StatusBadRequest, problem
	}
	if most := s.d.sync.Batch.Bytes; most > 0 && len(body) > most {
		return b, http.StatusRequestEntityTooLarge, fmt.Sprintf("%d bytes in a call, and the limit is %d", len(body), most)
	}
	var records []json.RawMessage
	problem = s.d.wrap.unify(body, func(p part, value json.RawMessage) error {
		if p.word != "records" {
			return nil
		}
		return json.Unmarshal(value, &records)
	})
	if most := s.d.limits.BatchRows; len(records) > most {
		return b, http.StatusRequestEntityTooLarge, fmt.Sprintf("%d rows in a call, and the limit is %d", len(records), most)
	}
	for i, text := range records {
		c, wrong := s.change(in, path, text)
		if wrong != "" {
			return b, http.StatusBadRequest, fmt.Sprintf("row %d: %s", i, wrong)
		}
		if c.OpID == "" {
			c.OpID = rand.Text()
		}
		b.Changes = append(b.Changes, c)
	}
	return b, http.StatusBadRequest, problem
}

// change reads one row by its template. What the template does not hold comes
// from the path, or else from the fields.
func (s *standIn) change(in inbound, path map[string]string, text []byte) (c activate.Change, problem string) {
	c.Action = in.action
	key, fields := map[string]json.RawMessage{}, []pair{}
	if in.route.row != nil {
		problem = in.route.row.unify(text, func(p part, value json.RawMessage) error {
			switch {
			case p.word == "op_id":
				return json.Unmarshal(value, &c.OpID)
			case p.word == "action":
				return json.Unmarshal(value, &c.Action)
			case p.word == "key" && p.name == "":
				c.Key = value
			case p.word == "key":
				key[p.name] = value
			case p.word == "fields" && p.name == "":
				c.Fields = value
			case p.word == "fields":
				fields = append(fields, pair{p.name, value})
			}
			return nil
		})
	}
	if problem != "" {
		return c, problem
	}
	if c.Fields == nil && len(fields) > 0 {
		c.Fields = object(fields)
	}
	if c.Key == nil {
		c.Key, problem = s.keyOf(key, path, c.Fields)
	}
	c.Key, c.Fields = compact(c.Key), compact(c.Fields)
	return c, problem
}

// keyOf makes the key of a row of what a call holds of it.
func (s *standIn) keyOf(key map[string]json.RawMessage, path map[string]string, fields json.RawMessage) (json.RawMessage, string) {
	var list []pair
	for _, name := range s.key {
		value := key[name]
		if field := member(fields, name); value == nil && field != nil {
			value = field
		}
		if text, ok := path[name]; ok && value == nil {
			value = number(text)
		}
		if value == nil {
			return nil, fmt.Sprintf("the call does not hold %s of the key", name)
		}
		list = append(list, pair{name, value})
	}
	return object(list), ""
}
