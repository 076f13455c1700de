package ssh_test

import (
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"

	"keywave/internal/proving/hostile"
	"keywave/internal/rotation"
)

// packet is an SSH packet as it is before keys are exchanged (RFC 4253, 6).
func packet(payload []byte) []byte {
	padding := 16 - (len(payload)+5)%8
	b := binary.BigEndian.AppendUint32(nil, uint32(len(payload)+padding+1))
	b = append(append(b, byte(padding)), payload...)
	return append(b, make([]byte, padding)...)
}

func text(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
}

// kexInit offers these names (RFC 4253, 7.1).
func kexInit(exchange, hostKey, others string) []byte {
	b := append([]byte{20}, make([]byte, 16)...)
	for _, names := range []string{exchange, hostKey, others, others, others, others, others, others, "", ""} {
		b = text(b, names)
	}
	return append(b, 0, 0, 0, 0, 0)
}

func disconnect(why string) []byte {
	return text(text([]byte{1, 0, 0, 0, 11}, why), "")
}

// talker is an SSH peer that says what it is given, and nothing more.
func talker(t *testing.T, says ...[]byte) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			for _, b := range says {
				_, _ = conn.Write(b)
			}
			go func() {
				_, _ = io.Copy(io.Discard, conn)
				_ = conn.Close()
			}()
		}
	}()
	return l.Addr().String()
}

// Nobody has authenticated the peer that names its algorithms, greets or hangs
// up: its words are harmless and short in the error already, and in no history.
func TestWordsOfAStranger(t *testing.T) {
	t.Parallel()
	s := newRig(t)
	s.cfg.HostKey = authorizedLine(s.hostKeys[0].PublicKey())
	const version = "SSH-2.0-x\r\n"
	heard := map[string]bool{}
	for _, w := range hostile.Words() {
		for name, says := range map[string][][]byte{
			"key exchange": {[]byte(version), packet(kexInit(w.Text, w.Text, w.Text))},
			"host key":     {[]byte(version), packet(kexInit("curve25519-sha256", w.Text, w.Text))},
			"host keys":    {[]byte(version), packet(kexInit("curve25519-sha256", strings.Repeat(w.Text+",stranger-0123456789,", 30), w.Text))},
			"cipher":       {[]byte(version), packet(kexInit("curve25519-sha256", "ssh-ed25519", w.Text))},
			"disconnect":   {[]byte(version), packet(disconnect(w.Text))},
			"greeting":     {[]byte(w.Text + "\r\n" + version), packet(disconnect("stranger-0123456789"))},
			"version":      {[]byte("SSH-2.0-" + w.Text + "\r\n"), packet(disconnect(w.Text))},
			"no version":   {[]byte(w.Text + "\r\n\r\n")},
		} {
			if name == "no version" && len(w.Text) < 300 {
				continue // it waits for the rest
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
