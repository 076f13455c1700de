package fleet

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
	"golang.org/x/crypto/ssh"
)

// SSH is a host that is reached over SSH.
type SSH struct {
	// Address is host:port.
	Address string
	// HostKey is the pinned host key, "type base64"; empty means that
	// known_hosts decides.
	HostKey string
	User    string
	// Jump are the bastions on the way; the first is dialled first.
	Jump []Bastion
	// Become is the user as whom sudo runs everything on the host. Empty means as
	// User.
	Become string
	File
}

func sshTransport() transport {
	return transport{
		name: "ssh", about: "A host that is reached over SSH.",
		own: section{
			{"address", single(), "host:port; 22 when there is no port."},
			{"hostKey", schema{"type": "string"}, "Type and base64, as in the host's /etc/ssh/ssh_host_ed25519_key.pub; otherwise known_hosts decides."},
		},
		shared: append(section{
			{"user", words(64), "Who logs in."},
			{"jump", listOf(aName(), 0), "The bastions on the way, the first that is dialled first; an empty list is none."},
			{"become", like(becomeForm.String()), "sudo, or sudo:USER, runs what is done on the host as root or as USER."},
		}, fileFields()...),
		required: []string{"address", "user", "path"}, always: []string{"address"},
		read: func(r *reader, in map[string]*yaml.Node, what string, from Host, h *Host) {
			var s SSH
			if from.SSH != nil {
				s = *from.SSH
			}
			h.SSH = &SSH{
				Address: value(r, in["address"], what+": address", s.Address, address),
				HostKey: value(r, in["hostKey"], what+": hostKey", s.HostKey, hostKey),
				User:    value(r, in["user"], what+": user", s.User, user),
				Jump:    r.jump(in["jump"], what, s.Jump),
				Become:  value(r, in["become"], what+": become", s.Become, become),
				File:    s.File.read(r, in, what),
			}
		},
	}
}

// definition is the part of the SSH fields that decides where a key goes.
func (s SSH) definition() []field {
	return []field{{"address", s.Address, false}, {"hostKey", s.HostKey, false}, {"user", s.User, false}}
}

// later are fields that were added to the transport when others already had
// their digests.
func (s SSH) later() []field {
	return []field{{"jump", way(s.Jump), true}, {"become", s.Become, true}}
}

var becomeForm = regexp.MustCompile(`^(sudo(:[A-Za-z_][A-Za-z0-9_.-]{0,31})?)?$`)

// become reads the user as whom sudo runs everything on the host. It is root
// where the text names no user; an empty text means the login itself.
func become(s string) (string, error) {
	switch {
	case !becomeForm.MatchString(s):
		return "", fmt.Errorf("%q is no way to become another user; write sudo for root, sudo:USER for another (at most 32 letters, digits and _.-), or remove the field", s)
	case s == "sudo":
		return "root", nil
	}
	return strings.TrimPrefix(s, "sudo:"), nil
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
