package pipeline_test

import (
	"testing"

	"elt/internal/pipeline"
	"elt/internal/project"
	"elt/internal/scan"
)

// What is shown of a quarantined row holds no value of a marked column, wherever
// it may stand.
func TestMaskReject(t *testing.T) {
	t.Parallel()
	people := &project.Stream{Key: []string{"email"}, PII: map[string]string{"email": "email", "full_name": "name"}}
	for name, c := range map[string]struct{ in, want scan.Reject }{
		"a marked column of a CSV": {
			scan.Reject{Locator: "a.csv:3", Reason: `Error when converting column "email". Could not convert string "ann"x@y" to 'INTEGER'`, Payload: `1,ann"x@y`},
			scan.Reject{Locator: "a.csv:3", Reason: `Error when converting column "email". Could not convert string *** to 'INTEGER'`, Payload: "***"},
		},
		"another column": {
			scan.Reject{Locator: "a.csv:3", Reason: `Error when converting column "amount". Could not convert string "ann@x" to 'DECIMAL(10,2)'`, Payload: "x"},
			scan.Reject{Locator: "a.csv:3", Reason: `Error when converting column "amount". Could not convert string *** to 'DECIMAL(10,2)'`, Payload: "***"},
		},
		"no column at all": {
			scan.Reject{Locator: "a.csv:3", Reason: `Expected Number of Columns: 5 Found: 6`, Payload: "x"},
			scan.Reject{Locator: "a.csv:3", Reason: `Expected Number of Columns: 5 Found: 6`, Payload: "***"},
		},
		"a value without its end": {
			scan.Reject{Locator: "a.csv:3", Reason: `unterminated "ann@example`, Payload: "x"},
			scan.Reject{Locator: "a.csv:3", Reason: `***`, Payload: "***"},
		},
		"an object, in the names of the source": {
			scan.Reject{Locator: "email=ann@x", Reason: "the key (email) has a NULL", Payload: `{"id": 7, "E-Mail": "ann@x", "fullName": {"first": "Ann"}, "EMAIL": null, "amount": [1, 2]}`},
			scan.Reject{Locator: "***", Reason: "the key (email) has a NULL", Payload: `{"id":7,"E-Mail":"***","fullName":"***","EMAIL":null,"amount":[1, 2]}`},
		},
		"half an object": {
			scan.Reject{Locator: "a.jsonl:2", Reason: "not valid JSON, expected one JSON object a line", Payload: `{"email": "ann@x", "id`},
			scan.Reject{Locator: "a.jsonl:2", Reason: "not valid JSON, expected one JSON object a line", Payload: "***"},
		},
		"more than an object": {
			scan.Reject{Locator: "a.jsonl:2", Reason: "not valid JSON, expected one JSON object a line", Payload: `{"id": 1} ann@x`},
			scan.Reject{Locator: "a.jsonl:2", Reason: "not valid JSON, expected one JSON object a line", Payload: "***"},
		},
	} {
		if got := pipeline.MaskReject(people, c.in); got != c.want {
			t.Errorf("%s:\n got %+v\nwant %+v", name, got, c.want)
		}
	}
	plain := scan.Reject{Locator: "id=1", Reason: `"x"`, Payload: "ann@x"}
	if got := pipeline.MaskReject(&project.Stream{}, plain); got != plain {
		t.Errorf("a stream without marks: %+v", got)
	}
}

// A reason keeps what was expected and loses what was found, however a reader or
// an engine words it.
func TestMaskReasons(t *testing.T) {
	t.Parallel()
	people := &project.Stream{PII: map[string]string{"ssn": "ssn"}}
	for in, want := range map[string]string{
		// What is told of a value.
		`column ssn: expected BIGINT, found 123.5`:                                                                             `column ssn: expected BIGINT, found ***`,
		`column phone: expected BIGINT, found Ada Lovelace`:                                                                    `column phone: expected BIGINT, found ***`,
		`column n: expected DECIMAL(10,2), found Ada; column ssn: expected BIGINT, found 5.5`:                                  `column n: expected DECIMAL(10,2), found ***`,
		"column my id: expected TIMESTAMP WITH TIME ZONE, found Ada\nLovelace":                                                 `column my id: expected TIMESTAMP WITH TIME ZONE, found ***`,
		`Expected Number of Columns: 5 Found: 6; Error when converting column "ssn". Could not convert string "Ada" to 'DATE'`: `Expected Number of Columns: 5 Found: 6*** to 'DATE'`,
		`Error when converting column "ssn". Could not convert string "x' to 'Ada" to 'BIGINT'`:                                `Error when converting column "ssn". Could not convert string *** to 'BIGINT'`,
		`Error when converting column "ssn". date field value out of range: Ada`:                                               `***`,
		`Value with unterminated quote found. Ada`:                                                                             `Value with unterminated quote found.***`,
		`not valid JSON at byte 5 (invalid character 'A' after object key), expected one JSON object a line`:                   `not valid JSON at byte 5 ***`,
		`invalid input syntax for type integer: Ada`:                                                                           `***`,
		`Ada`: `***`,
		// What tells of none stays.
		`the value of column "ssn" is no numeric(10,2)`:                                                       "",
		`column "ssn" is not in the contract of raw.people`:                                                   "",
		`column "ssn": text with a NUL byte, which PostgreSQL cannot store`:                                   "",
		`table raw.people does not exist, and its contract makes no new tables`:                               "",
		`not valid UTF-8, expected one JSON object a line`:                                                    "",
		`not valid UTF-8; if the file is in another encoding, say so in the stream: csv: {encoding: latin-1}`: "",
		`JSON that ends early, expected one JSON object a line`:                                               "",
		`column ssn holds NaN or infinity, which no decimal holds: expected a number, or nan: null`:           "",
		`column ssn holds a time that is out of range: expected one before the year 294247`:                   "",
		`column ssn holds a number that DECIMAL(4,2) does not hold without loss: expected at most 2 digits before the point and 2 behind it; say a wider DECIMAL in columns, or round in a view`: "",
		`column ssn holds some new wording of Ada`: "***",
	} {
		if want == "" {
			want = in
		}
		if got := pipeline.MaskReject(people, scan.Reject{Reason: in}).Reason; got != want {
			t.Errorf("%s:\n got %s\nwant %s", in, got, want)
		}
	}
}
