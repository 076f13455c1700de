package fleet

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"keywave/internal/rotation"
)

// Every function here reads one value; its error says what is wrong and what
// to write.

// name reads a name that becomes a part of paths, workflow IDs and task queues.
func name[T ~string](s string) (T, error) {
	if s == "" {
		return "", errors.New("is empty; write a name")
	}
	if err := rotation.CheckName(s); err != nil {
		return "", err
	}
	return T(s), nil
}

func text(most int) func(string) (string, error) {
	return func(s string) (string, error) {
		switch {
		case len(s) > most:
			return "", fmt.Errorf("is longer than %d bytes", most)
		case !utf8.ValidString(s), strings.ContainsFunc(s, unicode.IsControl):
			return "", fmt.Errorf("%q holds a control character; remove it", s)
		}
		return s, nil
	}
}

func oneOf(what string, known ...string) func(string) (string, error) {
	return func(s string) (string, error) {
		if !slices.Contains(known, s) {
			return "", fmt.Errorf("unknown %s %q%s; known are %s", what, s, meant(s, known), listed(known))
		}
		return s, nil
	}
}

func whole(least, most int) func(string) (int, error) {
	return func(s string) (int, error) {
		n, err := strconv.Atoi(s)
		if err != nil || n < least || n > most {
			return 0, fmt.Errorf("%q is not a whole number from %d to %d", s, least, most)
		}
		return n, nil
	}
}

func rate(s string) (float64, error) {
	x, err := strconv.ParseFloat(s, 64)
	if err != nil || !(x > 0 && x <= 1000) {
		return 0, fmt.Errorf("%q is not a number above 0 and up to 1000; write the account's limit for one API action, 20 unless Tencent raised it", s)
	}
	return x, nil
}

func span(least, most time.Duration) func(string) (rotation.Span, error) {
	return func(s string) (rotation.Span, error) {
		d, err := time.ParseDuration(s)
		if err != nil {
			return 0, fmt.Errorf("%q is not a duration; write a number and a unit, such as 30s, 5m or 1h", s)
		}
		if d < least || d > most {
			return 0, fmt.Errorf("%s is outside %s to %s", s, least, most)
		}
		return rotation.Span(d), nil
	}
}

var shareForm = regexp.MustCompile(`^([0-9]{1,9}|[0-9]{1,3}(\.[0-9]{1,6})?%)$`)

// share reads a count ("3") or a percentage of the plan ("0.5%").
func share(s string) (string, error) {
	if !shareForm.MatchString(s) {
		return "", fmt.Errorf("%q is neither a count, such as 3, nor a percentage, such as 1%%", s)
	}
	if percent, is := percentOf(s); is && percent > 100 {
		return "", fmt.Errorf("%s is more than 100%%", s)
	}
	return s, nil
}

func percentOf(s string) (percent float64, is bool) {
	digits, is := strings.CutSuffix(s, "%")
	if !is {
		return 0, false
	}
	percent, err := strconv.ParseFloat(digits, 64)
	return percent, err == nil
}

// wave reads how many zones, or which share of them, are done after a wave.
func wave(s string) (string, error) {
	s, err := share(s)
	if err != nil {
		return "", err
	}
	if strings.Trim(s, "0.%") == "" {
		return "", fmt.Errorf("%s is a wave of nothing; write at least 1", s)
	}
	return s, nil
}

// endpoint reads host[:port], https://host[:port], or, if the host is this
// machine, http://host[:port]. It returns the shortest form.
func endpoint(s string) (string, error) {
	scheme, rest, has := strings.Cut(s, "://")
	if !has {
		scheme, rest = "https", s
	}
	u, err := url.Parse("https://" + strings.TrimSuffix(rest, "/"))
	if err != nil || u.Host != strings.TrimSuffix(rest, "/") || !isHostname(u.Hostname()) || !isPort(u.Port(), u.Host) {
		return "", fmt.Errorf("%q is no endpoint; write a host such as teo.intl.tencentcloudapi.com, without path or user", s)
	}
	switch {
	case scheme == "http" && isLoopback(u.Hostname()):
		return "http://" + u.Host, nil
	case scheme == "http":
		return "", fmt.Errorf("%q would send keys in clear over the network; write https://, http:// is for this machine only", s)
	case scheme != "https":
		return "", fmt.Errorf("%q is no endpoint; write a host, or https://host", s)
	}
	return strings.TrimSuffix(u.Host, ":443"), nil
}

// isPort says whether port, the port of host as url.Parse found it, is absent or
// a port number.
func isPort(port, host string) bool {
	if port == "" {
		return !strings.HasSuffix(host, ":")
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}

const hostnameLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"

func isHostname(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	return s != "" && len(s) <= 253 && strings.Trim(s, hostnameLetters) == "" && !strings.ContainsAny(s[:1]+s[len(s)-1:], "_-") && s[0] != '.'
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.Unmap().IsLoopback()
}
