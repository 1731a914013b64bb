package duckread

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"elt/internal/scan"
)

// DuckDB's JSON reader hands out a number with a point or an exponent as the
// nearest DOUBLE, whatever type the column has. Numbers for which that loses
// digits are found in the bytes of the files, and such files are read line by
// line, each of these numbers as a text.

// longRun is the length from which a number may have more digits than a DOUBLE
// holds: 15 always fit. Looking at every longRun-th byte finds each such run.
const longRun = 16

func inNumber(b byte) bool { return b >= '0' && b <= '9' || b == '.' }

// roundsNumbers reports whether text may hold a number that a DOUBLE rounds:
// with a point or an exponent, or where integers is set, without them. It may
// say so of a number inside a string. A run that the end cuts off is not judged.
func roundsNumbers(text []byte, integers bool) bool {
	for i := longRun - 1; i < len(text); i += longRun {
		if !inNumber(text[i]) {
			continue
		}
		start, end := i, i+1
		for start > 0 && inNumber(text[start-1]) {
			start--
		}
		for end < len(text) && inNumber(text[end]) {
			end++
		}
		i = max(i, end-1)
		if end-start < longRun || end == len(text) || start > 0 && text[start-1] == '"' {
			continue
		}
		number := string(text[start:end])
		if text[end] == 'e' || text[end] == 'E' {
			number += "e0"
		} else if !integers && !strings.Contains(number, ".") {
			continue
		}
		if rounds(number) {
			return true
		}
	}
	return false
}

// rounds reports whether a DOUBLE does not hold number, which is one in JSON's form.
func rounds(number string) bool {
	f, err := strconv.ParseFloat(number, 64)
	return err != nil || significant(number) != significant(strconv.FormatFloat(f, 'e', -1, 64))
}

// significant are the digits of a number that count.
func significant(number string) string {
	mantissa, _, _ := strings.Cut(strings.ToLower(number), "e")
	return strings.TrimRight(strings.TrimLeft(strings.Replace(mantissa, ".", "", 1), "-+0"), "0")
}

// member is a key of an object with its value as it stands there.
type member struct {
	key   string
	value json.RawMessage
}

// members splits an object.
func members(object []byte) ([]member, error) {
	d := json.NewDecoder(bytes.NewReader(object))
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	var out []member
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		name, ok := key.(string)
		if !ok {
			return nil, fmt.Errorf("a key is %v", key)
		}
		m := member{key: name}
		if err := d.Decode(&m.value); err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}

// isNumber reports whether value is a JSON number.
func isNumber(value []byte) bool {
	return len(value) > 0 && (value[0] == '-' || value[0] >= '0' && value[0] <= '9')
}

// verbatim writes an object anew: numbers that a DOUBLE rounds, and the values of
// the columns of type JSON, as texts of what stands there.
func verbatim(object []byte, cols []column) ([]byte, error) {
	all, err := members(object)
	if err != nil {
		return nil, err
	}
	document := map[string]bool{}
	for _, c := range cols {
		document[c.source] = c.document()
	}
	var b bytes.Buffer
	for i, m := range all {
		if i > 0 {
			b.WriteByte(',')
		}
		value := []byte(m.value)
		if document[m.key] && string(value) != "null" || isNumber(value) && rounds(string(value)) {
			if value, err = json.Marshal(string(m.value)); err != nil {
				return nil, err
			}
		}
		key, err := json.Marshal(m.key)
		if err != nil {
			return nil, err
		}
		b.Write(key)
		b.WriteByte(':')
		b.Write(value)
	}
	return append(append([]byte("{"), b.Bytes()...), '}'), nil
}

// numbers is what was seen of the numbers of a column.
type numbers struct {
	rounded, fraction bool
	whole             int // the most digits of an integer
}

func (n *numbers) add(text string) {
	n.rounded = n.rounded || rounds(text)
	if strings.ContainsAny(text, ".eE") {
		n.fraction = true
		return
	}
	n.whole = max(n.whole, len(strings.TrimPrefix(text, "-")))
}

// typ is the type of the numbers: that which holds integers with all their
// digits, and DOUBLE for fractions, as numberTest has it.
func (n *numbers) typ() string {
	const most = 38
	switch {
	case !n.rounded || n.fraction:
		return "DOUBLE"
	case n.whole > most:
		return "VARCHAR"
	default:
		return fmt.Sprintf("DECIMAL(%d,0)", most)
	}
}

// sampleBytes is how much of a file is looked at for numbers.
const sampleBytes = 1 << 20

// refineNumbers finds the type of the JSON columns that the sniffer calls DOUBLE.
func (p *plan) refineNumbers() error {
	seen := map[string]*numbers{}
	for _, c := range p.cols {
		if c.sniffed == "DOUBLE" && !c.declared {
			seen[c.source] = &numbers{}
		}
	}
	if len(seen) == 0 {
		return nil
	}
	step := (len(p.files) + sampleFiles - 1) / sampleFiles
	for i := 0; i < len(p.files); i += step {
		if err := p.countDigits(p.files[i], seen); err != nil {
			return err
		}
	}
	for i, c := range p.cols {
		if n := seen[c.source]; n != nil {
			p.cols[i].typ = n.typ()
		}
	}
	return nil
}

// countDigits adds the numbers in the beginning of f to those that were seen.
func (p *plan) countDigits(f scan.File, seen map[string]*numbers) error {
	r, closer, err := open(f)
	if err != nil {
		return err
	}
	defer func() { _ = closer.Close() }()
	text, err := io.ReadAll(io.LimitReader(r, sampleBytes))
	if err != nil {
		return broken(f, err)
	}
	if !roundsNumbers(text, true) {
		return nil // whatever they are, a DOUBLE holds them
	}
	add := func(object []byte) {
		all, err := members(object)
		if err != nil {
			return // a bad line, or the end of the sample
		}
		for _, m := range all {
			if n := seen[m.key]; n != nil && isNumber(m.value) {
				n.add(string(m.value))
			}
		}
	}
	if p.f.Format == scan.JSONLines {
		for line := range bytes.Lines(text) {
			add(bytes.TrimPrefix(bytes.TrimSpace(line), []byte("\ufeff")))
		}
		return nil
	}
	_ = objects(bytes.NewReader(text), func(o []byte) error { add(o); return nil }) // cut off: what comes before counts
	return nil
}

// objects gives fn every value of a JSON document: of a list, or one after the other.
func objects(r io.Reader, fn func([]byte) error) error {
	text := bufio.NewReader(r)
	first, err := text.ReadByte()
	for err == nil && strings.IndexByte(" \t\r\n\xef\xbb\xbf", first) >= 0 {
		first, err = text.ReadByte()
	}
	if err == nil {
		err = text.UnreadByte()
	}
	d := json.NewDecoder(text)
	if err == nil && first == '[' {
		_, err = d.Token()
		for err == nil && d.More() {
			err = decodeOne(d, fn)
		}
		if err == nil {
			_, err = d.Token()
		}
	}
	for err == nil {
		err = decodeOne(d, fn)
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func decodeOne(d *json.Decoder, fn func([]byte) error) error {
	var value json.RawMessage
	if err := d.Decode(&value); err != nil {
		return err
	}
	return fn(value)
}
