package ssh_test

import (
	"net"
	"strings"
	"testing"

	"keywave/internal/proving/hostile"
	"keywave/internal/rotation"
)

func talker(t *testing.T, says ...[]byte) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go hostile.Talk(l, says...)
	return l.Addr().String()
}

// A peer names its algorithms, greets and hangs up before anybody has
// authenticated it. Its words are already harmless and short in the error, and
// are in no history.
func TestWordsOfAStranger(t *testing.T) {
	t.Parallel()
	s := newRig(t)
	s.cfg.HostKey = authorizedLine(s.hostKeys[0].PublicKey())
	const version = "SSH-2.0-x\r\n"
	heard := map[string]bool{}
	for _, w := range hostile.Words() {
		for name, says := range map[string][][]byte{
			"key exchange": {[]byte(version), hostile.Packet(hostile.KexInit(w.Text, w.Text, w.Text))},
			"host key":     {[]byte(version), hostile.Packet(hostile.KexInit("curve25519-sha256", w.Text, w.Text))},
			"host keys":    {[]byte(version), hostile.Packet(hostile.KexInit("curve25519-sha256", strings.Repeat(w.Text+",stranger-0123456789,", 30), w.Text))},
			"cipher":       {[]byte(version), hostile.Packet(hostile.KexInit("curve25519-sha256", "ssh-ed25519", w.Text))},
			"disconnect":   {[]byte(version), hostile.Packet(hostile.Disconnect(w.Text))},
			"greeting":     {[]byte(w.Text + "\r\n" + version), hostile.Packet(hostile.Disconnect("stranger-0123456789"))},
			"version":      {[]byte("SSH-2.0-" + w.Text + "\r\n"), hostile.Packet(hostile.Disconnect(w.Text))},
			"no version":   {[]byte(w.Text + "\r\n\r\n")},
		} {
			if name == "no version" && len(w.Text) < 300 {
				continue // the server waits for the rest
			}
			s.cfg.Address = talker(t, says...)
			_, err := s.host(t).Prove(t.Context(), []rotation.ZoneID{zone})
			if err == nil {
				t.Fatalf("%s: no error", name)
			}
			if bad := hostile.Seen(err.Error()); bad != "" || strings.Contains(err.Error(), "\n") || len(err.Error()) > 5000 {
				t.Errorf("%s, what hopes for %s: %s, %d bytes: %.300q", name, w.Hope, bad, len(err.Error()), err.Error())
			}
			if strings.Contains(err.Error(), "bold") || strings.Contains(err.Error(), "stranger-01") {
				heard[name] = true
			}
		}
	}
	for _, name := range []string{"host key", "host keys", "disconnect"} {
		if !heard[name] {
			t.Errorf("no error repeats what a peer said in its %s: this test shows nothing", name)
		}
	}
}
