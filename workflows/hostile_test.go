package workflows

import (
	"strings"
	"testing"
	"time"

	"keywave/activities"
	"keywave/internal/plan"
	"keywave/internal/proving/hostile"
	"keywave/internal/rotation"
)

// pages are what the Temporal UI shows of each workflow. Every word of others
// in them is w.
func pages(w string) map[string]marked {
	at := time.Date(2026, 3, 14, 16, 41, 25, 0, time.UTC)
	var zone ZoneIn
	var trip, ended, missing rotation.Trip
	var news ZoneNews
	var shard ShardIn
	var said ShardNews
	var status Status
	var p plan.Plan
	var page PageIn
	for _, v := range []any{&zone, &trip, &ended, &missing, &news, &shard, &said, &status, &p, &page} {
		hostile.Fill(v, w)
	}
	trip.Ended, trip.Phase, news.Until = "", rotation.PhaseRefresh, at
	ended.Ended = rotation.Exposed
	missing.Ended, missing.Acks = "", nil
	alone, asked := zone, status
	alone.Campaign = ""
	asked.State, asked.Zones, asked.Next = StateWaiting, rotation.Counts{Total: 9, Done: 1, Exposed: 5}, w+" keywave zone repair "+w
	said.Tally.Zones = rotation.Counts{Total: 9, Exposed: 5}
	p.Found = 1
	return map[string]marked{
		"zone": zoneDetails(zone, &trip, news, w), "zone that ended": zoneDetails(zone, &ended, news, w),
		"zone of a person": zoneDetails(alone, &missing, ZoneNews{}, w), "shard": shardDetails(shard, said, false),
		"shard that ended": shardDetails(shard, said, true), "campaign": campaignDetails(status, at), "campaign that waits": campaignDetails(asked, at),
		"plan": planDetails(p), "page": pageDetails(page),
		"refusal": mark("Refused: %s.", home{id: w, names: []string{w}}.refuses(w)),
	}
}

// Whatever a host, a zone, EdgeOne or a person says, the page has the same
// elements as with a harmless word, links lead where ours lead, and nothing is
// hidden.
func TestPagesStandHostileWords(t *testing.T) {
	quiet := pages("calm")
	for _, w := range hostile.Words() {
		for name, page := range pages(w.Text) {
			got, _ := hostile.Dissect(hostile.InUI(string(page)))
			want, _ := hostile.Dissect(hostile.InUI(string(quiet[name])))
			if spans(got) != spans(want) {
				t.Errorf("%s, what hopes for %s:\n%s\nnot\n%s\n%s", name, w.Hope, spans(got), spans(want), page)
			}
			if bad := hostile.Seen(strings.ReplaceAll(string(page), "\n", "")); bad != "" {
				t.Errorf("%s, what hopes for %s: %s", name, w.Hope, bad)
			}
		}
	}
}

// spans leaves out what may differ: a word that a code span cannot hold is
// plain text, and the addresses of our links contain the word, escaped.
func spans(elements string) string {
	elements = strings.NewReplacer("<code>", "", "</code>", "").Replace(elements)
	parts := strings.Split(elements, `href="`)
	for i := 1; i < len(parts); i++ {
		address, rest, _ := strings.Cut(parts[i], `"`)
		if !strings.HasPrefix(address, "namespaces/") || strings.ContainsAny(address, " <>()") {
			address = "ELSEWHERE " + address
		} else {
			address = "ours"
		}
		parts[i] = address + rest
	}
	return strings.Join(parts, "")
}

// Summaries are shown as they are in one place, and as Markdown in another.
func TestSummariesStandHostileWords(t *testing.T) {
	for _, w := range hostile.Words() {
		hosts := []rotation.HostRef{{Name: rotation.HostName(w.Text), Location: rotation.Location(w.Text)}}
		trip := &rotation.Trip{Phase: rotation.PhaseDeliver, Last: []rotation.Ack{{Host: rotation.HostName(w.Text), Problem: w.Text}}}
		for _, said := range []string{
			zoneSummary(ZoneIn{Verb: rotation.Rotate, Name: w.Text, Hosts: hosts}), shardSummary(ShardIn{Campaign: w.Text, Mend: true}, w.Text, 1, 1, 1),
			refreshSummary(activities.RefreshIn{Zone: rotation.ZoneID(w.Text), Straight: []string{w.Text}, Hosts: hosts}),
			deliverySummary(rotation.Location(w.Text), hosts, 1), waitSummary(trip),
		} {
			got := childPolicy(w.Text, said).StaticSummary
			if timer := within(time.Second, said).TimerOptions.Summary; timer != got {
				t.Errorf("%q and %q", timer, got)
			}
			elements, text := hostile.Dissect(hostile.InUI(got))
			if elements != "<p></p>" || text != got || len(got) > 190 || hostile.Seen(got) != "" {
				t.Errorf("what hopes for %s: %s %q is shown as %q", w.Hope, elements, got, text)
			}
		}
	}
}
