package activities

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"go.temporal.io/sdk/activity"

	"keywave/internal/rotation"
)

// ReadIn asks which key of a zone is live.
type ReadIn struct {
	Zone rotation.ZoneID `json:"zone"`
	// Hosts are to be given the key; none when only its fingerprint is wanted.
	Hosts []rotation.HostRef `json:"hosts,omitempty"`
	// Known are the fingerprints of keys that need not be sealed.
	Known []rotation.Fingerprint `json:"known,omitempty"`
}

// ReadOut is the live key's fingerprint, and the key itself sealed to the hosts'
// locations when it is not one of those known.
type ReadOut struct {
	Key    rotation.Fingerprint         `json:"key,omitempty"`
	Sealed map[rotation.Location][]byte `json:"sealed,omitempty"`
	// RequestID is EdgeOne's ID of the latest call.
	RequestID string `json:"requestId,omitempty"`
	// Problem is why the key could not be read; Final that another try is not
	// worth it now, Halt that every zone would fail alike.
	Problem string `json:"problem,omitempty"`
	Code    string `json:"code,omitempty"` // EdgeOne's error code
	Final   bool   `json:"final,omitempty"`
	Halt    bool   `json:"halt,omitempty"`
	// Withheld is why the hosts may not be given the key.
	Withheld string       `json:"withheld,omitempty"`
	API      rotation.API `json:"api"`
}

// Read calls DescribeMultiPathGatewaySecretKey, which changes nothing and may
// be called again at will.
func (e *EdgeOne) Read(ctx context.Context, in ReadIn) (ReadOut, error) {
	defer beat(ctx)()
	return e.read(ctx, in, readUntil(ctx))
}

// readUntil is when an activity that reads must have its answer, or its problem.
func readUntil(ctx context.Context) time.Time {
	return activity.GetInfo(ctx).Deadline.Add(-readMargin)
}

// read is live, with the key sealed for those who are to have it.
func (e *EdgeOne) read(ctx context.Context, in ReadIn, until time.Time) (ReadOut, error) {
	key, out, err := e.live(ctx, in.Zone, until)
	if err != nil || out.Problem != "" {
		return out, err
	}
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	return e.sealed(ctx, in, key, out)
}

// live asks a few times which key is live, until then at the latest. There is no key where
// out has a Problem.
func (e *EdgeOne) live(ctx context.Context, zone rotation.ZoneID, until time.Time) (rotation.Secret, ReadOut, error) {
	bounded, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	var out ReadOut
	for try := 1; ; try++ {
		key, err := e.describe(bounded, zone, &out)
		orNone(e.Spans).Note(ctx, factZone, string(zone), factRequestID, out.RequestID)
		switch {
		case err == nil:
			return key, out, nil
		case ctx.Err() != nil:
			return key, out, ctx.Err()
		case bounded.Err() != nil:
			out.Problem = cmp.Or(out.Problem, "the live key could not be read: EdgeOne did not answer in time")
			return key, out, nil
		case !errors.As(err, new(*rotation.APIError)):
			return key, out, fail(KindLease, err.Error())
		case out.Final || try == readTries:
			return key, out, nil
		}
		_ = pause(bounded, backOff(try))
	}
}

// describe makes one call and counts it.
func (e *EdgeOne) describe(ctx context.Context, zone rotation.ZoneID, out *ReadOut) (rotation.Secret, error) {
	key, receipt, err := e.API.Describe(ctx, zone)
	out.RequestID = receipt.RequestID
	if !receipt.Signed.IsZero() {
		out.API.Describe++
	}
	var api *rotation.APIError
	switch {
	case err == nil:
		out.Problem, out.Code = "", ""
	case errors.As(err, &api):
		out.Problem, out.Code = "the live key could not be read: "+api.Error(), api.Code
		out.Halt = api.Class == rotation.Denied
		out.Final = out.Halt || api.Class == rotation.Refused
		if api.Class == rotation.Throttled {
			out.API.Throttled++
		}
	}
	return key, err
}

func (e *EdgeOne) sealed(ctx context.Context, in ReadIn, key rotation.Secret, out ReadOut) (ReadOut, error) {
	out.Key = rotation.FingerprintOf(in.Zone, key)
	orNone(e.Spans).Note(ctx, factFingerprint, string(out.Key))
	if out.Key == rotation.Absent || len(in.Hosts) == 0 || slices.Contains(in.Known, out.Key) {
		return out, nil
	}
	if out.Withheld = e.withholds(ctx, in); out.Withheld != "" {
		return out, nil
	}
	sealed, err := e.sealTo(in.Hosts, in.Zone, key, serverClock(ctx).now())
	if err != nil {
		return out, fail(KindKeyset, err.Error())
	}
	out.Sealed = sealed
	return out, nil
}
