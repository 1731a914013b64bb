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
	known := []string{"id", "email", "full_name", "amount"}
	for name, c := range map[string]struct{ in, want scan.Reject }{
		"a marked column of a CSV": {
			scan.Reject{Locator: "a.csv:3", Reason: `Error when converting column "email". Could not convert string "ann"x@y" to 'INTEGER'`, Payload: `1,ann"x@y`},
			scan.Reject{Locator: "a.csv:3", Reason: `Error when converting column "email". Could not convert string ***`, Payload: "***"},
		},
		"another column": {
			scan.Reject{Locator: "a.csv:3", Reason: `Error when converting column "amount". Could not convert string "12,50" to 'DECIMAL(10,2)'`, Payload: "x"},
			scan.Reject{Locator: "a.csv:3", Reason: `Error when converting column "amount". Could not convert string "12,50" to 'DECIMAL(10,2)'`, Payload: "***"},
		},
		"no column at all": {
			scan.Reject{Locator: "a.csv:3", Reason: `Expected Number of Columns: 5 Found: 6`, Payload: "x"},
			scan.Reject{Locator: "a.csv:3", Reason: `Expected Number of Columns: 5 Found: 6`, Payload: "***"},
		},
		"a value without its end": {
			scan.Reject{Locator: "a.csv:3", Reason: `unterminated "ann@example`, Payload: "x"},
			scan.Reject{Locator: "a.csv:3", Reason: `unterminated ***`, Payload: "***"},
		},
		"an object, in the names of the source": {
			scan.Reject{Locator: "email=ann@x", Reason: "the key is NULL", Payload: `{"id": 7, "E-Mail": "ann@x", "fullName": {"first": "Ann"}, "EMAIL": null, "amount": [1, 2]}`},
			scan.Reject{Locator: "***", Reason: "the key is NULL", Payload: `{"id":7,"E-Mail":"***","fullName":"***","EMAIL":null,"amount":[1, 2]}`},
		},
		"half an object": {
			scan.Reject{Locator: "a.jsonl:2", Reason: "the line is no JSON", Payload: `{"email": "ann@x", "id`},
			scan.Reject{Locator: "a.jsonl:2", Reason: "the line is no JSON", Payload: "***"},
		},
		"more than an object": {
			scan.Reject{Locator: "a.jsonl:2", Reason: "the line is no JSON", Payload: `{"id": 1} ann@x`},
			scan.Reject{Locator: "a.jsonl:2", Reason: "the line is no JSON", Payload: "***"},
		},
	} {
		if got := pipeline.MaskReject(people, known, c.in); got != c.want {
			t.Errorf("%s:\n got %+v\nwant %+v", name, got, c.want)
		}
	}
	plain := scan.Reject{Locator: "id=1", Reason: `"x"`, Payload: "ann@x"}
	if got := pipeline.MaskReject(&project.Stream{}, nil, plain); got != plain {
		t.Errorf("a stream without marks: %+v", got)
	}
}
