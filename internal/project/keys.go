package project

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"elt/internal/secret"
	"elt/internal/yamlx"
)

// The types of this file are what is written: the keys with their rules. They
// are decoded, checked, and turned into the types that others use; the JSON
// Schema is made from them.

type fileKeys struct {
	Version        int           `yaml:"version" jsonschema:"description=Version of this format; 1"`
	Name           string        `yaml:"name" jsonschema:"description=Name of the project; its state is kept under it"`
	Timezone       string        `yaml:"timezone" jsonschema:"description=Time zone of days and windows and schedules; such as Europe/Berlin; UTC by default"`
	Owner          string        `yaml:"owner" jsonschema:"description=Who answers for it; inherited by everything below"`
	AsOf           string        `yaml:"as_of" jsonschema:"description=Clock of every run: a date or an RFC 3339 time; now when left out"`
	DecisionWindow time.Duration `yaml:"decision_window" jsonschema:"description=How old the data may be when it is used; inherited"`
	Include        []string      `yaml:"include" jsonschema:"description=More files with the same keys; globs relative to the project"`
	Connections    section       `yaml:"connections"`
	Targets        section       `yaml:"targets"`
	Sources        section       `yaml:"sources"`
	Identities     section       `yaml:"identities"`
	Syncs          section       `yaml:"syncs"`
	Jobs           section       `yaml:"jobs"`
	Alerts         section       `yaml:"alerts"`
}

// section is a part of a file that is decoded once all files are known.
type section struct {
	d *yamlx.Decoder
	n ast.Node
}

// UnmarshalNode implements [yamlx.Unmarshaler].
func (s *section) UnmarshalNode(d *yamlx.Decoder, n ast.Node) { s.d, s.n = d, n }

type connectionKeys struct {
	Type string `yaml:"type" jsonschema:"required,description=What it is: postgres and so on"`
}

type targetKeys struct {
	Warehouse    secret.String `yaml:"warehouse" jsonschema:"required,description=duckdb:PATH or postgres://…"`
	Push         string        `yaml:"push" jsonschema:"enum=off,enum=fake,enum=live,description=Where syncs go: nowhere; a local stand-in (default); the real destinations"`
	SchemaPrefix string        `yaml:"schema_prefix" jsonschema:"description=Put before every schema that is written; for targets that share a warehouse"`
	Threads      int           `yaml:"threads" jsonschema:"minimum=1,description=Threads of the warehouse; all cores by default"`
	Memory       string        `yaml:"memory" jsonschema:"description=Memory limit of DuckDB; such as 2GB"`
	WaitForLock  time.Duration `yaml:"wait_for_lock" jsonschema:"description=How long to wait for another process that holds the warehouse"`
}

type sourceKeys struct {
	Connection     string        `yaml:"connection" jsonschema:"description=Name of the connection that it reads"`
	Type           string        `yaml:"type" jsonschema:"description=Kind of the source when it has no connection; such as files"`
	Owner          string        `yaml:"owner" jsonschema:"description=Who answers for it"`
	Tags           []string      `yaml:"tags" jsonschema:"description=Names for tag: selectors; inherited by the streams"`
	DecisionWindow time.Duration `yaml:"decision_window" jsonschema:"description=How old the data may be when it is used"`
	Streams        section       `yaml:"streams"`
}

type streamKeys struct {
	Load           string            `yaml:"load" jsonschema:"enum=append,enum=replace,enum=merge,enum=window,enum=file,description=How rows land; merge by default with a key and a cursor; file for files; else replace"`
	Key            []string          `yaml:"key" jsonschema:"description=Columns that identify a row"`
	Cursor         string            `yaml:"cursor" jsonschema:"description=Column that grows with every change; only newer rows are read"`
	Time           string            `yaml:"time" jsonschema:"description=Column of the event time; needed for windows"`
	Lookback       time.Duration     `yaml:"lookback" jsonschema:"description=How far behind the cursor is read again; needs a key"`
	NullCursor     string            `yaml:"null_cursor" jsonschema:"enum=raise,enum=include,enum=exclude,description=What happens to rows without a cursor; raise by default"`
	OnEmpty        string            `yaml:"on_empty" jsonschema:"enum=keep,enum=replace,enum=fail,description=What an empty read does to a table that had rows"`
	Columns        map[string]string `yaml:"columns" jsonschema:"description=Types of columns that override what is found"`
	Contract       contractKeys      `yaml:"contract" jsonschema:"description=What happens to tables and columns and types that are new; one word for all three or a mapping"`
	Quarantine     quarantineKeys    `yaml:"quarantine" jsonschema:"description=How many rows may be set aside before a load fails"`
	DecisionWindow time.Duration     `yaml:"decision_window" jsonschema:"description=How old the data may be when it is used"`
	PII            map[string]string `yaml:"pii" jsonschema:"description=Columns with personal data and their kind"`
	Checks         yamlx.Checks      `yaml:"checks" jsonschema:"description=What must hold of the rows"`
	Tags           []string          `yaml:"tags" jsonschema:"description=Names for tag: selectors"`
	Owner          string            `yaml:"owner" jsonschema:"description=Who answers for it"`
	Description    string            `yaml:"description" jsonschema:"description=What a row is"`
}

type contractKeys struct {
	Tables  string `yaml:"tables" jsonschema:"enum=evolve,enum=freeze,enum=quarantine,enum=discard,description=A stream that is new"`
	Columns string `yaml:"columns" jsonschema:"enum=evolve,enum=freeze,enum=quarantine,enum=discard,description=A column that is new"`
	Types   string `yaml:"types" jsonschema:"enum=evolve,enum=freeze,enum=quarantine,enum=discard,description=A type that changed"`
}

// plainContract is contractKeys without its method, for decoding as a mapping.
type plainContract contractKeys

// UnmarshalNode implements [yamlx.Unmarshaler]: one word stands for all three.
func (c *contractKeys) UnmarshalNode(d *yamlx.Decoder, n ast.Node) {
	word, ok := d.Text(n)
	if !ok {
		d.Struct(n, (*plainContract)(c))
		return
	}
	words := []string{"evolve", "freeze", "quarantine", "discard"}
	for _, w := range words {
		if w == word {
			*c = contractKeys{word, word, word}
			return
		}
	}
	d.Fail(n, fmt.Sprintf("contract is %q", word), yamlx.OneOf(words)+", or a mapping of tables, columns and types", yamlx.DidYouMean(word, words))
}

type quarantineKeys struct {
	Max Limit `yaml:"max" jsonschema:"description=A share such as 1% or a number of rows"`
}

// UnmarshalNode implements [yamlx.Unmarshaler].
func (l *Limit) UnmarshalNode(d *yamlx.Decoder, n ast.Node) {
	text, ok := d.Text(n)
	if ok {
		parsed, err := ParseLimit(text)
		if err == nil {
			*l = parsed
			return
		}
	}
	d.Fail(n, fmt.Sprintf("the limit is %q", text), "a share such as 1% (0% to 100%), or a number of rows such as 100", "")
}

// ParseLimit reads a share such as 1% or a number of rows such as 100.
func ParseLimit(s string) (Limit, error) {
	if share, ok := strings.CutSuffix(strings.TrimSpace(s), "%"); ok {
		f, err := strconv.ParseFloat(strings.TrimSpace(share), 64)
		if err != nil || !(f >= 0 && f <= 100) {
			return Limit{}, fmt.Errorf("%q is no share", s)
		}
		return Limit{Percent: f, Set: true}, nil
	}
	n, err := strconv.ParseInt(strings.ReplaceAll(strings.TrimSpace(s), "_", ""), 10, 64)
	if err != nil || n < 0 {
		return Limit{}, fmt.Errorf("%q is no number of rows", s)
	}
	return Limit{Rows: n, Set: true}, nil
}

type identityKeys struct {
	Key       []string `yaml:"key" jsonschema:"required,description=Columns that identify an entity with us"`
	Match     section  `yaml:"match"`
	OnSeveral string   `yaml:"on_several" jsonschema:"enum=review,enum=quarantine,enum=oldest,enum=most_recent,description=When a rule finds more than one"`
	OnNone    string   `yaml:"on_none" jsonschema:"enum=create,enum=skip,enum=review,description=When no rule finds one"`
}

type matchKeys struct {
	Column    string `yaml:"column" jsonschema:"required,description=Our column"`
	Normalize string `yaml:"normalize" jsonschema:"enum=email,enum=phone,enum=lower,enum=trim,description=How both sides are made alike first"`
}

type syncKeys struct {
	Model    string            `yaml:"model" jsonschema:"required,description=schema.table that is pushed"`
	To       string            `yaml:"to" jsonschema:"required,description=connection.object"`
	Mode     string            `yaml:"mode" jsonschema:"enum=upsert,enum=update,enum=insert,enum=mirror,enum=append,description=What happens to rows there; upsert by default"`
	Key      []string          `yaml:"key" jsonschema:"description=Columns of the model that identify a row; by default the key of the identity"`
	Identity string            `yaml:"identity" jsonschema:"description=Name of the identity that finds their ids"`
	Fields   section           `yaml:"fields"`
	Guards   map[string]string `yaml:"guards" jsonschema:"description=Limits that hold a run back; such as max_delete: 5%"`
	Tags     []string          `yaml:"tags" jsonschema:"description=Names for tag: selectors"`
	Owner    string            `yaml:"owner" jsonschema:"description=Who answers for it"`
}

type fieldKeys struct {
	Column   string `yaml:"column" jsonschema:"required,description=Column of the model"`
	AllowPII bool   `yaml:"allow_pii" jsonschema:"description=Personal data may leave through this field"`
}

type jobKeys struct {
	Schedule   string        `yaml:"schedule" jsonschema:"description=Five cron fields in the project's time zone; or @daily and the like"`
	Run        []string      `yaml:"run" jsonschema:"description=Selectors; all by default"`
	Catchup    string        `yaml:"catchup" jsonschema:"enum=none,enum=latest,enum=all,description=Which missed slots run later; latest by default"`
	Overlap    string        `yaml:"overlap" jsonschema:"enum=skip,enum=queue_one,enum=queue_all,enum=cancel_running,description=When the run before is not done; skip by default"`
	Timeout    time.Duration `yaml:"timeout" jsonschema:"description=The longest a run may take"`
	Retries    int           `yaml:"retries" jsonschema:"minimum=0,description=How often a failed step is tried again"`
	CompleteBy string        `yaml:"complete_by" jsonschema:"description=Time of day by which it must be done; such as 06:00"`
	Heartbeat  secret.String `yaml:"heartbeat" jsonschema:"description=Address that is called at start and end"`
	Owner      string        `yaml:"owner" jsonschema:"description=Who answers for it"`
	Runbook    string        `yaml:"runbook" jsonschema:"description=Where it says what to do when it fails"`
}

type alertKeys struct {
	To   string   `yaml:"to" jsonschema:"required,description=Name of a connection"`
	When []string `yaml:"when" jsonschema:"description=failed; stale; held; recovered; all by default"`
}
