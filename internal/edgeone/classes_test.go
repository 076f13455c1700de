package edgeone

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"syscall"
	"testing"

	tcerrors "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/errors"

	"keywave/internal/rotation"
)

// TestClasses checks the reference's classification, row by row.
func TestClasses(t *testing.T) {
	rows := map[rotation.Class]string{
		rotation.Throttled: `RequestLimitExceeded RequestLimitExceeded.UinLimitExceeded RequestLimitExceeded.IPLimitExceeded
			RequestLimitExceeded.GlobalRegionUinLimitExceeded AuthFailure.RequestLimitExceeded LimitExceeded.RateLimitExceeded`,
		rotation.Unsent: `AuthFailure.SignatureExpire`,
		rotation.Locked: `OperationDenied.ConfigLocked OperationDenied.ResourceLockedTemporary
			OperationDenied.ResourceHasBeenLocked OperationDenied.VersionControlLocked`,
		rotation.Denied: `AuthFailure AuthFailure.InvalidAuthorization AuthFailure.InvalidSecretId AuthFailure.MFAFailure
			AuthFailure.SecretIdNotFound AuthFailure.SignatureFailure AuthFailure.TokenFailure AuthFailure.UnauthorizedOperation
			UnauthorizedOperation UnauthorizedOperation.CamUnauthorized UnauthorizedOperation.NoPermission
			UnauthorizedOperation.Unknown ClientError.CredentialError`,
		rotation.Refused: `MissingParameter InvalidParameter InvalidParameter.ZoneNotFound InvalidParameterValue
			InvalidParameterValue.InvalidLength UnknownParameter InvalidAction NoSuchVersion NoSuchProduct UnsupportedOperation
			UnsupportedRegion UnsupportedProtocol ActionOffline IpInBlacklist IpNotInWhitelist RequestSizeLimitExceeded
			ResourceNotFound ResourceNotFound.Zone LimitExceeded LimitExceeded.Quota DryRunOperation ClientError.BuildRequestError
			OperationDenied OperationDenied.DomainIsBlocked ResourceInUse ResourceInUse.Zone`,
		rotation.Ambiguous: `ClientError.NetworkError ClientError.ParseJsonError ClientError.HttpStatusCodeError ClientError.IOError
			ClientError.CircuitBreakerError ClientError.TypeError InternalError InternalError.ProxyServer ServiceUnavailable
			ResourceUnavailable ResourceUnavailable.Zone ResponseSizeLimitExceeded FailedOperation FailedOperation.Half
			ResourceInsufficient InvalidRequest RequestLimitExceededNot AuthFailures Whatever`,
	}
	for class, codes := range rows {
		for code := range strings.FieldsSeq(codes) {
			if got := classOf(code); got != class {
				t.Errorf("%s is %s, want %s", code, got, class)
			}
		}
	}
	if got := classOf(""); got != rotation.Ambiguous {
		t.Errorf("no code is %s", got)
	}
}

func TestEveryRuleDecides(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range rules() {
		if seen[r.code] || classOf(r.code) != r.class || cleanCode(r.code) != r.code {
			t.Errorf("rule %v does not decide its own code", r)
		}
		seen[r.code] = true
	}
}

func TestCleanCode(t *testing.T) {
	for code, want := range map[string]string{
		"InvalidParameter.ZoneNotFound": "InvalidParameter.ZoneNotFound",
		"FailedOperation.L7ProxyBusy":   "FailedOperation.L7ProxyBusy",
		"":                              codeUnknown,
		planted:                         codeUnknown,
		strings.Repeat("Ab", 22):        codeUnknown,
		"InvalidParameter." + strings.Repeat("Ab", 22):       "InvalidParameter",
		"InvalidParameter." + planted:                        "InvalidParameter",
		"InvalidParameter.A.B.C.D":                           "InvalidParameter",
		"Whatever." + planted:                                codeUnknown,
		"InvalidParameter\n2026-01-01 INFO all is well":      codeUnknown,
		"ClientError.NetworkError\x1b[2J":                    "ClientError",
		"InvalidParameter" + strings.Repeat("."+planted, 40): "InvalidParameter",
	} {
		if got := cleanCode(code); got != want {
			t.Errorf("%q: %q, want %q", code, got, want)
		}
	}
}

func FuzzCleanedCarriesNoKey(f *testing.F) {
	f.Add("InvalidParameter.", "")
	f.Add("", ".InvalidParameter")
	f.Add("", "-d335816141a0")
	f.Fuzz(func(t *testing.T, before, after string) {
		said := before + planted + after
		for _, clean := range []string{cleanCode(said), cleanRequestID(said)} {
			if strings.Contains(clean, planted[:8]) {
				t.Errorf("%q became %q", said, clean)
			}
		}
	})
}

func TestHearKeepsNoText(t *testing.T) {
	cause := fmt.Errorf("read %s: %w", planted, syscall.ECONNRESET)
	said := hear(nil, tcerrors.NewTencentCloudSDKErrorWithCause("ClientError.NetworkError", planted, "", cause))
	if want := (heard{code: "ClientError.NetworkError.Reset"}); said != want {
		t.Errorf("%+v", said)
	}
	if said := hear(nil, errors.New(planted)); said != (heard{code: codeBadAnswer}) {
		t.Errorf("%+v", said)
	}
}

func TestReasons(t *testing.T) {
	wrap := func(err error) error { return &url.Error{Op: "Post", URL: "/", Err: err} }
	for want, err := range map[string]error{
		"DNS":      &net.OpError{Op: "dial", Err: &net.DNSError{IsTimeout: true}},
		"Dial":     &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED},
		"Proxy":    &net.OpError{Op: "proxyconnect", Err: syscall.ECONNREFUSED},
		"TLS":      &tls.CertificateVerificationError{Err: errors.New("expired")},
		"Canceled": context.Canceled,
		"Timeout":  context.DeadlineExceeded,
		"Reset":    &net.OpError{Op: "read", Err: syscall.ECONNRESET},
		"Closed":   io.ErrUnexpectedEOF,
		"":         errors.New(planted),
	} {
		if got := reason(wrap(err)); got != want {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	}
	if got := reason(wrap(tls.AlertError(40))); got != "TLS" {
		t.Errorf("alert: %q", got)
	}
}
