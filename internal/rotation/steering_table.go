package rotation

import (
	"fmt"
	"strings"
)

// DrawSteering draws SteeringTable as a Markdown table, for the docs.
func DrawSteering() string {
	var b strings.Builder
	b.WriteString("| order or event | comes | goes to | adds the reason | takes away |\n|---|---|---|---|---|\n")
	for _, r := range SteeringTable() {
		from := "at any stage"
		if len(r.From) > 0 {
			from = wordList(r.From)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", r.On, from, r.To, r.Adds, wordList(r.Lifts))
	}
	return b.String()
}

func wordList[S ~string](all []S) string {
	words := make([]string, len(all))
	for i, s := range all {
		words[i] = string(s)
	}
	return strings.Join(words, ", ")
}
