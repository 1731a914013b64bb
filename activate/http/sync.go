package http

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"elt/activate"
	"elt/internal/yamlx"
)

// Sync is what elt.yaml says of a sync to a connection of type http, beside what
// every sync says.
type Sync struct {
	Method  string             `yaml:"method,omitempty" json:"method,omitempty" jsonschema:"enum=POST,enum=PUT,enum=PATCH,enum=DELETE,description=Method of the call; POST when left out"`
	Path    Path               `yaml:"path,omitempty" json:"path,omitempty" jsonschema:"description=Path below the url; {object} and the {FIELD}s of the key are put in escaped; /{object} when left out and / for the url itself"`
	Request RowTemplate        `yaml:"request,omitempty" json:"request,omitempty" jsonschema:"description=JSON of a row; {{op_id}} {{action}} {{object}} {{key}} {{key.FIELD}} {{fields}} and {{fields.FIELD}} stand for whole values"`
	Batch   *Batch             `yaml:"batch,omitempty" json:"batch,omitempty" jsonschema:"description=Many rows a call; one when left out"`
	Actions map[string]*Action `yaml:"actions,omitempty" json:"actions,omitempty" jsonschema:"description=Calls of create / update / upsert / append / delete that differ; delete makes mode mirror possible"`

	KeyHeader string        `yaml:"idempotency_header,omitempty" json:"idempotency_header,omitempty" jsonschema:"description=Header of the id of the operation or of the batch; Idempotency-Key when left out"`
	Replay    string        `yaml:"replay,omitempty" json:"replay,omitempty" jsonschema:"enum=idempotent,enum=idempotency-key,enum=reconcile,description=What may be done when the reply is lost: send again as it is now / send again with the same op_id / look first. When left out idempotent for PUT and DELETE of a path with the key and else reconcile"`
	Window    time.Duration `yaml:"replay_window,omitempty" json:"replay_window,omitempty" jsonschema:"description=How long the service knows an Idempotency-Key such as 24h; what is still unknown after that is looked up or waits for you; for ever when left out"`
	Outcome   Rules         `yaml:"outcome,omitempty" json:"outcome,omitempty" jsonschema:"description=What replies mean"`
	Lookup    *Lookup       `yaml:"lookup,omitempty" json:"lookup,omitempty" jsonschema:"description=How to look up a row whose outcome is unknown"`
}

// Batch is how many rows go in a call, and what is around them.
type Batch struct {
	Rows  int      `yaml:"rows,omitempty" json:"rows,omitempty" jsonschema:"minimum=1,description=Most rows a call; 100 when left out"`
	Bytes int      `yaml:"bytes,omitempty" json:"bytes,omitempty" jsonschema:"minimum=1,description=Most bytes of a call's body"`
	Wrap  Envelope `yaml:"wrap,omitempty" json:"wrap,omitempty" jsonschema:"description=JSON around the rows; {{records}} {{batch_id}} and {{object}} stand for whole values"`
}

func (b *Batch) rows() int {
	if b.Rows == 0 {
		return defaultBatchRows
	}
	return b.Rows
}

// Action is what differs in the call of one action.
type Action struct {
	Method  string      `yaml:"method,omitempty" json:"method,omitempty" jsonschema:"enum=POST,enum=PUT,enum=PATCH,enum=DELETE,description=Method; that of the sync when left out; DELETE for delete"`
	Path    Path        `yaml:"path,omitempty" json:"path,omitempty" jsonschema:"description=Path; that of the sync when left out"`
	Request RowTemplate `yaml:"request,omitempty" json:"request,omitempty" jsonschema:"description=JSON of a row; that of the sync when left out; none for delete"`
}

// Lookup finds rows whose outcome is unknown.
type Lookup struct {
	Method  string        `yaml:"method,omitempty" json:"method,omitempty" jsonschema:"enum=GET,enum=POST,description=Method; GET when left out"`
	Path    Path          `yaml:"path" json:"path" jsonschema:"required,description=Path below the url with the {FIELD}s of the key"`
	After   time.Duration `yaml:"after,omitempty" json:"after,omitempty" jsonschema:"description=How long after a call without a reply the service may still be busy with it or not yet find what it did; 3s when left out and at most 30s"`
	At      string        `yaml:"at,omitempty" json:"at,omitempty" jsonschema:"description=Dotted path to the row in the reply; a list has it as its only entry; an empty list has none"`
	OpID    string        `yaml:"op_id,omitempty" json:"op_id,omitempty" jsonschema:"description=Dotted path in the row to the op_id that was sent; without it the fields are compared"`
	ID      string        `yaml:"id,omitempty" json:"id,omitempty" jsonschema:"description=Dotted path in the row to the destination's id"`
	Missing []Status      `yaml:"missing,omitempty" json:"missing,omitempty" jsonschema:"description=Statuses that say that there is no such row; 404 and 410 when left out"`
}

// Rules say what replies mean.
type Rules struct {
	OK       []Status `yaml:"ok,omitempty" json:"ok,omitempty" jsonschema:"description=Statuses that acknowledge; 2xx when left out"`
	Rejected []Status `yaml:"rejected,omitempty" json:"rejected,omitempty" jsonschema:"description=Statuses that refuse what was sent for good"`
	Retry    []Status `yaml:"retry,omitempty" json:"retry,omitempty" jsonschema:"description=Statuses after which nothing has happened and a later try may work"`
	Code     string   `yaml:"code,omitempty" json:"code,omitempty" jsonschema:"description=Dotted path to the code of an error"`
	Message  string   `yaml:"message,omitempty" json:"message,omitempty" jsonschema:"description=Dotted path to the text of an error"`
	ID       string   `yaml:"id,omitempty" json:"id,omitempty" jsonschema:"description=Dotted path to the destination's id of a row that was sent alone"`
	Results  *Entries `yaml:"results,omitempty" json:"results,omitempty" jsonschema:"description=A list with an entry for each row that was dealt with"`
	Errors   *Entries `yaml:"errors,omitempty" json:"errors,omitempty" jsonschema:"description=A list with an entry for each row that failed"`
	Unlisted string   `yaml:"unlisted,omitempty" json:"unlisted,omitempty" jsonschema:"enum=unknown,enum=ok,description=What a row is that no entry tells of; unknown when left out; ok only for services that list failures alone"`
}

// Entries are a list in a reply: how an entry is paired with a row, and what it
// says.
type Entries struct {
	At       string         `yaml:"at" json:"at" jsonschema:"required,description=Dotted path to the list; a dot for the reply itself"`
	By       string         `yaml:"by,omitempty" json:"by,omitempty" jsonschema:"description=Dotted path in an entry to what tells its row; position when left out: the first entry is of the first row"`
	Holds    string         `yaml:"holds,omitempty" json:"holds,omitempty" jsonschema:"description=What stands there: op_id when left out; or index counted from 0; or key.FIELD"`
	Status   string         `yaml:"status,omitempty" json:"status,omitempty" jsonschema:"description=Dotted path in an entry to the value that decides; without it an entry of results acknowledges and one of errors rejects"`
	OK       []yamlx.Scalar `yaml:"ok,omitempty" json:"ok,omitempty" jsonschema:"description=Values that acknowledge; * is any that is there and an empty text is none"`
	Created  []yamlx.Scalar `yaml:"created,omitempty" json:"created,omitempty" jsonschema:"description=Values that acknowledge a row that is new"`
	Rejected []yamlx.Scalar `yaml:"rejected,omitempty" json:"rejected,omitempty" jsonschema:"description=Values that refuse a row for good; * is any that is there"`
	Retry    []yamlx.Scalar `yaml:"retry,omitempty" json:"retry,omitempty" jsonschema:"description=Values after which nothing has happened and a later try may work"`
	New      string         `yaml:"new,omitempty" json:"new,omitempty" jsonschema:"description=Dotted path in an entry to true where the row is new"`
	Code     string         `yaml:"code,omitempty" json:"code,omitempty" jsonschema:"description=Dotted path in an entry to the code of an error"`
	Message  string         `yaml:"message,omitempty" json:"message,omitempty" jsonschema:"description=Dotted path in an entry to the text of an error"`
	ID       string         `yaml:"id,omitempty" json:"id,omitempty" jsonschema:"description=Dotted path in an entry to the destination's id"`
}

// Validate implements [yamlx.Validator].
func (s *Sync) Validate(d *yamlx.Decoder, o yamlx.Object) {
	actions := []string{string(activate.Create), string(activate.Update), string(activate.Upsert), string(activate.Append), string(activate.Delete)}
	for name := range s.Actions {
		if !slices.Contains(actions, name) {
			d.FailAt(o.At("actions"), fmt.Sprintf("unknown action %q", name), yamlx.OneOf(actions), yamlx.DidYouMean(name, actions))
		}
	}
	if s.KeyHeader != "" && !token(s.KeyHeader) {
		d.FailAt(o.At("idempotency_header"), fmt.Sprintf("header %q cannot be sent", s.KeyHeader), "a name without spaces", "")
	}
	if s.Batch == nil {
		return
	}
	const alone = "{FIELD}s of the key need calls of one row: take batch out"
	if s.Path.keyed() {
		d.FailAt(o.At("path"), "path holds a field of the key, and a batch has many rows", "/{object}", alone)
	}
	for _, name := range actions {
		if a := s.Actions[name]; a != nil && a.Path.keyed() {
			d.FailAt(o.At("actions"), fmt.Sprintf("path of %s holds a field of the key, and a batch has many rows", name), "/{object}", alone)
		}
	}
	if s.Replay == string(activate.IdempotencyKey) && s.Request != "" && !s.Request.has("op_id") {
		d.FailAt(o.At("request"), "replay is idempotency-key, and a row of a batch does not hold its op_id",
			"{{op_id}} in request, by which the service knows an operation in whatever batch it comes", "")
	}
}

// Validate implements [yamlx.Validator].
func (l *Lookup) Validate(d *yamlx.Decoder, o yamlx.Object) {
	if l.After < 0 || l.After > mostLookAfter {
		d.FailAt(o.At("after"), fmt.Sprintf("after is %s", l.After), "a time from 1ms to "+mostLookAfter.String(), "")
	}
	if !l.Path.keyed() {
		d.FailAt(o.At("path"), "path finds no row", "the {FIELD}s of the key in it, such as /{object}/{id}", "")
	}
}

// Validate implements [yamlx.Validator].
func (r *Rules) Validate(d *yamlx.Decoder, o yamlx.Object) {
	if r.Errors != nil && r.Errors.byPosition() {
		d.FailAt(o.At("errors"), "errors has no by: a list of failures has no entry for each row", "by: PATH, such as by: index with holds: index", "")
	}
	if r.Unlisted != "" && r.Errors == nil && r.Results == nil {
		d.FailAt(o.At("unlisted"), "unlisted without a list", "results or errors beside it", "")
	}
}

// Validate implements [yamlx.Validator].
func (e *Entries) Validate(d *yamlx.Decoder, o yamlx.Object) {
	if name, key := strings.CutPrefix(e.Holds, "key."); e.Holds != "" && e.Holds != "op_id" && e.Holds != "index" && (!key || name == "") {
		d.FailAt(o.At("holds"), fmt.Sprintf("holds is %q", e.Holds), "op_id, index or key.FIELD", "")
	}
	if e.Status == "" && len(e.OK)+len(e.Created)+len(e.Rejected)+len(e.Retry) > 0 {
		d.FailAt(o.Pos, "values are listed, and no status: tells where they stand", "status: PATH", "")
	}
}

func (e *Entries) byPosition() bool { return e.By == "" || e.By == "position" }

// Status is a status of HTTP, or a class of them such as 2xx.
type Status string

// UnmarshalNode implements [yamlx.Unmarshaler].
func (s *Status) UnmarshalNode(d *yamlx.Decoder, n ast.Node) {
	text, _ := d.Text(n)
	*s = Status(strings.ToLower(text))
	if len(*s) != 3 || (*s)[0] < '1' || (*s)[0] > '5' || strings.Trim(string(*s)[1:], "0123456789") != "" && string(*s)[1:] != "xx" {
		d.Fail(n, fmt.Sprintf("the status is %q", text), "a status of HTTP such as 409, or a class such as 2xx", "")
	}
}

// among reports whether list has a status.
func among(list []Status, status int) bool {
	return slices.ContainsFunc(list, func(s Status) bool {
		return string(s) == fmt.Sprint(status) || s[1:] == "xx" && int(s[0]-'0') == status/100
	})
}
