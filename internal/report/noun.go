package report

import "fmt"

// Several counts things in English: 1 column, 2 columns. noun is the singular,
// whose plural ends in s.
func Several(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
