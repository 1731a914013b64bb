package reference

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Commands renders every command below root with its flags and its help, in the
// order of their names.
func Commands(root *cobra.Command) string {
	var b strings.Builder
	for _, c := range root.Commands() {
		command(&b, c)
	}
	return strings.TrimSpace(b.String())
}

func command(b *strings.Builder, c *cobra.Command) {
	if c.Hidden || c.Name() == "help" {
		return
	}
	fmt.Fprintf(b, "### `%s`\n\n%s.\n\n", c.UseLine(), strings.TrimSuffix(c.Short, "."))
	if codes := under(c.Long, "Exit codes:"); len(codes) > 0 {
		b.WriteString("Exit codes: ")
		for i, line := range codes {
			code, text, _ := strings.Cut(strings.TrimSpace(line), " ")
			if i > 0 {
				b.WriteString("; ")
			}
			fmt.Fprintf(b, "**%s** %s", code, strings.TrimSpace(text))
		}
		b.WriteString(".\n\n")
	}
	b.WriteString(Flags(c.LocalNonPersistentFlags()))
	if c.Example != "" {
		fmt.Fprintf(b, "```\n%s\n```\n\n", strings.ReplaceAll(strings.TrimPrefix(c.Example, "  "), "\n  ", "\n"))
	}
	for _, sub := range c.Commands() {
		command(b, sub)
	}
}

// under are the lines of text under a heading, up to the next empty line.
func under(text, heading string) []string {
	_, rest, ok := strings.Cut(text, heading+"\n")
	if !ok {
		return nil
	}
	rest, _, _ = strings.Cut(rest, "\n\n")
	return strings.Split(strings.TrimRight(rest, "\n"), "\n")
}

// Flags renders flags as a table; "" when there are none.
func Flags(set *pflag.FlagSet) string {
	var b strings.Builder
	set.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		name := "`--" + f.Name + "`"
		if f.Shorthand != "" {
			name += ", `-" + f.Shorthand + "`"
		}
		def := ""
		if f.DefValue != "" && f.DefValue != "[]" && f.DefValue != "false" && f.DefValue != "0" {
			def = "`" + f.DefValue + "`"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", name, f.Value.Type(), def, cell(f.Usage))
	})
	if b.Len() == 0 {
		return ""
	}
	return "| flag | type | default | what it does |\n|---|---|---|---|\n" + b.String() + "\n"
}
