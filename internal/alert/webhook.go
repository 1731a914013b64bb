package alert

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"elt/internal/httpx"
	"elt/internal/retry"
	"elt/internal/secret"
	"elt/internal/yamlx"
)

// SlackType is the type of connections that take Slack's payload.
const SlackType = "slack"

// Connection is what a connection of [SlackType] says.
type Connection struct {
	URL secret.String `yaml:"url" jsonschema:"required,description=Address of the incoming webhook of Slack or of a chat that takes its payload such as Mattermost; best from the environment as ${env:SLACK_WEBHOOK}"`
}

// Validate implements [yamlx.Validator]. An empty url, as of a variable with an empty
// default, is that of a chat that is not there.
func (c *Connection) Validate(d *yamlx.Decoder, o yamlx.Object) {
	if problem := yamlx.AddressProblem(c.URL.Reveal()); problem != "" && !c.URL.IsZero() {
		d.FailAt(o.At("url"), "url "+problem, yamlx.AddressExpected, "")
	}
}

// Webhook is an incoming webhook that takes Slack's payload: Slack itself,
// Mattermost, Rocket.Chat.
type Webhook struct {
	URL    secret.String
	Client Client
	Policy Policy
}

// Client makes one HTTP call; [*httpx.Client] is one.
type Client interface {
	Do(ctx context.Context, r httpx.Request) (httpx.Reply, error)
}

// Policy bounds what a message may cost a run.
type Policy struct {
	Tries   int           // of one message
	Each    time.Duration // the longest that one try may take
	Within  time.Duration // the longest that all of it may take, waits included
	Backoff retry.Backoff
	// Wait waits for d or until ctx ends; nil waits on the clock.
	Wait func(ctx context.Context, d time.Duration) error
}

// DefaultPolicy tries three times within half a minute.
func DefaultPolicy() Policy {
	return Policy{Tries: 3, Each: 8 * time.Second, Within: 30 * time.Second, Backoff: retry.Backoff{Base: time.Second, Max: 8 * time.Second}}
}

// UnsureError is the error of a message that perhaps arrived: it was sent, and no
// reply came.
type UnsureError struct{ Err error }

// Error implements error.
func (e *UnsureError) Error() string { return e.Err.Error() + "; it may have arrived" }

// Unwrap returns what happened.
func (e *UnsureError) Unwrap() error { return e.Err }

// errRefused is a chat's refusal of the payload itself.
var errRefused = errors.New("the chat refuses the message")

// Send posts m and returns nil once the chat has taken it. What surely did not
// arrive is sent again, as Retry-After says, within the policy; what perhaps did
// is sent once more only, so that people read it twice at most.
func (h *Webhook) Send(ctx context.Context, m Message) error {
	body, err := Slack(m)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, h.Policy.Within, fmt.Errorf("not done within %s", h.Policy.Within))
	defer cancel()
	deadline := time.Now().Add(h.Policy.Within)
	var unsure *UnsureError
	for try := 1; ; try++ {
		last := h.post(ctx, body)
		switch {
		case last == nil:
			return nil
		case errors.Is(last, errRefused) && bytes.Contains(body, []byte(`"blocks"`)):
			if body, err = slackOnlyText(m); err != nil {
				return err
			}
			try-- // another message
			continue
		}
		class, after := retry.Of(last)
		wait := h.Policy.Backoff.Wait(try, after)
		var now *UnsureError
		again := errors.As(last, &now) && unsure != nil
		if now != nil {
			unsure = now
		}
		if class != retry.Transient || again || try >= h.Policy.Tries || time.Now().Add(wait).After(deadline) || h.wait(ctx, wait) != nil {
			if unsure != nil && now == nil {
				return &UnsureError{Err: last} // an earlier try perhaps arrived
			}
			return last
		}
	}
}

func (h *Webhook) wait(ctx context.Context, d time.Duration) error {
	if h.Policy.Wait != nil {
		return h.Policy.Wait(ctx, d)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// post is one try.
func (h *Webhook) post(ctx context.Context, body []byte) error {
	ctx, cancel := context.WithTimeoutCause(ctx, h.Policy.Each, fmt.Errorf("no reply within %s", h.Policy.Each))
	defer cancel()
	reply, err := h.Client.Do(ctx, httpx.Request{Method: http.MethodPost, URL: h.URL.Reveal(), Body: body,
		Header: http.Header{"Content-Type": {"application/json; charset=utf-8"}}})
	var failed *httpx.Error
	switch {
	case err == nil, reply.Status >= 300: // a refusal that was cut off is one
		return judged(reply)
	case errors.As(err, &failed) && failed.Permanent():
		return err
	case errors.As(err, &failed) && !failed.Sent:
		return retry.AsTransient(err)
	}
	return retry.AsTransient(&UnsureError{Err: err})
}

// judged reads a reply. Only 2xx is a yes, and no page of a proxy is.
func judged(reply httpx.Reply) error {
	said := oneLine(string(reply.Body[:min(len(reply.Body), 200)]))
	status := strings.TrimSpace(fmt.Sprintf("%d %s", reply.Status, http.StatusText(reply.Status)))
	switch code := reply.Status; {
	case code < 300 && !strings.HasPrefix(said, "<"):
		return nil
	case code < 300:
		return fmt.Errorf("the reply %s is a web page: url is not that of a webhook, or a proxy stands before it", status)
	case code < 400:
		return fmt.Errorf("the reply is a redirect, %s: url is not that of a webhook", status)
	case code == http.StatusTooManyRequests || code == http.StatusServiceUnavailable:
		return retry.After(fmt.Errorf("%s: %s", status, said), retryAfter(reply.Header.Get("Retry-After"), time.Now()))
	case code >= 500 || code == http.StatusRequestTimeout:
		return retry.AsTransient(fmt.Errorf("%s: %s", status, said))
	case code == http.StatusBadRequest || code == http.StatusRequestEntityTooLarge:
		return fmt.Errorf("%w: %s: %s", errRefused, status, said)
	default:
		return fmt.Errorf("%s: %s: is the webhook still there?", status, said)
	}
}

// retryAfter reads both forms: seconds and a date.
func retryAfter(text string, now time.Time) time.Duration {
	if n, err := strconv.Atoi(strings.TrimSpace(text)); err == nil && n > 0 {
		return time.Duration(min(n, 1<<30)) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil && at.After(now) {
		return at.Sub(now)
	}
	return 0
}
