package activatetest

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"elt/activate"
	"elt/activate/fake"
)

// Answers is how a Service tells what became of the rows of a batch.
type Answers int

// The forms of a reply to a batch.
const (
	NoAnswers  Answers = iota // the status speaks for all rows
	EachRow                   // {"results": [{"op_id", "status": created | updated | rejected, "id", "code", "message"}]}
	FailedRows                // {"errors": [{"index", "code", "message"}]}; rows that are not in it are done
)

// Service is a stateful stand-in for an HTTP API. It keeps rows, holds calls to
// its limits, knows operations again, and fails as it is told.
//
//	POST   /OBJECT       a row {"op_id", "action", "key", "fields"}, or {"batch_id", "records": [rows]}
//	PUT    /OBJECT/KEY   the same row, whatever its action
//	DELETE /OBJECT/KEY   404 where there is none
//	GET    /OBJECT/KEY   {"op_id", "id", "fields"}, or 404
//
// KEY is the value of a key of one field. A single row is answered with 201 or
// 200 and {"id"}; one that is refused with 422 and {"error": {"code", "message"}}.
// The fields are set before the first call. It is safe for concurrent use.
type Service struct {
	BatchRows  int             // most rows of a batch; more are 413. 0: no bound
	BatchBytes int             // most bytes of a body; more are 413. 0: no bound
	Rates      []activate.Rate // calls beyond are 429 with Retry-After, and do nothing
	DateForm   bool            // Retry-After is a date, not seconds
	Token      string          // of Authorization: Bearer; "": everybody may call
	Answers    Answers         // to a batch
	Forgetful  bool            // it knows no operation again, and ignores Idempotency-Key
	Atomic     bool            // a batch with a row that is refused is refused as a whole, with 409
	// Reject says why a row is refused; nil or "": it is not.
	Reject func(key, fields string) (code, message string)
	// Fault says what goes wrong with a call, counted from 1; nil: nothing.
	Fault func(call int) fake.Outage
	// Now is the clock of the rates; nil: time.Now.
	Now func() time.Time

	mu      sync.Mutex
	calls   int
	rows    map[string]*stored // by object and key
	appends []stored
	ops     map[string]Result     // by op_id
	replies map[string]fake.Reply // by Idempotency-Key
	taken   []time.Time           // when calls were let in
	over    int                   // calls beyond a rate
	doubled int                   // operations that were done twice
}

// stored is a row that a Service keeps.
type stored struct{ object, key, fields, op, id string }

// record is a row of a call.
type record struct {
	OpID   string          `json:"op_id"`
	Action activate.Action `json:"action"`
	Key    json.RawMessage `json:"key"`
	Fields json.RawMessage `json:"fields"`
}

// Result is what a Service says of a row.
type Result struct {
	OpID    string `json:"op_id,omitempty"`
	Index   int    `json:"index"`
	Status  string `json:"status,omitempty"`
	ID      string `json:"id,omitempty"`
	Code    string `json:"code,omitempty"`
	Message string `json:"message,omitempty"`
}

// ServeHTTP implements [http.Handler].
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler) // the caller is gone
	}
	s.mu.Lock()
	s.calls++
	outage := fake.Fine
	if s.Fault != nil {
		outage = s.Fault(s.calls)
	}
	out, done := s.admit(r, body)
	switch {
	case done:
	case outage.Before():
		out = outage.Refusal(r, s.DateForm, s.now())
	default:
		out = s.handle(r, body, outage)
	}
	s.mu.Unlock()
	outage.Write(w, r, out)
}

func (s *Service) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}

// admit answers calls that are not let in.
func (s *Service) admit(r *http.Request, body []byte) (fake.Reply, bool) {
	if s.Token != "" && r.Header.Get("Authorization") != "Bearer "+s.Token {
		return fake.Problem(http.StatusUnauthorized, "unauthorized", "the token is not valid"), true
	}
	now := s.now()
	for _, rate := range s.Rates {
		var within []time.Time
		for _, at := range s.taken {
			if now.Sub(at) < rate.Per {
				within = append(within, at)
			}
		}
		if len(within) >= rate.Calls {
			s.over++
			out := fake.Problem(http.StatusTooManyRequests, "rate", "too many calls")
			free := within[len(within)-rate.Calls].Add(rate.Per)
			out.Header = fake.Wait(free.Sub(now), s.DateForm, now)
			return out, true
		}
	}
	if len(s.Rates) > 0 {
		s.taken = append(s.taken, now)
	}
	if s.BatchBytes > 0 && len(body) > s.BatchBytes {
		return fake.Problem(http.StatusRequestEntityTooLarge, "too_large", "too many bytes"), true
	}
	return fake.Reply{}, false
}

// handle does what a call says, as far as the outage lets it.
func (s *Service) handle(r *http.Request, body []byte, outage fake.Outage) fake.Reply {
	if s.rows == nil {
		s.rows, s.ops, s.replies = map[string]*stored{}, map[string]Result{}, map[string]fake.Reply{}
	}
	once := r.Header.Get("Idempotency-Key")
	if before, known := s.replies[once]; known && once != "" && !s.Forgetful {
		return before
	}
	object, key, single := strings.Cut(strings.Trim(r.URL.Path, "/"), "/")
	var out fake.Reply
	var call struct {
		record
		Records *[]record `json:"records"`
	}
	switch {
	case single && r.Method == http.MethodGet:
		return s.get(object, key)
	case single && r.Method == http.MethodDelete:
		out = s.remove(object, key, r.Header.Get("Idempotency-Key"))
	case json.Unmarshal(body, &call) != nil:
		return fake.Problem(http.StatusBadRequest, "syntax", "the body is no JSON")
	case call.Records != nil:
		out = s.batch(object, *call.Records, outage)
	case outage == fake.HalfWritten, outage == fake.SilentIdle:
		return fake.Said(http.StatusOK, map[string]any{}) // of one row, not even a half
	default:
		out = s.one(object, call.record)
	}
	if !slices.Contains([]fake.Outage{fake.HalfWritten, fake.HalfTold, fake.Silent, fake.SilentIdle}, outage) {
		s.replies[once] = out // what was left out of a reply is not left out for ever
	}
	return out
}

// one does a single row.
func (s *Service) one(object string, c record) fake.Reply {
	if len(c.Key) == 0 || c.OpID == "" {
		return fake.Problem(http.StatusBadRequest, "incomplete", "a row has op_id, action, key and fields")
	}
	res := s.apply(object, c)
	switch res.Status {
	case "created":
		return fake.Said(http.StatusCreated, res)
	case "updated":
		return fake.Said(http.StatusOK, res)
	}
	return fake.Problem(http.StatusUnprocessableEntity, res.Code, res.Message)
}

// batch does the rows of a batch and answers as Answers says.
func (s *Service) batch(object string, list []record, outage fake.Outage) fake.Reply {
	if s.BatchRows > 0 && len(list) > s.BatchRows {
		return fake.Problem(http.StatusRequestEntityTooLarge, "too_many", "too many rows")
	}
	if s.Atomic {
		for _, c := range list {
			if _, known := s.ops[c.OpID]; known && !s.Forgetful {
				continue
			}
			if code, message := s.refuses(object, c); code != "" {
				return fake.Problem(http.StatusConflict, code, message)
			}
		}
	}
	var results, failed []Result
	for i, c := range list {
		if outage.Skips(i) {
			continue
		}
		res := s.apply(object, c)
		res.Index = i
		if res.Status == "rejected" {
			failed = append(failed, res)
		}
		if !outage.Hides(i) {
			results = append(results, res)
		}
	}
	status := http.StatusOK
	if len(failed) > 0 {
		status = http.StatusMultiStatus
	}
	switch {
	case outage == fake.Silent || outage == fake.SilentIdle:
		return fake.Said(http.StatusOK, map[string]any{"results": []Result{}})
	case s.Answers == EachRow:
		return fake.Said(status, map[string]any{"results": append([]Result{}, results...)})
	case s.Answers == FailedRows:
		return fake.Said(status, map[string]any{"errors": append([]Result{}, failed...)})
	}
	return fake.Reply{Status: http.StatusNoContent}
}

// refuses says why a row is not taken; "": it is.
func (s *Service) refuses(object string, c record) (code, message string) {
	if s.Reject != nil {
		code, message = s.Reject(string(c.Key), string(c.Fields))
	}
	row := s.rows[object+"\x00"+string(c.Key)]
	switch {
	case code != "":
	case c.Action == activate.Create && row != nil:
		return "exists", "a row with this key is there already"
	case c.Action == activate.Update && row == nil:
		return "not_found", "there is no row with this key"
	}
	return code, message
}

// apply does one operation, once.
func (s *Service) apply(object string, c record) Result {
	if before, known := s.ops[c.OpID]; known {
		if !s.Forgetful {
			return before
		}
		s.doubled++
	}
	res := Result{OpID: c.OpID, Status: "updated"}
	place := object + "\x00" + string(c.Key)
	row := s.rows[place]
	code, message := s.refuses(object, c)
	if code != "" {
		res.Status, res.Code, res.Message = "rejected", code, message
		return res // not kept: the same operation may be taken later
	}
	res.ID = fmt.Sprintf("%s-%d", object, len(s.rows)+len(s.appends)+1)
	next := stored{object: object, key: string(c.Key), fields: string(c.Fields), op: c.OpID, id: res.ID}
	switch {
	case c.Action == activate.Append:
		res.Status = "created"
		s.appends = append(s.appends, next)
	case c.Action == activate.Delete:
		delete(s.rows, place)
	case row == nil:
		res.Status = "created"
		s.rows[place] = &next
	default:
		res.ID, next.id = row.id, row.id
		s.rows[place] = &next
	}
	s.ops[c.OpID] = res
	return res
}

// find is the row of an object whose only key field has a value.
func (s *Service) find(object, value string) (place string, row *stored) {
	for place, row := range s.rows {
		if row.is(object, value) {
			return place, row
		}
	}
	return "", nil
}

// is reports whether a row is that of an object whose only key field has a value.
func (r *stored) is(object, value string) bool {
	var key map[string]any
	dec := json.NewDecoder(strings.NewReader(r.key))
	dec.UseNumber()
	if r.object != object || dec.Decode(&key) != nil || len(key) != 1 {
		return false
	}
	for _, v := range key {
		return fmt.Sprint(v) == value
	}
	return false
}

func (s *Service) get(object, value string) fake.Reply {
	_, row := s.find(object, value)
	for i := range s.appends {
		if row == nil && s.appends[i].is(object, value) {
			row = &s.appends[i]
		}
	}
	if row == nil {
		return fake.Problem(http.StatusNotFound, "not_found", "there is no row with this key")
	}
	return fake.Said(http.StatusOK, map[string]any{"op_id": row.op, "id": row.id, "fields": json.RawMessage(row.fields)})
}

func (s *Service) remove(object, value, op string) fake.Reply {
	place, row := s.find(object, value)
	if row == nil {
		return fake.Problem(http.StatusNotFound, "not_found", "there is no row with this key")
	}
	delete(s.rows, place)
	s.ops[op] = Result{OpID: op, Status: "updated", ID: row.id}
	return fake.Reply{Status: http.StatusNoContent}
}

// Rows are the rows of an object, appended ones first.
func (s *Service) Rows(object string) []Row {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []Row
	for _, a := range s.appends {
		if a.object == object {
			list = append(list, Row{a.key, a.fields})
		}
	}
	for _, place := range slices.Sorted(maps.Keys(s.rows)) {
		if row := s.rows[place]; row.object == object {
			list = append(list, Row{row.key, row.fields})
		}
	}
	return list
}

// Put makes or changes a row behind elt's back.
func (s *Service) Put(object, key, fields string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rows == nil {
		s.rows, s.ops, s.replies = map[string]*stored{}, map[string]Result{}, map[string]fake.Reply{}
	}
	s.rows[object+"\x00"+key] = &stored{object: object, key: key, fields: fields, id: "foreign"}
}

// SetFault sets Fault between calls.
func (s *Service) SetFault(fault func(call int) fake.Outage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Fault = fault
}

// Calls are the calls so far; over of them went beyond a rate, and doubled counts
// operations that were done again since it is Forgetful.
func (s *Service) Calls() (calls, over, doubled int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls, s.over, s.doubled
}
