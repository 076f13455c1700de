package edgeone

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keywave/internal/rotation"
)

// bare removes every source of credentials, and gives an empty home.
func bare(t *testing.T) (home string) {
	t.Helper()
	for _, name := range []string{
		"TENCENTCLOUD_SECRET_ID", "TENCENTCLOUD_SECRET_KEY", "TENCENTCLOUD_TOKEN", "TENCENTCLOUD_SESSION_TOKEN",
		"TENCENTCLOUD_CREDENTIALS_FILE", "TCCLI_PROFILE",
		"TKE_REGION", "TKE_PROVIDER_ID", "TKE_ROLE_ARN", "TKE_WEB_IDENTITY_TOKEN_FILE",
	} {
		t.Setenv(name, "")
	}
	home = t.TempDir()
	t.Setenv("HOME", home)
	return home
}

func put(t *testing.T, text string, path ...string) {
	t.Helper()
	name := filepath.Join(path...)
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestCredentials(t *testing.T) {
	const ini = "# mine\n[other]\nsecret_id = x\nsecret_key = y\n[default]\r\nsecret_id = AKIDtest\r\nsecret_key=" + testKey + "\n"
	const cli = `{"type":"secret","secretId":"AKIDtest","secretKey":"` + testKey + `","token":"` + testToken + `"}`
	for _, c := range []struct {
		name  string
		from  Source
		set   func(t *testing.T, home string)
		token string
	}{
		{"env", Source{Kind: "env"}, env("", ""), ""},
		{"env is the default", Source{}, env("", ""), ""},
		{"env with token", Source{Kind: "env"}, env("", "TENCENTCLOUD_TOKEN"), testToken},
		{"env with session token", Source{Kind: "env"}, env("", "TENCENTCLOUD_SESSION_TOKEN"), testToken},
		{"env with prefix", Source{Kind: "env", Name: "EU_"}, env("EU_", "TENCENTCLOUD_TOKEN"), testToken},
		{"another profile", Source{Kind: "profile", Name: "eu"}, func(t *testing.T, home string) {
			put(t, strings.ReplaceAll(strings.ReplaceAll(ini, "default", "x"), "other", "default")+"[eu]\nsecret_id="+testID+"\nsecret_key="+testKey, home, ".tencentcloud", "credentials")
		}, ""},
		{"tccli by name", Source{Kind: "tccli", Name: "eu"}, func(t *testing.T, home string) {
			put(t, cli, home, ".tccli", "eu.credential")
			t.Setenv("TCCLI_PROFILE", "prod")
		}, testToken},
		{"profile at home", Source{Kind: "profile"}, func(t *testing.T, home string) { put(t, ini, home, ".tencentcloud", "credentials") }, ""},
		{"profile elsewhere", Source{Kind: "profile"}, func(t *testing.T, home string) {
			put(t, ini, home, "here")
			t.Setenv("TENCENTCLOUD_CREDENTIALS_FILE", filepath.Join(home, "here"))
		}, ""},
		{"tccli", Source{Kind: "tccli"}, func(t *testing.T, home string) { put(t, cli, home, ".tccli", "default.credential") }, testToken},
		{"profile from Windows", Source{Kind: "profile"}, func(t *testing.T, home string) {
			put(t, "\ufeff[default]\r\nsecret_id = \"AKIDtest\"\r\nsecret_key = '"+testKey+"'\r\n", home, ".tencentcloud", "credentials")
		}, ""},
		{"tccli from Windows", Source{Kind: "tccli"}, func(t *testing.T, home string) { put(t, "\ufeff"+cli, home, ".tccli", "default.credential") }, testToken},
		{"tccli with an empty role", Source{Kind: "tccli"}, func(t *testing.T, home string) {
			put(t, strings.Replace(cli, "{", `{"role-arn":null,"role-session-name":"ops",`, 1), home, ".tccli", "default.credential")
		}, testToken},
		{"tccli profile", Source{Kind: "tccli"}, func(t *testing.T, home string) {
			put(t, cli, home, ".tccli", "prod.credential")
			t.Setenv("TCCLI_PROFILE", "prod")
		}, testToken},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.set(t, bare(t))
			provider, err := Credentials(t.Context(), c.from, Services{})
			if err != nil {
				t.Fatal(err)
			}
			got, err := provider.Credential(t.Context())
			if err != nil || got.id != testID || got.key.Expose() != testKey || got.token.Expose() != c.token {
				t.Errorf("wrong credential, err %v", err)
			}
		})
	}
}

func env(prefix, token string) func(*testing.T, string) {
	return func(t *testing.T, _ string) {
		t.Setenv(prefix+"TENCENTCLOUD_SECRET_ID", testID)
		t.Setenv(prefix+"TENCENTCLOUD_SECRET_KEY", testKey)
		if token != "" {
			t.Setenv(prefix+token, testToken)
		}
	}
}

// onTKE is the environment of a pod whose service account has a role.
func onTKE(t *testing.T, home string) {
	put(t, testIdentity+"\n", home, "identity")
	t.Setenv("TKE_REGION", "ap-hongkong")
	t.Setenv("TKE_PROVIDER_ID", "cls-abcdefgh")
	t.Setenv("TKE_ROLE_ARN", testRole)
	t.Setenv("TKE_WEB_IDENTITY_TOKEN_FILE", filepath.Join(home, "identity"))
}

// TestMissingCredentials: each error names what is missing and what to do, and
// counts as Denied.
func TestMissingCredentials(t *testing.T) {
	for _, c := range []struct {
		name, kind string
		set        func(t *testing.T, home string)
		says       []string
	}{
		{"env", "env", nil, []string{"TENCENTCLOUD_SECRET_ID and TENCENTCLOUD_SECRET_KEY not set", "export"}},
		{"half of env", "env", func(t *testing.T, _ string) { t.Setenv("TENCENTCLOUD_SECRET_ID", testID) }, []string{"TENCENTCLOUD_SECRET_KEY not set"}},
		{"pasted line break", "env", func(t *testing.T, _ string) {
			t.Setenv("TENCENTCLOUD_SECRET_ID", testID)
			t.Setenv("TENCENTCLOUD_SECRET_KEY", testKey+"\n")
		}, []string{"line break", "copy the values again"}},
		{"profile", "profile", nil, []string{".tencentcloud/credentials does not exist"}},
		{"profile without default", "profile", func(t *testing.T, home string) {
			put(t, "[x]\nsecret_id=a\nsecret_key="+testKey, home, ".tencentcloud", "credentials")
		}, []string{"[default]"}},
		{"tccli", "tccli", nil, []string{".tccli/default.credential does not exist"}},
		{"tccli not JSON", "tccli", func(t *testing.T, home string) { put(t, testKey, home, ".tccli", "default.credential") }, []string{"tccli configure"}},
		{"profile in UTF-16", "profile", func(t *testing.T, home string) {
			put(t, "\xff\xfe[\x00d\x00", home, ".tencentcloud", "credentials")
		}, []string{"is UTF-16, not UTF-8; save it as UTF-8"}},
		{"profile with a role", "profile", func(t *testing.T, home string) {
			put(t, "[default]\nsecret_id=a\nsecret_key="+testKey+"\nrole_arn="+testRole, home, ".tencentcloud", "credentials")
		}, []string{"has a role_arn under [default]", "write assume-role in the fleet file"}},
		{"tccli without a key", "tccli", func(t *testing.T, home string) { put(t, `{"type":"default"}`, home, ".tccli", "default.credential") }, []string{`has no "secretId" and "secretKey"`, "tccli configure"}},
		{"tccli with a key for a role", "tccli", func(t *testing.T, home string) {
			put(t, `{"secretId":"a","secretKey":"b","role-arn":"`+testKey+`"}`, home, ".tccli", "default.credential")
		}, []string{`has a "role-arn" or "role-session-name" that is none`, "tccli configure set role-arn"}},
		{"an expired login", "tccli", func(t *testing.T, home string) {
			put(t, `{"type":"oauth","secretId":"a","secretKey":"`+testKey+`","token":"t","expiresAt":1700000000,"oauth":{"refreshToken":"r"}}`, home, ".tccli", "default.credential")
		}, []string{"ended at 2023-11-14T22:13:20Z", `run "tccli auth login" as the user of this worker`, "a role or a key that lasts"}},
		{"an expired login by SSO", "tccli", func(t *testing.T, home string) {
			t.Setenv("TCCLI_PROFILE", "ops")
			put(t, `{"type":"sso","secretId":"a","secretKey":"`+testKey+`","token":"t","expiresAt":1700000000}`, home, ".tccli", "ops.credential")
		}, []string{`run "tccli sso login --profile ops"`}},
		{"tccli path", "tccli", func(t *testing.T, _ string) { t.Setenv("TCCLI_PROFILE", "../x") }, []string{"not a path"}},
		{"directory", "tccli", func(t *testing.T, home string) { put(t, "", home, ".tccli", "default.credential", "x") }, []string{"cannot be read"}},
		{"tke-oidc", "tke-oidc", nil, []string{"TKE_REGION and TKE_PROVIDER_ID and TKE_ROLE_ARN and TKE_WEB_IDENTITY_TOKEN_FILE not set", "service account"}},
		{"half of tke-oidc", "tke-oidc", func(t *testing.T, home string) {
			onTKE(t, home)
			t.Setenv("TKE_ROLE_ARN", "")
		}, []string{"TKE_ROLE_ARN not set"}},
		{"tke-oidc without its file", "tke-oidc", func(t *testing.T, home string) {
			onTKE(t, home)
			os.Remove(filepath.Join(home, "identity"))
		}, []string{"identity, which TKE_WEB_IDENTITY_TOKEN_FILE names, cannot be read"}},
		{"tke-oidc with an empty file", "tke-oidc", func(t *testing.T, home string) {
			onTKE(t, home)
			put(t, "", home, "identity")
		}, []string{"holds no token"}},
		{"nonsense", "nonsense", nil, []string{"not known", "env, profile, tccli, cvm-role"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			home := bare(t)
			if c.set != nil {
				c.set(t, home)
			}
			_, err := Credentials(t.Context(), Source{Kind: c.kind}, Services{Endpoint: "http://127.0.0.1:1"})
			if err == nil {
				t.Fatal("no error")
			}
			betrays(t, err)
			for _, s := range c.says {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("%q does not say %q", err, s)
				}
			}
			if api, ok := errors.AsType[*rotation.APIError](err); !ok || api.Class != rotation.Denied {
				t.Errorf("class of %v", err)
			}
		})
	}
}

func TestCredentialFileIsReadAgain(t *testing.T) {
	home := bare(t)
	path := filepath.Join(home, ".tencentcloud", "credentials")
	write := func(id string, age time.Duration) {
		put(t, "[default]\nsecret_id="+id+"\nsecret_key=k\n", path)
		then := time.Now().Add(-age)
		if err := os.Chtimes(path, then, then); err != nil {
			t.Fatal(err)
		}
	}
	write("one", time.Hour)
	provider, err := Credentials(t.Context(), Source{Kind: "profile"}, Services{})
	if err != nil {
		t.Fatal(err)
	}
	want := func(id string) {
		t.Helper()
		if c, err := provider.Credential(t.Context()); err != nil || c.id != id {
			t.Errorf("got %q, %v; want %q", c.id, err, id)
		}
	}
	want("one")
	write("two", time.Minute)
	want("two")
	put(t, "", path) // somebody is just writing it
	want("two")
	os.Remove(path)
	want("two")
	write("six", time.Second)
	want("six")
}

func TestCredentialDoesNotPrint(t *testing.T) {
	c := testCredential()
	holder := struct{ C Credential }{c}
	shown := fmt.Sprintf("%v %+v %#v %s %q %x %v %+v %#v", c, c, c, c, c, c, holder, &holder, holder)
	b, _ := json.Marshal(holder)
	shown += string(b) + c.String()
	for _, secret := range []string{testKey, testToken, testID} {
		if strings.Contains(shown, secret) {
			t.Errorf("shown: %s", shown)
		}
	}
}

// Types that hold a credential print no secret either. Their SecretId is no
// secret and may be printed.
func TestKeepersDoNotPrintSecrets(t *testing.T) {
	kept := newRenewed(t.Context(), nil, nil)
	kept.current = testCredential()
	signs := &signer{from: kept}
	signs.current.Store(&kept.current)
	for _, keeper := range []any{kept, &file{last: kept.current}, &tccli{file: file{last: kept.current}, lender: kept}, signs, Config{Credentials: kept}} {
		shown := fmt.Sprintf("%v %+v %#v %s %q %x", keeper, keeper, keeper, keeper, keeper, keeper)
		for _, secret := range []string{testKey, testToken, fmt.Sprintf("%x", testKey)} {
			if strings.Contains(shown, secret) {
				t.Errorf("%T shows %s", keeper, shown)
			}
		}
	}
}

// If the credentials vanish while the process runs, the call is stopped before
// anything is sent.
func TestNoCredentialNoCall(t *testing.T) {
	s := serve(t, respond(200, keyAnswer))
	c := connect(t, s.endpoint(), func(c *Config) { c.Credentials = gone{} })
	_, _, err := c.Refresh(t.Context(), zone, nil)
	wantAPI(t, err, rotation.Denied, "ClientError.CredentialError")
	if len(s.executed()) != 0 {
		t.Error("sent")
	}
}

type gone struct{}

func (gone) Credential(context.Context) (Credential, error) { return Credential{}, complain("gone") }

// The last good credential stays in use, and whoever asks hears that it cannot be read
// now.
func TestReadableNow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "credentials")
	t.Setenv("TENCENTCLOUD_CREDENTIALS_FILE", path)
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("[default]\nsecret_id = AKIDEXAMPLE\nsecret_key = a-key\n")
	from, err := Credentials(t.Context(), Source{Kind: "profile"}, Services{})
	if err != nil || Readable(from) != nil {
		t.Fatal(err, Readable(from))
	}
	write("[default]\n")
	if _, err := from.Credential(t.Context()); err != nil {
		t.Errorf("the last good one is not in use: %v", err)
	}
	if err := Readable(from); err == nil || !strings.Contains(err.Error(), "has no secret_id and secret_key") || strings.Contains(err.Error(), "a-key") {
		t.Errorf("it says %v", err)
	}
	r := newRenewed(t.Context(), nil, func(context.Context) (Credential, error) { return Credential{}, complain("nobody gives one") })
	r.source = from
	if err := Readable(r); err == nil || !strings.Contains(err.Error(), "secret_id") {
		t.Errorf("of a role: %v", err)
	}
	if _, err := r.Credential(t.Context()); err == nil {
		t.Fatal("a credential came from nowhere")
	}
	if err := Readable(r); err == nil || !strings.Contains(err.Error(), "nobody gives one") {
		t.Errorf("of a role that is not given: %v", err)
	}
	if err := Readable(Credential{}); err != nil {
		t.Errorf("of the environment: %v", err)
	}
}
