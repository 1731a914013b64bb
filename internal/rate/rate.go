// Package rate is how connections say the most calls that an account takes.
package rate

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"elt/internal/yamlx"
)

// Limit is a limit as text: CALLS/INTERVAL.
type Limit string

// UnmarshalNode implements [yamlx.Unmarshaler].
func (l *Limit) UnmarshalNode(d *yamlx.Decoder, n ast.Node) {
	d.Decode(n, (*string)(l))
	if _, _, ok := l.parse(); !ok && *l != "" {
		d.Fail(n, fmt.Sprintf("rates has %q", string(*l)), "CALLS/INTERVAL, such as 100/10s, 100/s or 250000/d", "")
	}
}

func (l Limit) parse() (calls int, per time.Duration, ok bool) {
	number, interval, ok := strings.Cut(string(l), "/")
	calls, err := strconv.Atoi(strings.ReplaceAll(strings.TrimSpace(number), "_", ""))
	interval = strings.TrimSpace(interval)
	if !ok || err != nil || calls < 1 || interval == "" {
		return 0, 0, false
	}
	if interval[0] < '0' || interval[0] > '9' {
		interval = "1" + interval
	}
	per, err = yamlx.ParseDuration(interval)
	return calls, per, err == nil && per > 0
}

// Less is the calls in an interval without the share that is left to others; one
// call stays.
func (l Limit) Less(reserve Share) (calls int, per time.Duration) {
	calls, per, _ = l.parse()
	part, _ := reserve.percent()
	return max(1, int(float64(calls)*(100-part)/100+1e-9)), per
}

// Share is a share as text, such as 10%.
type Share string

// UnmarshalNode implements [yamlx.Unmarshaler].
func (s *Share) UnmarshalNode(d *yamlx.Decoder, n ast.Node) {
	d.Decode(n, (*string)(s))
	if _, ok := s.percent(); !ok && *s != "" {
		d.Fail(n, fmt.Sprintf("reserve is %q", string(*s)), "a share of the rates from 0% to below 100%, such as 10%", "")
	}
}

func (s Share) percent() (float64, bool) {
	if s == "" {
		return 0, true
	}
	text, ok := strings.CutSuffix(strings.TrimSpace(string(s)), "%")
	part, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	return part, ok && err == nil && part >= 0 && part < 100
}
