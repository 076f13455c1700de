package workflows

import (
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/workflow"

	"keywave/activities"
	"keywave/internal/rotation"
)

// parcel is one delivery of a round, to the hosts of one location.
type parcel struct {
	location rotation.Location
	hosts    []rotation.HostRef
	own      string // the queue of the worker that proved them, where it goes there
	future   workflow.Future
	quiet    time.Time // when its own timeouts end it
	// earlier is a delivery by a worker that may be lost, and may live.
	earlier workflow.Future
}

// deliver makes one round over the hosts that have not acknowledged yet, all
// locations at once.
func (z *zone) deliver() {
	if !z.sleep(z.trip.Wake) {
		return
	}
	if z.running != nil && z.running.IsReady() {
		z.trip.Running()
		return
	}
	if z.sealed == nil && z.activates() {
		z.sealed = z.minted.Sealed
	}
	if z.sealed == nil && !z.reseal() {
		z.trip.Doubt()
		return
	}
	if z.withheld != "" {
		z.trip.Delivered(z.now(), withheld(z.trip.Missing(), z.withheld))
		return
	}
	var acks []rotation.Ack
	for _, p := range z.send() {
		acks = append(acks, z.receive(p)...)
	}
	z.trip.Delivered(z.now(), acks)
}

// withheld ends a round for which there is no key.
func withheld(hosts []rotation.HostName, why string) []rotation.Ack {
	acks := make([]rotation.Ack, len(hosts))
	for i, h := range hosts {
		acks[i] = rotation.Ack{Host: h, Problem: "it gets no key: " + why}
	}
	return acks
}

// send starts deliveries to all hosts that miss the key; it starts none when the last
// of them was retired.
func (z *zone) send() []*parcel {
	var all []*parcel
	missing := z.trip.Missing()
	for _, l := range z.locations() {
		hosts := z.hostsIn(l, missing)
		if len(hosts) == 0 {
			continue
		}
		p := &parcel{location: l, hosts: hosts}
		queue := LocationQueue(l)
		if own := z.proofQueue(hosts[0].Name); z.serves(own) {
			queue, p.own = own, own
		}
		z.post(p, queue)
		all = append(all, p)
	}
	return all
}

// serves says that the worker that proved the hosts is expected to bring the key at once:
// it is the first try, and nothing says that this worker may be lost. Where an answer was
// lost, so that the key was read, the worker may be lost with it.
func (z *zone) serves(own string) bool {
	return own != "" && z.trip.Round == 0 && !z.trip.Learned() && !slices.Contains(z.gone, own)
}

func (z *zone) post(p *parcel, queue string) {
	o := deliverOptions(queue, deliverySummary(p.location, p.hosts, z.trip.Round), p.own != "", z.trip.Round)
	p.future = deliverAct().start(z.work, o, activities.DeliverIn{
		Zone: z.in.Zone, Key: z.trip.Live, Sealed: z.sealed[p.location], Hosts: p.hosts, Expect: z.trip.Expect(), Staged: z.activates(),
	})
	if z.trip.Round == 0 { // the good path: it is short, and left alone
		p.quiet = z.now().Add(o.ScheduleToStartTimeout + o.StartToCloseTimeout + slack)
	}
}

// receive waits for one delivery. Where the worker that proved the hosts is gone,
// another one of the location brings it; where it may be lost, another one brings it too.
// That does no harm: hosts compare.
func (z *zone) receive(p *parcel) []rotation.Ack {
	mayBeLost := func() bool { return p.own != "" && slices.Contains(z.gone, p.own) }
	came := func() bool { return p.future.IsReady() || mayBeLost() || p.earlier != nil && p.earlier.IsReady() }
	z.waitFor(came, time.Time{}, p.quiet, exposureTold)
	if !p.future.IsReady() && mayBeLost() {
		p.earlier, p.own = p.future, ""
		z.post(p, LocationQueue(p.location))
		return z.receive(p)
	}
	if !p.future.IsReady() { // the earlier one has ended first
		var out activities.DeliverOut
		if p.earlier.Get(z.work, &out) == nil && !slices.ContainsFunc(out.Acks, func(a rotation.Ack) bool { return a.Problem != "" }) {
			return out.Acks
		}
		p.earlier = nil
		return z.receive(p)
	}
	var out activities.DeliverOut
	err := p.future.Get(z.work, &out)
	if p.own != "" && (neverStarted(err) || out.Leaving) {
		z.goes(p.own)
	}
	if p.own != "" && neverStarted(err) {
		p.own = ""
		z.post(p, LocationQueue(p.location))
		return z.receive(p)
	}
	if out.Unopened != "" {
		z.sealed = nil
		if z.activates() {
			z.minted.Sealed = nil
		}
	}
	if err == nil {
		return out.Acks
	}
	var acks []rotation.Ack
	for _, h := range p.hosts {
		acks = append(acks, rotation.Ack{Host: h.Name, Problem: z.lostDelivery(p.location, err)})
	}
	return acks
}

func (z *zone) lostDelivery(l rotation.Location, err error) string {
	if neverStarted(err) {
		return fmt.Sprintf("no worker of location %s took the delivery (is one running? keywave doctor)", l)
	}
	return "the location's worker was lost during the delivery: " + why(err)
}

// reseal asks for a new seal of the live key, because a location could not open it, the
// refresh could not seal it, or it goes to other hosts. It says whether the live
// key is still the one to deliver.
func (z *zone) reseal() bool {
	hosts := z.hosts()
	out, _ := z.ask(activities.ReadIn{Zone: z.in.Zone, Hosts: hosts}, "seal the live key anew", priorityExposed)
	if out.Problem != "" {
		z.trip.Note(out.Problem)
		return true
	}
	z.readUntil = time.Time{}
	if out.Key == z.trip.Live {
		z.seal(hosts, out.Sealed, out.Withheld)
	}
	return out.Key == z.trip.Live
}
