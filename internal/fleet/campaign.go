package fleet

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"

	"keywave/internal/calendar"
	"keywave/internal/plan"
	"keywave/internal/rotation"
)

// What EdgeOne's own behaviour demands of a campaign. A simulator, which is an
// endpoint on this machine, may be used with less.
const (
	requestTimeout = 10 * time.Second  // a request that is waited for may be executed until then
	signatureLife  = 300 * time.Second // a signed request is accepted this long (API reference, signature v3)
)

const day = 24 * time.Hour

// defaultCampaign has the settings for a fleet file that names none.
func defaultCampaign() plan.Settings {
	return plan.Settings{
		Waves:      []string{"1", "5%", "25%", "100%"},
		Bake:       rotation.Span(30 * time.Second),
		Window:     40,
		MaxFailed:  "1%",
		MaxExposed: 0,
		Timing: rotation.Timing{
			ProofFor:      rotation.Span(60 * time.Second),
			Settle:        rotation.Span(requestTimeout),
			SignatureLife: rotation.Span(signatureLife),
			ExposedAfter:  rotation.Span(30 * time.Second),
			DeliverFor:    rotation.Span(time.Hour),
		},
	}
}

func campaignFields() section {
	return section{
		{"waves", listOf(aShare(), 1), "Counts or percentages, cumulative, the last one 100%; default: [1, 5%, 25%, 100%]."},
		{"bake", aSpan(), "Wait after each wave but the last; default: 30s."},
		{"strategy", choice(rotation.Strategies()...), "Who makes the new keys: EdgeOne (refresh), or the account's worker, which brings them to the hosts first (staged); default: refresh."},
		{"rollbackFor", aSpan(), "With staged: how long the former key is kept, so that it can be put back; default: 0s, which keeps none."},
		{"window", number(1, 1000), "Zones in flight of each account; default: 40."},
		{"approve", listOf(number(1, 1_000_000_000), 0), "Numbers of waves that wait for a person."},
		{"approveWithin", aSpan(), "How long a wave waits for its approval before the campaign pauses."},
		{"secondPerson", trueOrFalse(), "Whether a wave must be approved by somebody other than who started the campaign."},
		{"health", listOf(single(), 0), "Names of the checks that are asked before each next wave."},
		{"notify", listOf(choice(occasionNames()...), 0), "What people elsewhere are told of."},
		{"maxFailed", aShare(), "The campaign pauses when more zones than this are unchanged, exposed or unknown; default: 1%."},
		{"maxExposed", number(0, 1_000_000), "The campaign pauses when more zones than this are exposed; default: 0."},
		{"windows", listOf(single(), 0), "When refreshes may start, such as Sat 02:00-06:00 Asia/Hong_Kong."},
		{"freeze", listOf(single(), 0), "Dates on which none starts, such as 2026-12-20..2027-01-05."},
		{"proofFor", aSpan(), "How old a host's proof may be when the refresh is signed; default: 60s."},
		{"settle", aSpan(), "Between two reads that say unchanged; default and least: 10s."},
		{"signatureLife", aSpan(), "How long a request without an answer may still land; default and least: 300s."},
		{"exposedAfter", aSpan(), "An exposure this long is an outage, and counts; default: 30s."},
		{"deliverFor", aSpan(), "How long delivery keeps trying; default: 1h."},
		{"stallAfter", aSpan(), "After this long without any progress the campaign says that it is stalled; default: 1m."},
	}
}

// campaign reads the settings of a campaign. local says that the endpoint is on
// this machine.
func (r *reader) campaign(n *yaml.Node, health map[string]Check, local bool) plan.Settings {
	const what = "campaign"
	in := r.fields(n, what, campaignFields().names()...)
	read := func(field string, fallback rotation.Span, least, most time.Duration) rotation.Span {
		return value(r, in[field], what+": "+field, fallback, span(least, most))
	}
	c := defaultCampaign()
	c.Waves = r.waves(in["waves"], what+": waves", c.Waves)
	c.Bake = read("bake", c.Bake, 0, 7*day)
	c.Strategy = r.strategy(in["strategy"], what+": strategy")
	c.RollbackFor = read("rollbackFor", 0, 0, 30*day)
	c.Window = value(r, in["window"], what+": window", c.Window, whole(1, 1000))
	c.Approve = r.approve(in["approve"], what+": approve", len(c.Waves))
	c.ApproveWithin = read("approveWithin", 0, time.Second, 30*day)
	c.StallAfter = read("stallAfter", 0, time.Second, day)
	c.SecondPerson = value(r, in["secondPerson"], what+": secondPerson", false, boolean)
	c.Notify = r.occasions(in["notify"], what+": notify")
	c.Health = r.checks(in["health"], what+": health", health)
	c.Windows = r.lines(in["windows"], what+": windows", calendar.Window)
	c.Freeze = r.lines(in["freeze"], what+": freeze", calendar.Freeze)
	c.MaxFailed = value(r, in["maxFailed"], what+": maxFailed", c.MaxFailed, share)
	c.MaxExposed = value(r, in["maxExposed"], what+": maxExposed", c.MaxExposed, whole(0, 1_000_000))

	c.Timing.ProofFor = read("proofFor", c.Timing.ProofFor, time.Second, time.Hour)
	c.Timing.Settle = read("settle", c.Timing.Settle, 0, time.Hour)
	c.Timing.SignatureLife = read("signatureLife", c.Timing.SignatureLife, 0, day)
	c.Timing.ExposedAfter = read("exposedAfter", c.Timing.ExposedAfter, time.Second, day)
	c.Timing.DeliverFor = read("deliverFor", c.Timing.DeliverFor, time.Second, 7*day)

	if c.Timing.DeliverFor < c.Timing.ExposedAfter {
		r.say(orElse(in["deliverFor"], n), what, "deliverFor (%s) is shorter than exposedAfter (%s); make it longer", c.Timing.DeliverFor, c.Timing.ExposedAfter)
	} else if least := c.Timing.SignatureLife + c.Timing.Settle; !local && c.Timing.DeliverFor < least {
		r.say(orElse(in["deliverFor"], n), what, "deliverFor (%s) is shorter than signatureLife and settle together (%s), so that a zone could be given up while a request of it may still be executed; make it longer", c.Timing.DeliverFor, least)
	}
	if c.RollbackFor > 0 && c.Strategy != rotation.Staged {
		r.say(in["rollbackFor"], what, "rollbackFor keeps the former keys of the strategy staged, and this fleet's is refresh; remove it, or add strategy: staged")
	}
	if !local && c.Timing.Settle.D() < requestTimeout {
		r.say(in["settle"], what, "settle (%s) is shorter than the %s for which a request may still be executed; make it longer", c.Timing.Settle, requestTimeout)
	}
	if !local && c.Timing.SignatureLife.D() < signatureLife {
		r.say(in["signatureLife"], what, "signatureLife (%s) is shorter than the %s for which EdgeOne accepts a signed request; remove it", c.Timing.SignatureLife, signatureLife)
	}
	return c
}

// strategy is empty for refresh, so that a plan that names it has the digest of one that
// does not.
func (r *reader) strategy(n *yaml.Node, what string) rotation.Strategy {
	return value(r, n, what, "", rotation.ParseStrategy)
}

// waves are cumulative sizes. The last one is the whole fleet.
func (r *reader) waves(n *yaml.Node, what string, fallback []string) []string {
	if n == nil {
		return fallback
	}
	var sizes []string
	var count int
	var percent float64
	for _, item := range r.items(n, what) {
		size := value(r, item, what, "", wave)
		p, isPercent := percentOf(size)
		c, err := strconv.Atoi(size)
		switch {
		case isPercent && p < percent:
			r.say(item, what, "%s comes after %v%%; sizes are cumulative, write them in growing order", size, percent)
		case err == nil && c < count:
			r.say(item, what, "%s comes after %d; sizes are cumulative, write them in growing order", size, count)
		}
		percent, count = max(p, percent), max(c, count)
		sizes = append(sizes, size)
	}
	if n.Kind == yaml.SequenceNode && !endsWithAll(sizes) {
		r.say(n, what, "the last wave must be 100%%, so that no zone is left out; add it")
	}
	return sizes
}

func endsWithAll(sizes []string) bool {
	if len(sizes) == 0 {
		return false
	}
	percent, _ := percentOf(sizes[len(sizes)-1])
	return percent == 100
}

// lines is a list of texts, each of which parse reads.
func (r *reader) lines(n *yaml.Node, what string, parse func(string) (string, error)) []string {
	var list []string
	for _, item := range r.items(n, what) {
		list = append(list, value(r, item, what, "", parse))
	}
	return list
}

// approve is the list of waves that wait for a person, counted from 1, in
// order.
func (r *reader) approve(n *yaml.Node, what string, waves int) []int {
	var list []int
	for _, item := range r.items(n, what) {
		wave := value(r, item, what, 0, func(s string) (int, error) {
			w, err := strconv.Atoi(s)
			if err != nil || w < 1 || w > waves {
				return 0, fmt.Errorf("%q is no wave; write numbers from 1 to %d", s, waves)
			}
			return w, nil
		})
		if wave > 0 && slices.Contains(list, wave) {
			r.say(item, what, "wave %d is here twice; remove one", wave)
		}
		list = append(list, wave)
	}
	slices.Sort(list)
	return list
}
