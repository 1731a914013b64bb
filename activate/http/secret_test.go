package http_test

import (
	"fmt"
	nethttp "net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A secret that lies where the text of a service is cut is taken out whole: of its
// beginning alone nobody would know that it is one.
func TestASecretAtTheCutIsTakenOut(t *testing.T) {
	const token = "tok-en-SECRET-0123456789-0123456789"
	results := "batch: {rows: 10}\noutcome: {results: {at: '', status: s, ok: [fine], rejected: [no], code: c, message: m}}"
	for name, c := range map[string]struct {
		sync, before, after, content string
		status                       int
	}{
		"a message":           {"", `{"message":"`, ` is not known"}`, "application/json", 422},
		"a message, barred":   {"", `{"message":"`, ` is not known"}`, "application/json", 401},
		"a message, unknown":  {"", `{"message":"`, ` is not known"}`, "application/json", 500},
		"a body without one":  {"", `{"text":"`, `"}`, "application/json", 422},
		"a text":              {"", "", " is not known", "text/plain", 422},
		"a message of a row":  {results, `[{"s":"no","m":"`, `"}]`, "application/json", 200},
		"a code of a row":     {results, `[{"s":"no","c":"`, `"}]`, "application/json", 200},
		"a status of no rule": {results, `[{"s":"`, `"}]`, "application/json", 200},
	} {
		t.Run(name, func(t *testing.T) {
			for fill := 20; fill < 330; fill += 5 {
				srv := httptest.NewServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, _ *nethttp.Request) {
					w.Header().Set("Content-Type", c.content)
					w.WriteHeader(c.status)
					fmt.Fprint(w, c.before+strings.Repeat("x", fill)+" "+token+c.after)
				}))
				d := open(t, config(t, srv.URL, "auth: {bearer: "+token+"}", c.sync)).Destination
				outs, err := d.Push(t.Context(), batch(1))
				text := fmt.Sprintf("%v %+v", err, outs)
				if strings.Contains(text, "SECRET") || strings.Contains(text, "tok-en") || !strings.Contains(text, "xxx") {
					t.Errorf("behind %d characters: %s", fill, text)
				}
				srv.Close()
			}
		})
	}
}
