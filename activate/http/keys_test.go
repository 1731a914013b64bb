package http_test

import (
	"context"
	"strings"
	"testing"

	"elt/activate"
	"elt/activate/http"
)

// Every mistake is told where it stands, with what was expected.
func TestMistakesInKeys(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"url: api.example.com", "1:6: url is no address of an API"},
		{"url: ftp://example.com", "1:6: url begins with ftp://"},
		{"url: http://example.com/hook", "1:6: url sends what is pushed, and the credentials, to example.com without encryption"},
		{"url: https://e.com\nrates: [100/10s, fast]", `2:18: rates has "fast"`},
		{"url: https://e.com\nrates: 0/s", `2:8: rates has "0/s"`},
		{"url: https://e.com\nreserve: 100%", `2:10: reserve is "100%"`},
		{"url: https://e.com\nauth: {username: me, bearer: tok}", "auth has to be one of two forms"},
		{"url: https://e.com\nheaders: {a b: c}", `2:10: header "a b" cannot be sent`},
		{"url: https://e.com\nhmac: {header: X}", "secret is missing"},
		{"url: https://e.com\nconcurrency: 0", "concurrency is 0"},
	} {
		err := keys(t, tt.text, &http.Connection{})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v\nwant …%s…", tt.text, err, tt.want)
		}
	}
	for _, tt := range []struct{ text, want string }{
		{"request: '{\"a\": \"{{op_id}}\"}'", "{{op_id}} stands inside a text"},
		{"request: '{\"a\": {{value}}}'", "unknown placeholder {{value}}"},
		{"request: '{\"a\": {{key.}}}'", "unknown placeholder {{key.}}"},
		{"request: '{\"a\" {{key}}}'", "the template is no JSON"},
		{"request: '{\"a\": {{key}'", "{{ is not closed"},
		{"request: {a: 1}", "the template is no text"},
		{"batch: {wrap: '{\"a\": 1}'}", "wrap has no place for the rows"},
		{"path: things", `path is "things"`},
		{"path: '/{}'", "a { without a name and }"},
		{"path: '/{id}'\nbatch: {rows: 5}", "1:7: path holds a field of the key, and a batch has many rows"},
		{"actions: {remove: {}}", `unknown action "remove"`},
		{"actions: {delete: {path: '/{id}'}}\nbatch: {}", "path of delete holds a field of the key"},
		{"replay: idempotency-key\nbatch: {}\nrequest: '{{fields}}'", "a row of a batch does not hold its op_id"},
		{"outcome: {ok: [2x]}", `the status is "2x"`},
		{"outcome: {errors: {at: errors}}", "errors has no by"},
		{"outcome: {results: {at: r, holds: id}}", `holds is "id"`},
		{"outcome: {results: {at: r, ok: [done]}}", "no status: tells where they stand"},
		{"outcome: {unlisted: ok}", "unlisted without a list"},
		{"lookup: {path: /things}", "path finds no row"},
		{"replay: maybe", `replay is "maybe"`},
	} {
		err := keys(t, tt.text, &http.Sync{})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v\nwant …%s…", tt.text, err, tt.want)
		}
	}
}

// What needs the key of the sync is told when it is opened, and by Limits before.
func TestMistakesThatNeedTheKey(t *testing.T) {
	for sync, want := range map[string]string{
		"path: '/{object}/{email}'":                "{email} is no field of the key, which is id",
		"request: '{\"a\": {{key.email}}}'":        "{{key.email}} is no field of the key, which is id",
		"lookup: {path: '/{email}'}":               "lookup: path: {email}",
		"actions: {delete: {path: '/x/{number}'}}": "actions.delete: path: {number}",
	} {
		c := config(t, "https://api.example.com", "", sync)
		if _, err := http.Kind().Limits(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: limits: %v", sync, err)
		}
		if _, err := http.Kind().Open(context.Background(), c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: open: %v", sync, err)
		}
	}
}

func TestDeclaredLimits(t *testing.T) {
	conn := "rates: [100/10s, 250_000/d]\nreserve: 10%\nconcurrency: 8"
	l, err := http.Kind().Limits(config(t, "https://e.com", conn, "batch: {rows: 50, bytes: 1000000}\nactions: {delete: {}}\nreplay: idempotent"))
	if err != nil {
		t.Fatal(err)
	}
	if l.BatchRows != 50 || l.BatchBytes > 1000000 || l.BatchBytes < 500000 || l.Concurrency != 8 || len(l.Rates) != 2 ||
		l.Rates[0].Calls != 90 || l.Rates[1].Calls != 225000 || l.Rates[1].Per.Hours() != 24 || l.Replay != activate.Idempotent {
		t.Errorf("limits %+v", l)
	}
	for sync, want := range map[string]activate.ReplayClass{
		"":                                      activate.Reconcile,
		"replay: idempotency-key":               activate.IdempotencyKey,
		"method: PUT\npath: '/{object}/{id}'":   activate.Idempotent,
		"method: PUT":                           activate.Reconcile,
		"method: PATCH\npath: '/{object}/{id}'": activate.Reconcile,
		"method: PUT\npath: '/{id}'\nactions: {create: {method: POST, path: /new}}": activate.Reconcile,
	} {
		l, err := http.Kind().Limits(config(t, "https://e.com", "", sync))
		if err != nil || l.Replay != want {
			t.Errorf("%q: replay %s, %v, want %s", sync, l.Replay, err, want)
		}
		if mirror := strings.Contains(strings.Join(l.Modes, " "), "mirror"); mirror {
			t.Errorf("%q: mirror without a way to delete", sync)
		}
	}
}
