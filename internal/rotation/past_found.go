package rotation

import "cmp"

// Found is what is known of a zone's latest run for a campaign.
type Found struct {
	History History `json:"history"`
	// Record is the last that there is; nil without one.
	Record *Record `json:"record,omitempty"`
}

// OwnRun is what a zone's own workflow says of its latest run for a campaign.
type OwnRun struct {
	Found, Running bool
	Record         *Record // nil where it ended without
}

// Find puts together what an earlier shard had heard of a zone and what the
// zone's own workflow says. A pending record of the shard proves nothing: the
// zone may have been in flight when the shard was lost. keeps says that Temporal
// still has whatever ran for the campaign.
func Find(heard *Record, own OwnRun, keeps bool) Found {
	if heard != nil && heard.Outcome == Pending {
		heard = nil
	}
	switch {
	case own.Running:
		return Found{historyRunning, heard}
	case own.Record != nil && heard == nil:
		return Found{History(own.Record.Outcome), own.Record}
	case own.Record != nil && own.Record.EndedAt.After(heard.EndedAt):
		return newer(*heard, *own.Record)
	case own.Found && own.Record == nil && (heard == nil || heard.Outcome == Unchanged):
		return Found{HistoryLost, heard}
	case heard != nil:
		return Found{History(heard.Outcome), heard}
	case keeps:
		return Found{History: HistoryNone}
	}
	return Found{History: HistoryForgotten}
}

// newer is the newer of two records. One that was handed back did nothing, so
// what was true before it still is.
func newer(before, after Record) Found {
	if after.Outcome == Pending {
		return Found{History(before.Outcome), &before}
	}
	after.From = cmp.Or(after.From, before.From)
	if after.Since.IsZero() {
		after.Since = before.Since
	}
	return Found{History(after.Outcome), &after}
}
