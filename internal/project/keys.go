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
	Version        int           `yaml:"version" jsonschema:"description=Version of this format; needed in elt.yaml and always 1"`
	Name           string        `yaml:"name" jsonschema:"description=Name of the project; needed in elt.yaml; its state is kept under it so a renamed project starts from the beginning"`
	Timezone       string        `yaml:"timezone" jsonschema:"default=UTC,description=Time zone of days and windows and schedules and of the warehouse session; a name of the IANA list such as Europe/Berlin"`
	Owner          string        `yaml:"owner" jsonschema:"description=Who answers for the project; inherited by everything below that names no owner of its own"`
	AsOf           string        `yaml:"as_of" jsonschema:"default=now,description=Clock of every run: a date or a date with a time; --as-of and ELT_NOW win over it"`
	DecisionWindow time.Duration `yaml:"decision_window" jsonschema:"description=How old the data may be when they are used; inherited by sources; a warning comes at three quarters of it and staleness beyond it"`
	Retention      time.Duration `yaml:"retention" jsonschema:"default=90d,description=How long the records of runs are kept in _elt; at least 1d; see Retention"`
	Include        []string      `yaml:"include" jsonschema:"description=More files with the same keys except include; globs relative to the project; * and ? match inside one name and ** any folders"`
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
	Type string `yaml:"type" jsonschema:"required,description=What it is; says which other keys it takes"`
}

type targetKeys struct {
	Warehouse    secret.String `yaml:"warehouse" jsonschema:"required,description=duckdb:PATH relative to the project or postgres://USER:PASSWORD@HOST:5432/DATABASE"`
	Push         string        `yaml:"push" jsonschema:"enum=off,enum=fake,enum=live,default=fake,description=Where syncs go: off is nowhere; fake is a local stand-in under .elt/fake/TARGET; live is the real destinations"`
	SchemaPrefix string        `yaml:"schema_prefix" jsonschema:"description=Put before the name of every schema that is written; for targets that share a warehouse"`
	Threads      int           `yaml:"threads" jsonschema:"minimum=1,description=Threads of DuckDB and steps side by side; all cores by default"`
	Memory       string        `yaml:"memory" jsonschema:"description=Memory limit of DuckDB such as 2GB or 512MiB; a quarter of the machine by default"`
	WaitForLock  time.Duration `yaml:"wait_for_lock" jsonschema:"description=How long to wait for another process that holds the DuckDB file before giving up with exit code 5; no wait by default"`

	Faults    map[string]string `yaml:"faults" jsonschema:"description=With push: fake; what goes wrong in the stand-ins: shares of the calls such as cut_after: 5% or limited: 10%; and reject: 1% of the rows"`
	FaultSeed int               `yaml:"fault_seed" jsonschema:"minimum=0,description=Draws other calls for the faults; the same seed draws the same ones"`
}

type sourceKeys struct {
	Connection     string        `yaml:"connection" jsonschema:"description=Name of the connection that is read; a source has this or a type"`
	Type           string        `yaml:"type" jsonschema:"description=Kind of the source when it has no connection; the keys of the connection stand in the source then"`
	Owner          string        `yaml:"owner" jsonschema:"description=Who answers for it; for people"`
	Tags           []string      `yaml:"tags" jsonschema:"description=Names for selectors such as tag:nightly; inherited by the streams"`
	DecisionWindow time.Duration `yaml:"decision_window" jsonschema:"description=How old the data may be when they are used; that of the level above by default"`
	Volume         string        `yaml:"volume" jsonschema:"enum=off,enum=warn,enum=error,default=error,description=What the check of volume does with a count of rows that is far from those before: nothing; a warning; it keeps the old data where rows are missing; of all streams that do not say themselves"`
	Streams        section       `yaml:"streams"`
}

type streamKeys struct {
	Load           string            `yaml:"load" jsonschema:"enum=append,enum=replace,enum=merge,enum=window,enum=file,description=How rows land: added; instead of all rows; by key; instead of a window of time; instead of the rows of the same file; by default file for files and else merge with a cursor and a key; append with a cursor alone; replace without a cursor"`
	Key            []string          `yaml:"key" jsonschema:"description=Columns that identify a row; needed by merge and lookback"`
	Cursor         string            `yaml:"cursor" jsonschema:"description=Column that grows with every change; a run reads only rows beyond the last value it saw"`
	Time           string            `yaml:"time" jsonschema:"description=Column of the event time; needed by load: window; freshness and the volume of each day are judged by it"`
	Lookback       time.Duration     `yaml:"lookback" jsonschema:"description=How far behind the cursor is read again on each run; needs a key; 0 by default"`
	NullCursor     string            `yaml:"null_cursor" jsonschema:"enum=raise,enum=include,enum=exclude,default=raise,description=What becomes of rows whose cursor is NULL: the load fails; they are read each time; they are left out"`
	OnEmpty        string            `yaml:"on_empty" jsonschema:"enum=keep,enum=replace,enum=fail,default=fail,description=What an empty read of everything does to a table that has rows: keeps them; empties the table; fails the load"`
	Columns        map[string]string `yaml:"columns" jsonschema:"description=Types by column in the words of the warehouse; they win over what is discovered"`
	Contract       contractKeys      `yaml:"contract" jsonschema:"description=What happens when tables or columns or types are new; one word for all three or a mapping"`
	Quarantine     quarantineKeys    `yaml:"quarantine" jsonschema:"description=How many rows of a load may be set aside; 1% by default; over it the load fails its check"`
	DecisionWindow time.Duration     `yaml:"decision_window" jsonschema:"description=How old the data may be when they are used; that of the level above by default"`
	PII            map[string]string `yaml:"pii" jsonschema:"description=Columns with personal data and their kind such as email; a field that pushes one needs allow_pii and what is shown of them is masked; see Personal data"`
	Volume         string            `yaml:"volume" jsonschema:"enum=off,enum=warn,enum=error,description=What the check of volume does with a count of rows that is far from those before: nothing; a warning; it keeps the old data where rows are missing; that of the source by default"`
	Checks         yamlx.Checks      `yaml:"checks" jsonschema:"description=What must hold of the rows; those that judge single rows look at the stage before anything is published"`
	Tags           []string          `yaml:"tags" jsonschema:"description=Names for selectors such as tag:nightly"`
	Owner          string            `yaml:"owner" jsonschema:"description=Who answers for it; for people"`
	Description    string            `yaml:"description" jsonschema:"description=What a row is; for people"`
}

type contractKeys struct {
	Tables  string `yaml:"tables" jsonschema:"enum=evolve,enum=freeze,enum=quarantine,enum=discard,default=evolve,description=A stream that is new: taken in; refused with an error; its rows quarantined; left out"`
	Columns string `yaml:"columns" jsonschema:"enum=evolve,enum=freeze,enum=quarantine,enum=discard,default=evolve,description=A column that is new: taken in; refused with an error; its rows quarantined; left out"`
	Types   string `yaml:"types" jsonschema:"enum=evolve,enum=freeze,enum=quarantine,enum=discard,default=evolve,description=A type that changed: taken in; refused with an error; its rows quarantined; left out"`
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
	Max Limit `yaml:"max" jsonschema:"description=The most rows that one load may set aside: a share such as 1% or a number such as 100"`
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
	Key       []string `yaml:"key" jsonschema:"required,description=Columns that identify an entity with us; the key of syncs that name the identity"`
	Match     section  `yaml:"match"`
	OnSeveral string   `yaml:"on_several" jsonschema:"enum=review,enum=quarantine,enum=oldest,enum=most_recent,default=review,description=What happens when a rule finds more than one"`
	OnNone    string   `yaml:"on_none" jsonschema:"enum=create,enum=skip,enum=review,default=create,description=What happens when no rule finds one"`
}

type matchKeys struct {
	Column    string `yaml:"column" jsonschema:"required,description=Our column that the rule compares"`
	Normalize string `yaml:"normalize" jsonschema:"enum=email,enum=phone,enum=lower,enum=trim,description=How both sides are made alike first"`
}

type syncKeys struct {
	Model    string            `yaml:"model" jsonschema:"required,description=schema.table of the model that is pushed"`
	To       string            `yaml:"to" jsonschema:"required,description=connection.object that is pushed to; such as crm.contacts"`
	Mode     string            `yaml:"mode" jsonschema:"enum=upsert,enum=update,enum=insert,enum=mirror,enum=append,default=upsert,description=What happens there: make and change; change only; make only; also delete what is gone; add each row once"`
	Key      []string          `yaml:"key" jsonschema:"description=Columns of the model that identify a row; by default the key of the identity; every mode needs one: append sends each key once"`
	Identity string            `yaml:"identity" jsonschema:"description=Name of the identity that finds their ids; its key is used where the sync has none" later:"its key is used, but no ids are looked up"`
	Fields   section           `yaml:"fields"`
	Guards   map[string]string `yaml:"guards" jsonschema:"description=Limits that hold a run back; such as max_delete: 5%"`
	Tags     []string          `yaml:"tags" jsonschema:"description=Names for selectors such as tag:nightly"`
	Owner    string            `yaml:"owner" jsonschema:"description=Who answers for it; for people"`
}

type fieldKeys struct {
	Column   string `yaml:"column" jsonschema:"required,description=Column of the model that fills the field"`
	AllowPII bool   `yaml:"allow_pii" jsonschema:"default=false,description=Personal data may leave through this field; needed for a column that is personal or may be"`
}

type jobKeys struct {
	Schedule   string        `yaml:"schedule" jsonschema:"description=When it is due: five cron fields in the project's time zone or a word such as @daily; elt schedule export makes the lines that start it"`
	Run        []string      `yaml:"run" jsonschema:"description=Selectors of the steps that elt run --job NAME runs; all by default"`
	Catchup    string        `yaml:"catchup" jsonschema:"enum=none,enum=latest,enum=all,default=latest,description=What becomes of times at which nothing could run: none of them is made up for; one run covers them all; one run each"`
	Overlap    string        `yaml:"overlap" jsonschema:"enum=skip,enum=queue_one,enum=queue_all,enum=cancel_running,default=skip,description=What happens when a run of the job is still on: the new one is skipped; one waits and any more are skipped; all wait; the old one is cancelled"`
	Timeout    time.Duration `yaml:"timeout" jsonschema:"description=The longest that a run may take such as 2h; then it is cancelled and has failed"`
	Retries    int           `yaml:"retries" jsonschema:"minimum=0,default=3,description=How often a step is tried again whose error may pass"`
	CompleteBy string        `yaml:"complete_by" jsonschema:"description=Time of day by which a run of it must be done such as 06:00; after it alerts tell that it is stale and elt status --fail-if-stale fails"`
	Heartbeat  secret.String `yaml:"heartbeat" jsonschema:"description=Address that elt run --job NAME calls at its start and its end where push is live; in the protocol of healthchecks.io: /start and /EXITCODE are put behind it"`
	Owner      string        `yaml:"owner" jsonschema:"description=Who answers for it; for people"`
	Runbook    string        `yaml:"runbook" jsonschema:"description=Where it says what to do when it fails; for people"`
}

type alertKeys struct {
	To          string        `yaml:"to" jsonschema:"required,description=Name of the connection that is told"`
	When        []string      `yaml:"when" jsonschema:"description=What is told: failed; stale; held; recovered; all four by default"`
	RepeatAfter time.Duration `yaml:"repeat_after" jsonschema:"description=Tell what is still in trouble again after this long such as 24h; by default it is told once"`
}
