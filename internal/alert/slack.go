package alert

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// What Slack takes, with room to spare: 50 blocks of 3,000 characters, 150 in a
// header, and about 13,000 in all, a limit that is not documented
// (https://github.com/slackapi/bolt-js/issues/2509). Slack cuts the plain text of
// a message itself at 40,000 and recommends 4,000.
const (
	mostBlocks  = 48
	mostHeader  = 150
	mostSection = 2900
	mostTotal   = 11000
	mostText    = 3900
)

type slackPayload struct {
	Text   string       `json:"text"`
	Blocks []slackBlock `json:"blocks,omitempty"`
}

type slackBlock struct {
	Type     string      `json:"type"`
	Text     *slackText  `json:"text,omitempty"`
	Elements []slackText `json:"elements,omitempty"`
}

type slackText struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

// Slack renders m as Block Kit, with the whole of it as plain text beside: chats
// that take Slack's payload without its blocks, such as Mattermost, show that.
// What is over a limit is cut with "and N more".
func Slack(m Message) ([]byte, error) {
	return json.Marshal(slackPayload{Text: slackPlain(m), Blocks: slackBlocks(m)})
}

// slackOnlyText is m without blocks: for a chat that refuses them.
func slackOnlyText(m Message) ([]byte, error) {
	return json.Marshal(slackPayload{Text: slackPlain(m)})
}

func slackBlocks(m Message) []slackBlock {
	header := cut(sign(m.Good)+" "+oneLine(m.Title), mostHeader, plain)
	blocks := []slackBlock{{Type: "header", Text: &slackText{"plain_text", header}}}
	footer := slackBlock{Type: "context", Elements: []slackText{{"mrkdwn", cut(oneLine(m.Footer), 300, escape)}}}
	left := mostTotal - utf8.RuneCountInString(header) - 300
	for i, s := range m.Sections {
		text := slackSection(s)
		if n := utf8.RuneCountInString(text); n > left || len(blocks) >= mostBlocks-2 {
			more := fmt.Sprintf("_and %d more_", len(m.Sections)-i)
			blocks = append(blocks, slackBlock{Type: "section", Text: &slackText{"mrkdwn", more}})
			break
		} else {
			left -= n
		}
		blocks = append(blocks, slackBlock{Type: "section", Text: &slackText{"mrkdwn", text}})
	}
	return append(blocks, footer)
}

// slackSection is one subject in mrkdwn, within the size of a section.
func slackSection(s Section) string {
	text := sign(s.Good) + " *" + cut(oneLine(s.Head), 400, escape) + "*"
	left := mostSection - utf8.RuneCountInString(text)
	add := func(line string) bool {
		n := utf8.RuneCountInString(line) + 1
		if n > left-40 { // room for "and N more"
			return false
		}
		left -= n
		text += "\n" + line
		return true
	}
	for i, f := range s.Facts {
		if !add(f.Label + ": " + cut(f.Text, 700, escape)) {
			return text + fmt.Sprintf("\n_and %d more_", len(s.Facts)-i+len(s.Code))
		}
	}
	for i, c := range s.Code {
		if !add("`" + cut(oneLine(c), 500, code) + "`") {
			return text + fmt.Sprintf("\n_and %d more_", len(s.Code)-i)
		}
	}
	return text
}

// slackPlain is the whole message as text; Slack and Mattermost read it as
// mrkdwn, so it is escaped too.
func slackPlain(m Message) string { return cut(Text(m), mostText, escape) }

// Text is m as lines for people, without any markup.
func Text(m Message) string {
	var b strings.Builder
	for i, s := range m.Sections {
		if i > 0 {
			b.WriteString("\n")
		}
		b.WriteString(sign(s.Good) + " " + oneLine(s.Head) + "\n")
		for _, f := range s.Facts {
			b.WriteString("  " + f.Label + ": " + f.Text + "\n")
		}
		for _, c := range s.Code {
			b.WriteString("  " + oneLine(c) + "\n")
		}
	}
	b.WriteString(m.Footer)
	return b.String()
}

func sign(good bool) string {
	if good {
		return "✅"
	}
	return "🔴"
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// The ways in which a text reaches Slack: each takes one character.
func plain(r rune) string { return printable(r) }

func escape(r rune) string {
	switch r {
	case '&':
		return "&amp;"
	case '<':
		return "&lt;"
	case '>':
		return "&gt;"
	}
	return printable(r)
}

// code is escape for what stands between backticks.
func code(r rune) string {
	if r == '`' {
		return "'"
	}
	return escape(r)
}

// printable drops the control characters that a source may have put in a value.
func printable(r rune) string {
	if r < ' ' && r != '\n' || r == 0x7f || r == utf8.RuneError {
		return " "
	}
	return string(r)
}

// calls are the words that would call everybody of a channel, if a value of a
// table could say them: Mattermost reads them in plain text.
var calls = regexp.MustCompile(`(?i)@(channel|here|all|everyone)\b`)

// cut is s with each character as how spells it, in at most most characters; what
// is over ends in …, and never within an escape.
func cut(s string, most int, how func(rune) string) string {
	s = calls.ReplaceAllString(s, "@\u200b$1")
	var b strings.Builder
	n := 0
	for i, r := range s {
		text := how(r)
		size := utf8.RuneCountInString(text)
		if n+size > most-1 && (n+size > most || i+utf8.RuneLen(r) < len(s)) {
			b.WriteString("…")
			break
		}
		n += size
		b.WriteString(text)
	}
	return b.String()
}
