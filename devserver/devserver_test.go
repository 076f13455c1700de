package main

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// TestMain lets the test binary be the server, so that tests can kill it.
func TestMain(m *testing.M) {
	if os.Getenv("DEVSERVER_TEST_MAIN") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

const namespace = "default"

// What was acknowledged is still there after kill -9, and after a normal stop.
func TestSurvivesKill(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "when missing?") // a path that a URI would misread
	db := filepath.Join(dir, "keywave.db")
	uiPort := freePort()
	args := []string{"--db", db, "--port", "0", "--ui-port", uiPort}

	s := start(t, args...)
	if want := fmt.Sprintf(" ui=http://127.0.0.1:%s namespace=default db=%s", uiPort, db); !strings.HasSuffix(s.ready, want) {
		t.Errorf("ready line %q does not end in %q", s.ready, want)
	}
	s.checkRetention(t, 30*24*time.Hour)
	s.checkAttributes(t, "KeywaveCampaign", "KeywaveZone", "KeywaveOutcome", "KeywavePlan", "KeywaveAccount")
	s.startWorkflow(t, "zone/zone-1", 0, map[string]string{"KeywaveCampaign": "c1", "KeywaveZone": "zone-1"})
	s.checkFound(t, "KeywaveCampaign = 'c1'", "zone/zone-1")

	s.addAttribute(t, "KeywaveAddedLater")
	s.addAttribute(t, "KeywaveAddedLater") // to add it again is no mistake
	s.addAttribute(t, "KeywaveZone")
	s.awaitAttribute(t, "KeywaveAddedLater")
	s.startWorkflow(t, "zone/zone-2", 0, map[string]string{"KeywaveAddedLater": "soon"})

	s.stop(t, syscall.SIGKILL)

	s = start(t, args...)
	for _, id := range []string{"zone/zone-1", "zone/zone-2"} {
		d, err := s.workflows.DescribeWorkflowExecution(t.Context(), &workflowservice.DescribeWorkflowExecutionRequest{
			Namespace: namespace, Execution: &commonpb.WorkflowExecution{WorkflowId: id},
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := d.GetWorkflowExecutionInfo().GetStatus(); got != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
			t.Errorf("%s is %s after the kill", id, got)
		}
	}
	s.checkRetention(t, 30*24*time.Hour)
	s.checkAttributes(t, "KeywaveCampaign", "KeywaveZone", "KeywaveOutcome", "KeywavePlan", "KeywaveAccount", "KeywaveAddedLater")
	s.checkFound(t, "KeywaveCampaign = 'c1'", "zone/zone-1")
	s.checkFound(t, "KeywaveAddedLater = 'soon'", "zone/zone-2")
	checkHTTP(t, "http://127.0.0.1:"+uiPort+"/", "<html")
	checkHTTP(t, "http://127.0.0.1:"+uiPort+"/api/v1/namespaces", `"name": "default"`)
	checkPrivate(t, dir)
	checkLoopbackOnly(t, s.cmd.Process.Pid)

	begun := time.Now()
	if err := s.stop(t, syscall.SIGTERM); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
	if took := time.Since(begun); took > time.Minute {
		t.Errorf("stopping took %s", took)
	}
	if got := s.stdout.String(); got != s.ready+"\n" {
		t.Errorf("standard output holds more than the ready line:\n%s", got)
	}
}

// A queue has one partition. With more, an urgent task would wait behind the
// tasks in its own partition.
func TestUrgentTasksComeFirst(t *testing.T) {
	s := start(t, "--db", filepath.Join(t.TempDir(), "k.db"), "--port", "0", "--ui-port", "0")
	const calm, urgent = 20, 5
	for i := range calm {
		s.startWorkflow(t, fmt.Sprintf("calm-%d", i), 3, nil)
	}
	for i := range urgent {
		s.startWorkflow(t, fmt.Sprintf("urgent-%d", i), 1, nil)
	}
	s.awaitBacklog(t, calm+urgent)

	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for i := range urgent {
		task, err := s.workflows.PollWorkflowTaskQueue(ctx, &workflowservice.PollWorkflowTaskQueueRequest{
			Namespace: namespace, TaskQueue: queue(), Identity: "test",
		})
		if err != nil {
			t.Fatal(err)
		}
		if id := task.GetWorkflowExecution().GetWorkflowId(); !strings.HasPrefix(id, "urgent-") {
			t.Errorf("task %d is of %s", i, id)
		}
	}
	parts, err := s.workflows.ListTaskQueuePartitions(t.Context(), &workflowservice.ListTaskQueuePartitionsRequest{
		Namespace: namespace, TaskQueue: queue(),
	})
	if err != nil {
		t.Fatal(err)
	}
	if w, a := len(parts.GetWorkflowTaskQueuePartitions()), len(parts.GetActivityTaskQueuePartitions()); w != 1 || a != 1 {
		t.Errorf("%d and %d partitions", w, a)
	}
}

// A setting that cannot work is reported in one line that names it, before
// anything starts.
func TestRefuses(t *testing.T) {
	dir := t.TempDir()
	held := filepath.Join(dir, "held.db")
	d, err := openDatabase(t.Context(), held)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.close(context.Background()) })

	foreign := filepath.Join(dir, "foreign.db")
	f, err := sql.Open("sqlite", foreign)
	if err == nil {
		_, err = f.Exec("CREATE TABLE songs (name TEXT)")
	}
	if err != nil || f.Close() != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	_, taken, _ := net.SplitHostPort(listener.Addr().String())

	for name, c := range map[string]struct{ args, want string }{
		"no file":       {"", "--db FILE is missing"},
		"many mistakes": {"--port -1 --ip here --log-level loud", "--db FILE is missing; --ip \"here\" is not an IP address; --port -1"},
		"same port":     {"--db x --port 7233 --ui-port 7233", "--port and --ui-port are both 7233"},
		"argument":      {"--db x y", `unexpected argument "y"`},
		"held":          {"--db " + held, "another server has it open"},
		"foreign":       {"--db " + foreign, "not one of Temporal's"},
		"port taken":    {"--db " + dir + "/k.db --port " + taken, "--port: listen tcp 127.0.0.1:" + taken},
		"UI port taken": {"--db " + dir + "/k.db --port 0 --ui-port " + taken, "--ui-port: listen tcp"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			cfg, err := parse(strings.Fields(c.args), io.Discard)
			if err == nil {
				err = run(t.Context(), cfg, &out)
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want one line with %q", err, c.want)
			}
			if out.Len() > 0 {
				t.Errorf("standard output: %s", &out)
			}
		})
	}
}

// server is a devserver in a process of its own.
type server struct {
	cmd            *exec.Cmd
	stdout, stderr bytes.Buffer
	ready          string
	drained        chan struct{} // stdout ended
	workflows      workflowservice.WorkflowServiceClient
	operator       operatorservice.OperatorServiceClient
}

// start returns when the ready line was printed. Tests may rely on it: nothing
// after it is retried because the server might not be ready.
func start(t *testing.T, args ...string) *server {
	t.Helper()
	s := &server{cmd: exec.Command(os.Args[0], args...), drained: make(chan struct{})}
	s.cmd.Env = append(os.Environ(), "DEVSERVER_TEST_MAIN=1")
	s.cmd.Stderr = &s.stderr
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if s.cmd.ProcessState == nil {
			s.stop(t, syscall.SIGKILL)
		}
	})
	line := make(chan string, 1)
	go func() {
		var b [1]byte
		for s.stdout.Len() == 0 || b[0] != '\n' {
			if _, err := out.Read(b[:]); err != nil {
				break
			}
			s.stdout.Write(b[:])
		}
		line <- strings.TrimSuffix(s.stdout.String(), "\n")
		io.Copy(&s.stdout, out)
		close(s.drained)
	}()
	select {
	case s.ready = <-line:
	case <-time.After(2 * time.Minute):
	}
	m := regexp.MustCompile(`^ready temporal=(\S+) ui=\S+ namespace=\S+ db=/`).FindStringSubmatch(s.ready)
	if m == nil {
		t.Fatalf("no ready line: %q\n%s", s.ready, &s.stderr)
	}
	conn, err := grpc.NewClient(m[1], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	s.workflows = workflowservice.NewWorkflowServiceClient(conn)
	s.operator = operatorservice.NewOperatorServiceClient(conn)
	return s
}

// stop returns how the process ended.
func (s *server) stop(t *testing.T, sig os.Signal) error {
	t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	<-s.drained
	err := s.cmd.Wait()
	for line := range strings.Lines(s.stderr.String()) {
		if !strings.Contains(line, lostTrailer) {
			t.Errorf("standard error: %s", line)
		}
	}
	return err
}

// lostTrailer is what Temporal logs now and then about a call that ended while
// it was counted. Only the count is lost.
const lostTrailer = "unable to add metrics baggage to gRPC trailer"

func (s *server) startWorkflow(t *testing.T, id string, priority int32, attributes map[string]string) {
	t.Helper()
	fields := map[string]*commonpb.Payload{}
	for name, value := range attributes {
		fields[name] = &commonpb.Payload{
			Metadata: map[string][]byte{"encoding": []byte("json/plain"), "type": []byte("Keyword")},
			Data:     fmt.Appendf(nil, "%q", value),
		}
	}
	_, err := s.workflows.StartWorkflowExecution(t.Context(), &workflowservice.StartWorkflowExecutionRequest{
		Namespace: namespace, WorkflowId: id, RequestId: id, Identity: "test",
		WorkflowType:     &commonpb.WorkflowType{Name: "Zone"},
		TaskQueue:        queue(),
		Priority:         &commonpb.Priority{PriorityKey: priority},
		SearchAttributes: &commonpb.SearchAttributes{IndexedFields: fields},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// awaitAttribute waits until the namespace knows the added attribute.
func (s *server) awaitAttribute(t *testing.T, name string) {
	t.Helper()
	var err error
	eventually(t, func() bool {
		_, err = s.workflows.CountWorkflowExecutions(t.Context(), &workflowservice.CountWorkflowExecutionsRequest{
			Namespace: namespace, Query: name + " = 'x'",
		})
		return err == nil
	}, func() string { return err.Error() })
}

func (s *server) addAttribute(t *testing.T, name string) {
	t.Helper()
	_, err := s.operator.AddSearchAttributes(t.Context(), &operatorservice.AddSearchAttributesRequest{
		Namespace:        namespace,
		SearchAttributes: map[string]enumspb.IndexedValueType{name: enumspb.INDEXED_VALUE_TYPE_KEYWORD},
	})
	if err != nil && status.Code(err) != codes.AlreadyExists {
		t.Fatal(err)
	}
}

func (s *server) checkAttributes(t *testing.T, want ...string) {
	t.Helper()
	list, err := s.operator.ListSearchAttributes(t.Context(), &operatorservice.ListSearchAttributesRequest{Namespace: namespace})
	if err != nil {
		t.Fatal(err)
	}
	got := slices.Sorted(maps.Keys(list.GetCustomAttributes()))
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("search attributes %v, want %v", got, want)
	}
}

func (s *server) checkRetention(t *testing.T, want time.Duration) {
	t.Helper()
	d, err := s.workflows.DescribeNamespace(t.Context(), &workflowservice.DescribeNamespaceRequest{Namespace: namespace})
	if err != nil {
		t.Fatal(err)
	}
	if got := d.GetConfig().GetWorkflowExecutionRetentionTtl().AsDuration(); got != want {
		t.Errorf("retention %s, want %s", got, want)
	}
}

// checkFound waits a little, because visibility is updated a moment later.
func (s *server) checkFound(t *testing.T, query, want string) {
	t.Helper()
	var got []string
	eventually(t, func() bool {
		list, err := s.workflows.ListWorkflowExecutions(t.Context(), &workflowservice.ListWorkflowExecutionsRequest{
			Namespace: namespace, Query: query,
		})
		if err != nil {
			t.Fatal(err)
		}
		got = got[:0]
		for _, e := range list.GetExecutions() {
			got = append(got, e.GetExecution().GetWorkflowId())
		}
		return slices.Equal(got, []string{want})
	}, func() string { return fmt.Sprintf("%s finds %v, want %s", query, got, want) })
}

func (s *server) awaitBacklog(t *testing.T, want int64) {
	t.Helper()
	var got int64
	eventually(t, func() bool {
		d, err := s.workflows.DescribeTaskQueue(t.Context(), &workflowservice.DescribeTaskQueueRequest{
			Namespace: namespace, TaskQueue: queue(), ReportStats: true,
			TaskQueueType: enumspb.TASK_QUEUE_TYPE_WORKFLOW,
		})
		if err != nil {
			t.Fatal(err)
		}
		got = d.GetStats().GetApproximateBacklogCount()
		return got >= want
	}, func() string { return fmt.Sprintf("a backlog of %d, want %d", got, want) })
}

func eventually(t *testing.T, ok func() bool, why func() string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(why())
		}
	}
}

func queue() *taskqueuepb.TaskQueue {
	return &taskqueuepb.TaskQueue{Name: "keywave", Kind: enumspb.TASK_QUEUE_KIND_NORMAL}
}

// freePort is a port that was free a moment ago. The kernel gives none of these ports to
// connections, so a server that is started again finds it free.
func freePort() string {
	const lowest, ephemeral = 10_000, 32_768
	for {
		port := strconv.Itoa(lowest + rand.IntN(ephemeral-lowest))
		if l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", port)); err == nil {
			_ = l.Close()
			return port
		}
	}
}

func checkHTTP(t *testing.T, url, want string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK || !bytes.Contains(body, []byte(want)) {
		t.Errorf("%s answers %s without %q", url, resp.Status, want)
	}
}

// checkPrivate looks at the file and at everything beside it.
func checkPrivate(t *testing.T, dir string) {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil || len(files) < 3 {
		t.Fatalf("%v: %v", files, err)
	}
	for _, f := range files {
		if info, err := f.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v: %v", info, err)
		}
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v: %v", info, err)
	}
}

// checkLoopbackOnly looks at both ends of every TCP socket of the process.
func checkLoopbackOnly(t *testing.T, pid int) {
	t.Helper()
	if runtime.GOOS != "linux" {
		return
	}
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	mine := map[string]bool{}
	for _, fd := range fds {
		if target, err := os.Readlink(fd); err == nil && strings.HasPrefix(target, "socket:[") {
			mine[strings.Trim(target, "socket:[]")] = true
		}
	}
	sockets := 0
	for _, table := range []string{"tcp", "tcp6"} {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, table))
		if os.IsNotExist(err) {
			continue // no IPv6 here
		}
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			const local, remote, state, inode, listening = 1, 2, 3, 9, "0A"
			f := strings.Fields(line)
			if len(f) <= inode || !mine[f[inode]] {
				continue
			}
			sockets++
			const loopbackHex = "0100007F:"
			if !strings.HasPrefix(f[local], loopbackHex) || f[state] != listening && !strings.HasPrefix(f[remote], loopbackHex) {
				t.Errorf("not on loopback: %s", strings.TrimSpace(line))
			}
		}
	}
	if sockets < 5 {
		t.Errorf("saw only %d sockets", sockets)
	}
}
