package http_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	nethttp "net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"elt/activate"
)

// recorder keeps what it was called with.
type recorder struct {
	mu    sync.Mutex
	calls []string // METHOD PATH BODY
	last  nethttp.Header
}

func (r *recorder) ServeHTTP(w nethttp.ResponseWriter, req *nethttp.Request) {
	body, _ := io.ReadAll(req.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, req.Method+" "+req.RequestURI+" "+string(body))
	r.last = req.Header.Clone()
	w.WriteHeader(nethttp.StatusNoContent)
}

// calls pushes changes one after the other and returns the calls that were made.
func calls(t *testing.T, suffix, conn, sync string, changes ...activate.Change) ([]string, nethttp.Header, []activate.Outcome) {
	t.Helper()
	r := &recorder{}
	srv := httptest.NewServer(r)
	defer srv.Close()
	d := open(t, config(t, srv.URL+suffix, conn, sync)).Destination
	var all []activate.Outcome
	for _, c := range changes {
		outs, err := d.Push(context.Background(), activate.Batch{ID: "batch", Object: "things", Changes: []activate.Change{c}})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, outs...)
	}
	return r.calls, r.last, all
}

func of(action activate.Action, key string) activate.Change {
	return activate.Change{OpID: "op1", Action: action, Key: json.RawMessage(key), Fields: json.RawMessage(`{"v":12345678901234567890.10,"n":null}`)}
}

func TestCalls(t *testing.T) {
	one := `{"id":7}`
	for _, tt := range []struct {
		name, suffix, sync string
		change             activate.Change
		want               string
	}{
		{"a plain webhook", "/hook", "path: /", of(activate.Upsert, one),
			`POST /hook {"op_id":"op1","action":"upsert","key":{"id":7},"fields":{"v":12345678901234567890.10,"n":null}}`},
		{"a query in the url", "/v1/?k=1", "", of(activate.Upsert, one),
			`POST /v1/things?k=1 {"op_id":"op1","action":"upsert","key":{"id":7},"fields":{"v":12345678901234567890.10,"n":null}}`},
		{"members", "", `request: '{"id":{{key.id}},"v":{{fields.v}},"w":{{ fields.w }},"o":{{object}}}'`, of(activate.Upsert, one),
			`POST /things {"id":7,"v":12345678901234567890.10,"w":null,"o":"things"}`},
		{"escaped", "", "method: PUT\npath: '/{object}/{id}?x=1'", of(activate.Update, `{"id":"a/b?c ü%"}`),
			`PUT /things/a%2Fb%3Fc%20%C3%BC%25?x=1 {"op_id":"op1","action":"update","key":{"id":"a/b?c ü%"},"fields":{"v":12345678901234567890.10,"n":null}}`},
		{"create", "", "actions: {create: {path: /new, request: '{{fields}}'}, update: {method: PATCH, path: '/{id}', request: '{{fields}}'}}",
			of(activate.Create, one), `POST /new {"v":12345678901234567890.10,"n":null}`},
		{"update", "", "actions: {create: {path: /new, request: '{{fields}}'}, update: {method: PATCH, path: '/{id}', request: '{{fields}}'}}",
			of(activate.Update, one), `PATCH /7 {"v":12345678901234567890.10,"n":null}`},
		{"delete", "", "path: '/{object}/{id}'\nactions: {delete: {}}", of(activate.Delete, one), `DELETE /things/7 `},
		{"delete with a body", "", "actions: {delete: {method: POST, path: /gone, request: '{{key}}'}}", of(activate.Delete, one), `POST /gone {"id":7}`},
		{"a batch", "", "batch: {wrap: '{\"in\":{{records}},\"b\":{{batch_id}}}'}\nrequest: '{{key}}'", of(activate.Upsert, one), `POST /things {"in":[{"id":7}],"b":"batch"}`},
	} {
		got, _, _ := calls(t, tt.suffix, "", tt.sync, tt.change)
		if len(got) != 1 || got[0] != tt.want {
			t.Errorf("%s: %q\nwant %q", tt.name, got, tt.want)
		}
	}
}

// A key that would lead to the collection, or above it, makes no call at all.
func TestKeysThatLeadElsewhere(t *testing.T) {
	for _, key := range []string{`{"id":""}`, `{"id":"."}`, `{"id":".."}`, `{}`} {
		got, _, outs := calls(t, "", "", "path: '/{object}/{id}'\nactions: {delete: {}}", of(activate.Delete, key))
		if len(got) != 0 || outs[0].Status != activate.Rejected || outs[0].Code != "bad_path" || !outs[0].Local {
			t.Errorf("%s: calls %q, %+v", key, got, outs)
		}
	}
}

func TestHeaders(t *testing.T) {
	_, h, _ := calls(t, "", "headers: {X-Team: data}\nauth: {username: me, password: pass-word}", "idempotency_header: x-request-id", of(activate.Upsert, `{"id":7}`))
	if h.Get("X-Team") != "data" || h.Get("X-Request-Id") != "op1" || h.Get("Authorization") != "Basic bWU6cGFzcy13b3Jk" || h.Get("Content-Type") != "application/json" {
		t.Errorf("headers %v", h)
	}
	_, h, _ = calls(t, "", "", "batch: {}", of(activate.Upsert, `{"id":7}`))
	if h.Get("Idempotency-Key") != "batch" {
		t.Errorf("a batch goes out as %q", h.Get("Idempotency-Key"))
	}
}

// The signature is what the documentation tells a receiver to compute.
func TestSignature(t *testing.T) {
	got, h, _ := calls(t, "", "hmac: {secret: shared-key, header: X-Sig, timestamp_header: X-At}", "", of(activate.Upsert, `{"id":7}`))
	at := h.Get("X-At")
	seconds, err := strconv.ParseInt(at, 10, 64)
	if age := time.Since(time.Unix(seconds, 0)); err != nil || age < -time.Minute || age > time.Hour {
		t.Errorf("timestamp %q", at)
	}
	mac := hmac.New(sha256.New, []byte("shared-key"))
	mac.Write([]byte(at + "." + strings.TrimPrefix(got[0], "POST /things ")))
	if want := "sha256=" + hex.EncodeToString(mac.Sum(nil)); h.Get("X-Sig") != want {
		t.Errorf("signature %q, want %q", h.Get("X-Sig"), want)
	}
}

func TestChangesOfDifferentCallsAreSentApart(t *testing.T) {
	s := &recorder{}
	srv := httptest.NewServer(s)
	defer srv.Close()
	d := open(t, config(t, srv.URL, "", "batch: {}\nactions: {delete: {path: /gone}}")).Destination
	b := activate.Batch{ID: "b", Changes: []activate.Change{of(activate.Upsert, `{"id":1}`), of(activate.Delete, `{"id":2}`)}}
	outs, err := d.Push(context.Background(), b)
	if got := verdict(t, b, outs, err); got != "refused several_calls" || len(s.calls) != 0 {
		t.Errorf("%s, %d calls", got, len(s.calls))
	}
}

func TestBatchOverItsBytes(t *testing.T) {
	s := &recorder{}
	srv := httptest.NewServer(s)
	defer srv.Close()
	d := open(t, config(t, srv.URL, "", "batch: {bytes: 200}")).Destination
	for n, want := range map[int]string{1: "acked", 4: "refused too_large"} {
		b := batch(n)
		outs, err := d.Push(context.Background(), b)
		if got := verdict(t, b, outs, err); got != want {
			t.Errorf("%d rows: %s, want %s", n, got, want)
		}
	}
	big := batch(1)
	big.Changes[0].Fields = json.RawMessage(`{"v":"` + strings.Repeat("x", 300) + `"}`)
	outs, err := d.Push(context.Background(), big)
	if got := verdict(t, big, outs, err); got != "rejected:too_large" || !outs[0].Local {
		t.Errorf("a row that is too large by itself: %s; %+v", got, outs)
	}
}
