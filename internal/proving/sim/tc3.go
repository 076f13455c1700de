package sim

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	tc3Algorithm = "TC3-HMAC-SHA256"
	tc3Request   = "tc3_request"
	// signatureLife is how far X-TC-Timestamp may be from the server's clock.
	signatureLife = 300 * time.Second
)

// authorization is a parsed Authorization header of the form
// "TC3-HMAC-SHA256 Credential=ID/DATE/SERVICE/tc3_request, SignedHeaders=a;b, Signature=HEX".
type authorization struct {
	secretID, date, service string
	signedHeaders           []string
	signature               string
}

func parseAuthorization(header string) (authorization, bool) {
	rest, ok := strings.CutPrefix(header, tc3Algorithm+" ")
	if !ok {
		return authorization{}, false
	}
	fields := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		fields[name] = value
	}
	scope := strings.Split(fields["Credential"], "/")
	headers := strings.Split(fields["SignedHeaders"], ";")
	if len(scope) != 4 || scope[3] != tc3Request || fields["Signature"] == "" ||
		!slices.Contains(headers, "host") || !slices.Contains(headers, "content-type") {
		return authorization{}, false
	}
	return authorization{scope[0], scope[1], scope[2], headers, fields["Signature"]}, true
}

// authenticate checks a request as Tencent does (API reference §5), and says
// whose it is: a SecretId, or the ARN of a role.
func (e *EdgeOne) authenticate(r *http.Request, body []byte, now time.Time) (string, *refusal) {
	service := serviceOf(r.Header.Get("X-TC-Action"))
	if service.unsigned {
		return e.unsigned(r)
	}
	auth, ok := parseAuthorization(r.Header.Get("Authorization"))
	if !ok || auth.service != service.name {
		return "", refuse("AuthFailure.InvalidAuthorization", "The request header `Authorization` does not conform to the Tencent Cloud standard.")
	}
	timestamp := r.Header.Get("X-TC-Timestamp")
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil {
		return "", refuse("MissingParameter", "The request header `X-TC-Timestamp` is missing or is not a number.")
	}
	signed := time.Unix(seconds, 0).UTC()
	if now.Sub(signed).Abs() > signatureLife || signed.Format(time.DateOnly) != auth.date {
		return "", refuse("AuthFailure.SignatureExpire", "The provided credentials have expired: the signature's time is not within 300 seconds of the server's.")
	}
	credential, ok := e.credential(auth.secretID)
	if !ok {
		return "", refuse("AuthFailure.SecretIdNotFound", "The SecretId is not found, please ensure that your SecretId is correct.")
	}
	if !hmac.Equal([]byte(credential.Token), []byte(r.Header.Get("X-TC-Token"))) {
		return "", refuse("AuthFailure.TokenFailure", "The provided token is not that of the SecretId.")
	}
	if end := credential.Until; !end.IsZero() && !now.Before(end) {
		return "", refuse("AuthFailure.TokenFailure", "The provided token has expired.")
	}
	want := signature(credential.SecretKey, auth, timestamp, canonicalRequest(r, auth.signedHeaders, body))
	if !hmac.Equal([]byte(want), []byte(auth.signature)) {
		return "", refuse("AuthFailure.SignatureFailure", "The provided credentials could not be validated. Please check your signature is correct.")
	}
	return orElse(credential.owner, auth.secretID), nil
}

// unsigned checks a request that has its proof in its body. It has the word
// SKIP in place of a signature, and no token of a credential.
func (e *EdgeOne) unsigned(r *http.Request) (string, *refusal) {
	if r.Header.Get("Authorization") != "SKIP" || r.Header.Get("X-TC-Token") != "" {
		return "", refuse("AuthFailure.InvalidAuthorization", "The request header `Authorization` must be SKIP, without X-TC-Token.")
	}
	return "", nil
}

// canonicalRequest is the text whose hash is signed; the path is always "/".
func canonicalRequest(r *http.Request, signedHeaders []string, body []byte) string {
	var headers strings.Builder
	for _, name := range signedHeaders {
		value := r.Header.Get(name)
		if name == "host" {
			value = r.Host
		}
		headers.WriteString(name + ":" + strings.ToLower(strings.TrimSpace(value)) + "\n")
	}
	if r.Header.Get("X-TC-Content-SHA256") == "UNSIGNED-PAYLOAD" {
		body = []byte("UNSIGNED-PAYLOAD")
	}
	return strings.Join([]string{r.Method, "/", "", headers.String(), strings.Join(signedHeaders, ";"), hexSHA256(body)}, "\n")
}

func signature(secretKey string, auth authorization, timestamp, canonical string) string {
	scope := auth.date + "/" + auth.service + "/" + tc3Request
	toSign := strings.Join([]string{tc3Algorithm, timestamp, scope, hexSHA256([]byte(canonical))}, "\n")
	key := []byte("TC3" + secretKey)
	for _, part := range []string{auth.date, auth.service, tc3Request} {
		key = hmacSHA256(key, part)
	}
	return hex.EncodeToString(hmacSHA256(key, toSign))
}

func hexSHA256(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func hmacSHA256(key []byte, data string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(data))
	return mac.Sum(nil)
}
