package deliver

import (
	"context"

	"keywave/internal/rotation"
)

// A key waits on a host in a file of its own, whose name tells zone, host and
// fingerprint: whoever activates it, from whatever worker, finds it by them.

// StagedName is the name of the file in which a key waits for zone. host is the name in
// the fleet file.
func StagedName(zone rotation.ZoneID, host rotation.HostName, key rotation.Fingerprint) string {
	return string(zone) + "." + tag(host) + "." + string(key)
}

// Stages implements rotation.Stager.
func (c *Courier) Stages() bool { return c.Settings.Write != InPlace }

// Stage implements rotation.Stager in one run of the script. A key that is staged
// already is written anew: that shows most.
func (c *Courier) Stage(ctx context.Context, zone rotation.ZoneID, key rotation.Secret) (rotation.Fingerprint, error) {
	if err := CheckKey(key); err != nil {
		return "", err
	}
	a, err := c.aside(ctx, "stage", zone, key)
	switch {
	case err != nil:
		return "", err
	case a.Verdict != "ack":
		return "", c.verdict(a, key)
	}
	return parse(zone, a.Rest)
}

// Unstage implements rotation.Stager in one run of the script.
func (c *Courier) Unstage(ctx context.Context, zone rotation.ZoneID) error {
	a, err := c.aside(ctx, "unstage", zone, rotation.Secret{})
	if err == nil && a.Verdict != "ack" {
		err = c.verdict(a, rotation.Secret{})
	}
	return err
}

// aside runs what leaves the live file alone.
func (c *Courier) aside(ctx context.Context, verb string, zone rotation.ZoneID, key rotation.Secret) (Answer, error) {
	_, err := c.Settings.File(zone)
	switch {
	case err != nil:
		return Answer{}, c.failed(rotation.StepWrite, err.Error())
	case !c.Stages():
		return Answer{}, c.failed(rotation.StepWrite, "a file that is written in place has no other beside it that waits"+stands)
	}
	var print rotation.Fingerprint
	if key != (rotation.Secret{}) {
		print = rotation.FingerprintOf(zone, key)
	}
	return c.Channel.Run(ctx, func(attempt string) Job {
		in := c.head(attempt, verb, string(zone))
		lines(in, staging)
		in.WriteString("-\n" + c.hint(zone) + "\n" + ending(attempt, print, key)) // nothing that is expected
		return Job{Attempt: attempt, Stdin: []byte(in.String()), Changes: true, Aside: true}
	})
}

// Activate implements rotation.Stager in one run of the script, to which no key is sent.
func (c *Courier) Activate(ctx context.Context, zone rotation.ZoneID, key rotation.Fingerprint, expect []rotation.Fingerprint) (rotation.Fingerprint, error) {
	if whole, is := rotation.ParseFingerprint(string(key)); !is || whole == rotation.Absent || !c.Stages() {
		return "", &rotation.GoneError{Why: c.Channel.Says("no key of that fingerprint can be staged there; nothing was changed")}
	}
	return c.land(ctx, "activate", zone, key, expect, rotation.Secret{})
}
