package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"elt/internal/event"
	"elt/internal/httpx"
	"elt/internal/project"
)

// heartbeatLimit is the longest that one call of a heartbeat may hold up a run.
const heartbeatLimit = 4 * time.Second

// heartbeat calls the address of a job at the start and at the end of its run, in
// the protocol of healthchecks.io: who waits for the calls notices the death of
// this machine, which nobody else can tell. A call that fails is a warning, and
// changes nothing.
type heartbeat struct {
	job, url, rid string // rid pairs the start with the end
	client        *httpx.Client
	warn          func(format string, args ...any)
}

// startHeartbeat calls the address of a job, nil when there is none to call: no
// laptop that tries a job with push: fake may tell the watcher that all is well.
func (a *app) startHeartbeat(ctx context.Context, prj *project.Project, target *project.Target, job string) *heartbeat {
	j := prj.Jobs[job]
	if j == nil || j.Heartbeat.IsZero() || target.Push != "live" {
		return nil
	}
	client, err := a.caller(prj)
	if err != nil {
		a.warn("heartbeat of job %s: %s", job, a.redact(err.Error()))
		return nil
	}
	b := &heartbeat{job: job, url: j.Heartbeat.Reveal(), rid: newUUID(), client: client,
		warn: func(format string, args ...any) { a.warn("%s", a.redact(fmt.Sprintf(format, args...))) }}
	b.call(ctx, "start", "")
	return b
}

// end tells how the run ended: success, or /EXITCODE.
func (b *heartbeat) end(ctx context.Context, code int, body string) {
	if b == nil {
		return
	}
	suffix := ""
	if code != exitOK {
		suffix = fmt.Sprint(code)
	}
	// A run that was interrupted has ended too, and its watcher should know.
	b.call(context.WithoutCancel(ctx), suffix, body)
	b.client.Close()
}

// call makes one call, and another one when the first surely did not leave.
func (b *heartbeat) call(ctx context.Context, suffix, body string) {
	to, err := url.Parse(b.url)
	if err != nil || to.Host == "" {
		b.warn("heartbeat of job %s: it is no address", b.job)
		return
	}
	if suffix != "" {
		to = to.JoinPath(suffix)
	}
	query := to.Query()
	query.Set("rid", b.rid)
	to.RawQuery = query.Encode()
	ctx, cancel := context.WithTimeoutCause(ctx, heartbeatLimit, fmt.Errorf("no reply within %s", heartbeatLimit))
	defer cancel()
	for try := 1; ; try++ {
		reply, err := b.client.Do(ctx, httpx.Request{Method: http.MethodPost, URL: to.String(), Body: []byte(body), Header: http.Header{"Content-Type": {"text/plain; charset=utf-8"}}})
		var failed *httpx.Error
		switch {
		case reply.Status >= 200 && reply.Status < 300:
			return
		case try == 1 && ctx.Err() == nil && (reply.Status >= 500 || errors.As(err, &failed) && !failed.Sent && !failed.Permanent()):
			continue
		case err != nil:
			b.warn("heartbeat of job %s could not be called: %v", b.job, err)
		default:
			b.warn("heartbeat of job %s: the reply is %d %s", b.job, reply.Status, http.StatusText(reply.Status))
		}
		return
	}
}

// newUUID is a random UUID: the form in which the protocol takes the id of a run.
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// heartbeatBody says in a few lines how a run ended, without secrets, which are
// taken out before anything is cut.
func (a *app) heartbeatBody(err error) string {
	var b strings.Builder
	w := a.watch
	if w == nil || w.began.IsZero() {
		if err != nil {
			fmt.Fprintf(&b, "the run could not start: %s\n", headline(a.redact(err.Error())))
		}
		return b.String()
	}
	fmt.Fprintf(&b, "run %s: %s, exit %d\n", w.run, w.end.Status, w.end.Exit)
	for _, st := range w.steps {
		if st.Status != event.OK && st.Status != event.Skipped && b.Len() < 8000 {
			fmt.Fprintf(&b, "%s %s %s\n", st.Name, st.Status, headline(a.redact(st.Error)))
		}
	}
	return b.String()
}
