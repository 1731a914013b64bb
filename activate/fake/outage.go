package fake

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// Outage is what goes wrong with one call to a stand-in.
type Outage int

// The outages. Up to Down nothing is done; after it all is done that the outage
// does not say otherwise of.
const (
	Fine        Outage = iota
	CutBefore          // the connection ends, nothing was done
	Limited            // 429 with Retry-After: 2 s
	Busy               // 503 with Retry-After: 2 s
	Conflict           // 409
	Revoked            // 401
	Loop               // a redirect to itself
	Down               // 502 of a gateway, in HTML
	CutAfter           // the connection ends
	Failed             // 500
	HalfWritten        // every other row of a batch is done; 500
	HalfTold           // every other row of a batch is in neither list
	Silent             // 200 that tells of no row
	SilentIdle         // the same, and nothing was done
	Slow               // no reply until the caller gives up
	Truncated          // half of the body
	WrongLength        // a Content-Length that is too short
	Garbled            // a body that is no JSON
	Bomb               // a body of 10 GB, in gzip
)

// names are the outages as people switch them on.
func names() []string {
	return []string{"fine", "cut_before", "limited", "busy", "conflict", "revoked", "loop", "down", "cut_after", "failed", "half_written",
		"half_told", "silent", "silent_idle", "slow", "truncated", "wrong_length", "garbled", "bomb"}
}

// String is the name by which the outage is switched on, such as cut_after.
func (o Outage) String() string { return names()[o] }

// Outages are all outages, for tests that draw one.
func Outages() []Outage {
	var list []Outage
	for o := Fine; o <= Bomb; o++ {
		list = append(list, o)
	}
	return list
}

// Before reports whether nothing is done.
func (o Outage) Before() bool { return o > Fine && o <= Down }

// Skips reports whether row i of a batch is not done.
func (o Outage) Skips(i int) bool { return o == SilentIdle || o == HalfWritten && i%2 == 1 }

// Hides reports whether row i of a batch is not told of.
func (o Outage) Hides(i int) bool {
	return o == Silent || o == SilentIdle || o == HalfTold && i%2 == 1
}

// Reply is what a call is answered with.
type Reply struct {
	Status int
	Header map[string]string
	Body   []byte
}

// Said is a reply of JSON. body has to be a value that has one.
func Said(status int, body any) Reply {
	out, err := json.Marshal(body)
	if err != nil {
		return Reply{Status: http.StatusInternalServerError}
	}
	return Reply{Status: status, Body: out}
}

// Problem is the reply of a call that is refused.
func Problem(status int, code, message string) Reply {
	return Said(status, map[string]any{"error": map[string]string{"code": code, "message": message}})
}

// Wait is the Retry-After header of a wait in one of its two forms, never too short.
func Wait(wait time.Duration, date bool, now time.Time) map[string]string {
	text := fmt.Sprint(int64((wait + time.Second - 1) / time.Second))
	if date {
		text = now.Add(wait + time.Second - 1).UTC().Format(http.TimeFormat)
	}
	return map[string]string{"Retry-After": text}
}

// Refusal is the reply of a call that does nothing; date tells in which form it
// asks to wait.
func (o Outage) Refusal(r *http.Request, date bool, now time.Time) Reply {
	out := Reply{}
	switch o {
	case Limited:
		out = Problem(http.StatusTooManyRequests, "rate", "too many calls")
		out.Header = Wait(2*time.Second, date, now)
	case Busy:
		out = Problem(http.StatusServiceUnavailable, "busy", "come back later")
		out.Header = Wait(2*time.Second, date, now)
	case Conflict:
		out = Problem(http.StatusConflict, "conflict", "something in the batch conflicts")
	case Revoked:
		out = Problem(http.StatusUnauthorized, "unauthorized", "the token has been revoked")
	case Loop:
		out = Reply{Status: http.StatusTemporaryRedirect, Header: map[string]string{"Location": r.URL.String()}}
	case Down:
		out = Reply{Status: http.StatusBadGateway, Header: map[string]string{"Content-Type": "text/html"}, Body: []byte("<html><h1>Bad Gateway</h1></html>")}
	}
	return out
}

// Write sends the reply as the outage lets it.
func (o Outage) Write(w http.ResponseWriter, r *http.Request, out Reply) {
	switch o {
	case CutBefore, CutAfter:
		panic(http.ErrAbortHandler)
	case Slow:
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	case Failed, HalfWritten:
		out = Problem(http.StatusInternalServerError, "internal", "something went wrong")
	case Garbled:
		if out.Status == http.StatusNoContent {
			out.Status = http.StatusOK
		}
		out.Body = []byte(`{"results": [`) // a refusal stays one: else the service would lie
	}
	w.Header().Set("Content-Type", "application/json")
	for k, v := range out.Header {
		w.Header().Set(k, v)
	}
	body := out.Body
	switch {
	case o == Bomb:
		bomb(w, out.Status)
		return
	case out.Status == http.StatusNoContent && (o == Truncated || o == WrongLength):
		out.Status, body = http.StatusOK, []byte("{}")
	}
	if o == WrongLength {
		w.Header().Set("Content-Length", fmt.Sprint(len(body)/2))
	}
	if o == Truncated {
		w.Header().Set("Content-Length", fmt.Sprint(len(body)+1))
	}
	w.WriteHeader(out.Status)
	_, _ = w.Write(body) // the caller may be gone, and net/http refuses what is beyond Content-Length
	if o == Truncated {
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

// bomb writes zeros until the caller has enough.
func bomb(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Encoding", "gzip")
	if status == http.StatusNoContent {
		status = http.StatusOK
	}
	w.WriteHeader(status)
	z := gzip.NewWriter(w)
	zeros := make([]byte, 1<<20)
	for range 10 << 10 {
		if _, err := z.Write(zeros); err != nil {
			return
		}
	}
	_ = z.Close()
}
