package workflows

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"keywave/internal/plan"
	"keywave/internal/rotation"
)

// blobLimit is how much Temporal accepts at once.
const blobLimit = 2 << 20

// A campaign of 100,000 zones has all its pages open, and every note, reason
// and name is as long as it may be. What it hands over to its next run takes
// less than half of what Temporal accepts.
func TestStateFitsThroughTemporal(t *testing.T) {
	const pages, zones, decisions = 205, 500, 500
	long, name := strings.Repeat("w", maxWords), strings.Repeat("n", maxName)
	now := time.Date(2026, 11, 23, 12, 0, 0, 123456789, time.UTC)
	fingerprint := strings.Repeat("f", 32)

	c := &campaign{st: &CampaignState{StartedAt: now, Window: 1000, Gate: GateHealth, Asked: now, Notices: 99, Told: 99999, Seq: 99999, Describes: 100000, Mended: true, GoOutside: true, Surprised: 99, PastTold: true, Complete: true}}
	c.st.Budget = rotation.Budget{MaxFailed: 100000, MaxExposed: 100000}
	c.st.Plan = &plan.Plan{Name: name, Made: now, Zones: pages * zones, Digest: fingerprint, Source: long, Settings: plan.Settings{
		Waves: []string{"1", "5%", "25%", "100%"}, MaxFailed: "100%", Approve: []int{1, 2, 3, 4}, Health: []string{name, name}, Notify: []string{"start", "gate"}, Windows: []string{long, long, long}, Freeze: []string{long, long, long},
	}}
	var accounts []rotation.Account
	for i := range 8 {
		a := rotation.Account(fmt.Sprintf("%d%s", i, name))
		accounts = append(accounts, a)
		c.st.Lanes = append(c.st.Lanes, Lane{Account: a, Zones: rotation.NewCounts(100000), API: rotation.API{Refresh: 100000, Describe: 100000}})
		c.st.Plan.Accounts = append(c.st.Plan.Accounts, plan.Share{Account: a, Zones: 100000})
	}
	for range 12 {
		w := plan.Wave{Zones: 100000, First: 100, Last: 200}
		for _, a := range accounts {
			w.Parts = append(w.Parts, plan.Part{Account: a, Zones: 10000, First: 100, Last: 200})
		}
		c.st.Plan.Waves = append(c.st.Plan.Waves, w)
	}
	c.st.Steering = rotation.NewSteering(accounts, 12, []int{1, 2, 3, 4}, false)
	for _, k := range rotation.PauseKinds() {
		c.st.Steering.Reasons = append(c.st.Steering.Reasons, rotation.PauseReason{Kind: k, Since: now, By: name, Why: long + long})
	}
	for page := range pages {
		c.st.Todo, c.st.Settled = append(c.st.Todo, page+1), append(c.st.Settled, page+1)
		c.st.Plan.Pages = append(c.st.Plan.Pages, fingerprint)
		c.st.Open = append(c.st.Open, c.asOpen(page+1, fatPage(zones, long+long, name), "01234567-89ab-cdef-0123-456789abcdef"))
	}
	c.st.Closed = fatPage(zones, "", "").Tally
	for i := range decisions {
		zone := rotation.ZoneID(fmt.Sprintf("zone-%012d", i))
		c.st.Decided.Skipped = append(c.st.Decided.Skipped, Skipped{Zone: zone, By: "somebody@some-machine.example.com", Reason: long})
		if i < 50 {
			c.st.Decided.Retired = append(c.st.Decided.Retired, Retired{Host: rotation.HostName(name), Zone: zone, By: name, Reason: long})
		}
		c.st.Log.Add(Entry{At: now, What: skippedZone + string(zone), By: "somebody@some-machine.example.com", Reason: long})
		c.st.Log.Add(Entry{At: now, What: fmt.Sprintf("approved wave %d", i), By: "somebody@some-machine.example.com", Reason: long})
	}
	whole(t, reflect.ValueOf(*c.st))
	body, err := json.Marshal(CampaignIn{Name: name, Plan: name, Digest: fingerprint, Reason: long, Emergency: long, State: c.st})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes: %s", len(body), parts(t, c.st))
	if len(body) > blobLimit/2 {
		t.Errorf("%d bytes are more than half of %d", len(body), blobLimit)
	}
}

// whole says that no field was left out, because a new field takes room too.
func whole(t *testing.T, state reflect.Value) {
	t.Helper()
	for i := range state.NumField() {
		if state.Field(i).IsZero() {
			t.Errorf("field %s is empty: what does it take at most?", state.Type().Field(i).Name)
		}
	}
}

// parts says how much room each field takes.
func parts(t *testing.T, state *CampaignState) string {
	t.Helper()
	var all []string
	v := reflect.ValueOf(*state)
	for i := range v.NumField() {
		body, err := json.Marshal(v.Field(i).Interface())
		if err != nil {
			t.Fatal(err)
		}
		if len(body) > 1000 {
			all = append(all, fmt.Sprintf("%s %d", v.Type().Field(i).Name, len(body)))
		}
	}
	return strings.Join(all, ", ")
}

// fatPage is a page with as many different exposures, and with notes as long,
// as there can be.
func fatPage(zones int, why, name string) ShardOut {
	out := ShardOut{Tally: rotation.Tally{Zones: rotation.NewCounts(zones), Hosts: rotation.HostCounts{Total: 3 * zones, Acknowledged: 3 * zones}}}
	memories := make([]rotation.Memory, zones)
	for i := range zones {
		out.Tally.Exposures.Add(int64(100 + 37*i))
		memories[i] = rotation.Memories()[i%len(rotation.Memories())]
	}
	out.Past = rotation.PastOf(memories)
	out.Note = rotation.ShardNote{Halt: why, Surprised: zones}
	for range 5 {
		out.Note.Attention = append(out.Note.Attention, Attention{Zone: "zone-0123456789ab", Outcome: rotation.Unchanged, Why: why})
		out.Note.SetAside = append(out.Note.SetAside, Attention{Host: rotation.HostName(name), Why: why})
	}
	return out
}

// The records that pages keep fit through Temporal, however many hosts a zone
// has.
func TestKeptRecordsFitThroughTemporal(t *testing.T) {
	why, name := strings.Repeat("w", 240), strings.Repeat("n", 63)
	for _, c := range []struct {
		hosts int
		acks  bool // whether acknowledgements are kept
	}{{3, true}, {60, false}} {
		records := make([]rotation.Record, 500)
		for i := range records {
			records[i] = rotation.Record{
				Zone: rotation.ZoneID(fmt.Sprintf("zone-%012d", i)), Outcome: rotation.Done, Why: why, From: "0123456789abcdef", To: "0123456789abcdef",
				RequestID: "01234567-89ab-cdef-0123-456789abcdef", Since: time.Now(), EndedAt: time.Now(), ExposureMs: 12345,
			}
			for h := range c.hosts {
				records[i].Acks = append(records[i].Acks, rotation.HostTime{Host: rotation.HostName(fmt.Sprintf("%s-%d", name, h)), Ms: 12345})
			}
		}
		kept := keepable(records)
		if (len(kept[0].Acks) > 0) != c.acks || len(records[0].Acks) != c.hosts {
			t.Errorf("of %d hosts %d acknowledgements are kept", c.hosts, len(kept[0].Acks))
		}
		in := PageIn{Records: map[string][]rotation.Record{"a": kept, "b": kept}}
		body, err := json.Marshal(in)
		if err != nil || len(body)+plan.MaxPageBytes > blobLimit {
			t.Errorf("a page with the records of two campaigns takes %d bytes (%v)", len(body), err)
		}
	}
}
