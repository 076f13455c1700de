package e2e

import (
	"strings"
	"testing"

	"keywave/internal/rotation"
	"keywave/workflows"
)

// What a person who has never seen Keywave finds in the Temporal UI: a campaign
// that is paused, resumed and approved from there, one that stopped because a
// host does not answer, its exposed zones, the story of a zone whose answer was
// lost, and the end.
func TestTemporalUI(t *testing.T) {
	s := raiseWith(t, strings.Replace(touchy, "{", "{approve: [2], ", 1), 40, 8, 1)
	b := look(t, s)
	exits(t, s, 2, "approve", "campaign", "start", "-f", s.Places.Fleet, "--name", "c", "--reason", "ticket 4711", "--watch")
	lost := zonesOf(t, s)[1] // it is in the second wave, on gw-eu-west-1 and gw-eu-west-2
	fault(t, s, lost, "resetAfter")
	post(t, s, "/hosts/gw-hk-2/bad", map[string]any{"kind": "dropAtExec", "match": "\nput\n"})

	campaign := workflows.CampaignID("c")
	b.opens(b.ofWorkflow(s, campaign, "user-metadata"))
	b.columns("Status", "Workflow ID", "Type", workflows.AttrOutcome, "Start")
	b.reads("rotate 40 zones on 8 hosts in 3 waves", "ticket 4711", "Campaign c gives each of 40 zones a new key",
		"It is waiting: wave 2 of 3 begins when a person approves it.", `Do next: keywave campaign approve c --wave 2 --reason "…"`,
		`Send an Update, approve, with the data {"wave": 2, "by": "your name", "reason": "…"}`,
		"1 done every host holds the live key", "39 not begun the old key is alive")
	b.sends("pause", "")
	b.becomes("It is paused: paused by an operator.", "Do next: keywave campaign resume c")
	b.turnsTo("timeline")
	b.becomes("wave 1 of 3: 1 zone", "page 1 of 3: 1 of 1 zones done", "waits for the approval of wave 2", "paused by an operator")
	b.turnsTo("user-metadata")
	b.sends("resume", "{}")
	b.becomes("It is waiting: wave 2 of 3")
	b.sends("approve", `{"wave": 2, "by": "ann", "reason": "canary is well"}`)

	b.becomes("It is paused: exposed zones:", "and the budget maxExposed is 0", "Needs a person", "exposed zone-", "gw-hk-2 lacks the new one",
		"keywave campaign resume c", "exposed the old key is dead or may be, and some host is not known to hold the live one: an outage",
		"approved wave 2 by ann: canary is well")
	b.keep("campaign")
	zone := exposedZone(t, s)

	b.follows("exposed", listOf(exposedQuery(t, "c")))
	b.reads("KeywaveCampaign", "KeywaveOutcome", `"exposed"`, workflows.ZoneID(rotation.ZoneID(zone)), "RUNNING")
	if text := b.text(); strings.Contains(text, lost) || strings.Contains(text, "COMPLETED") {
		t.Errorf("the list of exposed zones names others:\n%s", text)
	}
	b.keep("list")

	b.opens(b.ofWorkflow(s, workflows.ShardID("c", 2), "user-metadata"))
	b.reads("rotates page 2 of 3, in wave 2 of 3", "Page 2 of campaign c:", "of 19 zones done", "Needs a person")
	b.keep("shard")
	b.follows(zone, b.ofWorkflow(s, workflows.ZoneID(rotation.ZoneID(zone)), "timeline"))
	b.turnsTo("user-metadata")
	b.reads("rotates shop-", "brings the live key to the hosts (the old key is dead)", "clients of gw-hk-2 may be locked out",
		"keywave host retire gw-hk-2 --zone "+zone, "gw-hk-2 hk session:")
	b.keep("exposed-zone")

	b.opens(b.ofWorkflow(s, workflows.ZoneID(rotation.ZoneID(lost)), "timeline"))
	b.reads("COMPLETED", "new key for "+lost, "the answer was lost: did the key change?",
		"to gw-eu-west-1 and gw-eu-west-2 in eu-west", "verify after the last acknowledgement")
	b.keep("zone")

	if err := s.Heal(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.opens(b.ofWorkflow(s, campaign, "user-metadata"))
	b.becomes("now the budget is kept again")
	b.sends("resume", `{"by": "ann", "reason": "gw-hk-2 is back", "maxExposed": 40}`)
	exits(t, s, 0, "", "campaign", "watch", "c")
	b.becomes("It is done.", "40 done every host holds the live key", "resumed by ann: gw-hk-2 is back")
	b.keep("done")

	b.turnsTo("timeline")
	b.reads("COMPLETED", "wave 2 of 3: 19 zones, approved by ann: canary is well", "rotates page 2 of 3, in wave 2 of 3",
		"paused: exposed zones:", "page 2 of 3: 19 of 19 zones done", "wave 3 of 3: 20 zones", "page 3 of 3: 20 of 20 zones done")
	b.keep("timeline")
	b.opens(page{"", `shown("h1") && /^[0-9]+ Workflows?$/.test(words(shown("h1"))) && shown("tbody a")`})
	b.reads("StoredPlanPage", "kept", "campaign/c/shard/3", "done")
	b.keep("all")
	b.opens(b.ofWorkflow(s, workflows.PageID("c", 2), "timeline"))
	b.reads("until plan c is not valid any more, and no campaign of it is open")
}

func exposedQuery(t *testing.T, campaign string) string {
	t.Helper()
	s := workflows.Status{Campaign: campaign}
	s.Zones.Exposed = 1
	return s.ZoneLists()[0].Query
}
