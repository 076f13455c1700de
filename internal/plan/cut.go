package plan

import (
	"fmt"

	"keywave/internal/rotation"
)

// CutWaves turns cumulative wave sizes into the number of zones of each wave;
// waves that would be empty are dropped, and a last wave takes whatever the
// sizes leave over.
func CutWaves(total int, sizes []string) ([]int, error) {
	var waves []int
	taken := 0
	for _, size := range sizes {
		upTo, err := ParseShare(size, total)
		if err != nil {
			return nil, fmt.Errorf("waves: %w", err)
		}
		if upTo = min(upTo, total); upTo > taken {
			waves = append(waves, upTo-taken)
			taken = upTo
		}
	}
	if taken < total {
		waves = append(waves, total-taken)
	}
	return waves, nil
}

// Target is a zone to be planned.
type Target struct {
	ID      rotation.ZoneID
	Name    string
	Account rotation.Account
	Hosts   []rotation.HostRef
	// Former is the key that is to be put back, in a rollback.
	Former *rotation.Former
}

// Cut makes draft pages (without baselines) and waves of targets, in their
// order; in a wave, the zones of one account stand together. No page crosses a
// wave or has zones of two accounts.
func Cut(targets []Target, sizes []string) ([]Page, []Wave, error) {
	counts, err := CutWaves(len(targets), sizes)
	if err != nil {
		return nil, nil, err
	}
	var pages []Page
	var waves []Wave
	for w, n := range counts {
		wave := Wave{Zones: n, First: len(pages) + 1}
		for _, own := range byAccount(targets[:n]) {
			part := Part{Account: own[0].Account, Zones: len(own), First: len(pages) + 1}
			for _, some := range cutPages(own) {
				page := newPage(part.Account, some)
				page.Number, page.Wave = len(pages)+1, w+1
				pages = append(pages, page)
			}
			part.Last = len(pages)
			wave.Parts = append(wave.Parts, part)
		}
		wave.Last = len(pages)
		waves = append(waves, wave)
		targets = targets[n:]
	}
	return pages, waves, nil
}

// byAccount keeps the targets of each account together, in their order, the
// accounts in that of their first target.
func byAccount(targets []Target) [][]Target {
	at := map[rotation.Account]int{}
	var groups [][]Target
	for _, t := range targets {
		i, known := at[t.Account]
		if !known {
			i = len(groups)
			at[t.Account] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], t)
	}
	return groups
}

func cutPages(targets []Target) [][]Target {
	var parts [][]Target
	start, size := 0, 0
	seen := map[rotation.HostName]bool{}
	for i, t := range targets {
		cost := zoneBytes(t, seen)
		if i > start && (i-start == MaxPageZones || size+cost > MaxPageBytes) {
			parts = append(parts, targets[start:i])
			start, size = i, 0
			clear(seen)
			cost = zoneBytes(t, seen)
		}
		size += cost
		for _, h := range t.Hosts {
			seen[h.Name] = true
		}
	}
	return append(parts, targets[start:])
}

// zoneBytes bounds what a zone adds to its page's JSON.
func zoneBytes(t Target, seen map[rotation.HostName]bool) int {
	n := 80 + len(t.ID) + 6*len(t.Name) + 8*len(t.Hosts)
	for _, h := range t.Hosts {
		if !seen[h.Name] {
			n += 60 + len(h.Name) + len(h.Location) + len(h.Digest) + len(h.Parts)
		}
	}
	if t.Former != nil {
		n += 200 + 4*len(t.Former.Kept)/3
	}
	return n
}

func newPage(account rotation.Account, targets []Target) Page {
	page := Page{Account: account}
	index := map[rotation.HostName]int{}
	for _, t := range targets {
		z := PageZone{ID: t.ID, Name: t.Name, Former: t.Former}
		for _, h := range t.Hosts {
			i, known := index[h.Name]
			if !known {
				i = len(page.Hosts)
				index[h.Name] = i
				page.Hosts = append(page.Hosts, h)
			}
			z.Hosts = append(z.Hosts, i)
		}
		page.Zones = append(page.Zones, z)
	}
	return page
}
