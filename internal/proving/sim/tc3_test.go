package sim

import (
	"net/http/httptest"
	"strings"
	"testing"
)

// The vector is the one of Tencent Cloud's public "Signature v3" page.
func TestSignatureIsTheOneOfThePublicVector(t *testing.T) {
	body := `{"Limit": 1, "Filters": [{"Values": ["\u672a\u547d\u540d"], "Name": "instance-name"}]}`
	r := httptest.NewRequest("POST", "https://cvm.tencentcloudapi.com/", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	auth, ok := parseAuthorization("TC3-HMAC-SHA256 Credential=AKID/2019-02-25/cvm/tc3_request, SignedHeaders=content-type;host, Signature=00")
	if !ok {
		t.Fatal("the header was not understood")
	}
	canonical := canonicalRequest(r, auth.signedHeaders, []byte(body))
	if got, want := hexSHA256([]byte(canonical)), "5ffe6a04c0664d6b969fab9a13bdab201d63ee709638e2749d62a09ca18d7031"; got != want {
		t.Errorf("canonical request hashes to %s, want %s:\n%s", got, want, canonical)
	}
	for key, want := range map[string]string{
		"Gu5t9xGARNpq86cd98joQYCN3EXAMPLE": "72e494ea809ad7a8c8f7a4507b9bddcbaa8e581f516e8da2f66e2c5a96525168",
		"Gu5t9xGARNpq86cd98joQYCN3*******": "2230eefd229f582d8b1b891af7107b91597240707d778ab3738f756258d7652c",
	} {
		if got := signature(key, auth, "1551113065", canonical); got != want {
			t.Errorf("signature is %s, want %s", got, want)
		}
	}
}

func TestAuthorizationThatIsNotOneIsRefused(t *testing.T) {
	const good = "TC3-HMAC-SHA256 Credential=A/2019-02-25/teo/tc3_request, SignedHeaders=content-type;host, Signature=00"
	if _, ok := parseAuthorization(good); !ok {
		t.Fatalf("%q was refused", good)
	}
	for _, bad := range []string{
		"", "Bearer x",
		strings.Replace(good, "tc3_request", "other", 1),
		strings.Replace(good, "content-type;host", "content-type", 1),
		strings.Replace(good, "content-type;host", "host", 1),
		strings.Replace(good, "/teo", "", 1),
		strings.Replace(good, "Signature=00", "", 1),
	} {
		if _, ok := parseAuthorization(bad); ok {
			t.Errorf("%q was accepted", bad)
		}
	}
}
