package edgeone

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"regexp"
	"strings"
	"syscall"

	tcerrors "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/errors"

	"keywave/internal/rotation"
)

// Codes of our own, where EdgeOne gave none. They stand under ClientError, as
// the SDK's do.
const (
	codeNoAnswer  = "ClientError.EmptyAnswer"      // no Response, or one without a request ID
	codeBadAnswer = "ClientError.UnreadableAnswer" // one that the SDK cannot make sense of
	codeNoKey     = "ClientError.MissingSecretKey"
	codeBadKey    = "ClientError.UnusableSecretKey"
	codeBadPage   = "ClientError.UnusablePage"
	codeMoved     = "ClientError.RowsVanishedWhileListing"
	codeUnknown   = "ClientError.UnreadableCode"
)

var errPanic = errors.New("the SDK panicked")

// rule gives a class to a code and to all codes below it.
type rule struct {
	code  string
	class rotation.Class
}

// rules is what EdgeOne's error codes say about a request
// (https://www.tencentcloud.com/document/api/1140/51177, and errors.go of teo).
// The longest match wins; what matches nothing is Ambiguous.
func rules() []rule {
	return []rule{
		{"RequestLimitExceeded", rotation.Throttled},
		{"AuthFailure.RequestLimitExceeded", rotation.Throttled},
		{"LimitExceeded.RateLimitExceeded", rotation.Throttled},

		{"AuthFailure.SignatureExpire", rotation.Unsent}, // this machine's clock is wrong

		{"OperationDenied.ConfigLocked", rotation.Locked},
		{"OperationDenied.ResourceLockedTemporary", rotation.Locked},
		{"OperationDenied.ResourceHasBeenLocked", rotation.Locked},
		{"OperationDenied.VersionControlLocked", rotation.Locked},

		{"AuthFailure", rotation.Denied},
		{"UnauthorizedOperation", rotation.Denied},
		{"ClientError.CredentialError", rotation.Denied},

		{"ActionOffline", rotation.Refused},
		{"ClientError.BuildRequestError", rotation.Refused},
		{"DryRunOperation", rotation.Refused},
		{"InvalidAction", rotation.Refused},
		{"InvalidParameter", rotation.Refused},
		{"InvalidParameterValue", rotation.Refused},
		{"IpInBlacklist", rotation.Refused},
		{"IpNotInWhitelist", rotation.Refused},
		{"LimitExceeded", rotation.Refused},
		{"MissingParameter", rotation.Refused},
		{"NoSuchProduct", rotation.Refused},
		{"NoSuchVersion", rotation.Refused},
		{"OperationDenied", rotation.Refused},
		{"RequestSizeLimitExceeded", rotation.Refused},
		{"ResourceInUse", rotation.Refused},
		{"ResourceNotFound", rotation.Refused},
		{"UnknownParameter", rotation.Refused},
		{"UnsupportedOperation", rotation.Refused},
		{"UnsupportedProtocol", rotation.Refused},
		{"UnsupportedRegion", rotation.Refused},

		{"ClientError", rotation.Ambiguous},
		{"FailedOperation", rotation.Ambiguous}, // it failed, but how far had it come?
		{"InternalError", rotation.Ambiguous},
		{"ResourceUnavailable", rotation.Ambiguous},
		{"ResponseSizeLimitExceeded", rotation.Ambiguous}, // executed, the answer was dropped
		{"ServiceUnavailable", rotation.Ambiguous},
	}
}

// classOf is the class of a code by the longest rule that it stands under.
func classOf(code string) rotation.Class {
	best := rule{class: rotation.Ambiguous}
	for _, r := range rules() {
		if under(code, r.code) && len(r.code) > len(best.code) {
			best = r
		}
	}
	return best.class
}

// under says that code is parent or one of its sub-codes.
func under(code, parent string) bool {
	rest, ok := strings.CutPrefix(code, parent)
	return ok && (rest == "" || rest[0] == '.')
}

// heard is what is kept of an answer. requestID is as it was sent, for it
// matters whether there was one; code is clean.
type heard struct{ code, requestID string }

// hear takes the code and the request ID out of the SDK's result, and leaves
// everything else behind.
func hear(id *string, err error) heard {
	if err == nil && id == nil {
		return heard{code: codeNoAnswer}
	}
	if err == nil {
		return heard{code: codeNoAnswer, requestID: *id}
	}
	sdk, ok := errors.AsType[*tcerrors.TencentCloudSDKError](err)
	if !ok {
		return heard{code: codeBadAnswer}
	}
	code := cleanCode(sdk.Code)
	if why := reason(err); why != "" && sdk.RequestId == "" {
		code += "." + why
	}
	return heard{code: code, requestID: sdk.RequestId}
}

// Keys have 43 characters or more (base64 of 32 to 48 bytes), so that none fits
// into a segment of a code or into a request ID.
var (
	codeShape      = regexp.MustCompile(`^[A-Z][A-Za-z]{2,41}(\.[A-Z][A-Za-z0-9]{1,41}){0,2}$`)
	familyShape    = regexp.MustCompile(`^[A-Z][A-Za-z]{2,41}`)
	requestIDShape = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
)

// cleanCode lets a code through only in the shape of one: words joined by dots.
// Of a code with a strange sub-code, the family is kept when it has a rule.
func cleanCode(code string) string {
	if codeShape.MatchString(code) {
		return code
	}
	family := familyShape.FindString(code)
	for _, r := range rules() {
		if r.code == family && under(code, family) {
			return family
		}
	}
	return codeUnknown
}

// cleanRequestID lets a request ID through only if it is a UUID, as EdgeOne's
// are.
func cleanRequestID(id string) string {
	if !requestIDShape.MatchString(id) {
		return ""
	}
	return id
}

// reason names the cause of a failure on the way, from the error's type alone.
func reason(err error) string {
	dns, isDNS := errors.AsType[*net.DNSError](err)
	op, isOp := errors.AsType[*net.OpError](err)
	_, isAlert := errors.AsType[tls.AlertError](err)
	_, isRecord := errors.AsType[tls.RecordHeaderError](err)
	_, isCertificate := errors.AsType[*tls.CertificateVerificationError](err)
	timeout, isNet := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, errTooLarge):
		return "TooLarge"
	case errors.Is(err, errEncoding):
		return "Encoding"
	case errors.Is(err, errStatus):
		return "Redirect"
	case isDNS && dns != nil:
		return "DNS"
	case isOp && op.Op == "dial":
		return "Dial"
	case isOp && op.Op == "proxyconnect":
		return "Proxy"
	case isAlert || isRecord || isCertificate:
		return "TLS"
	case errors.Is(err, context.Canceled):
		return "Canceled"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), isNet && timeout.Timeout():
		return "Timeout"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "Reset"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return "Closed"
	}
	return ""
}
