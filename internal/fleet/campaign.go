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

// What EdgeOne's own behaviour demands of a campaign; an endpoint on this
// machine, a simulator, may do with less.
const (
	requestTimeout = 10 * time.Second  // a request may be executed as long as it is waited for
	signatureLife  = 300 * time.Second // a signed request is accepted this long (API reference, signature v3)
)

const day = 24 * time.Hour

// defaultCampaign is how a campaign runs whose fleet file does not say.
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

// campaign is the settings of a campaign against an endpoint that is on this
// machine (local) or not.
func (r *reader) campaign(n *yaml.Node, health map[string]Check, local bool) plan.Settings {
	const what = "campaign"
	in := r.fields(n, what, "waves", "bake", "window", "approve", "approveWithin", "secondPerson", "health", "notify", "maxFailed", "maxExposed", "windows", "freeze",
		"proofFor", "settle", "signatureLife", "exposedAfter", "deliverFor", "stallAfter")
	read := func(field string, fallback rotation.Span, least, most time.Duration) rotation.Span {
		return value(r, in[field], what+": "+field, fallback, span(least, most))
	}
	c := defaultCampaign()
	c.Waves = r.waves(in["waves"], what+": waves", c.Waves)
	c.Bake = read("bake", c.Bake, 0, 7*day)
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
	}
	if !local && c.Timing.Settle.D() < requestTimeout {
		r.say(in["settle"], what, "settle (%s) is shorter than the %s for which a request may still be executed; make it longer", c.Timing.Settle, requestTimeout)
	}
	if !local && c.Timing.SignatureLife.D() < signatureLife {
		r.say(in["signatureLife"], what, "signatureLife (%s) is shorter than the %s for which EdgeOne accepts a signed request; remove it", c.Timing.SignatureLife, signatureLife)
	}
	return c
}

// waves are cumulative sizes, of which the last is the whole fleet.
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

// lines is a list of texts that parse reads.
func (r *reader) lines(n *yaml.Node, what string, parse func(string) (string, error)) []string {
	var list []string
	for _, item := range r.items(n, what) {
		list = append(list, value(r, item, what, "", parse))
	}
	return list
}

// approve is the waves, counted from 1, that wait for a person, in order.
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
