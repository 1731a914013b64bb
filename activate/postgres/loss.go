package postgres

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"
)

// limit is what a type takes without a word and does not keep: PostgreSQL rounds a
// number to the scale of its column, and cuts the time off a date.
type limit struct {
	kind   limited
	digits int // kept after the point or of a second; characters or bytes of a text; bits of a float
}

type limited int

const (
	unlimited limited = iota
	decimal           // numeric(p,s): rounded
	floating          // a whole number loses digits; all others are approximate by nature
	day               // date: a time is cut off
	moment            // timestamp: fractions of a second are rounded, a zone is passed over
	instant           // timestamp with time zone: fractions are rounded
	clock             // time: a date is cut off, and what holds for moment
	zoneClock         // time with time zone
	span              // interval: fractions are rounded
	padded            // varchar(n): spaces at the end that are too many are cut off
	short             // name and "char": cut off
	wholeKey          // a key of a mirror is spelled in one way: see [shape.identify]
	dayKey
	uuidKey
	boolKey
)

// loss is why a value is refused that the database would have changed.
type loss string

func (l loss) Error() string { return string(l) }

// limitOf is the limit of a type of the catalog with its modifier; -1 is none.
func limitOf(base string, mod int) limit {
	second := 6
	if mod >= 0 && mod&0xffff <= 6 { // above are the fields of an interval
		second = mod & 0xffff
	}
	switch base {
	case "numeric":
		if mod >= 4 { // 11 bits with a sign
			return limit{decimal, ((mod-4)&0x7ff ^ 1024) - 1024}
		}
	case "money":
		return limit{decimal, 2}
	case "float4":
		return limit{floating, 32}
	case "float8":
		return limit{floating, 64}
	case "date":
		return limit{day, 0}
	case "timestamp":
		return limit{moment, second}
	case "timestamptz":
		return limit{instant, second}
	case "time":
		return limit{clock, second}
	case "timetz":
		return limit{zoneClock, second}
	case "interval":
		return limit{span, second}
	case "varchar":
		if mod >= 4 {
			return limit{padded, mod - 4}
		}
	case "name":
		return limit{short, 63}
	case "char":
		return limit{short, 1}
	}
	return limit{}
}

// keeps returns a [loss] for a JSON value that the column would not keep as it is.
// What the column cannot take at all is left to the database.
func (c *column) keeps(value []byte) error {
	if string(value) == "null" || c.form != array && c.limit.usual(value) {
		return nil
	}
	if c.form == array && value[0] == '[' {
		return elements(value, c.keeps)
	}
	text, err := unquote(value)
	if err != nil {
		return nil //nolint:nilerr // what is no JSON is refused where it is encoded
	}
	if c.limit.kind >= wholeKey {
		if !c.limit.spells(text) {
			return loss(fmt.Sprintf("column %s: %s spells the key in another way, and a mirror has to know it from all others; cast it to %s in the model", c.name, c.typ, c.typ))
		}
		return nil
	}
	if what := c.limit.loses(bytes.TrimSpace(text), text); what != "" {
		return loss(fmt.Sprintf("column %s: the value has %s in %s; round or cut it in the model, or widen the column", c.name, what, c.typ))
	}
	return nil
}

// usual tells values that are kept by how models spell them, which most are: the
// others take some ten times as long.
func (l limit) usual(value []byte) bool {
	n := len(value)
	switch l.kind {
	case decimal:
		return l.digits > 0 && n > l.digits+1 && value[n-1-l.digits] == '.' && allDigits(value[n-l.digits:])
	case floating:
		return n <= 7 || l.digits == 64 && n <= 15
	case moment, instant:
		const spelled = `"2006-01-02T15:04:05.000000"`
		if n == len(spelled)+1 && value[n-2] == 'Z' {
			n--
		}
		return n == len(spelled) && l.digits == 6 && value[11] == 'T' && value[20] == '.' && allDigits(value[21:27])
	case padded:
		return n-2 <= l.digits
	}
	return false
}

func allDigits(text []byte) bool {
	for _, b := range text {
		if !isDigit(b) {
			return false
		}
	}
	return true
}

// loses says what of a text would be lost; text has no space around it, and whole
// is as it came.
func (l limit) loses(text, whole []byte) string {
	switch l.kind {
	case decimal:
		if below(text, -l.digits) {
			return "digits that would be rounded"
		}
	case floating:
		if !exact(text, l.digits) {
			return "digits that would be lost"
		}
	case padded:
		if len(whole) > l.digits && utf8.RuneCount(whole) > l.digits && utf8.RuneCount(bytes.TrimRight(whole, " ")) <= l.digits {
			return "spaces at its end that would be cut off"
		}
	case short:
		if len(whole) > l.digits {
			return "characters that would be cut off"
		}
	case span:
		if point := bytes.IndexByte(text, '.'); point >= 0 && tooFine(text[point:], l.digits) {
			return "fractions of a second that would be rounded"
		}
	case day, moment, instant, clock, zoneClock:
		return l.losesOfTime(text)
	}
	return ""
}

func (l limit) losesOfTime(text []byte) string {
	at := clockAt(text)
	if at < 0 {
		return ""
	}
	stop := at
	for stop < len(text) && (isDigit(text[stop]) || text[stop] == ':' || text[stop] == '.') {
		stop++
	}
	time, zone := text[at:stop], bytes.TrimSpace(text[stop:])
	if l.kind == day {
		if bytes.ContainsAny(time, "123456789") {
			return "a time that would be cut off"
		}
		return ""
	}
	if point := bytes.IndexByte(time, '.'); point >= 0 && tooFine(time[point:], l.digits) {
		return "fractions of a second that would be rounded"
	}
	if (l.kind == clock || l.kind == zoneClock) && bytes.ContainsAny(text[:at], "0123456789") {
		return "a date that would be cut off"
	}
	if (l.kind == moment || l.kind == clock) && len(zone) > 1 && (zone[0] == '+' || zone[0] == '-') && bytes.ContainsAny(zone, "123456789") {
		return "a time zone that would be passed over"
	}
	return ""
}

func isDigit(b byte) bool { return b >= '0' && b <= '9' }

// clockAt is where the time begins in a text: two digits before the first colon, or
// behind a T between digits, as ISO 8601 has it without colons too.
func clockAt(text []byte) int {
	if at := bytes.IndexByte(text, ':'); at >= 0 {
		for i := 0; i < 2 && at > 0 && isDigit(text[at-1]); i++ {
			at--
		}
		return at
	}
	for at := 1; at+1 < len(text); at++ {
		if (text[at] == 'T' || text[at] == 't' || text[at] == ' ') && isDigit(text[at-1]) && isDigit(text[at+1]) {
			return at + 1
		}
	}
	return -1
}

// tooFine reports whether more than n digits after the point mean anything.
func tooFine(fraction []byte, n int) bool {
	last := 0
	for i := 1; i < len(fraction) && isDigit(fraction[i]); i++ {
		if fraction[i] != '0' {
			last = i
		}
	}
	return last > n
}

// below reports whether a decimal number has a digit other than 0 for a power of
// ten that is lower than one.
func below(number []byte, power int) bool {
	mantissa, e := number, 0
	if i := bytes.IndexAny(number, "eE"); i >= 0 {
		var err error
		if e, err = strconv.Atoi(string(number[i+1:])); err != nil || e > math.MaxInt32 || e < math.MinInt32 {
			return err == nil && e < 0
		}
		mantissa = number[:i]
	}
	point := bytes.IndexByte(mantissa, '.')
	if point < 0 {
		point = len(mantissa)
	}
	last := len(mantissa) - 1
	for last >= 0 && (mantissa[last] < '1' || mantissa[last] > '9') {
		last--
	}
	if last < 0 {
		return false
	}
	lowest := point - 1 - last
	if last > point {
		lowest++
	}
	return lowest+e < power
}

// exact reports whether a float holds a number that is written as a whole one.
func exact(number []byte, bits int) bool {
	if len(number) <= 7 || bits == 64 && len(number) <= 15 {
		return true
	}
	digits := bytes.TrimLeft(bytes.TrimLeft(number, "+-"), "0")
	if len(bytes.Trim(digits, "0123456789")) > 0 {
		return true
	}
	x, err := strconv.ParseFloat(string(digits), bits)
	return err != nil || strconv.FormatFloat(x, 'f', 0, 64) == string(digits)
}
