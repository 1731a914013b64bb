package http_test

import (
	"context"
	nethttp "net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// What replies of services as they are in the wild say of a batch of three rows
// with the op_ids op0, op1, op2 and the keys 0, 1, 2.
func TestRules(t *testing.T) {
	const byRef = "outcome: {results: {at: data.items, by: ref, status: state, ok: [done], created: [new], retry: [locked], rejected: ['*'], code: code}"
	for _, tt := range []struct {
		name, rules string
		status      int
		reply, want string
	}{
		{"several words", byRef + "}", 200, `{"data":{"items":[{"ref":"op2","state":"locked"},{"ref":"op0","state":"new"},{"ref":"op1","state":"odd","code":"E1"}]}}`, "acked rejected:E1 retry"},
		{"an entry of nobody", byRef + "}", 200, `{"data":{"items":[{"ref":"op9","state":"done"},{"ref":"op0","state":"done"}]}}`, "acked unknown unknown"},
		{"two entries that differ", byRef + "}", 200, `{"data":{"items":[{"ref":"op0","state":"done"},{"ref":"op0","state":"odd"},{"ref":"op1","state":"done"},{"ref":"op2","state":"done"}]}}`, "unknown acked acked"},
		{"a list that is none", byRef + "}\nreplay: reconcile", 200, `{"data":{"items":"all good"}}`, "unknown unknown unknown"},
		{"an error behind a 200", byRef + "}", 200, `{"success":false,"errors":[{"code":"601"}]}`, "refused silent"},
		{"HTML", byRef + "}", 200, `<html>`, "unknown"},
		{"a status nobody named", "outcome: {results: {at: r, by: key, holds: key.id, status: s, ok: ['true'], rejected: ['false']}}", 200,
			`{"r":[{"key":0,"s":true},{"key":1,"s":false},{"key":2,"s":null}]}`, "acked rejected:refused unknown"},
		{"entries without the status that decides", "outcome: {results: {at: r, by: ref, status: state, ok: ['*'], rejected: [failed]}}", 200,
			`{"r":[{"ref":"op0","state":"queued"},{"ref":"op1"},{"ref":"op2","state":null}]}`, "acked unknown unknown"},
		{"entries without the status, and the rest is refused", byRef + "}", 200,
			`{"data":{"items":[{"ref":"op0","state":"done"},{"ref":"op1"},{"ref":"op2","status":"done"}]}}`, "acked unknown unknown"},
		{"no error is good news", "outcome: {results: {at: r, by: ref, status: error, ok: [''], rejected: ['*'], code: error}}", 200,
			`{"r":[{"ref":"op0"},{"ref":"op1","error":"E1"},{"ref":"op2","error":null}]}`, "acked rejected:E1 acked"},
		{"failures without the status that decides", "outcome: {unlisted: ok, errors: {at: errors, by: index, holds: index, status: code, retry: [LOCK], rejected: ['*']}}", 207,
			`{"errors":[{"index":0},{"index":1,"code":"BAD"}]}`, "rejected:refused rejected:refused acked"},
		{"positions", "outcome: {results: {at: ., status: success, ok: ['true'], rejected: ['false'], code: errors.0.statusCode, new: created}}", 200,
			`[{"success":true,"created":true},{"success":false,"errors":[{"statusCode":"DUP"}]},{"success":true}]`, "acked rejected:DUP acked"},
		{"positions of another length", "outcome: {results: {at: ., status: success, ok: ['true']}}\nreplay: reconcile", 200, `[{"success":true},{"success":true}]`, "unknown unknown unknown"},
		{"failures by index", "outcome: {unlisted: ok, errors: {at: errors, by: index, holds: index, code: type}}", 207, `{"errors":[{"index":1,"type":"bad"}]}`, "acked rejected:bad acked"},
		{"failures, and no leave to take the rest", "outcome: {errors: {at: errors, by: index, holds: index}}", 207, `{"errors":[{"index":1}]}`, "unknown rejected:refused unknown"},
		{"failures that may pass", "outcome: {unlisted: ok, errors: {at: errors, by: index, holds: index, status: code, retry: [LOCK]}}", 207,
			`{"errors":[{"index":0,"code":"LOCK"},{"index":2,"code":"BAD"}]}`, "retry acked rejected:refused"},
		{"an index beyond", "outcome: {unlisted: ok, errors: {at: errors, by: index, holds: index}}", 207, `{"errors":[{"index":7},{"index":1}]}`, "unknown rejected:refused unknown"},
		{"failures that are no list", "outcome: {unlisted: ok, errors: {at: errors, by: index, holds: index}}", 207, `{"errors":"out of disk"}`, "refused silent"},
		{"no failures", "outcome: {unlisted: ok, errors: {at: errors, by: index, holds: index}}", 200, `{"errors":null}`, "acked acked acked"},
		{"statuses", "outcome: {ok: [202], retry: [409], rejected: [5xx]}", 202, ``, "acked acked acked"},
		{"a status to retry", "outcome: {ok: [202], retry: [409], rejected: [5xx]}", 409, ``, "later 0s"},
		{"a status to reject", "outcome: {ok: [202], retry: [409], rejected: [5xx]}", 500, ``, "refused 500"},
		{"a status that is not ok", "outcome: {ok: [202]}", 200, ``, "unknown"},
		{"statuses of rows that nobody reads", "", 207, `{"results":[{"status":500}]}`, "unknown"},
		{"statuses of rows that are good news", "outcome: {ok: [207]}", 207, ``, "acked acked acked"},
		{"forbidden", "", 403, ``, "barred 403"},
		{"no such object", "", 404, ``, "barred 404"},
		{"not here", "", 405, ``, "barred 405"},
		{"too large", "", 413, ``, "refused 413"},
		{"unavailable", "", 503, ``, "unknown"},
		{"too early", "", 425, ``, "later 0s"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := httptest.NewServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, _ *nethttp.Request) {
				w.WriteHeader(tt.status)
				_, _ = w.Write([]byte(tt.reply))
			}))
			defer srv.Close()
			sync := "batch: {}\n" + tt.rules
			if !strings.Contains(sync, "replay:") {
				sync += "\nreplay: idempotent"
			}
			d := open(t, config(t, srv.URL, "", sync)).Destination
			b := batch(3)
			outs, err := d.Push(context.Background(), b)
			if got := verdict(t, b, outs, err); got != tt.want {
				t.Errorf("%s (%v), want %s", got, err, tt.want)
			}
		})
	}
}
