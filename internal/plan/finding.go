package plan

import (
	"fmt"
	"slices"
	"strings"

	"keywave/internal/rotation"
)

// Together makes one finding of all that are of one bastion, and puts bastions first.
// What several pages say alike, of no zone, is one finding too. less is by how many the
// findings are fewer.
func Together(found []Finding) (once []Finding, less int) {
	type saying struct {
		host rotation.HostName
		text string
	}
	said := map[saying]bool{}
	var bastions, others []Finding
	for _, f := range found {
		i := slices.IndexFunc(bastions, func(b Finding) bool { return b.Bastion == f.Bastion })
		switch {
		case f.Bastion == "" && f.Zone == "" && said[saying{f.Host, f.Text}]:
			less++
		case f.Bastion == "":
			others = append(others, f)
			if f.Zone == "" {
				said[saying{f.Host, f.Text}] = true
			}
		case i < 0:
			f.Behind = slices.Clone(f.Behind)
			bastions = append(bastions, f)
		default:
			bastions[i].Behind = append(bastions[i].Behind, f.Behind...)
			less++
		}
	}
	for i := range bastions {
		slices.Sort(bastions[i].Behind)
		bastions[i].Behind = slices.Compact(bastions[i].Behind)
	}
	return append(bastions, others...), less
}

// namedBehind is how many hosts behind a bastion are named; the others are counted.
const namedBehind = 3

// Settled is the finding for people: its text says how many hosts are behind a bastion,
// and names the first.
func (f Finding) Settled() Finding {
	n := len(f.Behind)
	if f.Bastion == "" || n == 0 {
		return f
	}
	var names []string
	for _, h := range f.Behind[:min(n, namedBehind)] {
		names = append(names, string(h))
	}
	count := "1 host"
	if n > 1 {
		count = fmt.Sprintf("%d hosts", n)
	}
	f.Text += fmt.Sprintf(" (%s: %s", count, strings.Join(names, ", "))
	if n > namedBehind {
		f.Text += fmt.Sprintf(" and %d more", n-namedBehind)
	}
	f.Text += ")"
	f.Behind = nil
	return f
}

// LostBastion is the finding of a host whose proof failed at a bastion.
func LostBastion(p rotation.Proof) Finding {
	return Finding{Bastion: p.Bastion, Behind: []rotation.HostName{p.Host}, Text: p.Problem}
}
