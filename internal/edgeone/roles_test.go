package edgeone

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"keywave/internal/proving/sim"
	"keywave/internal/rotation"
)

const (
	testRole     = "qcs::cam::uin/100000000001:roleName/keywave"
	testIdentity = "identity-of-the-test-pod"
	testExternal = "fleet-7"
)

// tencent is a simulated EdgeOne with its STS, and an instance's metadata
// service.
func tencent(t *testing.T, change ...func(*sim.Config)) (e *sim.EdgeOne, at Services) {
	t.Helper()
	config := sim.Config{
		Credentials: map[string]sim.Credential{testID: {SecretKey: testKey, Token: testToken}},
		Zones:       []sim.Zone{{ID: string(zone)}},
		Roles:       []sim.Role{{ARN: testRole, ExternalID: testExternal, ProviderID: "cls-abcdefgh", Identity: testIdentity, Instance: true}},
	}
	for _, c := range change {
		c(&config)
	}
	e, err := sim.NewEdgeOne(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	api, meta := httptest.NewServer(e), httptest.NewServer(e.Metadata())
	t.Cleanup(api.Close)
	t.Cleanup(meta.Close)
	return e, Services{Endpoint: api.URL, Metadata: meta.URL}
}

func assuming() Source {
	return Source{Kind: "env", Role: testRole, ExternalID: testExternal, Duration: time.Hour}
}

// Each kind of role gives a credential that EdgeOne accepts, and says when it
// ends.
func TestRoles(t *testing.T) {
	for _, c := range []struct {
		name string
		from Source
		life time.Duration
	}{
		{"the instance's", Source{Kind: "cvm-role"}, 6 * time.Hour},
		{"the instance's, by name", Source{Kind: "cvm-role", Name: "keywave"}, 6 * time.Hour},
		{"the pod's", Source{Kind: "tke-oidc"}, 2 * time.Hour},
		{"assumed", assuming(), time.Hour},
		{"assumed with the instance's", Source{Kind: "cvm-role", Role: testRole, ExternalID: testExternal}, 2 * time.Hour},
		{"assumed with the pod's", Source{Kind: "tke-oidc", Role: testRole, ExternalID: testExternal, Session: "ops"}, 2 * time.Hour},
	} {
		t.Run(c.name, func(t *testing.T) {
			home := bare(t)
			env("", "TENCENTCLOUD_TOKEN")(t, home)
			onTKE(t, home)
			_, at := tencent(t)
			provider, err := Credentials(t.Context(), c.from, at)
			if err != nil {
				t.Fatal(err)
			}
			got, err := provider.Credential(t.Context())
			if err != nil || got.id == testID || (time.Until(got.Until())-c.life).Abs() > 5*time.Second {
				t.Errorf("until %s, %v", got.Until(), err)
			}
			client := connect(t, at.Endpoint, func(c *Config) { c.Credentials = provider })
			if key, _, err := client.Refresh(t.Context(), zone, nil); err != nil || key.IsZero() {
				t.Errorf("EdgeOne does not take it: %v", err)
			}
		})
	}
}

// tccliFile is the text of a tccli file with these fields and a key.
func tccliFile(fields string) string {
	return fmt.Sprintf(`{"secretId":%q,"secretKey":%q,"token":%q,%s}`, testID, testKey, testToken, fields)
}

// What tccli's file names is used as tccli uses it: a role is assumed with the
// session name in the file, and type cvm-role means the instance's role. A
// change of the file is noticed.
func TestRolesOfTCCLI(t *testing.T) {
	home := bare(t)
	file := filepath.Join(home, ".tccli", "default.credential")
	const other = "qcs::cam::uin/100000000002:roleName/edge-rotator"
	e, at := tencent(t, func(c *sim.Config) {
		c.Roles = append([]sim.Role{{ARN: testRole}, {ARN: other}}, sim.Role{ARN: testRole + "-of-instance", Instance: true})
	})
	put(t, tccliFile(`"role-arn":"`+testRole+`","role-session-name":"ops","type":"default"`), file)
	provider, err := Credentials(t.Context(), Source{Kind: "tccli"}, at)
	if err != nil {
		t.Fatal(err)
	}
	client := connect(t, at.Endpoint, func(c *Config) { c.Credentials = provider })
	for i, step := range []struct{ text, role, lender, session string }{
		{"", testRole, testRole, "ops"},
		{tccliFile(`"role-arn":"` + other + `"`), other, other, "keywave"},
		{`{"type":"cvm-role","secretId":"","secretKey":""}`, "the role of the instance", testRole + "-of-instance", ""},
		{tccliFile(`"type":"default"`), "", "", ""},
		{tccliFile(`"role-arn":"` + testRole + `"`), testRole, testRole, "keywave"},
	} {
		if step.text != "" {
			put(t, step.text, file)
		}
		c, err := provider.Credential(t.Context())
		if err != nil || c.Role() != step.role || c.Renew() != "" || (c.id == testID) != (step.role == "") {
			t.Errorf("step %d: of role %q, %v", i, c.Role(), err)
		}
		if role, session := e.Lent(c.id); role != step.lender || session != step.session {
			t.Errorf("step %d: the credential is of %q in session %q, want %q, %q", i, role, session, step.lender, step.session)
		}
		if key, _, err := client.Refresh(t.Context(), zone, nil); err != nil || key.IsZero() {
			t.Errorf("step %d: EdgeOne does not take it: %v", i, err)
		}
	}
}

// A login is used while it lasts, and the text says how to renew it. Its end is
// noticed although its file does not change.
func TestLoginOfTCCLI(t *testing.T) {
	home := bare(t)
	synctest.Test(t, func(t *testing.T) {
		ends := time.Now().Add(time.Hour).Truncate(time.Second)
		put(t, tccliFile(fmt.Sprintf(`"type":"oauth","expiresAt":%d`, ends.Unix())), home, ".tccli", "default.credential")
		provider, err := fromTCCLI(t.Context(), "default", Services{})
		if err != nil {
			t.Fatal(err)
		}
		c, err := provider.Credential(t.Context())
		if err != nil || c.id != testID || !c.Until().Equal(ends) || c.Renew() != "tccli auth login" {
			t.Fatalf("until %s, renewed by %q, %v", c.Until(), c.Renew(), err)
		}
		time.Sleep(time.Hour)
		_, err = provider.Credential(t.Context())
		denied(t, err, "ended at "+ends.UTC().Format(time.RFC3339))
	})
}

// STS is asked at the account's endpoint, under STS's own name where EdgeOne's
// endpoint has such a name.
func TestEndpointOfSTS(t *testing.T) {
	for endpoint, want := range map[string]string{
		"teo.intl.tencentcloudapi.com":                 "sts.intl.tencentcloudapi.com",
		"https://teo.tencentcloudapi.com":              "sts.tencentcloudapi.com",
		"teo.ap-singapore.tencentcloudapi.com":         "sts.ap-singapore.tencentcloudapi.com",
		"https://teo.internal.tencentcloudapi.com:443": "sts.internal.tencentcloudapi.com:443",
		"http://127.0.0.1:8099":                        "127.0.0.1:8099",
		"gateway.example.com":                          "gateway.example.com",
	} {
		if s, err := newSTS(endpoint, stsRegion, Credential{}); err != nil || s.host != want {
			t.Errorf("%s: %v, want %s", endpoint, err, want)
		}
	}
}

// If a role cannot be got, the error at the start says why and what to do.
func TestRolesThatAreNotGiven(t *testing.T) {
	for _, c := range []struct {
		name string
		from Source
		set  func(t *testing.T, home string, at *Services)
		says []string
	}{
		{"unknown", Source{Role: testRole + "2"}, nil, []string{"ResourceNotFound.RoleNotFound (request ", "check that the role exists"}},
		{"untrusted", Source{Role: testRole, ExternalID: "fleet-8"}, nil, []string{"UnauthorizedOperation", "trust policy"}},
		{"too long", Source{Role: testRole, ExternalID: testExternal, Duration: 13 * time.Hour}, nil, []string{"OverTimeError", "shorter duration"}},
		{"wrong source", assuming(), func(t *testing.T, _ string, _ *Services) { t.Setenv("TENCENTCLOUD_SECRET_KEY", "another-secret-key") }, []string{"AuthFailure.SignatureFailure", "its source"}},
		{"no source", assuming(), func(t *testing.T, home string, _ *Services) { bare(t) }, []string{"TENCENTCLOUD_SECRET_ID and TENCENTCLOUD_SECRET_KEY not set"}},
		{"nobody there", assuming(), func(t *testing.T, _ string, at *Services) { at.Endpoint = "http://" + closed(t) }, []string{"no usable answer", "(NetworkError.Dial)", "reaches that address"}},
		{"another pod", Source{Kind: "tke-oidc"}, func(t *testing.T, home string, _ *Services) { put(t, "another", home, "identity") }, []string{"WebIdentityTokenError", "identity provider"}},
		{"no role bound", Source{Kind: "cvm-role"}, func(t *testing.T, _ string, at *Services) {
			_, at2 := tencent(t, func(c *sim.Config) { c.Roles = nil })
			*at = at2
		}, []string{"no role is bound to this instance", "Bind/Modify role"}},
		{"another role bound", Source{Kind: "cvm-role", Name: "other"}, nil, []string{"does not have the role other"}},
		{"no instance", Source{Kind: "cvm-role"}, func(t *testing.T, _ string, at *Services) { at.Metadata = "http://" + closed(t) }, []string{"does not answer", "(Dial)", "only on instances of Tencent Cloud"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			home := bare(t)
			env("", "TENCENTCLOUD_TOKEN")(t, home)
			onTKE(t, home)
			_, at := tencent(t)
			if c.set != nil {
				c.set(t, home, &at)
			}
			_, err := Credentials(t.Context(), c.from, at)
			denied(t, err, c.says...)
		})
	}
}

// denied fails the test unless err is a *CredentialError that says all of this
// and shows no secret.
func denied(t *testing.T, err error, says ...string) {
	t.Helper()
	if _, own := errors.AsType[*CredentialError](err); !own {
		t.Fatalf("not a *CredentialError: %v", err)
	}
	if api, is := errors.AsType[*rotation.APIError](err); !is || api.Class != rotation.Denied {
		t.Errorf("class of %v", err)
	}
	for _, s := range says {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("%q does not say %q", err, s)
		}
	}
	betrays(t, err)
	for _, secret := range []string{testIdentity, "another-secret-key"} {
		if strings.Contains(fmt.Sprintf("%+v %#v", err, err), secret) {
			t.Errorf("an error shows %q: %v", secret, err)
		}
	}
}

// closed is an address where nobody listens.
func closed(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Whatever STS or the metadata service answers, no secret in it is shown, and
// an incomplete credential is not used.
func TestAnswersThatAreNoCredential(t *testing.T) {
	var logged bytes.Buffer
	log.SetOutput(&logged)
	t.Cleanup(func() { log.SetOutput(os.Stderr) })
	page := func(status int, body string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		})
	}
	// given is an answer of the metadata service, or of STS, with everything in it.
	given := func(key, token string, life time.Duration) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			lent := fmt.Sprintf(`"TmpSecretId":"AKIDx","TmpSecretKey":%q,"Token":%q`, key, token)
			end := time.Now().Add(life).Unix()
			if life == 0 {
				end = 0
			}
			if r.Method == http.MethodPost {
				fmt.Fprintf(w, `{"Response":{"Credentials":{%s},"ExpiredTime":%d,"RequestId":%q}}`, lent, end, requestID)
				return
			}
			fmt.Fprintf(w, `{"Code":"Success",%s,"ExpiredTime":%d}`, lent, end)
		})
	}
	sources := []Source{assuming(), {Kind: "tke-oidc"}, {Kind: "cvm-role", Name: "keywave"}}
	ask := func(t *testing.T, from Source, answer http.Handler) error {
		home := bare(t)
		env("", "TENCENTCLOUD_TOKEN")(t, home)
		onTKE(t, home)
		server := httptest.NewServer(answer)
		defer server.Close()
		_, err := Credentials(t.Context(), from, Services{Endpoint: server.URL, Metadata: server.URL})
		return err
	}
	for _, from := range sources {
		if err := ask(t, from, given(planted, testToken, time.Hour)); err != nil {
			t.Errorf("%+v: a whole one is refused: %v", from, err)
		}
	}
	for name, answer := range map[string]http.Handler{
		"not JSON":          page(200, planted),
		"half":              page(200, `{"Response":{"Credentials":{"TmpSecretKey":"`+planted),
		"null":              page(200, "null"),
		"empty":             page(200, "{}"),
		"a list":            page(200, `["`+planted+`"]`),
		"wrong types":       page(200, `{"Response":{"Credentials":"`+planted+`","RequestId":"`+requestID+`"}}`),
		"wrong types below": page(200, `{"TmpSecretKey":["`+planted+`"],"Response":{"Credentials":{"Token":["`+planted+`"]},"RequestId":"`+requestID+`"}}`),
		"an error":          page(200, `{"Response":{"Error":{"Code":"`+planted+`","Message":"`+planted+`"},"RequestId":"`+planted+`"}}`),
		"a code":            page(200, `{"Code":"`+planted+`"}`),
		"502":               page(502, planted),
		"a redirect":        page(302, planted),
		"too large":         page(200, strings.Repeat(planted, 1<<16)),
		"no credential":     page(200, `{"Response":{"RequestId":"`+requestID+`"}}`),
		"no request ID":     page(200, `{"Response":{"Credentials":{"TmpSecretId":"AKIDx","TmpSecretKey":"`+planted+`","Token":"t"},"ExpiredTime":9999999999}}`),
		"no key":            given("", testToken, time.Hour),
		"no token":          given(planted, "", time.Hour),
		"no end":            given(planted, testToken, 0),
		"ended":             given(planted, testToken, -time.Hour),
		"about to end":      given(planted, testToken, spare/2),
		"a line break":      given(planted+"\n", testToken, time.Hour),
		"cut off": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte(planted))
		}),
	} {
		for _, from := range append(sources, Source{Kind: "cvm-role"}) {
			t.Run(name+" "+from.Kind+from.Name, func(t *testing.T) { denied(t, ask(t, from, answer)) })
		}
	}
	if strings.Contains(logged.String(), planted[:20]) {
		t.Errorf("logged: %s", &logged)
	}
}

// A service that does not answer is waited for until a fixed time, and not
// longer.
func TestSlowServices(t *testing.T) {
	hang := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}))
	defer hang.Close()
	at := Services{Endpoint: hang.URL, Metadata: hang.URL}
	instance, err := instanceRole(t.Context(), "", at)
	if err != nil {
		t.Fatal(err)
	}
	assumed, err := assumeRole(t.Context(), testCredential(), assuming(), at)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []Provider{instance, assumed} {
		ctx, cancel := context.WithTimeout(t.Context(), shortBound)
		defer cancel()
		_, err := p.(*renewed).fetch(ctx)
		denied(t, err, "Timeout")
	}
}

// The lifetime is counted on the service's clock. If this machine's clock is
// off, that makes it neither shorter nor longer.
func TestLifeIsMeasuredOnTheServicesClock(t *testing.T) {
	began := time.Now()
	service := began.Add(-3 * time.Hour) // this machine's clock is ahead
	c, err := lasting(NewCredential("AKIDx", "k", "t"), "here", service.Add(time.Hour).Unix(), began, service)
	if life := c.Until().Sub(began); err != nil || (life-time.Hour).Abs() > 2*time.Second {
		t.Errorf("lives for %s, %v", life, err)
	}
}

// EdgeOne stops accepting the credential: the next call signs with another one.
func TestRefusedCredentialIsRenewed(t *testing.T) {
	bare(t)
	ahead := time.Duration(0)
	var mu sync.Mutex
	_, at := tencent(t, func(c *sim.Config) {
		c.Clock = func() time.Time { mu.Lock(); defer mu.Unlock(); return time.Now().Add(ahead) }
	})
	given := 0
	role, err := instanceRole(t.Context(), "", at)
	if err != nil {
		t.Fatal(err)
	}
	inner := role.(*renewed).fetch
	provider := newRenewed(t.Context(), nil, func(ctx context.Context) (Credential, error) {
		given++
		c, err := inner(ctx)
		if given == 1 {
			c.token = rotation.NewSecret("not what was given")
		}
		return c, err
	})
	client := connect(t, at.Endpoint, func(c *Config) { c.Credentials = provider })
	_, _, err = client.Describe(t.Context(), zone)
	wantAPI(t, err, rotation.Denied, "AuthFailure.TokenFailure")
	if _, _, err := client.Describe(t.Context(), zone); err != nil || given != 2 {
		t.Errorf("%v, given %d", err, given)
	}
}

// TKE replaces the token in the file, so each renewal reads the file again.
func TestIdentityIsReadAgain(t *testing.T) {
	home := bare(t)
	onTKE(t, home)
	_, at := tencent(t)
	provider, err := Credentials(t.Context(), Source{Kind: "tke-oidc"}, at)
	if err != nil {
		t.Fatal(err)
	}
	os.Remove(filepath.Join(home, "identity"))
	provider.(*renewed).refused(provider.(*renewed).current.id)
	_, err = provider.Credential(t.Context())
	denied(t, err, "cannot be read")
}

// giver gives credentials that live for a time, or fails.
type giver struct {
	mu    sync.Mutex
	life  time.Duration
	takes time.Duration
	err   error
	given int
}

func (g *giver) fetch(context.Context) (Credential, error) {
	g.mu.Lock()
	takes := g.takes
	g.mu.Unlock()
	time.Sleep(takes)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.given++
	if g.err != nil {
		return Credential{}, g.err
	}
	c := NewCredential(fmt.Sprint("id-", g.given), testKey, testToken)
	c.until = time.Now().Add(g.life)
	return c, nil
}

func (g *giver) set(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.err = err
}

func (g *giver) slow(takes time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.takes = takes
}

func (g *giver) count() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.given
}

func TestRenewal(t *testing.T) {
	down := complain("the service is down; start it")
	within := func(t *testing.T, g *giver, play func(r *renewed, warned func() []string, want func(id string))) {
		synctest.Test(t, func(t *testing.T) {
			life, end := context.WithCancel(t.Context())
			defer end()
			var mu sync.Mutex
			var warnings []string
			r := newRenewed(life, func(err error) {
				mu.Lock()
				defer mu.Unlock()
				betrays(t, err)
				warnings = append(warnings, err.Error())
			}, g.fetch)
			want := func(id string) {
				t.Helper()
				if c, err := r.Credential(t.Context()); err != nil || c.id != id {
					t.Errorf("after %d renewals: got %q, %v; want %q", g.count(), c.id, err, id)
				}
			}
			want("id-1")
			play(r, func() []string { mu.Lock(); defer mu.Unlock(); return append([]string(nil), warnings...) }, want)
		})
	}

	t.Run("ahead of its end", func(t *testing.T) {
		within(t, &giver{life: 2 * time.Hour}, func(_ *renewed, _ func() []string, want func(string)) {
			time.Sleep(2*time.Hour - renewAhead - time.Second)
			want("id-1")
			time.Sleep(2 * time.Second)
			want("id-2") // nobody waited for it, nobody asked for it
		})
	})
	t.Run("a short one at a fifth of its life", func(t *testing.T) {
		within(t, &giver{life: 20 * time.Minute}, func(_ *renewed, _ func() []string, want func(string)) {
			time.Sleep(16*time.Minute - time.Second)
			want("id-1")
			time.Sleep(2 * time.Second)
			want("id-2")
		})
	})
	t.Run("in the background", func(t *testing.T) {
		g := &giver{life: 2 * time.Hour}
		within(t, g, func(r *renewed, _ func() []string, want func(string)) {
			g.slow(8 * time.Second)
			time.Sleep(2*time.Hour - renewAhead + time.Second)
			began := time.Now()
			want("id-1")
			if time.Since(began) != 0 {
				t.Errorf("a call waited %s for a renewal although the old credential is good", time.Since(began))
			}
			time.Sleep(8 * time.Second)
			want("id-2")
		})
	})
	t.Run("while the service is down", func(t *testing.T) {
		g := &giver{life: 2 * time.Hour}
		within(t, g, func(r *renewed, warned func() []string, want func(string)) {
			g.set(down)
			time.Sleep(2*time.Hour - spare - time.Second)
			want("id-1") // still good, still used
			said := warned()
			if len(said) < 3 || len(said) > 20 || !strings.Contains(said[0], "good until ") || !strings.Contains(said[0], "start it") {
				t.Errorf("%d warnings: %q", len(said), said)
			}
			time.Sleep(2 * time.Second)
			_, err := r.Credential(context.Background())
			denied(t, err, "the service is down")
			g.set(nil)
			time.Sleep(retryMost + time.Second)
			want(fmt.Sprint("id-", g.count()))
		})
	})
	t.Run("down, and asked a hundred times a second", func(t *testing.T) {
		g := &giver{life: time.Hour}
		within(t, g, func(r *renewed, _ func() []string, _ func(string)) {
			g.set(down)
			time.Sleep(2 * time.Hour)
			before := g.count()
			for range 1000 {
				_, err := r.Credential(context.Background())
				denied(t, err)
				time.Sleep(10 * time.Millisecond)
			}
			if asked := g.count() - before; asked > 3 {
				t.Errorf("the service was asked %d times in 10 s", asked)
			}
		})
	})
	t.Run("once for all who wait", func(t *testing.T) {
		g := &giver{life: time.Hour}
		within(t, g, func(r *renewed, _ func() []string, want func(string)) {
			g.slow(time.Second)
			r.refused("id-1")
			var all sync.WaitGroup
			for range 100 {
				all.Go(func() { want("id-2") })
			}
			all.Wait()
			if g.count() != 2 {
				t.Errorf("%d renewals", g.count())
			}
		})
	})
	t.Run("for a bounded time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRenewed(t.Context(), nil, func(ctx context.Context) (Credential, error) {
				<-ctx.Done()
				return Credential{}, complain("no answer")
			})
			began := time.Now()
			_, err := r.Credential(t.Context())
			denied(t, err, "no answer")
			if took := time.Since(began); took != fetchTimeout {
				t.Errorf("waited %s", took)
			}
			time.Sleep(retryFirst)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := r.Credential(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the caller's own end: %v", err)
			}
			time.Sleep(fetchTimeout)
		})
	})
	t.Run("given one that has ended", func(t *testing.T) {
		g := &giver{life: 2 * time.Hour}
		within(t, g, func(_ *renewed, warned func() []string, want func(string)) {
			g.mu.Lock()
			g.life = -time.Hour
			g.mu.Unlock()
			time.Sleep(2*time.Hour - renewAhead + time.Second)
			want("id-1")
			if said := warned(); len(said) != 1 || !strings.Contains(said[0], "has already ended; check the clock") {
				t.Errorf("%q", said)
			}
		})
	})
	t.Run("not after the end of its life", func(t *testing.T) {
		g := &giver{life: time.Hour}
		synctest.Test(t, func(t *testing.T) {
			life, end := context.WithCancel(t.Context())
			r := newRenewed(life, nil, g.fetch)
			if _, err := r.Credential(t.Context()); err != nil {
				t.Fatal(err)
			}
			end()
			time.Sleep(24 * time.Hour)
			if g.count() != 1 {
				t.Errorf("%d renewals", g.count())
			}
			if _, err := r.Credential(t.Context()); err != nil || g.count() != 2 {
				t.Errorf("what stops still gets a credential when it asks: %v, %d", err, g.count())
			}
		})
	})
	t.Run("given over and over with the same end", func(t *testing.T) {
		g := &giver{life: time.Hour}
		within(t, g, func(r *renewed, _ func() []string, _ func(string)) {
			end := time.Now().Add(time.Hour)
			r.mu.Lock()
			inner := r.fetch
			r.fetch = func(ctx context.Context) (Credential, error) {
				c, err := inner(ctx)
				c.until = end
				return c, err
			}
			r.mu.Unlock()
			time.Sleep(time.Hour - spare - time.Second)
			if n := g.count(); n < 3 || n > 20 {
				t.Errorf("%d renewals of a credential that the service does not replace yet", n)
			}
		})
	})
}
