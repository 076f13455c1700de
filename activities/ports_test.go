package activities_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/testsuite"
	sdkworker "go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"keywave/activities"
	"keywave/internal/rotation"
)

// Small parts that keep the ports' contracts: an EdgeOne that answers by
// script, a seal that really seals, hosts that compare and swap.

const (
	zone   rotation.ZoneID   = "zone-27q0p0bal192"
	hk     rotation.Location = "hk"
	eu     rotation.Location = "eu"
	theKey                   = "b8sfnemqzF5TNCwwtshVmG/gyCJVi/rP+7A+jsBwqGY="
)

// call is one call of EdgeOne's API: after the limiter, ready is asked; what it
// refuses is not sent.
type call func(ctx context.Context, ready func() error) (rotation.Secret, rotation.Receipt, error)

// edgeOne answers its calls in turn; the last answer stays.
type edgeOne struct {
	mu        sync.Mutex
	refreshes []call
	describes []call
	refreshed int
	described int
}

func (e *edgeOne) Refresh(ctx context.Context, _ rotation.ZoneID, ready func() error) (rotation.Secret, rotation.Receipt, error) {
	return e.next(&e.refreshes, &e.refreshed)(ctx, ready)
}

func (e *edgeOne) Describe(ctx context.Context, _ rotation.ZoneID) (rotation.Secret, rotation.Receipt, error) {
	return e.next(&e.describes, &e.described)(ctx, func() error { return nil })
}

func (e *edgeOne) next(calls *[]call, count *int) call {
	e.mu.Lock()
	defer e.mu.Unlock()
	*count++
	c := (*calls)[0]
	if len(*calls) > 1 {
		*calls = (*calls)[1:]
	}
	return c
}

// answers with a key, which takes that long after the signature.
func answers(key string, takes time.Duration) call {
	return func(ctx context.Context, ready func() error) (rotation.Secret, rotation.Receipt, error) {
		if err := ready(); err != nil {
			return rotation.Secret{}, rotation.Receipt{}, err
		}
		signed := time.Now()
		if err := wait(ctx, takes); err != nil {
			return rotation.Secret{}, rotation.Receipt{Signed: signed}, &rotation.APIError{Class: rotation.Ambiguous, Code: "ClientError.NetworkError"}
		}
		return rotation.NewSecret(key), rotation.Receipt{RequestID: "request-1", Signed: signed}, nil
	}
}

// fails with a class after the signature.
func fails(class rotation.Class, code string) call {
	return func(_ context.Context, ready func() error) (rotation.Secret, rotation.Receipt, error) {
		if err := ready(); err != nil {
			return rotation.Secret{}, rotation.Receipt{}, err
		}
		return rotation.Secret{}, rotation.Receipt{Signed: time.Now()}, &rotation.APIError{Class: class, Code: code, RequestID: "request-1"}
	}
}

// unsigned fails before the signature.
func unsigned(err error) call {
	return func(context.Context, func() error) (rotation.Secret, rotation.Receipt, error) {
		return rotation.Secret{}, rotation.Receipt{}, err
	}
}

// upcoming says that its turn is the next one, and waits for that.
func upcoming(d time.Duration, c call) call {
	return func(ctx context.Context, ready func() error) (rotation.Secret, rotation.Receipt, error) {
		rotation.SayNext(ctx)
		return limited(d, c)(ctx, ready)
	}
}

// limited waits for the limiter first.
func limited(d time.Duration, c call) call {
	return func(ctx context.Context, ready func() error) (rotation.Secret, rotation.Receipt, error) {
		if err := wait(ctx, d); err != nil {
			return rotation.Secret{}, rotation.Receipt{}, err
		}
		return c(ctx, ready)
	}
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// seals seals to locations with AES-GCM; a location without a key cannot be
// sealed to.
type seals map[rotation.Location]cipher.AEAD

func newSeals(t *testing.T, locations ...rotation.Location) seals {
	s := seals{}
	for _, l := range locations {
		key := make([]byte, 32)
		_, _ = rand.Read(key)
		block, err := aes.NewCipher(key)
		if err != nil {
			t.Fatal(err)
		}
		if s[l], err = cipher.NewGCM(block); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func (s seals) Seal(l rotation.Location, z rotation.ZoneID, key rotation.Secret, g rotation.Grant) ([]byte, error) {
	box, has := s[l]
	if !has {
		return nil, errors.New("no keyset for location " + string(l))
	}
	nonce := make([]byte, box.NonceSize())
	_, _ = rand.Read(nonce)
	inside, err := json.Marshal(sealedKey{key.Expose(), g})
	if err != nil {
		return nil, err
	}
	return box.Seal(nonce, nonce, inside, []byte(string(l)+"\x00"+string(z))), nil
}

func (s seals) Open(l rotation.Location, z rotation.ZoneID, sealed []byte) (rotation.Secret, rotation.Grant, error) {
	box, has := s[l]
	if !has || len(sealed) < box.NonceSize() {
		return rotation.Secret{}, rotation.Grant{}, errors.New("no keyset opens this")
	}
	inside, err := box.Open(nil, sealed[:box.NonceSize()], sealed[box.NonceSize():], []byte(string(l)+"\x00"+string(z)))
	var in sealedKey
	if err != nil || json.Unmarshal(inside, &in) != nil {
		return rotation.Secret{}, rotation.Grant{}, errors.New("no keyset opens this")
	}
	return rotation.NewSecret(in.Key), in.Grant, nil
}

type sealedKey struct {
	Key   string
	Grant rotation.Grant
}

// machine is a host with files.
type machine struct {
	mu    sync.Mutex
	files map[rotation.ZoneID]string
	fail  error
	hangs bool
	wrote int
	notes []string
	other []rotation.ZoneID
	// within is how old the last proof was allowed to be, and age how old it was.
	within, age time.Duration
	// began is when puts began that had no key yet; closed is how many of them are over.
	began  []time.Time
	closed int
}

// Begin implements rotation.Beginner.
func (m *machine) Begin(_ context.Context, z rotation.ZoneID, expect []rotation.Fingerprint) rotation.Begun {
	m.began = append(m.began, time.Now())
	return &started{m, z, expect, false}
}

type started struct {
	m      *machine
	zone   rotation.ZoneID
	expect []rotation.Fingerprint
	over   bool
}

func (s *started) Put(ctx context.Context, key rotation.Secret) (rotation.Fingerprint, error) {
	defer s.Close()
	return s.m.Put(ctx, s.zone, key, s.expect)
}

func (s *started) Close() {
	if !s.over {
		s.over = true
		s.m.closed++
	}
}

func holding(key string) *machine { return &machine{files: map[rotation.ZoneID]string{zone: key}} }

func (m *machine) Prove(ctx context.Context, zones []rotation.ZoneID) (rotation.Shown, error) {
	shown, err := m.Held(ctx, zones)
	shown.Notes = m.notes
	return shown, err
}

func (m *machine) ProveAgain(ctx context.Context, zones []rotation.ZoneID, recent time.Duration) (rotation.Shown, error) {
	shown, err := m.Prove(ctx, zones)
	m.within, shown.Age = recent, m.age
	return shown, err
}

func (m *machine) Locate(context.Context, []rotation.ZoneID) (rotation.Whereabouts, error) {
	return rotation.Whereabouts{Machine: "m", Places: map[rotation.ZoneID]rotation.Place{zone: {File: "f"}}}, nil
}

func (m *machine) Held(ctx context.Context, zones []rotation.ZoneID) (rotation.Shown, error) {
	if err := m.reach(ctx); err != nil {
		return rotation.Shown{}, err
	}
	held := map[rotation.ZoneID]rotation.Fingerprint{}
	for _, z := range zones {
		held[z] = rotation.FingerprintOf(z, rotation.NewSecret(m.files[z]))
	}
	return rotation.Shown{Held: held, Other: m.other}, nil
}

func (m *machine) Put(ctx context.Context, z rotation.ZoneID, key rotation.Secret, expect []rotation.Fingerprint) (rotation.Fingerprint, error) {
	if err := m.reach(ctx); err != nil {
		return "", err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	held := rotation.FingerprintOf(z, rotation.NewSecret(m.files[z]))
	if wanted := rotation.FingerprintOf(z, key); held != wanted {
		if !slices.Contains(expect, held) {
			return "", &rotation.HeldError{Held: held}
		}
		m.files[z] = key.Expose()
		m.wrote++
		held = wanted
	}
	return held, nil
}

func (m *machine) reach(ctx context.Context) error {
	if m.hangs {
		<-ctx.Done()
	}
	if ctx.Err() != nil {
		return &rotation.HostError{Step: rotation.StepSession, Why: "no answer: " + ctx.Err().Error()}
	}
	return m.fail
}

func (m *machine) Close() error { return nil }

// run executes an activity, as asked for by the workflow that may, on the SDK's
// test environment and decodes its result; ctx is what the worker hands down. The
// encoded result holds no key.
func run[I, O any](t *testing.T, ctx context.Context, activity func(context.Context, I) (O, error), in I) (O, error) {
	t.Helper()
	from := asker{activities.ZoneWorkflow(zone), activities.ZoneType}
	switch in := any(in).(type) {
	case activities.DeliverIn:
		from.id = activities.ZoneWorkflow(in.Zone)
	case activities.StageIn:
		from.id = activities.ZoneWorkflow(in.Zone)
	case activities.LeaseIn:
		from = asker{leaseWorkflow, activities.LeaseType}
	}
	return runFrom(t, ctx, from, activity, in)
}

// asker is the workflow that asks for an activity; none when its type is empty.
type asker struct{ id, kind string }

type asking struct {
	interceptor.WorkerInterceptorBase
	asker
}

func (a *asking) InterceptActivity(_ context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	return &inbound{interceptor.ActivityInboundInterceptorBase{Next: next}, a.asker}
}

type inbound struct {
	interceptor.ActivityInboundInterceptorBase
	asker
}

func (i *inbound) Init(next interceptor.ActivityOutboundInterceptor) error {
	return i.Next.Init(&outbound{interceptor.ActivityOutboundInterceptorBase{Next: next}, i.asker})
}

type outbound struct {
	interceptor.ActivityOutboundInterceptorBase
	asker
}

func (o *outbound) GetInfo(ctx context.Context) activity.Info {
	info := o.Next.GetInfo(ctx)
	info.WorkflowExecution, info.WorkflowType = workflow.Execution{ID: o.id}, &workflow.Type{Name: o.kind}
	if o.kind == "" {
		info.WorkflowType = nil
	}
	if end, bounded := ctx.Value(deadline{}).(time.Time); bounded {
		info.Deadline = end
	}
	return info
}

type deadline struct{}

// heartbeats is the key of a func(string) that hears what an activity says with
// its heartbeats.
type heartbeats struct{}

func listen(ctx context.Context, env *testsuite.TestActivityEnvironment) {
	heard, listens := ctx.Value(heartbeats{}).(func(string))
	if !listens {
		return
	}
	env.SetOnActivityHeartbeatListener(func(_ *activity.Info, details converter.EncodedValues) {
		var says string
		if details.HasValues() && details.Get(&says) == nil {
			heard(says)
		}
	})
}

// runWithin is run, of an activity that Temporal ends after that time.
func runWithin[I, O any](t *testing.T, d time.Duration, activity func(context.Context, I) (O, error), in I) (O, error) {
	t.Helper()
	return run(t, context.WithValue(t.Context(), deadline{}, time.Now().Add(d)), activity, in)
}

func runFrom[I, O any](t *testing.T, ctx context.Context, from asker, activity func(context.Context, I) (O, error), in I) (O, error) {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	env := suite.NewTestActivityEnvironment()
	env.SetWorkerOptions(sdkworker.Options{BackgroundActivityContext: ctx, Interceptors: []interceptor.WorkerInterceptor{&asking{asker: from}}})
	env.RegisterActivity(activity)
	listen(ctx, env)
	var out O
	encoded, err := env.ExecuteActivity(activity, in)
	if err != nil {
		noKey(t, []byte(err.Error()))
		return out, err
	}
	if err := encoded.Get(&out); err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	noKey(t, body)
	return out, nil
}

// noKey searches for the key in clear and in the encodings it could hide in.
func noKey(t *testing.T, body []byte) {
	t.Helper()
	key := []byte(theKey)
	decoded, _ := base64.StdEncoding.DecodeString(theKey)
	for _, form := range [][]byte{
		key, []byte(base64.StdEncoding.EncodeToString(key)), []byte(base64.RawURLEncoding.EncodeToString(key)), []byte(hex.EncodeToString(key)),
		[]byte(hex.EncodeToString(decoded)), []byte(theKey[:20]), []byte(base64.StdEncoding.EncodeToString(key[:30])),
	} {
		if bytes.Contains(body, form) {
			t.Errorf("the key is in the result: %s", body)
		}
	}
}

func print(key string) rotation.Fingerprint {
	return rotation.FingerprintOf(zone, rotation.NewSecret(key))
}
