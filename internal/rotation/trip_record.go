package rotation

import "time"

// LastAck is when the last host acknowledged Live; zero while one is missing.
func (t *Trip) LastAck() time.Time {
	var last time.Time
	if len(t.Missing()) > 0 {
		return last
	}
	for _, a := range t.Acks {
		if a.At.After(last) {
			last = a.At
		}
	}
	return last
}

// Exposure is how long the zone's clients may have been locked out until now.
func (t *Trip) Exposure(now time.Time) time.Duration {
	if t.Since.IsZero() {
		return 0
	}
	if last := t.LastAck(); !last.IsZero() {
		return max(0, last.Sub(t.Since))
	}
	return max(0, now.Sub(t.Since))
}

// Record is the trip as it is kept.
func (t *Trip) Record(now time.Time, requestID string, api API) Record {
	r := Record{
		Zone: t.Zone, Outcome: t.Ended, Why: clip(t.Why, 240), From: t.Baseline, To: t.Live,
		RequestID: requestID, Since: t.Since, API: api, EndedAt: now, Halt: t.Halt, Cause: t.Cause, Back: t.Back,
		Missing: t.missingOfLive(), Retired: t.Retired,
	}
	for _, a := range t.Acks {
		r.Acks = append(r.Acks, HostTime{a.Host, t.sinceDeath(a.At)})
	}
	if !t.Since.IsZero() && t.Live != "" {
		r.ExposureMs = max(1, t.Exposure(now).Milliseconds())
	}
	return r
}

// sinceDeath is a moment in milliseconds after the old key may have died; 0 where
// nobody knows when that was.
func (t *Trip) sinceDeath(at time.Time) int64 {
	if t.Since.IsZero() {
		return 0
	}
	return max(0, at.Sub(t.Since).Milliseconds())
}

func (t *Trip) missingOfLive() []HostName {
	if t.Live == "" {
		return nil
	}
	return t.Missing()
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xC0 == 0x80 {
		n--
	}
	return s[:n] + "…"
}

// sawHeld remembers what a host was seen to hold.
func (t *Trip) sawHeld(a Ack) {
	if a.Held == "" {
		return
	}
	for i := range t.Held {
		if t.Held[i].Host == a.Host {
			t.Held[i].Held = a.Held
			return
		}
	}
	t.Held = append(t.Held, HostHeld{a.Host, a.Held})
}

func (t *Trip) lastHeld(host HostName) Fingerprint {
	for _, h := range t.Held {
		if h.Host == host {
			return h.Held
		}
	}
	return ""
}
