package fleet

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/ssh"

	"keywave/internal/rotation"
)

// Every function here reads one value; its error says what is wrong and what
// to write.

const alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"

// name reads what becomes a part of paths, workflow IDs and task queues.
func name[T ~string](s string) (T, error) {
	switch {
	case s == "":
		return "", errors.New("is empty; write a name")
	case len(s) > 64, strings.Trim(s, alphabet) != "", strings.IndexByte("_.-", s[0]) >= 0:
		return "", fmt.Errorf("%q is no name; use at most 64 letters, digits and _.- with a letter or digit first", s)
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

// share reads a count ("3") or a percentage of the plan ("0.5%").
func share(s string) (string, error) {
	if !regexp.MustCompile(`^([0-9]{1,9}|[0-9]{1,3}(\.[0-9]{1,6})?%)$`).MatchString(s) {
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

// endpoint reads host[:port], https://host[:port], or http://host[:port] of this
// machine, and gives the shortest form.
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

func isHostname(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	return s != "" && len(s) <= 253 && strings.Trim(s, alphabet) == "" && !strings.ContainsAny(s[:1]+s[len(s)-1:], "_-") && s[0] != '.'
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.Unmap().IsLoopback()
}

// address reads host:port, where :22 may be left out.
func address(s string) (string, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		host, port = strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"), "22"
	}
	if !isHostname(host) || port == "" || !isPort(port, "") {
		return "", fmt.Errorf("%q is no address; write host:port, such as 10.1.0.11:22 or [2001:db8::1]:22", s)
	}
	return net.JoinHostPort(host, port), nil
}

// hostKey reads a line of a host's ssh_host_*_key.pub, and drops its comment.
func hostKey(s string) (string, error) {
	words := strings.Fields(s)
	if len(words) < 2 {
		return "", fmt.Errorf("%q is no host key; write type and key as in the host's /etc/ssh/ssh_host_ed25519_key.pub: ssh-ed25519 AAAA…", s)
	}
	blob, err := base64.StdEncoding.DecodeString(words[1])
	if err != nil {
		return "", fmt.Errorf("the host key is not base64 after %q; write type and key as in the host's /etc/ssh/ssh_host_ed25519_key.pub, without host name or options", words[0])
	}
	key, err := ssh.ParsePublicKey(blob)
	if err != nil {
		return "", fmt.Errorf("the host key after %q is damaged; copy the host's /etc/ssh/ssh_host_ed25519_key.pub again", words[0])
	}
	if _, is := key.(*ssh.Certificate); is {
		return "", errors.New("is a certificate; pin the host's plain key, from /etc/ssh/ssh_host_ed25519_key.pub")
	}
	if key.Type() != words[0] {
		return "", fmt.Errorf("says %q, but the key is of type %q; copy the host's /etc/ssh/ssh_host_ed25519_key.pub again", words[0], key.Type())
	}
	return words[0] + " " + words[1], nil
}

func user(s string) (string, error) {
	if s == "" || len(s) > 64 || s[0] == '-' || !utf8.ValidString(s) || strings.ContainsFunc(s, func(c rune) bool { return unicode.IsSpace(c) || unicode.IsControl(c) }) {
		return "", fmt.Errorf("%q is no user name", s)
	}
	return s, nil
}

// zoneMark stands for the zone's ID in a path.
const zoneMark = "{zone}"

func keyPath(s string) (string, error) {
	switch {
	case !path.IsAbs(s):
		return "", fmt.Errorf("%q is not absolute; begin it with /", s)
	case s == "/":
		return "", errors.New("is a directory; write the path of a file")
	case path.Clean(s) != s:
		return "", fmt.Errorf("%q is not in its shortest form; write %q, or the file that is meant", s, path.Clean(s))
	case strings.ContainsAny(strings.ReplaceAll(s, zoneMark, ""), "{}"):
		return "", fmt.Errorf("%q has a mark in braces other than %s; write %s where the zone's ID belongs", s, zoneMark, zoneMark)
	}
	return text(1024)(s)
}

// mode reads permissions in octal; nobody but the owner may write, and nobody
// but owner and group may read.
func mode(s string) (string, error) {
	bits, err := strconv.ParseUint(strings.TrimPrefix(s, "0o"), 8, 32)
	if err != nil {
		return "", fmt.Errorf("%q is not octal; write \"0600\", or \"0640\" when the consumer reads it as a group", s)
	}
	if bits&^0o640 != 0 || bits&0o400 == 0 {
		return "", fmt.Errorf("%q lets others read, somebody else write, or not even the owner read; write \"0600\", or \"0640\" when the consumer reads it as a group", s)
	}
	return fmt.Sprintf("%04o", bits), nil
}

func command(s string) (string, error) {
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(c rune) bool { return unicode.IsControl(c) && c != '\n' && c != '\t' }) {
		return "", fmt.Errorf("%q holds a control character; remove it", s)
	}
	if len(s) > 4096 {
		return "", errors.New("is longer than 4096 bytes; put it into a script on the host")
	}
	return s, nil
}
