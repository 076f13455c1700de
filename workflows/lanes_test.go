package workflows_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"keywave/internal/plan"
	"keywave/internal/rotation"
	"keywave/workflows"
)

const other rotation.Account = "cn"

// shared gives every so-many-th zone to the other account.
func (w *world) shared(every int) *world {
	for i, id := range w.order {
		if i%every == every-1 {
			w.zones[id].account = other
		}
	}
	return w
}

// lanes runs a campaign and compares the parts of the accounts with the whole.
func (w *world) lanes(p plan.Plan) workflows.Status {
	w.Helper()
	in := w.campaignIn(p)
	in.Reread, in.RereadBy = 3, map[rotation.Account]int{account: 2, other: 1}
	s := w.campaign(in)
	w.judgeAccounts(s)
	return s
}

func (w *world) judgeAccounts(s workflows.Status) {
	w.Helper()
	var zones rotation.Counts
	var api rotation.API
	for _, a := range s.Accounts {
		zones, api = zones.Plus(a.Zones), api.Plus(a.API)
		done := 0
		for _, id := range w.of(a.Account, w.order) {
			if w.records[id].Outcome == rotation.Done {
				done++
			}
		}
		if s.EndedAt != nil && a.Zones.Done != done || !a.Zones.Balanced() {
			w.Errorf("account %s has %d zones done, and says %+v\n%s", a.Account, done, a.Zones, w.story())
		}
	}
	if zones != s.Zones || api != s.API || len(s.Accounts) != len(w.accounts()) {
		w.Errorf("the accounts add up to %+v %+v, and the campaign is %+v %+v\n%s", zones, api, s.Zones, s.API, w.story())
	}
}

// judgeBrakes: while an account's brake is on, no refresh of its zones is asked
// for.
func (w *world) judgeBrakes() {
	w.Helper()
	since := map[string]time.Time{}
	for _, e := range w.events {
		switch e.what {
		case "rate":
			queue, braked := strings.CutSuffix(e.note, " braked")
			if delete(since, queue); braked {
				since[queue] = e.at
			}
		case workflows.ActRefresh:
			if on := since[workflows.RefreshQueue(w.zones[e.zone].account)]; !on.IsZero() && e.at.After(on) {
				w.Errorf("%s: a refresh was asked for %s after its account's brake was on\n%s", e.zone, e.at.Sub(on), w.story())
				return
			}
		}
	}
}

// sentOf are the times at which an account's refreshes were sent.
func (w *world) sentOf(a rotation.Account) []time.Duration {
	var at []time.Duration
	for _, e := range w.happened("sent") {
		if w.zones[e.zone].account == a {
			at = append(at, e.at.Sub(noon))
		}
	}
	return at
}

func between(at []time.Duration, from, to time.Duration) int {
	return len(slices.DeleteFunc(slices.Clone(at), func(d time.Duration) bool { return d < from || d >= to }))
}

// An account whose calls take long, or that has no worker for a while, holds up
// no other account. The next wave waits for both.
func TestASlowAccountHoldsUpNoOther(t *testing.T) {
	for what, slowly := range map[string]func(w *world){
		"its calls take long": func(w *world) {
			for _, id := range w.of(other, w.order) {
				w.zones[id].refresh = []refreshing{slow(28 * time.Second)} // from 30 s on it would be exposed
			}
		},
		"nobody serves it": func(w *world) { w.queued = noWorkers(workflows.RefreshQueue(other), 50*time.Second) },
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t, 32, 4, 2).shared(2)
			slowly(w)
			p := w.plan(settings(func(s *plan.Settings) { s.Waves, s.Window = []string{"24", "100%"}, 2 }), 4)
			early := w.status(25 * time.Second)
			s := w.lanes(p)
			if s.State != workflows.StateDone || s.Accounts[0].Zones.Done != 16 || s.Accounts[1].Zones.Done != 16 {
				t.Fatalf("%+v\n%s", s, w.story())
			}
			if early.Accounts[0].Zones.Done != 12 || early.Accounts[1].Zones.Done > 2 || early.State != workflows.StateRunning {
				t.Errorf("after 25 s: %+v\n%s", early, w.story())
			}
			if mine, others := w.sentOf(account), w.sentOf(other); mine[11] > 25*time.Second || mine[12] < others[11] {
				t.Errorf("the first wave's 12 zones of %s were refreshed until %s, the second's from %s on; %s ended its first wave at %s", account, mine[11], mine[12], other, others[11])
			}
		})
	}
}

// The brake of one account holds only its zones. When nothing else is left, the
// campaign says that it needs a person.
func TestBrakeOfOneAccount(t *testing.T) {
	w := newWorld(t, 24, 4, 2).shared(3)
	for _, z := range w.zones {
		z.refresh = []refreshing{slow(5 * time.Second)}
	}
	whose := w.say(time.Second, workflows.UpdateSet, workflows.Order{By: "ann", Rate: "0", Reason: "incident 7"})
	nobody := w.say(time.Second, workflows.UpdateSet, workflows.Order{By: "ann", Account: "us", Rate: "0", Reason: "incident 7"})
	brake := w.say(2*time.Second, workflows.UpdateSet, workflows.Order{By: "ann", Account: other, Rate: "0", Reason: "incident 7"})
	soon := w.status(12 * time.Second)
	braked := w.status(time.Hour)
	resume := w.say(time.Hour, workflows.UpdateResume, workflows.Order{By: "bob"})
	w.say(2*time.Hour, workflows.UpdateSet, workflows.Order{By: "ann", Account: other, Rate: "5", Reason: "over"})
	s := w.lanes(w.plan(usualSettings(), 3))
	if whose.rejected == nil || whose.rejected.Error() != "the campaign is of accounts acme and cn, each with a rate of its own; say which one: --account acme" {
		t.Errorf("a rate of no account: %v", whose.rejected)
	}
	if nobody.rejected == nil || !strings.Contains(nobody.rejected.Error(), "of accounts acme and cn") || !brake.complete {
		t.Errorf("another account's: %v, %+v", nobody.rejected, brake)
	}
	if len(w.rates) != 2 || w.rates[0].Queue != workflows.RefreshQueue(other) || *w.rates[1].PerSecond != 5 {
		t.Errorf("rates: %+v", w.rates)
	}
	if soon.State != workflows.StateRunning || soon.Reason != "the brake of account cn is on: incident 7; the zones of the other accounts go on" || soon.Accounts[1].Brake != "incident 7" || soon.Accounts[0].Brake != "" {
		t.Errorf("after 12 s: %+v\n%s", soon, w.story())
	}
	if braked.State != workflows.StatePaused || braked.Reason != "the brake of account cn is on: incident 7" || !strings.HasPrefix(braked.Next, "keywave brake off --account cn ") || braked.Accounts[0].Zones.Done != 16 {
		t.Errorf("after an hour: %+v\n%s", braked, w.story())
	}
	if resume.rejected == nil || !strings.Contains(resume.rejected.Error(), "brake off --account cn") {
		t.Errorf("resumed under the brake: %v", resume.rejected)
	}
	if held := w.sentOf(other); between(held, 3*time.Second, 2*time.Hour) > 0 || len(held) != 8 {
		t.Errorf("%s was refreshed at %v\n%s", other, held, w.story())
	}
	if s.State != workflows.StateDone || !logged(s, "set the rate of account cn to 5", "over") {
		t.Errorf("%+v\n%s", s, w.story())
	}
}

// Refused credentials stop the whole campaign, which says whose they are.
func TestADeniedAccountStopsTheCampaign(t *testing.T) {
	w := newWorld(t, 20, 4, 2).shared(2)
	for _, id := range w.of(other, w.order) {
		w.zones[id].refresh = []refreshing{refused("AuthFailure.SignatureFailure", true)}
	}
	p := w.plan(settings(func(s *plan.Settings) { s.Window, s.MaxFailed = 1, "100%" }), 6)
	paused := w.status(time.Minute)
	w.say(time.Hour, workflows.UpdateCancel, workflows.Order{By: "ann"})
	s := w.lanes(p)
	if paused.State != workflows.StatePaused || !strings.Contains(paused.Reason, "every zone of account cn would fail alike") || paused.Zones.Done > 4 {
		t.Errorf("%+v\n%s", paused, w.story())
	}
	if s.State != workflows.StateCancelled {
		t.Errorf("%+v", s)
	}
}

// A run that was continued as new knows which account's brake is on.
func TestContinuedWithABrake(t *testing.T) {
	w := newWorld(t, 8, 4, 2).shared(2)
	p := w.plan(usualSettings(), 4)
	in := w.campaignIn(p)
	in.Began = noon
	budget, err := p.Settings.Budget(p.Zones)
	if err != nil {
		t.Fatal(err)
	}
	steering := rotation.NewSteering([]rotation.Account{account, other}, len(p.Waves), nil, false)
	steering.Take(rotation.Happening{On: rotation.EventWave})
	steering.Take(rotation.Happening{On: rotation.EventBrakeOn, Account: other, Why: "incident 7"})
	in.State = &workflows.CampaignState{
		StartedAt: noon, Todo: []int{1, 2}, Window: 4, Budget: budget, Steering: steering,
		Lanes: []workflows.Lane{{Account: account}, {Account: other}},
	}
	braked := w.status(time.Hour)
	w.say(2*time.Hour, workflows.UpdateSet, workflows.Order{By: "ann", Account: other, Rate: "default", Reason: "over"})
	s := w.campaign(in)
	w.judgeAccounts(s)
	if braked.State != workflows.StatePaused || braked.Zones.Done != 4 || between(w.sentOf(other), 0, 2*time.Hour) > 0 || s.State != workflows.StateDone {
		t.Errorf("after an hour: %+v, at the end %+v\n%s", braked, s, w.story())
	}
}

// Many schedules with brakes, pauses and resumes: each account keeps its
// window, no zone that a brake holds is refreshed, and the counts of the
// accounts always add up.
func TestSchedulesOfAccounts(t *testing.T) {
	seeds := uint64(60)
	if testing.Short() {
		seeds = 15
	}
	for seed := range seeds {
		scheduleOfAccounts(t, seed)
		if t.Failed() {
			t.Logf("seed %d", seed)
			return
		}
	}
}

func scheduleOfAccounts(t *testing.T, seed uint64) {
	dice := rand.New(rand.NewPCG(seed, 17))
	ms := func(most int) time.Duration { return time.Duration(dice.IntN(most)+1) * time.Millisecond }
	w := newWorld(t, 10+dice.IntN(20), 3+dice.IntN(4), 1+dice.IntN(2)).shared(2 + dice.IntN(3))
	w.took.refresh, w.took.read, w.took.prove, w.took.put = ms(900), ms(500), ms(1500), ms(900)
	for _, id := range w.order {
		z := w.zones[id]
		switch dice.IntN(8) {
		case 0:
			z.refresh = []refreshing{unanswered(ms(299_000))}
		case 1:
			z.refresh = []refreshing{refused(fmt.Sprintf("Code%d", dice.IntN(3)), false)}
		case 2:
			z.refresh = []refreshing{notSent(true)}
		case 3, 4:
			z.refresh = []refreshing{slow(ms(15_000))}
		}
	}
	p := w.plan(settings(func(s *plan.Settings) {
		s.Waves, s.Window, s.MaxFailed = []string{"10%", "50%", "100%"}, 1+dice.IntN(5), "100%"
		s.MaxExposed = 1000 // a request that lands late exposes its zone until the next read
	}), 2+dice.IntN(4))
	for n := range p.Pages {
		if dice.IntN(3) == 0 {
			w.starts[workflows.ShardID("c", n+1)] = ms(3000)
		}
	}
	lots, whole := 1000, p.Settings.Window // an order set never makes the window wider, so this window bounds them all
	at := time.Duration(0)
	var looks []*workflows.Status
	braked := map[rotation.Account]bool{}
	cancelled := false
	for range 12 {
		at += ms(12_000)
		a := []rotation.Account{account, other}[dice.IntN(2)]
		switch dice.IntN(6) {
		case 5:
			if dice.IntN(8) == 0 {
				cancelled = true
				w.say(at, workflows.UpdateCancel, workflows.Order{})
			}
		case 0:
			w.say(at, workflows.UpdatePause, workflows.Order{})
		case 1:
			w.say(at, workflows.UpdateResume, workflows.Order{MaxExposed: &lots})
		case 2:
			window := 1 + dice.IntN(whole)
			w.say(at, workflows.UpdateSet, workflows.Order{Window: &window})
		default:
			rate := "0"
			if braked[a] {
				rate = "default"
			}
			braked[a] = !braked[a]
			w.say(at, workflows.UpdateSet, workflows.Order{Account: a, Rate: rate, Reason: "?"})
		}
		looks = append(looks, w.status(at+ms(5000)))
	}
	for _, a := range w.accounts() {
		w.say(at+10*time.Minute, workflows.UpdateSet, workflows.Order{Account: a, Rate: "default", Reason: "none"})
	}
	w.say(at+11*time.Minute, workflows.UpdateResume, workflows.Order{MaxExposed: &lots})
	w.after(at+3*time.Hour, func() { w.env.CancelWorkflow() })
	var s workflows.Status
	w.execute(workflows.CampaignID("c"), workflows.TypeCampaign, w.campaignIn(p), &s)
	s.Window = whole
	w.judgeStatus(s)
	w.judgeAccounts(s)
	w.judgeBrakes()
	for _, look := range looks {
		if look.Campaign != "" {
			w.judgeAccounts(*look)
		}
	}
	if s.Zones.Exposed+s.Zones.Unknown > 0 || s.State == workflows.StateCancelled && !cancelled {
		t.Errorf("%+v\n%s", s, w.story())
	}
}
