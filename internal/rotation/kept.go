package rotation

// What a campaign keeps of a page that is not settled, of which there may be 200:
// its whole state must pass through Temporal at once.
const (
	keptWhole = 20  // pages whose notes are kept whole
	keptWords = 160 // bytes of each reason
	keptBins  = 32  // of the exposures
)

// Kept is the tally as a campaign keeps it: its exposures are rounded up, so that
// they take little room.
func (t Tally) Kept() Tally {
	t.Exposures = t.Exposures.coarse(keptBins)
	return t
}

// coarse rounds exposures up until there are at most so many bins.
func (e Exposures) coarse(bins int) Exposures {
	each := (len(e.Bins) + bins - 1) / bins
	if each <= 1 {
		return e
	}
	rounded := Exposures{Max: e.Max}
	for from := 0; from < len(e.Bins); from += each {
		group := e.Bins[from:min(from+each, len(e.Bins))]
		sum := ExposureBin{Ms: group[len(group)-1].Ms}
		for _, b := range group {
			sum.N += b.N
		}
		rounded.Bins = append(rounded.Bins, sum)
	}
	return rounded
}

// Kept is the note as a campaign keeps it beside those of so many other pages: of
// many pages, each names one zone and one host.
func (n ShardNote) Kept(others int) ShardNote {
	most := max(len(n.Attention), len(n.SetAside))
	if others >= keptWhole {
		most = 1
	}
	n.Halt = clip(n.Halt, keptWords)
	n.Attention, n.SetAside = keptOf(n.Attention, most), keptOf(n.SetAside, most)
	return n
}

func keptOf(all []Attention, most int) []Attention {
	var some []Attention
	for _, a := range all[:min(len(all), most)] {
		a.Why = clip(a.Why, keptWords)
		some = append(some, a)
	}
	return some
}
