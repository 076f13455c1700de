package hosts

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"

	"keywave/internal/proving/sim/journal"
)

// session is one command on a connection.
type session struct {
	host    *Host
	conn    *conn
	channel ssh.Channel
	number  int64
	command string
	first   []byte      // the part of the input that was read to tell commands apart
	fed     atomic.Bool // input was received
	gone    chan struct{}
}

// serve answers the session's requests; only exec is offered.
func (s *session) serve(requests <-chan *ssh.Request) {
	defer func() { go ssh.DiscardRequests(requests) }()
	defer s.channel.Close()
	s.gone = make(chan struct{})
	var done chan struct{}
	for {
		select {
		case request, ok := <-requests:
			if !ok {
				close(s.gone)
				if done != nil {
					<-done
				}
				return
			}
			var exec struct{ Command string }
			good := request.Type == "exec" && done == nil && ssh.Unmarshal(request.Payload, &exec) == nil
			if request.WantReply {
				_ = request.Reply(good, nil)
			}
			if good {
				done = make(chan struct{})
				s.command = exec.Command
				go func() { defer close(done); s.run() }()
			}
		case <-done:
			return
		}
	}
}

// run runs the command as sshd does: the status is sent when the command has
// ended, and the channel is closed when nobody holds its output any more.
func (s *session) run() {
	h := s.host
	s.number = h.sessions.Add(1)
	s.note(journal.Exec, nil, "")
	s.peek()
	if s.cutBy(DropAtExec) {
		return
	}
	if b, ok := h.struck(LateStart, s.told()); ok {
		s.note(journal.Late, nil, string(LateStart))
		time.Sleep(b.delay())
	}
	late, isLate := h.struck(LateAck, s.told())
	out := &output{}
	defer out.close()
	out.hold(isLate || h.has(DropBeforeAck))
	status, signal := s.execute(out)
	h.renames.look()
	s.note(journal.Exited, &status, string(late.Kind))
	time.Sleep(late.delay())
	if s.fed.Load() && s.cutBy(DropBeforeAck) {
		return
	}
	out.hold(false)
	s.acknowledge(status, signal)
	out.drain(s.gone)
	_ = s.channel.CloseWrite()
}

// peek reads the beginning of the input when a bad day is only for some
// commands, because commands differ in nothing else.
func (s *session) peek() {
	if !s.host.chooses() {
		return
	}
	buffer := make([]byte, 4<<10)
	n, _ := s.channel.Read(buffer)
	s.first = buffer[:n]
}

// told is the text in which a bad day's Match is searched.
func (s *session) told() string { return s.command + "\n" + string(s.first) }

// execute runs the command and returns its status, or -1 and the signal's name.
func (s *session) execute(out *output) (int, string) {
	h := s.host
	command := s.command
	if _, full := h.struck(DiskFull, s.told()); full {
		command = "ulimit -f 0; trap '' XFSZ; " + command
	}
	cmd := exec.Command("/bin/sh", "-c", command)
	cmd.Dir = h.dir
	cmd.Env = []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=" + h.dir, "USER=edge", "LOGNAME=edge", "SHELL=/bin/sh",
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := s.launch(cmd, out)
	if err != nil {
		_, _ = io.WriteString(s.channel.Stderr(), "sh: "+err.Error()+"\n")
		return 126, ""
	}
	defer h.ended(cmd)
	go s.feed(stdin)
	return outcome(cmd.Wait())
}

// launch starts the command with pipes for its input and output.
func (s *session) launch(cmd *exec.Cmd, out *output) (io.WriteCloser, error) {
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := out.pipe(s.channel)
	if err != nil {
		return nil, err
	}
	defer stdout.Close()
	stderr, err := out.pipe(s.channel.Stderr())
	if err != nil {
		return nil, err
	}
	defer stderr.Close()
	cmd.Stdout, cmd.Stderr = stdout, stderr
	return stdin, s.host.start(cmd)
}

// feed passes the client's input on, until the client or the connection ends it.
func (s *session) feed(stdin io.WriteCloser) {
	defer stdin.Close()
	buffer := make([]byte, 4<<10) // a key and a few words
	for {
		n, err := copy(buffer, s.first), error(nil)
		if s.first = nil; n == 0 {
			n, err = s.channel.Read(buffer)
		}
		if n > 0 && !s.fed.Swap(true) {
			s.note(journal.Stdin, nil, "")
			if s.cutBy(DropMidTransfer) {
				return
			}
		}
		if _, werr := stdin.Write(buffer[:n]); err != nil || werr != nil {
			return
		}
	}
}

// cutBy resets the connection if a bad day of this kind strikes the command.
func (s *session) cutBy(kind Kind) bool {
	_, struck := s.host.struck(kind, s.told())
	if struck {
		s.conn.cut()
		s.note(journal.Cut, nil, string(kind))
	}
	return struck
}

// acknowledge sends what sshd sends when a command has ended.
func (s *session) acknowledge(status int, signal string) {
	var err error
	if signal != "" {
		_, err = s.channel.SendRequest("exit-signal", false, ssh.Marshal(struct {
			Signal   string
			Core     bool
			Message  string
			Language string
		}{Signal: signal}))
	} else {
		_, err = s.channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(status)}))
	}
	if err == nil {
		s.note(journal.Acknowledged, nil, "")
	}
}

func (s *session) note(kind journal.Kind, status *int, fault string) {
	s.host.journal.Add(journal.Edge{Edge: kind, Host: s.host.name, Session: s.number, ExitStatus: status, Fault: fault})
}

// outcome reads what Wait returned.
func outcome(err error) (int, string) {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return 0, ""
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	if ok && status.Signaled() {
		return -1, signalName(status.Signal())
	}
	return exit.ExitCode(), ""
}

// start starts the command in its own process group.
func (h *Host) start(cmd *exec.Cmd) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return errors.New("the host is closed")
	}
	start := cmd.Start
	if h.bad[ReadOnlyDir] != nil {
		start = func() error { return startWithoutOverride(cmd) }
	}
	if err := start(); err != nil {
		return err
	}
	h.procs[cmd.Process.Pid] = struct{}{}
	h.stats.Sessions++
	h.stats.Running++
	h.stats.MaxRunning = max(h.stats.MaxRunning, h.stats.Running)
	return nil
}

func (h *Host) ended(cmd *exec.Cmd) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.procs, cmd.Process.Pid)
	h.stats.Running--
}

func (h *Host) has(kind Kind) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.bad[kind] != nil
}

// output carries what a command writes to the client. While it is held back it
// waits, so that when an acknowledgement is lost the output is lost too.
type output struct {
	readers []*os.File
	copies  sync.WaitGroup

	mu      sync.Mutex
	holding bool
	held    []heldChunk
}

type heldChunk struct {
	to   io.Writer
	data []byte
}

// pipe is a file whose content goes to the client.
func (o *output) pipe(to io.Writer) (*os.File, error) {
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	o.readers = append(o.readers, reader)
	o.copies.Go(func() {
		defer reader.Close()
		_, _ = io.Copy(writerFunc(func(p []byte) (int, error) { return o.write(to, p) }), reader)
	})
	return writer, nil
}

func (o *output) write(to io.Writer, p []byte) (int, error) {
	o.mu.Lock()
	holding := o.holding
	if holding {
		o.held = append(o.held, heldChunk{to, bytes.Clone(p)})
	}
	o.mu.Unlock()
	if holding {
		return len(p), nil
	}
	return to.Write(p)
}

// hold begins or ends holding the output back.
func (o *output) hold(on bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.holding = on
	for _, chunk := range o.held {
		_, _ = chunk.to.Write(chunk.data)
	}
	o.held = nil
}

// drain waits until every process that holds the output has closed it. When the
// client is gone, drain closes it for them.
func (o *output) drain(gone <-chan struct{}) {
	drained := make(chan struct{})
	go func() { o.copies.Wait(); close(drained) }()
	select {
	case <-drained:
	case <-gone:
		o.close()
		<-drained
	}
}

func (o *output) close() {
	for _, reader := range o.readers {
		_ = reader.Close()
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
