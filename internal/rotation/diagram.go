package rotation

import (
	"fmt"
	"slices"
	"strings"
)

// Diagram draws Table as a Mermaid state diagram: one arrow for each pair of
// phases, labelled with the events that may take a zone along it. The arrows
// from [*] are the phases in which NewTrip can begin.
func Diagram() string {
	var b strings.Builder
	b.WriteString("stateDiagram-v2\n")
	for _, first := range beginnings() {
		fmt.Fprintf(&b, "    [*] --> %s\n", first)
	}
	for _, a := range arrows() {
		fmt.Fprintf(&b, "    %s --> %s : %s\n", a.from, a.to, strings.Join(a.on, ", "))
	}
	fmt.Fprintf(&b, "    %s --> [*]\n", PhaseEnded)
	return b.String()
}

func beginnings() []Phase {
	var first []Phase
	for _, t := range []*Trip{
		NewTrip(Rotate, "", nil, Timing{}, "", false),
		NewTrip(Rotate, "", nil, Timing{}, "", true),
		NewTrip(Rotate, "", nil, Timing{}, Absent, true),
		NewTrip(Repair, "", nil, Timing{}, "", false),
		NewStagedTrip("", nil, Timing{}, ""),
		NewStagedTrip("", nil, Timing{}, Absent),
	} {
		if !slices.Contains(first, t.Phase) {
			first = append(first, t.Phase)
		}
	}
	return first
}

type arrow struct {
	from, to Phase
	on       []string
}

// arrows are the rows of Table gathered by their two ends, in its order.
func arrows() []arrow {
	var all []arrow
	for _, row := range Table() {
		for _, to := range row.To {
			i := slices.IndexFunc(all, func(a arrow) bool { return a.from == row.From && a.to == to })
			if i < 0 {
				i = len(all)
				all = append(all, arrow{from: row.From, to: to})
			}
			all[i].on = append(all[i].on, string(row.On))
		}
	}
	return all
}
