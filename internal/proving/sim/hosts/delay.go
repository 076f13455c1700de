package hosts

import (
	"bytes"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// lineChunks is how many chunks may be under way in one direction.
const lineChunks = 1024

// delayed is a connection on which everything takes half longer in each
// direction. Chunks on their way do not wait for one another.
func delayed(raw net.Conn, half time.Duration) net.Conn {
	if half <= 0 {
		return raw
	}
	c := &slowConn{Conn: raw, in: make(chan chunk, lineChunks), out: make(chan chunk, lineChunks), closed: make(chan struct{}), half: half}
	go c.receive()
	go c.send()
	return c
}

type chunk struct {
	due  time.Time
	data []byte
	err  error
}

type slowConn struct {
	net.Conn
	half    time.Duration
	in, out chan chunk
	rest    chunk // what Read has not handed out yet
	once    sync.Once
	closed  chan struct{}
}

// receive marks what arrives with the time from which it may be read.
func (c *slowConn) receive() {
	buffer := make([]byte, 32<<10)
	for {
		n, err := c.Conn.Read(buffer)
		select {
		case c.in <- chunk{time.Now().Add(c.half), bytes.Clone(buffer[:n]), err}:
		case <-c.closed:
			return
		}
		if err != nil {
			return
		}
	}
}

// send sends what was written half ago. When the connection is closed in order,
// what is on its way still arrives.
func (c *slowConn) send() {
	defer c.Conn.Close()
	for {
		select {
		case next := <-c.out:
			if !c.put(next) {
				return
			}
		case <-c.closed:
			for {
				select {
				case next := <-c.out:
					if !c.put(next) {
						return
					}
				default:
					return
				}
			}
		}
	}
}

func (c *slowConn) put(next chunk) bool {
	time.Sleep(time.Until(next.due))
	_, err := c.Conn.Write(next.data)
	return err == nil
}

// Read returns what is due.
func (c *slowConn) Read(p []byte) (int, error) {
	if len(c.rest.data) == 0 && c.rest.err == nil {
		select {
		case c.rest = <-c.in:
		case <-c.closed:
			return 0, io.ErrClosedPipe
		}
	}
	time.Sleep(time.Until(c.rest.due))
	n := copy(p, c.rest.data)
	c.rest.data = c.rest.data[n:]
	if n > 0 {
		return n, nil
	}
	return 0, c.rest.err
}

// Write returns as soon as the bytes are on their way.
func (c *slowConn) Write(p []byte) (int, error) {
	select {
	case <-c.closed:
		return 0, os.ErrClosed
	case c.out <- chunk{due: time.Now().Add(c.half), data: bytes.Clone(p)}:
		return len(p), nil
	}
}

// Close closes the connection after what is on its way has arrived.
func (c *slowConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}
