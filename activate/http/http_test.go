package http_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	nethttp "net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"elt/activate"
	"elt/activate/activatetest"
	"elt/activate/fake"
	"elt/activate/http"
	"elt/internal/retry"
	"elt/internal/secret"
	"elt/internal/yamlx"
)

// setups are the ways that a project can talk to a Service.
func setups() map[string]string {
	results := "outcome: {results: {at: results, by: op_id, status: status, ok: [updated], created: [created], rejected: [rejected], code: code, message: message, id: id}}"
	return map[string]string{
		"single":               "replay: idempotency-key\noutcome: {id: id, code: error.code}",
		"put":                  "method: PUT\npath: /{object}/{id}\nactions: {delete: {}}",
		"batch":                "replay: idempotent\nbatch: {rows: 10}",
		"batch with results":   "replay: idempotency-key\nbatch: {rows: 10, bytes: 100000}\n" + results,
		"batch with positions": "replay: idempotency-key\nbatch: {rows: 10}\n" + strings.Replace(results, "by: op_id", "by: position", 1),
		"batch with errors":    "replay: idempotency-key\nbatch: {rows: 10}\noutcome: {unlisted: ok, errors: {at: errors, by: index, holds: index, code: code, message: message}}",
		"reconcile":            "lookup: {path: '/{object}/{id}', op_id: op_id, id: id}",
	}
}

// answers is the form of reply that a setup expects.
func answers(setup string) activatetest.Answers {
	switch {
	case strings.Contains(setup, "results:"):
		return activatetest.EachRow
	case strings.Contains(setup, "errors:"):
		return activatetest.FailedRows
	}
	return activatetest.NoAnswers
}

// keys decodes the keys of a sync or a connection as a project does.
func keys(t testing.TB, text string, into any) error {
	t.Helper()
	var errs yamlx.Errors
	file, bad := yamlx.Parse("elt.yaml", []byte(text), []byte(text))
	if len(bad) > 0 {
		t.Fatal(bad)
	}
	d := yamlx.Decoder{File: file, Errs: &errs}
	d.Struct(file.Root, into)
	if len(errs) > 0 {
		return errs
	}
	return nil
}

func config(t testing.TB, base, conn, sync string) activate.Config {
	t.Helper()
	c := activate.Config{Connection: &http.Connection{}, Sync: &http.Sync{}, Object: "things", Key: []string{"id"}, Dir: t.TempDir()}
	if err := keys(t, "url: "+base+"\n"+conn, c.Connection); err != nil {
		t.Fatal(err)
	}
	if err := keys(t, sync, c.Sync); err != nil {
		t.Fatal(err)
	}
	return c
}

func open(t testing.TB, c activate.Config) activate.Connector {
	t.Helper()
	conn, err := http.Kind().Open(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Destination.Close() })
	return conn
}

// serve starts a Service and opens the object things there.
func serve(t *testing.T, s *activatetest.Service, conn, sync string) activate.Connector {
	t.Helper()
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	s.Answers = answers(sync)
	return open(t, config(t, srv.URL, conn, sync))
}

func TestContract(t *testing.T) {
	for name, sync := range setups() {
		t.Run(name, func(t *testing.T) {
			activatetest.Run(t, func(t *testing.T) activatetest.Harness {
				s := &activatetest.Service{Answers: answers(sync), BatchRows: 10, Token: "tok-en-1234"}
				srv := httptest.NewServer(s)
				t.Cleanup(srv.Close)
				c := config(t, srv.URL, "auth: {bearer: tok-en-1234}", sync)
				return activatetest.Harness{
					Open: func(t *testing.T) activate.Destination { return open(t, c).Destination },
					Rows: func(*testing.T) []activatetest.Row { return s.Rows("things") },
				}
			})
		})
	}
}

func change(n int) activate.Change {
	return activate.Change{
		OpID: fmt.Sprintf("op%d", n), Action: activate.Upsert, Key: json.RawMessage(fmt.Sprintf(`{"id":%d}`, n)),
		Fields: json.RawMessage(fmt.Sprintf(`{"v":%d}`, n)),
	}
}

func batch(n int) activate.Batch {
	b := activate.Batch{ID: fmt.Sprintf("batch%d", n), Object: "things"}
	for i := range n {
		b.Changes = append(b.Changes, change(i))
	}
	return b
}

// verdict is what a push says, in a word for each change in their order.
func verdict(t *testing.T, b activate.Batch, outs []activate.Outcome, err error) string {
	t.Helper()
	var refused *activate.RefusedError
	var barred *activate.BarredError
	class, after := retry.Of(err)
	switch {
	case errors.As(err, &refused):
		return "refused " + refused.Code
	case errors.As(err, &barred):
		return "barred " + barred.Code
	case class == retry.Transient:
		return "later " + after.String()
	case err != nil:
		return "unknown"
	}
	by := map[string]activate.Outcome{}
	for _, o := range outs {
		if _, twice := by[o.OpID]; twice {
			t.Errorf("two outcomes for %s", o.OpID)
		}
		by[o.OpID] = o
	}
	var words []string
	for _, c := range b.Changes {
		o := by[c.OpID]
		word := string(o.Status)
		if o.Status == activate.Rejected {
			word += ":" + o.Code
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

// What each outage means, for a row by itself, a batch without answers, one with
// a result for each row, and one that lists failures.
func TestOutages(t *testing.T) {
	want := map[fake.Outage][4]string{
		fake.Fine:        {"acked", "acked acked acked acked", "acked acked acked acked", "acked acked acked acked"},
		fake.CutBefore:   {"unknown", "unknown", "unknown", "unknown"},
		fake.Limited:     {"later 2s", "later 2s", "later 2s", "later 2s"},
		fake.Busy:        {"later 2s", "later 2s", "later 2s", "later 2s"},
		fake.Conflict:    {"rejected:conflict", "refused 409", "refused 409", "refused 409"},
		fake.Revoked:     {"barred 401", "barred 401", "barred 401", "barred 401"},
		fake.Loop:        {"barred 307", "barred 307", "barred 307", "barred 307"},
		fake.Down:        {"unknown", "unknown", "unknown", "unknown"},
		fake.CutAfter:    {"unknown", "unknown", "unknown", "unknown"},
		fake.Failed:      {"unknown", "unknown", "unknown", "unknown"},
		fake.HalfWritten: {"unknown", "unknown", "unknown", "unknown"},
		fake.HalfTold:    {"acked", "acked acked acked acked", "acked unknown acked unknown", "acked acked acked acked"},
		fake.Silent:      {"acked", "acked acked acked acked", "refused silent", "acked acked acked acked"},
		fake.SilentIdle:  {"acked", "acked acked acked acked", "refused silent", "acked acked acked acked"}, // rules are for services that lie
		fake.Slow:        {"unknown", "unknown", "unknown", "unknown"},
		fake.Truncated:   {"unknown", "unknown", "unknown", "unknown"},
		fake.WrongLength: {"unknown", "unknown", "unknown", "unknown"},
		fake.Garbled:     {"acked", "acked acked acked acked", "unknown", "unknown"},
		fake.Bomb:        {"unknown", "unknown", "unknown", "unknown"},
	}
	all := setups()
	for o, words := range want {
		for i, name := range []string{"single", "batch", "batch with results", "batch with errors"} {
			t.Run(fmt.Sprintf("%d %s", o, name), func(t *testing.T) {
				conn := "timeout: 30s"
				if o == fake.Slow {
					conn = "timeout: 50ms"
				}
				s := &activatetest.Service{Fault: func(int) fake.Outage { return o }}
				c := serve(t, s, conn, all[name])
				b := batch(4)
				if name == "single" {
					b = batch(1)
				}
				outs, err := c.Destination.Push(context.Background(), b)
				if got := verdict(t, b, outs, err); got != words[i] {
					t.Errorf("%s (%v), want %s", got, err, words[i])
				}
			})
		}
	}
}

func TestRetryAfterAsDate(t *testing.T) {
	s := &activatetest.Service{DateForm: true, Rates: []activate.Rate{{Calls: 1, Per: time.Minute}}}
	c := serve(t, s, "", setups()["single"])
	if _, err := c.Destination.Push(context.Background(), batch(1)); err != nil {
		t.Fatal(err)
	}
	_, err := c.Destination.Push(context.Background(), batch(1))
	if class, after := retry.Of(err); class != retry.Transient || after < 50*time.Second || after > 61*time.Second {
		t.Errorf("%v: after %s, want about a minute", err, after)
	}
}

// What a service asks to wait is told whatever its status says of the rows.
func TestRetryAfterBesideAnyStatus(t *testing.T) {
	for status, word := range map[int]string{
		401: "barred 401", 403: "barred 403", 429: "later 1h0m0s", 500: "unknown", 502: "unknown", 503: "later 1h0m0s", 504: "unknown",
	} {
		for _, length := range []string{"2", "9"} { // also of a reply that ends too soon
			srv := httptest.NewServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, _ *nethttp.Request) {
				w.Header().Set("Retry-After", "3600")
				w.Header().Set("Content-Length", length)
				w.WriteHeader(status)
				_, _ = w.Write([]byte("no"))
			}))
			c := open(t, config(t, srv.URL, "", "method: PUT\npath: /{object}/{id}\nlookup: {path: '/{object}/{id}'}"))
			b := batch(1)
			outs, err := c.Destination.Push(t.Context(), b)
			_, after := retry.Of(err)
			if got := verdict(t, b, outs, err); after != time.Hour || got != word && length == "2" {
				t.Errorf("%d: %s, after %s (%v), want %s after an hour", status, got, after, err, word)
			}
			if _, err = c.Lookup.Find(t.Context(), b.Changes); length == "2" {
				if _, after := retry.Of(err); after != time.Hour {
					t.Errorf("%d: a look ends with %v, after %s", status, err, after)
				}
			}
			srv.Close()
		}
	}
}

func TestMixedReplies(t *testing.T) {
	reject := func(key, _ string) (string, string) {
		if key == `{"id":1}` {
			return "too_long", "v is too long"
		}
		return "", ""
	}
	for name, want := range map[string]string{
		"batch with results": "acked rejected:too_long acked", "batch with positions": "acked rejected:too_long acked", "batch with errors": "acked rejected:too_long acked",
	} {
		c := serve(t, &activatetest.Service{Reject: reject}, "", setups()[name])
		b := batch(3)
		outs, err := c.Destination.Push(context.Background(), b)
		if got := verdict(t, b, outs, err); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
		for _, o := range outs {
			if o.Status == activate.Rejected && o.Message != "v is too long" {
				t.Errorf("%s: message %q", name, o.Message)
			}
			if o.Status == activate.Acked && name != "batch with errors" && (!o.Created || !strings.HasPrefix(o.DestID, "things-")) {
				t.Errorf("%s: %+v, want one that is new, with its id", name, o)
			}
		}
	}
	c := serve(t, &activatetest.Service{Reject: reject, Atomic: true}, "", setups()["batch"])
	b := batch(3)
	outs, err := c.Destination.Push(context.Background(), b)
	if got := verdict(t, b, outs, err); got != "refused 409" {
		t.Errorf("a batch with a row that conflicts: %s", got)
	}
}

func TestSilentReplyIsUnknownWhereReplayIsNotSafe(t *testing.T) {
	sync := strings.Replace(setups()["batch with results"], "replay: idempotency-key", "replay: reconcile", 1)
	s := &activatetest.Service{Fault: func(int) fake.Outage { return fake.Silent }}
	c := serve(t, s, "", sync)
	b := batch(2)
	outs, err := c.Destination.Push(context.Background(), b)
	if got := verdict(t, b, outs, err); got != "unknown unknown" {
		t.Errorf("%s (%v)", got, err)
	}
}

func TestLookup(t *testing.T) {
	for name, sync := range map[string]string{
		"by op_id":  "lookup: {path: '/{object}/{id}', op_id: op_id, id: id}",
		"by fields": "lookup: {path: '/{object}/{id}', at: fields}",
	} {
		s := &activatetest.Service{}
		c := serve(t, s, "", sync)
		there := change(1)
		if _, err := c.Destination.Push(context.Background(), activate.Batch{ID: "b", Changes: []activate.Change{there}}); err != nil {
			t.Fatal(err)
		}
		s.Put("things", `{"id":2}`, `{"v":2.50}`)
		gone, taken, other := change(3), change(2), change(2)
		gone.Action, taken.Action, other.OpID = activate.Delete, activate.Create, "else"
		b := activate.Batch{Changes: []activate.Change{there, change(4), gone, taken, other}}
		outs, err := c.Lookup.Find(context.Background(), b.Changes)
		if got := verdict(t, b, outs, err); got != "acked retry acked  retry" {
			t.Errorf("%s: %q (%v)", name, got, err)
		}
		other.Fields = json.RawMessage(`{"v":2.5}`)
		if outs, _ = c.Lookup.Find(context.Background(), []activate.Change{other}); name == "by fields" && outs[0].Status != activate.Acked {
			t.Errorf("2.5 and 2.50 are told apart: %+v", outs)
		}
	}
}

// The engine counts calls, so a look for as many rows as the limit says is one.
func TestALookIsOneCall(t *testing.T) {
	calls := 0
	srv := httptest.NewServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, _ *nethttp.Request) {
		calls++
		w.WriteHeader(nethttp.StatusNotFound)
	}))
	defer srv.Close()
	c := open(t, config(t, srv.URL, "", "batch: {rows: 50}\nlookup: {path: '/{object}/{id}'}"))
	b := batch(c.Destination.Limits().LookRows)
	outs, err := c.Lookup.Find(t.Context(), b.Changes)
	if got := verdict(t, b, outs, err); got != "retry" || calls != 1 {
		t.Errorf("%q after %d calls (%v)", got, calls, err)
	}
}

func TestNoSecretInErrors(t *testing.T) {
	const token = "s3cr3t-canary"
	var texts []string
	for _, o := range fake.Outages() {
		if o == fake.Bomb || o == fake.Slow {
			continue
		}
		s := &activatetest.Service{Fault: func(int) fake.Outage { return o },
			Reject: func(_, _ string) (string, string) { return "no", "not with " + token }}
		srv := httptest.NewServer(s)
		c := config(t, strings.Replace(srv.URL, "//", "//me:"+token+"@", 1)+"/?key="+token,
			"headers: {X-Key: "+token+"}\nhmac: {secret: "+token+"}", setups()["batch with results"])
		d := open(t, c).Destination
		outs, err := d.Push(context.Background(), batch(2))
		texts = append(texts, fmt.Sprintf("%v %+v %+v", err, err, outs), http.Kind().Account(c.Connection))
		srv.Close()
		_, err = d.Push(context.Background(), batch(2))
		texts = append(texts, fmt.Sprintf("%v %+v", err, err))
	}
	for _, text := range texts {
		if strings.Contains(text, token) {
			t.Errorf("the secret is told: %s", text)
		}
	}
}

func TestAccount(t *testing.T) {
	account := http.Kind().Account
	at := func(url string) string { return account(&http.Connection{URL: secret.New(url)}) }
	if a, b := at("https://API.example.com/v1?key=1"), at("https://api.example.com/v1/?key=2"); a != b || strings.Contains(a, "v1") {
		t.Errorf("%q and %q: want one account without its path", a, b)
	}
	if at("https://api.example.com/v1") == at("https://api.example.com/v2") {
		t.Error("two paths are one account")
	}
	live := &http.Connection{URL: secret.New("https://api.example.com/v1"), Account: "live"}
	if account(live) == at("https://api.example.com/v1") {
		t.Error("an account with a name is that of the url")
	}
	one := &http.Connection{URL: live.URL, Auth: &http.Auth{Username: "AC1", Password: secret.New("p")}}
	two := &http.Connection{URL: live.URL, Auth: &http.Auth{Username: "AC2", Password: secret.New("p")}}
	if account(one) == account(two) {
		t.Error("two users are one account")
	}
}
