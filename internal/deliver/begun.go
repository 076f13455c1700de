package deliver

import (
	"context"
	"errors"
	"io"
	"time"

	"keywave/internal/rotation"
)

// waitsFor is how long a put that was begun waits for its key. EdgeOne answers long before.
const waitsFor = 5 * time.Second

// begun is a put whose script runs on the host, or is about to, and waits for the key.
type begun struct {
	c      *Courier
	zone   rotation.ZoneID
	expect []rotation.Fingerprint
	// staged is the key that lies on the host already, and is to be put in place; empty
	// for a put.
	staged rotation.Fingerprint
	// rest is taken by the script that can use it at once.
	rest chan rest
	stop context.CancelCauseFunc
	// ended is closed after the run, when answer and err are known.
	ended  chan struct{}
	answer Answer
	err    error
}

// rest is what a put needs at the last.
type rest struct {
	key   rotation.Secret
	order string
	then  func(context.Context, *Transcript, io.Writer)
}

// Begin implements rotation.Beginner, on a channel that knows of jobs that wait.
func (c *Courier) Begin(ctx context.Context, zone rotation.ZoneID, expect []rotation.Fingerprint) rotation.Begun {
	return c.begin(ctx, zone, "", expect)
}

// BeginActivate implements rotation.StagedBeginner, as Begin does.
func (c *Courier) BeginActivate(ctx context.Context, zone rotation.ZoneID, key rotation.Fingerprint, expect []rotation.Fingerprint) rotation.Begun {
	return c.begin(ctx, zone, key, expect)
}

func (c *Courier) begin(ctx context.Context, zone rotation.ZoneID, staged rotation.Fingerprint, expect []rotation.Fingerprint) *begun {
	ctx, stop := context.WithCancelCause(ctx)
	b := &begun{c: c, zone: zone, expect: expect, staged: staged, rest: make(chan rest), stop: stop, ended: make(chan struct{})}
	go func() {
		defer close(b.ended)
		defer stop(nil)
		if _, b.err = c.Settings.File(zone); b.err == nil {
			b.answer, b.err = c.Channel.Run(ctx, b.job)
		}
	}()
	return b
}

func (b *begun) job(attempt string) Job {
	verb, key := "put", ""
	if b.staged != "" {
		verb, key = "activate", named(b.staged, rotation.Secret{})
	}
	in := b.c.opening(attempt, verb, b.zone, b.expect) + key
	return Job{Attempt: attempt, Stdin: []byte(in), Then: b.hand, Changes: true, Waits: true}
}

// hand writes the rest of the input once it is there. If it is not there in time, the input
// ends: the script finds it cut off, and has changed nothing.
func (b *begun) hand(ctx context.Context, t *Transcript, stdin io.Writer) {
	late := time.NewTimer(waitsFor)
	defer late.Stop()
	select {
	case r := <-b.rest:
		key := ""
		if b.staged == "" {
			key = named(rotation.FingerprintOf(b.zone, r.key), r.key)
		}
		_, _ = io.WriteString(stdin, key+t.attempt+"\n"+r.order)
		if r.then != nil {
			r.then(ctx, t, stdin)
		}
	case <-t.Final:
	case <-late.C:
	case <-ctx.Done():
	}
}

// Put implements rotation.Begun.
func (b *begun) Put(ctx context.Context, key rotation.Secret) (rotation.Fingerprint, error) {
	defer b.Close()
	if err := CheckKey(key); err != nil {
		return "", err
	}
	held, done, err := b.finish(ctx, key)
	if !done && b.staged != "" {
		held, err = b.c.Activate(ctx, b.zone, b.staged, b.expect)
		done = true
	}
	if _, gone := errors.AsType[*rotation.GoneError](err); gone || !done {
		return b.c.Put(ctx, b.zone, key, b.expect)
	}
	return held, err
}

// finish lets the script that waits go on. done is false where none waits, or it has broken
// off without a word about the key.
func (b *begun) finish(ctx context.Context, key rotation.Secret) (held rotation.Fingerprint, done bool, err error) {
	given := b.give(ctx, key)
	gone := b.err == nil && b.answer.Verdict == "none" // what was staged, before its time came
	if !given && !gone || b.err != nil && ctx.Err() == nil {
		return "", false, nil
	}
	held, err = b.c.placed(b.zone, b.answer, b.err, key)
	return held, true, err
}

// give gives the key to the script, if it waits for it, and returns when the run has ended.
func (b *begun) give(ctx context.Context, key rotation.Secret) (given bool) {
	order, then, done := b.c.reload()
	defer done()
	defer context.AfterFunc(ctx, func() { b.stop(context.Cause(ctx)) })()
	select {
	case b.rest <- rest{key, order, then}:
		<-b.ended
		return true
	case <-b.ended:
		return false
	}
}

// Close implements rotation.Begun.
func (b *begun) Close() { b.stop(nil) }
