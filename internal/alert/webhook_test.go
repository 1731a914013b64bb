package alert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"elt/internal/httpx"
	"elt/internal/retry"
	"elt/internal/secret"
)

// refusal is what Slack says to a payload that breaks its rules: "" for none. The
// limits are those of https://docs.slack.dev/reference/block-kit/blocks.
func refusal(body []byte) string {
	var p slackPayload
	d := json.NewDecoder(strings.NewReader(string(body)))
	d.DisallowUnknownFields()
	if d.Decode(&p) != nil || p.Text == "" && len(p.Blocks) == 0 {
		return "invalid_payload"
	}
	if len(p.Blocks) > 50 {
		return "invalid_blocks"
	}
	total := 0
	for _, b := range p.Blocks {
		texts := b.Elements
		if b.Text != nil {
			texts = append(texts, *b.Text)
		}
		if len(texts) == 0 || len(b.Elements) > 10 {
			return "invalid_blocks"
		}
		for _, t := range texts {
			n := utf8.RuneCountInString(t.Text)
			total += n
			most := map[string]int{"header": 150, "section": 3000, "context": 3000}[b.Type]
			if n == 0 || n > most || (b.Type == "header") != (t.Type == "plain_text") {
				return "invalid_blocks"
			}
			if t.Type == "mrkdwn" && strings.Contains(t.Text, "<") {
				return "a value made a link or called somebody"
			}
		}
	}
	if total > 13000 {
		return "msg_blocks_too_long"
	}
	if utf8.RuneCountInString(p.Text) > 4000 || strings.ContainsAny(p.Text, "<>") {
		return "msg_too_long"
	}
	return ""
}

// large is a message with n subjects of hostile and long values.
func large(n int) Message {
	var items []item
	for i := range n {
		p := failing("unique", "range")
		p.Title = strings.Repeat("<!channel> & `code` *bold* ", 40)
		p.Error = strings.Repeat("é<&>\x00\x1b[31m", 900)
		for range 30 {
			p.Blocked = append(p.Blocked, strings.Repeat("mart", 20))
			p.Causes[0].Samples = append(p.Causes[0].Samples, `{"a":"`+strings.Repeat("`<@here>", 200)+`"}`)
		}
		p.Commands = []string{"elt logs r", "elt retry r"}
		items = append(items, item{Record{Subject: fmt.Sprintf("shop.orders%03d", i), Seen: Known{State: Failed}, Problem: p}, Firing})
	}
	return compose(items, Where{Project: "shop", Target: "prod", Run: "r"}, t0)
}

func TestSlackTakesEveryMessage(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2, 5, 60, 400} {
		body, err := Slack(large(n))
		if err != nil {
			t.Fatal(err)
		}
		if why := refusal(body); why != "" {
			t.Errorf("%d subjects: %s\n%.3000s", n, why, body)
		}
		var p slackPayload
		if err := json.Unmarshal(body, &p); err != nil {
			t.Fatal(err)
		}
		shown, more := 0, 0
		for _, b := range p.Blocks {
			if b.Type == "section" {
				if _, err := fmt.Sscanf(b.Text.Text, "_and %d more_", &more); err != nil {
					shown++
				}
			}
		}
		if shown+more != n {
			t.Errorf("%d subjects: %d shown and %d more", n, shown, more)
		}
	}
}

// slack is a chat on loopback; reply decides what it answers to its nth call, or
// lets it take the message by returning 0.
func slack(t *testing.T, reply func(n int, w http.ResponseWriter) int) (*Webhook, *[]string) {
	t.Helper()
	var got []string
	n := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		n++
		if code := reply(n, w); code != 0 {
			w.WriteHeader(code)
			fmt.Fprint(w, "no")
			return
		}
		if why := refusal(body); why != "" || r.Method != http.MethodPost || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, why)
			return
		}
		got = append(got, string(body))
		fmt.Fprint(w, "ok")
	}))
	t.Cleanup(srv.Close)
	client, err := httpx.New(httpx.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	policy := DefaultPolicy()
	policy.Wait = func(context.Context, time.Duration) error { return nil }
	return &Webhook{URL: secret.New(srv.URL + "/services/T0/B0/s3cr3t"), Client: client, Policy: policy}, &got
}

func TestRepliesOfAChat(t *testing.T) {
	t.Parallel()
	always := func(code int) func(int, http.ResponseWriter) int {
		return func(int, http.ResponseWriter) int { return code }
	}
	first := func(code int, header ...string) func(int, http.ResponseWriter) int {
		return func(n int, w http.ResponseWriter) int {
			if n > 1 {
				return 0
			}
			for _, h := range header {
				w.Header().Set("Retry-After", h)
			}
			return code
		}
	}
	for name, c := range map[string]struct {
		reply func(int, http.ResponseWriter) int
		err   string // "": delivered
	}{
		"it takes it":                    {always(0), ""},
		"busy at first":                  {first(429, "1"), ""},
		"busy at first, with a date":     {first(429, time.Now().Add(2*time.Second).UTC().Format(http.TimeFormat)), ""},
		"busy for an hour":               {first(429, "3600"), "429 Too Many Requests"},
		"busy for ever":                  {always(429), "429 Too Many Requests"},
		"broken at first":                {first(500), ""},
		"broken":                         {always(500), "500 Internal Server Error"},
		"it takes no blocks":             {first(400), ""},
		"it takes nothing":               {always(400), "the chat refuses the message"},
		"the webhook was revoked":        {always(404), "is the webhook still there?"},
		"a redirect to a page for login": {always(302), "redirect"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hook, got := slack(t, c.reply)
			err := hook.Send(t.Context(), large(1))
			if c.err == "" {
				if err != nil || len(*got) != 1 {
					t.Fatalf("%v, %d messages", err, len(*got))
				}
				return
			}
			var unsure *UnsureError
			if err == nil || !strings.Contains(err.Error(), c.err) || errors.As(err, &unsure) || len(*got) != 0 {
				t.Errorf("%v, %d messages, want %s", err, len(*got), c.err)
			}
			if err != nil && strings.Contains(err.Error(), "s3cr3t") {
				t.Errorf("the address is told: %v", err)
			}
		})
	}
}

func TestAChatThatIsDown(t *testing.T) {
	t.Parallel()
	hook, _ := slack(t, func(int, http.ResponseWriter) int { return 0 })
	hook.URL = secret.New("http://127.0.0.1:1/services/s3cr3t")
	err := hook.Send(t.Context(), large(1))
	var unsure *UnsureError
	if err == nil || errors.As(err, &unsure) || strings.Contains(err.Error(), "s3cr3t") {
		t.Errorf("%v", err)
	}
}

// hanging takes every call and never answers.
type hanging struct{ calls int }

func (h *hanging) Do(ctx context.Context, _ httpx.Request) (httpx.Reply, error) {
	h.calls++
	<-ctx.Done()
	return httpx.Reply{}, &httpx.Error{Reason: httpx.TimedOut, Sent: true, Text: context.Cause(ctx).Error()}
}

// A chat that hangs costs a run a bounded time, and people one message too many
// at most.
func TestAChatThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var client hanging
		hook := &Webhook{URL: secret.New("https://chat.example.test/x"), Client: &client, Policy: DefaultPolicy()}
		began := time.Now()
		err := hook.Send(t.Context(), large(1))
		var unsure *UnsureError
		if !errors.As(err, &unsure) || client.calls != 2 {
			t.Errorf("%v after %d calls, want 2", err, client.calls)
		}
		if took := time.Since(began); took > DefaultPolicy().Within {
			t.Errorf("it took %s, at most %s are allowed", took, DefaultPolicy().Within)
		}
	})
}

func TestWaitsFitInTheirBound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := clientFunc(func() (httpx.Reply, error) {
			return httpx.Reply{Status: 429, Header: http.Header{"Retry-After": {"20"}}}, nil
		})
		hook := &Webhook{URL: secret.New("https://chat.example.test/x"), Client: client, Policy: DefaultPolicy()}
		hook.Policy.Backoff = retry.Backoff{}
		began := time.Now()
		if err := hook.Send(t.Context(), large(1)); err == nil {
			t.Error("delivered")
		}
		if took := time.Since(began); took != 20*time.Second {
			t.Errorf("it took %s; the second wait does not fit any more", took)
		}
	})
}

// A try that perhaps arrived is not forgotten over a later one that did not.
func TestAnUnsureTryStaysUnsure(t *testing.T) {
	t.Parallel()
	calls := 0
	client := clientFunc(func() (httpx.Reply, error) {
		if calls++; calls == 1 {
			return httpx.Reply{}, &httpx.Error{Reason: httpx.Cut, Sent: true, Text: "cut"}
		}
		return httpx.Reply{Status: 500}, nil
	})
	hook := &Webhook{URL: secret.New("https://chat.example.test/x"), Client: client, Policy: DefaultPolicy()}
	hook.Policy.Wait = func(context.Context, time.Duration) error { return nil }
	var unsure *UnsureError
	if err := hook.Send(t.Context(), large(1)); !errors.As(err, &unsure) || calls != 3 {
		t.Errorf("%v after %d calls", err, calls)
	}
}

type clientFunc func() (httpx.Reply, error)

func (f clientFunc) Do(context.Context, httpx.Request) (httpx.Reply, error) { return f() }

// A message says everything that a person needs, causes before what they block.
func TestWhatAMessageSays(t *testing.T) {
	t.Parallel()
	orders := &Problem{State: Failed, Title: "0 rows on Monday 2026-03-09, expected some", Causes: []Cause{{Check: "volume", Observed: "0 rows on Monday", Expected: "some", Samples: []string{`{"id":1}`}}},
		Readers: "shop.orders still serves the data of 9 Mar 01:58", Blocked: []string{"marts.revenue", "crm"}, Next: "job nightly, 11 Mar 02:00", Commands: []string{"elt logs 7f3a", "elt retry 7f3a"}, Owner: "data-team", Runbook: "https://wiki/x", Run: "7f3a"}
	age := &Problem{State: Stale, Title: "26h old, expected at most 24h", Run: "7f3a"}
	under := &Problem{State: Stale, Title: "30h old, expected at most 24h", Under: "age of shop.orders", Run: "7f3a"}
	m := compose([]item{
		{Record{Subject: "web.events", Since: t0.Add(-26 * time.Hour), Seen: Known{State: OK, At: t0}}, Recovery},
		{Record{Subject: "age of marts.revenue", Seen: Known{State: Stale}, Problem: under}, Firing},
		{Record{Subject: "age of shop.orders", Seen: Known{State: Stale}, Problem: age}, Firing},
		{Record{Subject: "shop.orders", Seen: Known{State: Failed}, Problem: orders}, Firing},
	}, Where{Project: "shop", Target: "prod", Job: "nightly", Run: "7f3a"}, t0)
	const want = `🔴 shop.orders: 0 rows on Monday 2026-03-09, expected some
  Observed: volume: 0 rows on Monday
  Expected: some
  Readers: shop.orders still serves the data of 9 Mar 01:58
  Blocked: 2: marts.revenue, crm
  Next: job nightly, 11 Mar 02:00
  Owner: data-team
  Runbook: https://wiki/x
  {"id":1}
  elt logs 7f3a
  elt retry 7f3a

🔴 age of shop.orders: 26h old, expected at most 24h
  Also: 1: age of marts.revenue

✅ web.events: recovered after 1d 2h
  In trouble since: 9 Mar 00:00
shop · prod · job nightly · run 7f3a`
	if got := Text(m); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	if m.Title != "shop.orders: 0 rows on Monday 2026-03-09, expected some (and 2 more)" {
		t.Error(m.Title)
	}
	hidden := m.scrub(func(s string) string { return strings.ReplaceAll(s, "wiki", "***") })
	if strings.Contains(Text(hidden), "wiki") || !strings.Contains(Text(m), "wiki") {
		t.Error(Text(hidden))
	}
}
