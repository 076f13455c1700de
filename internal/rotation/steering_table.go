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
			from = commas(r.From)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", r.On, from, r.To, r.Adds, commas(r.Lifts))
	}
	return b.String()
}
