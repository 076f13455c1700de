package hostile

import (
	"encoding/binary"
	"io"
	"net"
)

// Talk sends the same to everybody who connects, and then nothing more, until l
// is closed.
func Talk(l net.Listener, says ...[]byte) {
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
}

// Packet is an SSH packet in the form before keys are exchanged (RFC 4253, 6).
func Packet(payload []byte) []byte {
	padding := 16 - (len(payload)+5)%8
	b := binary.BigEndian.AppendUint32(nil, uint32(len(payload)+padding+1))
	b = append(append(b, byte(padding)), payload...)
	return append(b, make([]byte, padding)...)
}

// KexInit is an SSH peer's offer of algorithms (RFC 4253, 7.1).
func KexInit(exchange, hostKey, others string) []byte {
	b := append([]byte{20}, make([]byte, 16)...)
	for _, names := range []string{exchange, hostKey, others, others, others, others, others, others, "", ""} {
		b = text(b, names)
	}
	return append(b, 0, 0, 0, 0, 0)
}

// Disconnect is the message with which an SSH peer hangs up and says why.
func Disconnect(why string) []byte {
	return text(text([]byte{1, 0, 0, 0, 11}, why), "")
}

func text(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
}
